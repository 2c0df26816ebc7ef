// Causal attention over one sequence, by blocks with an online softmax (arXiv:1805.02867, arXiv:2205.14135).
#ifndef EVAL_ATTENTION_H
#define EVAL_ATTENTION_H

#include "quant/kernels/gemm.h"

typedef struct AttentionShape {
    int64_t heads, kv_heads, head_dim; // query head h reads key and value head h / (heads / kv_heads)
    int64_t value_dim;                 // of a head's values, and so of its results
    int64_t length;                    // queries
    int64_t past;                      // keys and values before the first query's own
    int64_t window;                    // how many positions a query sees, the last its own; 0: all
    float scale;                       // of the scores: 1 / sqrt(head_dim)
    float cap;                         // scores become cap * tanh(score / cap); 0: they do not
    const float *sinks;                // [heads], or NULL: a score more in the softmax, of no value
    const float *slopes; // [heads], or NULL: a score gets slope_scale * slope * (key's position - query's)
    float slope_scale;
    bool slopes_bf16; // instead slope_scale * (slope * key's position, computed in bf16)
    const Gemm *gemm; // that multiplies many queries; NULL: OpenBLAS
} AttentionShape;

// Floats of scratch, 64-byte aligned, that one call with up to `length` queries needs; a multiple of 16.
size_t attention_scratch(const Gemm *gemm, int64_t length, int64_t head_dim, int64_t value_dim);

// One head: out[:, head] of [length, heads * value_dim] from q [length, heads * head_dim], k [past + length, kv_heads *
// head_dim] and v [past + length, kv_heads * value_dim]. Query i sees keys up to past + i. Single-threaded: callers
// spread heads and sequences over threads.
void attention_head(const AttentionShape *s, int64_t head, const float *q, const float *k, const float *v, float *out,
                    float *scratch);

// ALiBi: adds to scores row [n] of the query at position `query` with the keys at position `key` and after.
void attention_slopes(const AttentionShape *s, int64_t head, int64_t query, int64_t key, float *row, int64_t n);

#endif
