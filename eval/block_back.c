#include "eval/block_back.h"

#include "core/mem.h"
#include "eval/attention_back.h"
#include "eval/vector_back.h"
#include <math.h>
#include <omp.h>
#include <string.h>

// ---- scratch

bool block_back_init(BlockBack *b, Transformer *t, Watch *watch, Error *err) {
    const ModelDesc *d = t->desc;
    size_t n = (size_t)t->chunk, dim = (size_t)d->dim, q = (size_t)(d->heads * d->head_dim),
           k = (size_t)(d->kv_heads * d->head_dim), dv = (size_t)desc_value_dim(d);
    size_t low = (size_t)transformer_low(d);
    *b = (BlockBack){.watch = watch, .attention_scratch = attention_back_scratch(t->max_length)};
    struct {
        float **slot;
        size_t width;
    } wanted[] = {
        {&b->attn_in, dim},
        {&b->ffn_in, dim},
        {&b->attn_out, dim},
        {&b->middle, dim},
        {&b->branch, dim},
        {&b->attn_d, dim},
        {&b->ffn_d, dim},
        {&b->q_plain, q},
        {&b->k_plain, k},
        {&b->dq, q},
        {&b->dk, k},
        {&b->dv, (size_t)d->kv_heads * dv},
        {&b->d_mixed, (size_t)d->heads * dv},
        {&b->low_normed, low},
        {&b->d_low, low},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i].width && !(*wanted[i].slot = mem_alloc(n, sizeof(float) * wanted[i].width, err))) return false;
    b->attention = mem_alloc((size_t)t->threads, sizeof(float) * b->attention_scratch, err);
    b->panel = mem_alloc(1, transformer_panel(t->model, linear_back_bytes), err);
    if (!b->attention || !b->panel || !mlp_back_init(&b->mlp, d, t->chunk, &t->mlp, b->panel, err) ||
        !experts_back_init(&b->experts, d, t->chunk, &b->mlp, err))
        return false;
    b->mlp.watch = watch;
    return true;
}

void block_back_free(BlockBack *b) {
    void *const owned[] = {b->attn_in, b->ffn_in,    b->attn_out, b->middle,     b->branch, b->attn_d,
                           b->ffn_d,   b->q_plain,   b->k_plain,  b->dq,         b->dk,     b->dv,
                           b->d_mixed, b->attention, b->panel,    b->low_normed, b->d_low};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mlp_back_free(&b->mlp);
    experts_back_free(&b->experts);
    *b = (BlockBack){0};
}

// ---- norms

static void norm_row_back(const Norm *norm, const float *gain, const float *x, int64_t width, const float *d, float *dx,
                          bool add) {
    const VectorBack *m = vector_back();
    (norm->kind == NORM_LAYER ? m->layer_norm : m->rms_norm)(x, gain, norm->eps, width, d, dx, add);
}

void normalize_back(const Norm *norm, const float *x, int64_t n, int64_t stride, const float *d, float *dx, bool add) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        norm_row_back(norm, norm->gain, x + i * stride, norm->width, d + i * stride, dx + i * stride, add);
}

// Queries or keys: d at what the norm gives becomes that at x, what it took.
static void normalize_heads_back(const ModelDesc *desc, const Norm *norm, const float *x, int64_t heads, int64_t n,
                                 float *d) {
    int64_t width = desc->head_dim;
    if (desc->qk_norm == QK_NORM_WIDE) {
        normalize_back(norm, x, n, heads * width, d, d, false);
        return;
    }
    bool own = desc->qk_norm == QK_NORM_HEADS;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * heads; i++)
        norm_row_back(norm, norm->gain + (own ? i % heads * width : 0), x + i * width, width, d + i * width,
                      d + i * width, false);
}

// ---- attention

// Nothing passes back where x was at its limit.
static void clip_back(const float *x, int64_t n, float limit, float *d) {
    for (int64_t i = 0; i < n; i++)
        if (fabsf(x[i]) >= limit) d[i] = 0;
}

static void mix_back(BlockBack *b, Transformer *t, const Layer *l, int64_t layer, const Chunk *c) {
    const ModelDesc *d = t->desc;
    int64_t tasks = (int64_t)c->count * d->kv_heads, dv = desc_value_dim(d);
    int64_t q_dim = d->heads * d->head_dim, k_dim = d->kv_heads * d->head_dim, v_dim = d->kv_heads * dv;
    AttentionShape shape = attention_shape(t, l, layer, 0);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        const Span *s = &c->spans[task / d->kv_heads];
        int64_t row = s->start - c->spans[0].start, q = row * q_dim, k = row * k_dim, v = row * v_dim,
                out = row * d->heads * dv;
        AttentionShape own = shape;
        AttentionArrays a = {t->q + q,         t->k + k,  t->v + v,  t->mixed + out,
                             b->d_mixed + out, b->dq + q, b->dk + k, b->dv + v};
        own.length = s->length;
        attention_back(&own, task % d->kv_heads, &a,
                       b->attention + (size_t)omp_get_thread_num() * b->attention_scratch);
    }
}

