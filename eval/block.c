#include "eval/block.h"

#include "quant/kernels/kernels.h"
#include <math.h>
#include <omp.h>
#include <string.h>

void norm_row(const VectorMath *m, const Norm *norm, const float *gain, const float *x, int64_t width, float *y) {
    if (norm->kind == NORM_LAYER)
        m->layer_norm(x, gain, norm->bias, norm->eps, width, y);
    else
        m->rms_norm(x, gain, norm->eps, width, y);
}

void normalize(const Transformer *t, const Norm *norm, const float *x, int64_t n, int64_t stride, float *y) {
#pragma omp parallel for schedule(static) if (n > LINEAR_FEW)
    for (int64_t i = 0; i < n; i++) norm_row(t->math, norm, norm->gain, x + i * stride, norm->width, y + i * stride);
}

// Queries or keys, n rows of `heads` heads.
static void normalize_heads(const Transformer *t, const Norm *norm, float *x, int64_t heads, int64_t n) {
    int64_t d = t->desc->head_dim;
    if (t->desc->qk_norm == QK_NORM_WIDE) {
        normalize(t, norm, x, n, heads * d, x);
        return;
    }
    bool own = t->desc->qk_norm == QK_NORM_HEADS;
#pragma omp parallel for schedule(static) if (n > LINEAR_FEW)
    for (int64_t i = 0; i < n * heads; i++)
        norm_row(t->math, norm, norm->gain + (own ? i % heads * d : 0), x + i * d, d, x + i * d);
}

static void clip(float *x, int64_t n, float limit) {
    for (int64_t i = 0; i < n; i++) x[i] = fminf(fmaxf(x[i], -limit), limit);
}

// y = W x + b, seen by whoever watches.
static void apply(const Transformer *t, const Linear *l, const float *x, int64_t n, float *y, bool add) {
    watch_linear(t->watch, l, x, NULL, n);
    linear_apply(l, x, n, y, add, t->panel);
}

// Latent attention: q = W_b norm(W_a x); c, r = W_kv_a x; each head's k = [its part of W_kv_b norm(c), r], the other
// part is v. (The paper keeps c in the cache; here k and v are, as plain attention needs them.)
static void project_latent(Transformer *t, const Layer *l, const float *x, int64_t n, float *k, float *v) {
    const ModelDesc *d = t->desc;
    int64_t rank = d->latent.kv_rank, turned = desc_rope_dims(d), plain = d->head_dim - turned, dv = desc_value_dim(d);
    if (l->q_a.weight) {
        apply(t, &l->q_a, x, n, t->low, false);
        normalize(t, &l->q_a_norm, t->low, n, d->latent.query_rank, t->low);
        apply(t, &l->q_b, t->low, n, t->q, false);
    } else {
        apply(t, &l->q, x, n, t->q, false);
    }
    apply(t, &l->kv_a, x, n, t->low, false);
    normalize(t, &l->kv_a_norm, t->low, n, rank + turned, t->low);
    for (int64_t i = 0; i < n; i++) // c alone, for the multiplication: r waits in v's place in k
        for (int64_t h = 0; h < d->heads; h++)
            memcpy(k + (i * d->heads + h) * d->head_dim + plain, t->low + i * (rank + turned) + rank,
                   (size_t)turned * sizeof *k);
    for (int64_t i = 1; i < n; i++)
        memmove(t->low + i * rank, t->low + i * (rank + turned), (size_t)rank * sizeof *t->low);
    apply(t, &l->kv_b, t->low, n, t->wide, false);
    for (int64_t i = 0; i < n * d->heads; i++) {
        memcpy(k + i * d->head_dim, t->wide + i * (plain + dv), (size_t)plain * sizeof *k);
        memcpy(v + i * dv, t->wide + i * (plain + dv) + plain, (size_t)dv * sizeof *v);
    }
}

void attention_project(Transformer *t, const Layer *l, const float *x, int64_t n, float *k, float *v) {
    const ModelDesc *d = t->desc;
    if (d->latent.kv_rank) {
        project_latent(t, l, x, n, k, v);
        return;
    }
    int64_t q_dim = d->heads * d->head_dim, k_dim = d->kv_heads * d->head_dim, v_dim = d->kv_heads * desc_value_dim(d);
    const LinearUse qkv[] = {{&l->q, t->q, false}, {&l->k, k, false}, {&l->v, v, false}};
    for (int i = 0; i < 3; i++) watch_linear(t->watch, qkv[i].layer, x, NULL, n);
    linear_apply_all(qkv, 3, x, n, t->panel);
    if (d->qkv_clip != 0) {
        clip(t->q, n * q_dim, (float)d->qkv_clip);
        clip(k, n * k_dim, (float)d->qkv_clip);
        clip(v, n * v_dim, (float)d->qkv_clip);
    }
}

