// Means, standard errors and quantiles from the scores of single tokens.
#ifndef EVAL_STATISTICS_H
#define EVAL_STATISTICS_H

#include "eval/evaluate.h"

// Fills in every result's fields from its scores. Fails only when memory is out.
bool statistics_fill(Evaluation *e, Error *err);

#endif
