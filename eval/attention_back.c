// With scores S = scale Q K^T, capped and sloped to Z, weights P = softmax(Z) and results O = P V:
//   dV = P^T dO,  dP = dO V^T,  dZ = P * (dP - rowsum(dO * O)),  dS = dZ * Z'(S),  dQ = scale dS K,  dK = scale dS^T Q.
#include "eval/attention_back.h"

#include "eval/vector.h"
#include "eval/vector_back.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 128 }; // whose weights are there together, with all keys they see

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

size_t attention_back_scratch(int64_t length) { return 3 * QUERIES * (size_t)length; }

// Which queries, which keys.
typedef struct Block {
    int64_t query, queries, key, keys;
} Block;

// The keys that query i of the block sees: row[*start] .. row[*start + n - 1]; returns n.
static int64_t seen(const AttentionShape *s, const Block *b, int64_t i, int64_t *start) {
    int64_t position = b->query + i;
    *start = s->window ? max(0, position + 1 - s->window - b->key) : 0;
    return position + 1 - b->key - *start;
}

// Scores become weights; `capped` keeps what they were between cap and slopes.
static void softmax_rows(const AttentionShape *s, int64_t head, const Block *b, float *scores, float *capped) {
    const VectorMath *m = vector_math();
    for (int64_t i = 0; i < b->queries; i++) {
        int64_t start, n = seen(s, b, i, &start);
        float *all = scores + i * b->keys, *row = all + start;
        if (s->cap != 0) {
            m->soft_cap(row, n, s->cap);
            memcpy(capped + i * b->keys + start, row, (size_t)n * sizeof *row);
        }
        if (s->slopes) attention_slopes(s, head, b->query + i, b->key + start, row, n);
        float top = m->max(row, n);
        if (s->sinks) top = fmaxf(top, s->sinks[head]);
        float sum = m->exp_sum(row, n, top) + (s->sinks ? expf(s->sinks[head] - top) : 0);
        m->scale(row, n, 1 / sum);
        memset(all, 0, (size_t)start * sizeof *all);
        memset(row + n, 0, (size_t)(b->keys - start - n) * sizeof *row);
    }
}

static void softmax_rows_back(const AttentionShape *s, const Block *b, const float *weights, const float *capped,
                              const float *out, const float *d_out, float *d) {
    const VectorBack *m = vector_back();
    int64_t stride = s->heads * s->value_dim;
    for (int64_t i = 0; i < b->queries; i++) {
        float mean = m->dot(out + i * stride, d_out + i * stride, s->value_dim), *row = d + i * b->keys;
        int64_t start, n = seen(s, b, i, &start);
        m->softmax(weights + i * b->keys, row, b->keys, mean); // 0 where the weight is
        if (s->cap != 0) m->soft_cap(capped + i * b->keys + start, row + start, n, s->cap);
    }
}

static void head_back(const AttentionShape *s, int64_t head, const AttentionArrays *a, float *scratch) {
    int64_t kv_head = head / (s->heads / s->kv_heads);
    int d = (int)s->head_dim, dv = (int)s->value_dim, q_stride = (int)s->heads * d, k_stride = (int)s->kv_heads * d;
    int out_stride = (int)s->heads * dv, v_stride = (int)s->kv_heads * dv;
    for (int64_t i0 = 0; i0 < s->length; i0 += QUERIES) {
        int64_t queries = min(QUERIES, s->length - i0), j0 = s->window ? max(0, i0 + 1 - s->window) : 0;
        Block b = {i0, queries, j0, i0 + queries - j0};
        int rows = (int)b.queries, keys = (int)b.keys;
        int64_t q_at = i0 * q_stride + head * d, o_at = i0 * out_stride + head * dv;
        int64_t k_at = j0 * k_stride + kv_head * d, v_at = j0 * v_stride + kv_head * dv;
        float *weights = scratch, *ds = weights + QUERIES * s->length, *capped = ds + QUERIES * s->length;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, d, s->scale, a->q + q_at, q_stride,
                    a->k + k_at, k_stride, 0, weights, keys);
        softmax_rows(s, head, &b, weights, capped);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, dv, rows, 1, weights, keys, a->d_out + o_at,
                    out_stride, 1, a->dv + v_at, v_stride);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, dv, 1, a->d_out + o_at, out_stride,
                    a->v + v_at, v_stride, 0, ds, keys);
        softmax_rows_back(s, &b, weights, capped, a->out + o_at, a->d_out + o_at, ds);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, d, keys, s->scale, ds, keys, a->k + k_at, k_stride,
                    0, a->dq + q_at, q_stride);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, keys, d, rows, s->scale, ds, keys, a->q + q_at, q_stride,
                    1, a->dk + k_at, k_stride);
    }
}

void attention_back(const AttentionShape *s, int64_t kv_head, const AttentionArrays *a, float *scratch) {
    int64_t group = s->heads / s->kv_heads;
    for (int64_t i = 0; i < s->length; i++) {
        memset(a->dk + (i * s->kv_heads + kv_head) * s->head_dim, 0, (size_t)s->head_dim * sizeof(float));
        memset(a->dv + (i * s->kv_heads + kv_head) * s->value_dim, 0, (size_t)s->value_dim * sizeof(float));
    }
    for (int64_t h = 0; h < group; h++) head_back(s, kv_head * group + h, a, scratch);
}