void attention_place(Transformer *t, const Layer *l, int64_t layer, const Chunk *c, float *k) {
    const ModelDesc *d = t->desc;
    if (d->qk_norm) {
        normalize_heads(t, &l->q_norm, t->q, d->heads, c->tokens);
        normalize_heads(t, &l->k_norm, k, d->kv_heads, c->tokens);
    }
    for (size_t i = 0; i < c->count; i++) {
        int64_t row = c->spans[i].start - c->spans[0].start;
        Sequence s = {c->past, c->spans[i].length};
        positioner_turn(t->positioner, layer, s, t->q + row * d->heads * d->head_dim, d->heads);
        positioner_turn(t->positioner, layer, s, k + row * d->kv_heads * d->head_dim, d->kv_heads);
    }
}

AttentionShape attention_shape(const Transformer *t, const Layer *l, int64_t layer, int64_t past) {
    const ModelDesc *d = t->desc;
    double scale = d->attn_scale != 0 ? d->attn_scale : 1 / sqrt((double)d->head_dim);
    return (AttentionShape){
        .heads = d->heads,
        .kv_heads = d->kv_heads,
        .head_dim = d->head_dim,
        .value_dim = desc_value_dim(d),
        .past = past,
        .window = desc_layer_is(d, layer, LAYER_WINDOWED) ? d->window : 0,
        .scale = (float)(d->attn_scale_by_layer ? scale / (double)(layer + 1) : scale),
        .cap = (float)d->attn_cap,
        .slopes = positioner_slopes(t->positioner),
        .slope_scale = d->alibi_scale != 0 ? (float)d->alibi_scale : 1,
        .slopes_bf16 = d->alibi_bf16,
        .sinks = l->sinks,
        .gemm = kernels_get()->gemm_passing[t->model->compute],
    };
}

enum {
    ALONE = 128, // a token with so many keys to see is still faster done by one thread than shared out
    MANY = 64,   // heads of sequences; where there are fewer, each is done in parts ...
    PART = 256,  // ... of so many queries, lest threads be left without
};

static int64_t first_asked(const Chunk *c, const Span *s) { return c->last ? s->asked : 0; }

void attention_mix(const Transformer *t, const Layer *l, int64_t layer, const Chunk *c, const float *k,
                   const float *v) {
    const ModelDesc *d = t->desc;
    AttentionShape shape = attention_shape(t, l, layer, c->past);
    int64_t heads = (int64_t)c->count * d->heads, dv = desc_value_dim(d);
    int64_t part = heads < MANY && shape.gemm ? PART : t->max_length; // OpenBLAS's digits would depend on it
    int64_t parts = (t->max_length + part - 1) / part;
#pragma omp parallel for schedule(dynamic) if (c->tokens + c->past / ALONE > LINEAR_FEW)
    for (int64_t task = 0; task < heads * parts; task++) {
        const Span *s = &c->spans[task % heads / d->heads];
        int64_t query = first_asked(c, s) + (parts - 1 - task / heads) * part, row = s->start - c->spans[0].start;
        if (query >= s->length) continue;
        AttentionShape own = shape; // the last queries first: they see the most
        own.past += query;
        own.length = s->length - query < part ? s->length - query : part;
        if (s->length <= LINEAR_FEW) own.gemm = NULL; // not worth packing the keys for
        attention_head(&own, task % d->heads, t->q + (row + query) * d->heads * d->head_dim,
                       k + row * d->kv_heads * d->head_dim, v + row * d->kv_heads * dv,
                       t->mixed + (row + query) * d->heads * dv,
                       t->attention + (size_t)omp_get_thread_num() * t->attention_floats);
    }
}

// Puts the rows that are asked for together at the front; returns how many.
static int64_t rows_gather(const Chunk *c, float *x, int64_t width) {
    int64_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const Span *s = &c->spans[i];
        int64_t from = s->start - c->spans[0].start + first_asked(c, s), count = s->length - first_asked(c, s);
        if (from != n) memmove(x + n * width, x + from * width, (size_t)(count * width) * sizeof *x);
        n += count;
    }
    return n;
}

