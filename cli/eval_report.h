// What `nibble eval` and `nibble merge` print of an evaluation.
#ifndef CLI_EVAL_REPORT_H
#define CLI_EVAL_REPORT_H

#include "eval/evaluate.h"

// The table, unless json is "-"; JSON to `json` and a CSV of the tokens to `per_token` where they are not NULL.
bool eval_report(const Evaluation *e, Compute compute, const char *json, const char *per_token, Error *err);

#endif
