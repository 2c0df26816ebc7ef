// The way back through attention: gradients at queries, keys and values from those at the results.
#ifndef EVAL_ATTENTION_BACK_H
#define EVAL_ATTENTION_BACK_H

#include "eval/attention.h"

// What attention took and gave, shaped as attention_head has them, and the gradients, of the same shapes.
typedef struct AttentionArrays {
    const float *q, *k, *v, *out, *d_out;
    float *dq, *dk, *dv;
} AttentionArrays;

// Floats of scratch that one call needs for sequences up to that length.
size_t attention_back_scratch(int64_t length);

// One key and value head with all query heads that read it; past is 0. Weights are computed again from queries and
// keys, some queries at a time (arXiv:2205.14135), so that scores are never there as a whole. Single-threaded: callers
// spread heads and sequences over threads.
void attention_back(const AttentionShape *s, int64_t kv_head, const AttentionArrays *a, float *scratch);

#endif
