#include "eval/attention.h"

#include "core/half.h"
#include "core/size.h"
#include "eval/vector.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum {
    QUERIES = 96, // a block's: whole groups of every matrix multiply's inputs (12, 6, 32)
    KEYS = 128,   // their scores, 48 KiB, stay in the second-level cache
    WHOLE = 16,   // scores that vector arithmetic takes at once
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

static size_t whole_lines(size_t bytes) { return size_align(bytes, 64) / sizeof(float); }

size_t attention_scratch(const Gemm *gemm, int64_t length, int64_t head_dim, int64_t value_dim) {
    size_t packed = gemm ? whole_lines(gemm->bytes(KEYS, head_dim)) + whole_lines(gemm->bytes(value_dim, KEYS)) : 0;
    return packed + QUERIES * KEYS + whole_lines(2 * (size_t)length * sizeof(float)); // scores, maxima and sums
}

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
    int64_t query, queries; // counted from the first
    int64_t key, keys;      // by position
    int64_t ahead;          // position of the first query less that of the first key
    bool first;             // these queries have no values yet
} Block;

// What one head works with.
typedef struct Run {
    const AttentionShape *s;
    const VectorMath *m;
    int64_t head;
    const float *q, *k, *v; // of this head, their strides beside them
    int64_t q_stride, k_stride, v_stride, out_stride;
    float *out;
    const Gemm *gemm;          // NULL where keys are not packed
    void *packed_k, *packed_v; // K and V^T of the block's keys
    float *scores;             // [queries, KEYS] of a block
    float *maximum, *sum;      // [length]: of what a query has seen so far
    int64_t first_key;         // that any query sees
} Run;

// Rows row .. row + rows - 1 of a matrix in pieces; `turned`: w is its transpose.
static void pack(const Gemm *gemm, const float *w, int64_t stride, bool turned, int64_t rows, int64_t cols,
                 void *packed) {
    for (int64_t r = 0; r < rows; r += GEMM_ROWS)
        for (int64_t c = 0; c < cols; c += GEMM_COLS) {
            GemmPiece piece = {r, min(GEMM_ROWS, rows - r), c, min(GEMM_COLS, cols - c)};
            if (turned)
                gemm->pack_turned(w + c * stride + r, stride, piece, rows, cols, packed);
            else
                gemm->pack(w + r * stride + c, stride, piece, rows, cols, packed);
        }
}

static void keys_pack(const Run *r, int64_t key, int64_t keys) {
    pack(r->gemm, r->k + key * r->k_stride, r->k_stride, false, keys, r->s->head_dim, r->packed_k);
    pack(r->gemm, r->v + key * r->v_stride, r->v_stride, true, r->s->value_dim, keys, r->packed_v);
}

// scores = Q K^T
static void block_scores(const Run *r, const Block *b) {
    const float *q = r->q + b->query * r->q_stride;
    int64_t d = r->s->head_dim;
    if (r->gemm)
        r->gemm->multiply(q, b->queries, r->q_stride, r->packed_k, b->keys, d, r->scores, KEYS, false);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)b->queries, (int)b->keys, (int)d, 1, q,
                    (int)r->q_stride, r->k + b->key * r->k_stride, (int)r->k_stride, 0, r->scores, KEYS);
}

// A row's n scores, where nothing but scaling is done to them, go on to whole vectors with what weighs nothing.
static int64_t row_complete(float *row, int64_t n) {
    int64_t whole = size_align((size_t)n, WHOLE);
    for (int64_t j = n; j < whole; j++) row[j] = -INFINITY;
    return whole;
}

