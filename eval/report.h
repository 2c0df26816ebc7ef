// An evaluation as people read it, as JSON, and token by token as CSV.
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H

#include "eval/evaluate.h"
#include <stdio.h>

void report_table(const Evaluation *e, Compute compute, FILE *to);

// The JSON of the README's `nibble eval --json`: protocol, models, seconds, tokens_per_second, peak_rss_bytes.
// NULL when memory is out. Free with cJSON_Delete.
cJSON *report_json(const Evaluation *e, Compute compute);

// Header window,position,token,nll_0 and nll_k,kld_k for further models; position and token are those predicted.
void report_tokens(const Evaluation *e, FILE *to);

#endif
