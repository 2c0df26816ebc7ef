// Causal attention over one sequence, by blocks with an online softmax (arXiv:1805.02867, arXiv:2205.14135).
#ifndef EVAL_ATTENTION_H
#define EVAL_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

typedef struct AttentionShape {
    int64_t heads, kv_heads, head_dim; // query head h reads key and value head h / (heads / kv_heads)
    int64_t length;                    // queries
    int64_t past;                      // keys and values before the first query's own
    float scale;                       // of the scores: 1 / sqrt(head_dim)
} AttentionShape;

// Floats of scratch that one call needs.
size_t attention_scratch(void);

// One head: out[:, head] of [length, heads * head_dim] from q (the same shape) and k, v [past + length, kv_heads *
// head_dim]. Query i sees keys 0 .. past + i. Single-threaded: callers spread heads and sequences over threads.
void attention_head(const AttentionShape *s, int64_t head, const float *q, const float *k, const float *v, float *out,
                    float *scratch);

#endif