// Scores become weights: masked, exp(score - running maximum). What was accumulated so far is rescaled to the new
// maximum.
static void block_softmax(const Run *r, const Block *b) {
    const AttentionShape *s = r->s;
    for (int64_t i = 0; i < b->queries; i++) {
        float *row = r->scores + i * KEYS, *maximum = &r->maximum[b->query + i], *sum = &r->sum[b->query + i];
        int64_t end = max(0, min(b->ahead + i + 1, b->keys)); // the query's own key is the last it sees
        int64_t start = s->window ? max(0, min(b->ahead + i + 1 - s->window, end)) : 0, n = end - start;
        if (!start && s->cap == 0 && !s->slopes) n = row_complete(row, n);
        float top = r->m->scale_max(row + start, n, s->scale);
        if (s->cap != 0) r->m->soft_cap(row + start, n, s->cap);
        if (s->slopes) attention_slopes(s, r->head, b->key + b->ahead + i, b->key + start, row + start, n);
        if (s->cap != 0 || s->slopes) top = r->m->max(row + start, n);
        if (top > *maximum) {
            float shrink = expf(*maximum - top); // 0 for the first block
            if (!b->first) r->m->scale(r->out + (b->query + i) * r->out_stride, s->value_dim, shrink);
            *sum *= shrink;
            *maximum = top;
        }
        if (n) *sum += r->m->exp_sum(row + start, n, *maximum);
        memset(row, 0, (size_t)start * sizeof *row);
        memset(row + end, 0, (size_t)(b->keys - end) * sizeof *row);
    }
}

// out += weights V, or = for the first
static void block_values(const Run *r, const Block *b) {
    float *out = r->out + b->query * r->out_stride;
    int64_t dv = r->s->value_dim;
    if (r->gemm)
        r->gemm->multiply(r->scores, b->queries, KEYS, r->packed_v, dv, b->keys, out, r->out_stride, !b->first);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)b->queries, (int)dv, (int)b->keys, 1, r->scores,
                    KEYS, r->v + b->key * r->v_stride, (int)r->v_stride, b->first ? 0 : 1, out, (int)r->out_stride);
}

// The queries that see any of these keys.
static void keys_seen(const Run *r, int64_t key, int64_t keys) {
    const AttentionShape *s = r->s;
    int64_t first = max(0, key - s->past), end = s->length, begun = end; // from there on none saw a key before these
    if (s->window) {
        begun = key - 1 + s->window - s->past;
        end = min(end, begun + keys);
    }
    if (key == r->first_key) begun = 0;
    for (int64_t i = first / QUERIES * QUERIES; i < end; i += QUERIES) {
        Block b = {i, min(QUERIES, s->length - i), key, keys, s->past + i - key, i >= begun};
        block_scores(r, &b);
        block_softmax(r, &b);
        block_values(r, &b);
    }
}

void attention_head(const AttentionShape *s, int64_t head, const float *q, const float *k, const float *v, float *out,
                    float *scratch) {
    int64_t d = s->head_dim, dv = s->value_dim, kv_head = head / (s->heads / s->kv_heads), all = s->past + s->length;
    Run r = {
        .s = s,
        .m = vector_math(),
        .head = head,
        .q = q + head * d,
        .k = k + kv_head * d,
        .v = v + kv_head * dv,
        .out = out + head * dv,
        .q_stride = s->heads * d,
        .k_stride = s->kv_heads * d,
        .v_stride = s->kv_heads * dv,
        .out_stride = s->heads * dv,
        .gemm = s->gemm,
        .scores = scratch,
        .maximum = scratch + QUERIES * KEYS,
        .first_key = s->window ? max(0, s->past + 1 - s->window) / KEYS * KEYS : 0, // blocks are the same for all
    };
    r.sum = r.maximum + s->length;
    if (r.gemm) {
        r.packed_k = r.maximum + whole_lines(2 * (size_t)s->length * sizeof(float));
        r.packed_v = (float *)r.packed_k + whole_lines(r.gemm->bytes(KEYS, d));
    }
    for (int64_t i = 0; i < s->length; i++) {
        r.maximum[i] = s->sinks ? s->sinks[head] : -INFINITY;
        r.sum[i] = s->sinks ? 1 : 0;
    }
    for (int64_t key = r.first_key; key < all; key += KEYS) {
        int64_t keys = min(KEYS, all - key);
        if (r.gemm) keys_pack(&r, key, keys);
        keys_seen(&r, key, keys);
    }
    for (int64_t i = 0; i < s->length; i++) r.m->scale(r.out + i * r.out_stride, dv, 1 / r.sum[i]);
}