// attention_place's.
static void place_back(BlockBack *b, Transformer *t, const Layer *l, int64_t layer, const Chunk *c) {
    const ModelDesc *d = t->desc;
    for (size_t i = 0; i < c->count; i++) {
        int64_t row = c->spans[i].start - c->spans[0].start;
        Sequence s = {0, c->spans[i].length};
        positioner_turn_back(t->positioner, layer, s, b->dq + row * d->heads * d->head_dim, d->heads);
        positioner_turn_back(t->positioner, layer, s, b->dk + row * d->kv_heads * d->head_dim, d->kv_heads);
    }
    if (!d->qk_norm) return;
    normalize_heads_back(d, &l->q_norm, b->q_plain, d->heads, c->tokens, b->dq);
    normalize_heads_back(d, &l->k_norm, b->k_plain, d->kv_heads, c->tokens, b->dk);
}

void linear_back(BlockBack *b, const Linear *l, const float *x, const float *d, int64_t n, float *dx, bool add) {
    watch_linear(b->watch, l, x, d, n);
    linear_apply_back(l, d, n, dx, add, b->panel);
}

// attention_project's: dx from dq, dk and dv.
static void project_back(BlockBack *b, Transformer *t, const Layer *l, const float *x, int64_t n, float *dx) {
    const ModelDesc *d = t->desc;
    if (d->qkv_clip != 0) {
        clip_back(b->q_plain, n * d->heads * d->head_dim, (float)d->qkv_clip, b->dq);
        clip_back(b->k_plain, n * d->kv_heads * d->head_dim, (float)d->qkv_clip, b->dk);
        clip_back(t->v, n * d->kv_heads * desc_value_dim(d), (float)d->qkv_clip, b->dv);
    }
    linear_back(b, &l->q, x, b->dq, n, dx, false);
    linear_back(b, &l->k, x, b->dk, n, dx, true);
    linear_back(b, &l->v, x, b->dv, n, dx, true);
}

// All of attention but its last linear layer, from x [tokens, dim] to t->mixed.
static void attention_again(BlockBack *b, Transformer *t, const Layer *l, int64_t layer, const Chunk *c,
                            const float *x) {
    const ModelDesc *d = t->desc;
    attention_project(t, l, x, c->tokens, t->k, t->v);
    memcpy(b->q_plain, t->q, (size_t)(c->tokens * d->heads * d->head_dim) * sizeof *t->q);
    memcpy(b->k_plain, t->k, (size_t)(c->tokens * d->kv_heads * d->head_dim) * sizeof *t->k);
    attention_place(t, l, layer, c, t->k);
    attention_mix(t, l, layer, c, t->k, t->v);
}

// d at what attention gives, dx at x.
static void attention_block_back(BlockBack *b, Transformer *t, const Layer *l, int64_t layer, const Chunk *c,
                                 const float *x, const float *d, float *dx) {
    linear_back(b, &l->o, t->mixed, d, c->tokens, b->d_mixed, false);
    mix_back(b, t, l, layer, c);
    place_back(b, t, l, layer, c);
    (t->desc->latent.kv_rank ? latent_back : project_back)(b, t, l, x, c->tokens, dx);
}

// ---- a layer

static bool norms_before(NormPlace place) { return place != NORM_AFTER && place != NORM_SUM; }
static bool norms_after(NormPlace place) { return place == NORM_AROUND || place == NORM_AFTER; }

// From d, gradients of the residual stream after a block, b->branch at what the block gives. out: what the norm after
// it took.
static void branch_back(BlockBack *b, const Transformer *t, const Norm *after, const float *out, int64_t n, float *d) {
    const ModelDesc *desc = t->desc;
    if (desc->norm_place == NORM_SUM) normalize_back(after, out, n, desc->dim, d, d, false);
    memset(b->branch, 0, (size_t)(n * desc->dim) * sizeof *b->branch);
    branch_add(t, d, n, b->branch); // the scale's transpose is itself
    if (norms_after(desc->norm_place)) normalize_back(after, out, n, desc->dim, b->branch, b->branch, false);
}

// d, besides what it is, gets what comes back through the block: taken, the gradient at what the block took. x: the
// residual stream before the norm before it.
static void branch_join(const Transformer *t, const Norm *before, const float *x, const float *taken, int64_t n,
                        float *d) {
    NormPlace place = t->desc->norm_place;
    int64_t dim = t->desc->dim;
    if (norms_before(place) && place != NORM_THROUGH) {
        normalize_back(before, x, n, dim, taken, d, true);
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * dim; i++) d[i] += taken[i];
    if (place == NORM_THROUGH) normalize_back(before, x, n, dim, d, d, false);
}

