#include "eval/attention.h"

#include "core/half.h"
#include "eval/vector.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 128, KEYS = 256 }; // a block's; its scores are 128 KiB

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

size_t attention_scratch(void) { return QUERIES * KEYS + 2 * QUERIES; } // scores, running maxima, running sums

static float bf16(float x) { return bf16_to_f32(bf16_from_f32(x)); }

// ALiBi (arXiv:2108.12409): nearer keys count more. `distance` is the first key's position less the query's.
static void add_slope(float *row, int64_t n, float slope, int64_t distance) {
    for (int64_t j = 0; j < n; j++) row[j] += slope * (float)(distance + j);
}

// The same as Falcon computes it, in bf16: from the key's own position, so that keys far away are alike.
static void add_slope_bf16(float *row, int64_t n, float slope, float scale, int64_t position) {
    for (int64_t j = 0; j < n; j++) row[j] += scale * bf16(bf16(slope) * bf16((float)(position + j)));
}

void attention_slopes(const AttentionShape *s, int64_t head, int64_t query, int64_t key, float *row, int64_t n) {
    if (s->slopes_bf16)
        add_slope_bf16(row, n, s->slopes[head], s->slope_scale, key);
    else
        add_slope(row, n, s->slope_scale * s->slopes[head], key - query);
}

// A block of scores: of which queries and keys.
typedef struct Block {
    int64_t queries, keys;
    int64_t ahead; // position of the first query less that of the first key
    int64_t first; // position of the first key
} Block;

// Scores of one block become weights: masked, exp(score - running maximum). What was accumulated so far is rescaled to
// the new maximum.
static void softmax_block(const VectorMath *m, const AttentionShape *s, int64_t head, const Block *b, float *scores,
                          float *maximum, float *sum, float *out, int64_t out_stride) {
    for (int64_t i = 0; i < b->queries; i++) {
        float *row = scores + i * b->keys;
        int64_t end = max(0, min(b->ahead + i + 1, b->keys)); // the query's own key is the last it sees
        int64_t start = s->window ? max(0, min(b->ahead + i + 1 - s->window, end)) : 0, n = end - start;
        if (s->cap != 0) m->soft_cap(row + start, n, s->cap);
        if (s->slopes) attention_slopes(s, head, b->first + b->ahead + i, b->first + start, row + start, n);
        float top = m->max(row + start, n);
        if (top > maximum[i]) {
            float shrink = expf(maximum[i] - top); // 0 for the first block
            m->scale(out + i * out_stride, s->value_dim, shrink);
            sum[i] *= shrink;
            maximum[i] = top;
        }
        if (n) sum[i] += m->exp_sum(row + start, n, maximum[i]);
        memset(row, 0, (size_t)start * sizeof *row);
        memset(row + end, 0, (size_t)(b->keys - end) * sizeof *row);
    }
}

void attention_head(const AttentionShape *s, int64_t head, const float *q, const float *k, const float *v, float *out,
                    float *scratch) {
    const VectorMath *m = vector_math();
    int64_t d = s->head_dim, dv = s->value_dim, q_stride = s->heads * d, k_stride = s->kv_heads * d;
    int64_t out_stride = s->heads * dv, v_stride = s->kv_heads * dv, kv_head = head / (s->heads / s->kv_heads);
    float *scores = scratch, *maximum = scores + QUERIES * KEYS, *sum = maximum + QUERIES;
    q += head * d;
    out += head * dv;
    k += kv_head * d;
    v += kv_head * dv;
    for (int64_t i0 = 0; i0 < s->length; i0 += QUERIES) {
        int64_t queries = min(QUERIES, s->length - i0), first = s->past + i0, visible = first + queries;
        float *o = out + i0 * out_stride;
        for (int64_t i = 0; i < queries; i++) {
            maximum[i] = s->sinks ? s->sinks[head] : -INFINITY;
            sum[i] = s->sinks ? 1 : 0;
            memset(o + i * out_stride, 0, (size_t)dv * sizeof *o);
        }
        int64_t j0 = s->window ? max(0, first + 1 - s->window) / KEYS * KEYS : 0;
        for (; j0 < visible; j0 += KEYS) {
            Block block = {queries, min(KEYS, visible - j0), first - j0, j0};
            int keys = (int)block.keys;
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)queries, keys, (int)d, s->scale,
                        q + i0 * q_stride, (int)q_stride, k + j0 * k_stride, (int)k_stride, 0, scores, keys);
            softmax_block(m, s, head, &block, scores, maximum, sum, o, out_stride);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)queries, (int)dv, keys, 1, scores, keys,
                        v + j0 * v_stride, (int)v_stride, 1, o, (int)out_stride);
        }
        for (int64_t i = 0; i < queries; i++) m->scale(o + i * out_stride, dv, 1 / sum[i]);
    }
}
