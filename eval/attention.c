#include "eval/attention.h"

#include "eval/vector.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 128, KEYS = 256 }; // a block's; its scores are 128 KiB

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

size_t attention_scratch(void) { return QUERIES * KEYS + 2 * QUERIES; } // scores, running maxima, running sums

// Scores of one block become weights: masked, exp(score - running maximum). Query i (counted from the block's
// first) sees `seen + i` of the block's keys. What was accumulated so far is rescaled to the new maximum.
static void softmax_block(const VectorMath *m, float *scores, int64_t queries, int64_t keys, int64_t seen,
                          float *maximum, float *sum, float *out, int64_t out_stride, int64_t head_dim) {
    for (int64_t i = 0; i < queries; i++) {
        float *row = scores + i * keys;
        int64_t n = seen + i < 0 ? 0 : min(seen + i, keys);
        float top = m->max(row, n);
        if (top > maximum[i]) {
            float shrink = expf(maximum[i] - top); // 0 for the first block
            m->scale(out + i * out_stride, head_dim, shrink);
            sum[i] *= shrink;
            maximum[i] = top;
        }
        if (n) sum[i] += m->exp_sum(row, n, maximum[i]);
        memset(row + n, 0, (size_t)(keys - n) * sizeof *row);
    }
}

void attention_head(const AttentionShape *s, int64_t head, const float *q, const float *k, const float *v, float *out,
                    float *scratch) {
    const VectorMath *m = vector_math();
    int64_t d = s->head_dim, q_stride = s->heads * d, kv_stride = s->kv_heads * d;
    int64_t kv_head = head / (s->heads / s->kv_heads);
    float *scores = scratch, *maximum = scores + QUERIES * KEYS, *sum = maximum + QUERIES;
    q += head * d;
    out += head * d;
    k += kv_head * d;
    v += kv_head * d;
    for (int64_t i0 = 0; i0 < s->length; i0 += QUERIES) {
        int64_t queries = min(QUERIES, s->length - i0), visible = s->past + i0 + queries;
        float *o = out + i0 * q_stride;
        for (int64_t i = 0; i < queries; i++) {
            maximum[i] = -INFINITY;
            sum[i] = 0;
            memset(o + i * q_stride, 0, (size_t)d * sizeof *o);
        }
        for (int64_t j0 = 0; j0 < visible; j0 += KEYS) {
            int64_t keys = min(KEYS, visible - j0);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)queries, (int)keys, (int)d, s->scale,
                        q + i0 * q_stride, (int)q_stride, k + j0 * kv_stride, (int)kv_stride, 0, scores, (int)keys);
            softmax_block(m, scores, queries, keys, s->past + i0 + 1 - j0, maximum, sum, o, q_stride, d);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)queries, (int)d, (int)keys, 1, scores,
                        (int)keys, v + j0 * kv_stride, (int)kv_stride, 1, o, (int)q_stride);
        }
        for (int64_t i = 0; i < queries; i++) m->scale(o + i * q_stride, d, 1 / sum[i]);
    }
}