// b->ffn_d, gradients at what the MLP takes, from b->branch. x: what it took.
static bool mlp_block_back(BlockBack *b, const Transformer *t, Layer *l, const float *x, int64_t n, Error *err) {
    if (l->experts) return experts_back(t->desc, l, x, n, b->branch, b->ffn_d, &b->experts, err);
    mlp_back(t->desc, &l->mlp, x, n, b->branch, b->ffn_d, &b->mlp);
    return true;
}

static bool parallel_back(BlockBack *b, Transformer *t, int64_t layer, const Chunk *c, const float *x, float *d,
                          Error *err) {
    Layer *l = &t->layers[layer];
    int64_t n = c->tokens, dim = t->desc->dim;
    const float *ffn_in = t->desc->shared_norm ? b->attn_in : b->ffn_in;
    normalize(t, &l->attn_norm, x, n, dim, b->attn_in);
    if (!t->desc->shared_norm) normalize(t, &l->ffn_norm, x, n, dim, b->ffn_in);
    attention_again(b, t, l, layer, c, b->attn_in);

    branch_back(b, t, NULL, NULL, n, d);
    if (!mlp_block_back(b, t, l, ffn_in, n, err)) return false;
    attention_block_back(b, t, l, layer, c, b->attn_in, b->branch, b->attn_d);
    branch_join(t, &l->attn_norm, x, b->attn_d, n, d);
    branch_join(t, t->desc->shared_norm ? &l->attn_norm : &l->ffn_norm, x, b->ffn_d, n, d);
    return true;
}

// b->middle and, for the norm after attention, b->attn_out.
static void middle_again(BlockBack *b, Transformer *t, const Layer *l, const float *x, const float *attn_in,
                         int64_t n) {
    NormPlace place = t->desc->norm_place;
    int64_t dim = t->desc->dim;
    size_t bytes = (size_t)(n * dim) * sizeof *x;
    linear_apply(&l->o, t->mixed, n, b->attn_out, false, t->panel);
    memcpy(b->middle, place == NORM_THROUGH ? attn_in : x, bytes);
    if (norms_after(place)) normalize(t, &l->attn_post_norm, b->attn_out, n, dim, t->branch);
    branch_add(t, norms_after(place) ? t->branch : b->attn_out, n, b->middle);
    if (place != NORM_SUM) return;
    memcpy(b->attn_out, b->middle, bytes);
    normalize(t, &l->attn_post_norm, b->attn_out, n, dim, b->middle);
}

// What the norm after the MLP takes, in t->branch.
static bool mlp_again(BlockBack *b, Transformer *t, Layer *l, const float *x, int64_t n, Error *err) {
    if (!mlp_run(t, l, x, n, false, t->branch, false, err)) return false;
    if (t->desc->norm_place != NORM_SUM) return true;
    memcpy(b->ffn_in, t->branch, (size_t)(n * t->desc->dim) * sizeof *x);
    memcpy(t->branch, b->middle, (size_t)(n * t->desc->dim) * sizeof *x);
    branch_add(t, b->ffn_in, n, t->branch);
    return true;
}

static bool serial_back(BlockBack *b, Transformer *t, int64_t layer, const Chunk *c, const float *x, float *d,
                        Error *err) {
    Layer *l = &t->layers[layer];
    NormPlace place = t->desc->norm_place;
    bool before = norms_before(place), after = norms_after(place) || place == NORM_SUM;
    int64_t n = c->tokens, dim = t->desc->dim;
    const float *attn_in = before ? b->attn_in : x, *ffn_in = before ? b->ffn_in : b->middle;

    if (before) normalize(t, &l->attn_norm, x, n, dim, b->attn_in);
    attention_again(b, t, l, layer, c, attn_in);
    middle_again(b, t, l, x, attn_in, n);
    if (before) normalize(t, &l->ffn_norm, b->middle, n, dim, b->ffn_in);
    if (after && !mlp_again(b, t, l, ffn_in, n, err)) return false;

    branch_back(b, t, &l->ffn_post_norm, t->branch, n, d);
    if (!mlp_block_back(b, t, l, ffn_in, n, err)) return false;
    branch_join(t, &l->ffn_norm, b->middle, b->ffn_d, n, d);

    branch_back(b, t, &l->attn_post_norm, b->attn_out, n, d);
    attention_block_back(b, t, l, layer, c, attn_in, b->branch, b->attn_d);
    branch_join(t, &l->attn_norm, x, b->attn_d, n, d);
    return true;
}

bool block_back(BlockBack *b, Transformer *t, int64_t layer, const Chunk *c, const float *x, float *d, Error *err) {
    b->watch->first = c->first;
    return (t->desc->parallel ? parallel_back : serial_back)(b, t, layer, c, x, d, err) && !b->watch->failed;
}