// And back to where they were.
static void rows_scatter(const Chunk *c, float *x, int64_t width, int64_t n) {
    for (size_t i = c->count; i-- > 0;) {
        const Span *s = &c->spans[i];
        int64_t to = s->start - c->spans[0].start + first_asked(c, s), count = s->length - first_asked(c, s);
        n -= count;
        if (to != n) memmove(x + to * width, x + n * width, (size_t)(count * width) * sizeof *x);
    }
}

// out = o(attention(q, k, v)) of x, normed already; with `add`, out += that. From here on only rows that are asked for
// count: `stream`'s are put together at the front as well. Returns how many.
static int64_t attention(Transformer *t, const Layer *l, int64_t layer, const Chunk *c, KvCache *cache, const float *x,
                         float *stream, float *out, bool add) {
    const ModelDesc *d = t->desc;
    int64_t k_dim = d->kv_heads * d->head_dim, v_dim = d->kv_heads * desc_value_dim(d);
    float *k = cache ? cache->k + layer * cache->capacity * k_dim : t->k;
    float *v = cache ? cache->v + layer * cache->capacity * v_dim : t->v;
    float *new_k = k + c->past * k_dim, *new_v = v + c->past * v_dim;
    attention_project(t, l, x, c->tokens, new_k, new_v);
    attention_place(t, l, layer, c, new_k);
    attention_mix(t, l, layer, c, k, v);
    int64_t n = rows_gather(c, t->mixed, d->heads * desc_value_dim(d));
    rows_gather(c, stream, d->dim);
    apply(t, &l->o, t->mixed, n, out, add);
    return n;
}

bool mlp_run(Transformer *t, Layer *l, const float *x, int64_t n, bool keep, float *out, bool add, Error *err) {
    if (l->experts) return experts_apply(t->desc, l, x, n, out, add, keep, &t->mlp, err);
    mlp_apply(t->desc, &l->mlp, x, n, out, add, &t->mlp);
    return true;
}

void branch_add(const Transformer *t, const float *branch, int64_t n, float *x) {
    int64_t dim = t->desc->dim;
    float scale = t->desc->residual_scale != 0 ? (float)t->desc->residual_scale : 1;
#pragma omp parallel for schedule(static) if (n > LINEAR_FEW)
    for (int64_t i = 0; i < n * dim; i++) x[i] += scale * branch[i];
}

// x + attention(norm(x)) + mlp(norm(x))
static bool parallel_layer(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err) {
    Layer *l = &t->layers[layer];
    int64_t dim = t->desc->dim;
    normalize(t, &l->attn_norm, x, c->tokens, dim, t->normed);
    int64_t n = attention(t, l, layer, c, cache, t->normed, x, t->branch, false);
    if (t->desc->shared_norm)
        rows_gather(c, t->normed, dim);
    else
        normalize(t, &l->ffn_norm, x, n, dim, t->normed);
    bool ok = mlp_run(t, l, t->normed, n, cache, t->branch, true, err);
    branch_add(t, t->branch, n, x);
    rows_scatter(c, x, dim, n);
    return ok;
}

// One block after the other, with their norms where NormPlace says.
static bool serial_layer(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err) {
    Layer *l = &t->layers[layer];
    NormPlace place = t->desc->norm_place;
    bool after = place == NORM_AROUND || place == NORM_AFTER, before = place != NORM_AFTER && place != NORM_SUM;
    bool direct = place == NORM_BEFORE && t->desc->residual_scale == 0; // a block adds to x itself
    int64_t dim = t->desc->dim;
    float *input = before && place != NORM_THROUGH ? t->normed : x;
    float *out = direct ? x : t->branch;

    if (before) normalize(t, &l->attn_norm, x, c->tokens, dim, input);
    int64_t n = attention(t, l, layer, c, cache, input, x, out, direct);
    if (after) normalize(t, &l->attn_post_norm, out, n, dim, out);
    if (!direct) branch_add(t, t->branch, n, x);
    if (place == NORM_SUM) normalize(t, &l->attn_post_norm, x, n, dim, x);

    if (before) normalize(t, &l->ffn_norm, x, n, dim, input);
    if (!mlp_run(t, l, input, n, cache, out, direct, err)) return false;
    if (after) normalize(t, &l->ffn_post_norm, out, n, dim, out);
    if (!direct) branch_add(t, t->branch, n, x);
    if (place == NORM_SUM) normalize(t, &l->ffn_post_norm, x, n, dim, x);
    rows_scatter(c, x, dim, n);
    return true;
}

bool block_forward(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err) {
    if (t->watch) t->watch->first = c->first;
    return (t->desc->parallel ? parallel_layer : serial_layer)(t, layer, c, cache, x, err) &&
           !(t->watch && t->watch->failed);
}
