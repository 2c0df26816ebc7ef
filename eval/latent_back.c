// The way back through the projections of latent attention (project_latent in eval/block.c).
#include "eval/block_back.h"

#include <string.h>

// dx from dq = gradients at q_b norm(q_a x). What the norm took is computed again.
static void queries_back(BlockBack *b, Transformer *t, const Layer *l, const float *x, int64_t n, float *dx) {
    int64_t rank = t->desc->latent.query_rank;
    if (!l->q_a.weight) {
        linear_back(b, &l->q, x, b->dq, n, dx, false);
        return;
    }
    linear_apply(&l->q_a, x, n, t->low, false, t->panel);
    normalize(t, &l->q_a_norm, t->low, n, rank, b->low_normed);
    linear_back(b, &l->q_b, b->low_normed, b->dq, n, b->d_low, false);
    normalize_back(&l->q_a_norm, t->low, n, rank, b->d_low, b->d_low, false);
    linear_back(b, &l->q_a, x, b->d_low, n, dx, false);
}

// Rows [n, width], contiguous, are put `stride` apart, or back; in place.
static void rows_spread(float *rows, int64_t n, int64_t width, int64_t stride) {
    for (int64_t i = n - 1; i > 0; i--) memmove(rows + i * stride, rows + i * width, (size_t)width * sizeof *rows);
}
static void rows_close(float *rows, int64_t n, int64_t width, int64_t stride) {
    for (int64_t i = 1; i < n; i++) memmove(rows + i * width, rows + i * stride, (size_t)width * sizeof *rows);
}

// Each head's k is [its part of W_kv_b norm(c), r], v the other part. t->wide: the gradient at W_kv_b norm(c).
static void parts_join(const BlockBack *b, Transformer *t, int64_t n) {
    int64_t head = t->desc->head_dim, plain = head - desc_rope_dims(t->desc), dv = desc_value_dim(t->desc);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * t->desc->heads; i++) {
        memcpy(t->wide + i * (plain + dv), b->dk + i * head, (size_t)plain * sizeof *t->wide);
        memcpy(t->wide + i * (plain + dv) + plain, b->dv + i * dv, (size_t)dv * sizeof *t->wide);
    }
}

// The gradient at r, which all heads share: dr, `stride` floats from token to token.
static void shared_join(const BlockBack *b, const ModelDesc *d, int64_t n, float *dr, int64_t stride) {
    int64_t turned = desc_rope_dims(d), plain = d->head_dim - turned;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < turned; j++) {
            float sum = 0;
            for (int64_t h = i * d->heads; h < (i + 1) * d->heads; h++) sum += b->dk[h * d->head_dim + plain + j];
            dr[i * stride + j] = sum;
        }
}

void latent_back(BlockBack *b, Transformer *t, const Layer *l, const float *x, int64_t n, float *dx) {
    int64_t rank = t->desc->latent.kv_rank, stride = rank + desc_rope_dims(t->desc); // a row is [c, r]
    queries_back(b, t, l, x, n, dx);
    linear_apply(&l->kv_a, x, n, t->low, false, t->panel);
    normalize(t, &l->kv_a_norm, t->low, n, stride, b->low_normed);
    rows_close(b->low_normed, n, rank, stride);
    parts_join(b, t, n);
    linear_back(b, &l->kv_b, b->low_normed, t->wide, n, b->d_low, false);
    rows_spread(b->d_low, n, rank, stride);
    normalize_back(&l->kv_a_norm, t->low, n, stride, b->d_low, b->d_low, false);
    shared_join(b, t->desc, n, b->d_low + rank, stride);
    linear_back(b, &l->kv_a, x, b->d_low, n, dx, true);
}
