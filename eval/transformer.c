#include "eval/transformer.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/attention.h"
#include "eval/layer.h"
#include "eval/mlp.h"
#include "eval/positions.h"
#include "eval/vector.h"
#include "quant/kernels/kernels.h"
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    CHUNK_TOKENS = 4096,     // how many tokens pass through a layer together
    CHUNK_BYTES = 128 << 20, // what their intermediate arrays may take; wide models get fewer tokens
};

struct Transformer {
    const Model *model;
    const ModelDesc *desc;
    const VectorMath *math;
    Layer *layers;
    Linear embedding, embed_in, embed_out; // the last two where the embedding has a width of its own
    const Tensor *learned;                 // positions, [rows, dim]
    Norm embed_norm, output_norm;
    Positioner *positioner;
    int64_t chunk;      // tokens that the scratch below holds
    float *normed;      // [chunk, dim]
    float *branch;      // [chunk, dim]: what a block gives, where it is not added at once
    float *q;           // [chunk, heads * head_dim]
    float *mixed;       // [chunk, heads * value_dim]: what attention gives
    float *k, *v;       // [chunk, kv_heads * head_dim], [chunk, kv_heads * value_dim]
    float *low, *wide;  // latent attention: [chunk, the widest rank + turned], [chunk, heads * (plain + value_dim)]
    float *panel;       // of weights, dequantized
    float *embedded;    // [chunk, embed_dim]
    uint8_t *embed_row; // of an embedding whose rows are put together
    MlpScratch mlp;
    float *attention; // scratch, one part a thread
    int64_t max_length;
    int threads;
};

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- making it ready

static bool open_ends(Transformer *t, Error *err) {
    const Model *m = t->model;
    const ModelDesc *d = t->desc;
    if (!linear_find(&t->embedding, m, "token_embd", err)) return false;
    if (d->embed_dim && !(linear_find(&t->embed_in, m, "embd_in", err) && linear_take(&t->embed_in, err) &&
                          linear_find(&t->embed_out, m, "embd_out", err) && linear_take(&t->embed_out, err)))
        return false;
    if (d->embed_norm && !norm_open(&t->embed_norm, m, "token_embd_norm", err)) return false;
    if (d->norm_place != NORM_SUM && !norm_open(&t->output_norm, m, "output_norm", err)) return false;
    if (d->positions != POSITIONS_LEARNED) return true;
    t->learned = model_tensor(m, "position_embd.weight");
    if (!t->learned) return error_set(err, "%s: there is no tensor position_embd.weight", m->path);
    if (t->learned->layout)
        return error_set(err, "%s: tensor %s: is encoded, which is not supported", m->path, tensor_label(t->learned));
    if (t->max_length + d->position_offset > tensor_rows(t->learned))
        return error_set(err,
                         "%s: has learned positions for %lld tokens, a sequence of %lld was asked for; give a smaller "
                         "--window",
                         m->path, (long long)(tensor_rows(t->learned) - d->position_offset), (long long)t->max_length);
    return tensor_verify(t->learned, err);
}

// The most memory that any of the weights needs as a panel.
static size_t largest_panel(const Model *m) {
    size_t most = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const Tensor *t = &m->tensors[i];
        size_t bytes = t->dims == 2 ? linear_panel_bytes(tensor_rows(t), tensor_cols(t)) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static bool scratch_new(Transformer *t, int64_t batch, Error *err) {
    const ModelDesc *d = t->desc;
    int64_t dv = desc_value_dim(d), q = d->heads * d->head_dim, k = d->kv_heads * d->head_dim, v = d->kv_heads * dv;
    int64_t hidden = max(d->ffn_dim, max(d->experts.ffn_dim, d->experts.shared_dim));
    int64_t low = d->latent.kv_rank ? max(d->latent.query_rank, d->latent.kv_rank + desc_rope_dims(d)) : 0;
    int64_t wide = d->latent.kv_rank ? d->heads * (d->head_dim - desc_rope_dims(d) + dv) : 0;
    int64_t width = 2 * d->dim + q + d->heads * dv + k + v + low + wide + 2 * hidden;
    if (d->experts.count) width += 2 * d->dim + d->experts.count + 3 * d->experts.used;
    t->chunk = min(batch, min(CHUNK_TOKENS, CHUNK_BYTES / ((int64_t)sizeof(float) * width)));
    t->chunk = max(t->chunk, t->max_length);
    size_t n = (size_t)t->chunk;
    struct {
        float **slot;
        size_t count, size;
    } wanted[] = {
        {&t->normed, n, sizeof(float) * (size_t)d->dim},
        {&t->branch, n, sizeof(float) * (size_t)d->dim},
        {&t->q, n, sizeof(float) * (size_t)q},
        {&t->mixed, n, sizeof(float) * (size_t)(d->heads * dv)},
        {&t->k, n, sizeof(float) * (size_t)k},
        {&t->v, n, sizeof(float) * (size_t)v},
        {&t->low, n, sizeof(float) * (size_t)low},
        {&t->wide, n, sizeof(float) * (size_t)wide},
        {&t->embedded, n, sizeof(float) * (size_t)d->embed_dim},
        {&t->panel, 1, largest_panel(t->model)},
        {&t->attention, (size_t)t->threads, sizeof(float) * attention_scratch()},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i].size && !(*wanted[i].slot = mem_alloc(wanted[i].count, wanted[i].size, err))) return false;
    size_t row = tensor_row_bytes(t->embedding.weight);
    return (t->embed_row = mem_alloc(row ? row : 1, 1, err)) && mlp_scratch_init(&t->mlp, d, t->chunk, t->panel, err);
}

static bool open_layers(Transformer *t, Error *err) {
    t->layers = mem_alloc((size_t)t->desc->layers, sizeof *t->layers, err);
    for (int64_t i = 0; t->layers && i < t->desc->layers; i++)
        if (!layer_open(&t->layers[i], t->model, i, err)) return false;
    return t->layers != NULL;
}

Transformer *transformer_new(const Model *model, int64_t max_length, int64_t batch, Error *err) {
    Transformer *t = mem_alloc(1, sizeof *t, err);
    if (!t) return NULL;
    t->model = model;
    t->desc = &model->desc;
    t->math = vector_math();
    t->max_length = max_length;
    t->threads = threads_count();
    if (open_ends(t, err) && open_layers(t, err) && scratch_new(t, batch, err) &&
        (t->positioner = positioner_new(model, max_length, err)))
        return t;
    transformer_free(t);
    return NULL;
}

void transformer_free(Transformer *t) {
    if (!t) return;
    for (int64_t i = 0; t->layers && i < t->desc->layers; i++) layer_close(&t->layers[i]);
    linear_close(&t->embedding);
    linear_close(&t->embed_in);
    linear_close(&t->embed_out);
    norm_close(&t->embed_norm);
    norm_close(&t->output_norm);
    positioner_free(t->positioner);
    mlp_scratch_free(&t->mlp);
    float *const owned[] = {t->normed, t->branch, t->q,        t->mixed, t->k,        t->v,
                            t->low,    t->wide,   t->embedded, t->panel, t->attention};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mem_free(t->embed_row);
    mem_free(t->layers);
    mem_free(t);
}

bool kv_cache_init(KvCache *cache, const ModelDesc *desc, int64_t capacity, Error *err) {
    size_t k = sizeof(float) * (size_t)(desc->kv_heads * desc->head_dim);
    size_t v = sizeof(float) * (size_t)(desc->kv_heads * desc_value_dim(desc));
    *cache = (KvCache){.capacity = capacity};
    cache->k = mem_alloc((size_t)(desc->layers * capacity), k, err);
    cache->v = mem_alloc((size_t)(desc->layers * capacity), v, err);
    if (cache->k && cache->v) return true;
    kv_cache_free(cache);
    return false;
}

void kv_cache_free(KvCache *cache) {
    mem_free(cache->k);
    mem_free(cache->v);
    *cache = (KvCache){0};
}

// ---- the forward pass

// The tokens that pass through a layer together: whole spans, consecutive.
typedef struct Chunk {
    const Span *spans;
    size_t count;
    int64_t tokens;
    int64_t past; // positions before the first span's (with a cache)
} Chunk;

static void norm_row(const VectorMath *m, const Norm *norm, const float *gain, const float *x, int64_t width,
                     float *y) {
    if (norm->kind == NORM_LAYER)
        m->layer_norm(x, gain, norm->bias, norm->eps, width, y);
    else
        m->rms_norm(x, gain, norm->eps, width, y);
}

// n rows, `stride` floats from one to the next; y may be x.
static void normalize(const Transformer *t, const Norm *norm, const float *x, int64_t n, int64_t stride, float *y) {
#pragma omp parallel for schedule(static)
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
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * heads; i++)
        norm_row(t->math, norm, norm->gain + (own ? i % heads * d : 0), x + i * d, d, x + i * d);
}

static void clip(float *x, int64_t n, float limit) {
    for (int64_t i = 0; i < n; i++) x[i] = fminf(fmaxf(x[i], -limit), limit);
}

// q, k, v = W x, and what some models do to them.
static void project(Transformer *t, const Layer *l, const float *x, int64_t n, float *k, float *v) {
    const ModelDesc *d = t->desc;
    int64_t q_dim = d->heads * d->head_dim, k_dim = d->kv_heads * d->head_dim, v_dim = d->kv_heads * desc_value_dim(d);
    linear_apply(&l->q, x, n, t->q, false, t->panel);
    linear_apply(&l->k, x, n, k, false, t->panel);
    linear_apply(&l->v, x, n, v, false, t->panel);
    if (d->qkv_clip != 0) {
        clip(t->q, n * q_dim, (float)d->qkv_clip);
        clip(k, n * k_dim, (float)d->qkv_clip);
        clip(v, n * v_dim, (float)d->qkv_clip);
    }
    if (d->qk_norm) {
        normalize_heads(t, &l->q_norm, t->q, d->heads, n);
        normalize_heads(t, &l->k_norm, k, d->kv_heads, n);
    }
}

// Latent attention: q = W_b norm(W_a x); c, r = W_kv_a x; each head's k = [its part of W_kv_b norm(c), r], the other
// part is v. (The paper keeps c in the cache; here k and v are, as plain attention needs them.)
static void project_latent(Transformer *t, const Layer *l, const float *x, int64_t n, float *k, float *v) {
    const ModelDesc *d = t->desc;
    int64_t rank = d->latent.kv_rank, turned = desc_rope_dims(d), plain = d->head_dim - turned, dv = desc_value_dim(d);
    if (l->q_a.weight) {
        linear_apply(&l->q_a, x, n, t->low, false, t->panel);
        normalize(t, &l->q_a_norm, t->low, n, d->latent.query_rank, t->low);
        linear_apply(&l->q_b, t->low, n, t->q, false, t->panel);
    } else {
        linear_apply(&l->q, x, n, t->q, false, t->panel);
    }
    linear_apply(&l->kv_a, x, n, t->low, false, t->panel);
    normalize(t, &l->kv_a_norm, t->low, n, rank + turned, t->low);
    for (int64_t i = 0; i < n; i++) // c alone, for the multiplication: r waits in v's place in k
        for (int64_t h = 0; h < d->heads; h++)
            memcpy(k + (i * d->heads + h) * d->head_dim + plain, t->low + i * (rank + turned) + rank,
                   (size_t)turned * sizeof *k);
    for (int64_t i = 1; i < n; i++)
        memmove(t->low + i * rank, t->low + i * (rank + turned), (size_t)rank * sizeof *t->low);
    linear_apply(&l->kv_b, t->low, n, t->wide, false, t->panel);
    for (int64_t i = 0; i < n * d->heads; i++) {
        memcpy(k + i * d->head_dim, t->wide + i * (plain + dv), (size_t)plain * sizeof *k);
        memcpy(v + i * dv, t->wide + i * (plain + dv) + plain, (size_t)dv * sizeof *v);
    }
}

static void attend(const Transformer *t, const Layer *l, int64_t layer, const Chunk *c, const float *k,
                   const float *v) {
    const ModelDesc *d = t->desc;
    int64_t tasks = (int64_t)c->count * d->heads, dv = desc_value_dim(d);
    double scale = d->attn_scale != 0 ? d->attn_scale : 1 / sqrt((double)d->head_dim);
    AttentionShape shape = {
        .heads = d->heads,
        .kv_heads = d->kv_heads,
        .head_dim = d->head_dim,
        .value_dim = dv,
        .past = c->past,
        .window = desc_layer_is(d, layer, LAYER_WINDOWED) ? d->window : 0,
        .scale = (float)(d->attn_scale_by_layer ? scale / (double)(layer + 1) : scale),
        .cap = (float)d->attn_cap,
        .slopes = positioner_slopes(t->positioner),
        .slope_scale = d->alibi_scale != 0 ? (float)d->alibi_scale : 1,
        .slopes_bf16 = d->alibi_bf16,
        .sinks = l->sinks,
    };
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        const Span *s = &c->spans[task / d->heads];
        AttentionShape own = shape;
        own.length = s->length;
        int64_t row = s->start - c->spans[0].start;
        attention_head(&own, task % d->heads, t->q + row * d->heads * d->head_dim, k + row * d->kv_heads * d->head_dim,
                       v + row * d->kv_heads * dv, t->mixed + row * d->heads * dv,
                       t->attention + (size_t)omp_get_thread_num() * attention_scratch());
    }
}

// out = o(attention(q, k, v)); with `add`, out += that.
static void attention(Transformer *t, const Layer *l, int64_t layer, const Chunk *c, KvCache *cache, const float *x,
                      float *out, bool add) {
    const ModelDesc *d = t->desc;
    int64_t k_dim = d->kv_heads * d->head_dim, v_dim = d->kv_heads * desc_value_dim(d);
    float *k = cache ? cache->k + layer * cache->capacity * k_dim : t->k;
    float *v = cache ? cache->v + layer * cache->capacity * v_dim : t->v;
    float *new_k = k + c->past * k_dim, *new_v = v + c->past * v_dim;
    (d->latent.kv_rank ? project_latent : project)(t, l, x, c->tokens, new_k, new_v);
    for (size_t i = 0; i < c->count; i++) {
        int64_t row = c->spans[i].start - c->spans[0].start;
        Sequence s = {c->past, c->spans[i].length};
        positioner_turn(t->positioner, layer, s, t->q + row * d->heads * d->head_dim, d->heads);
        positioner_turn(t->positioner, layer, s, new_k + row * k_dim, d->kv_heads);
    }
    attend(t, l, layer, c, k, v);
    linear_apply(&l->o, t->mixed, c->tokens, out, add, t->panel);
}

static bool mlp(Transformer *t, Layer *l, const Chunk *c, bool keep, const float *x, float *out, bool add, Error *err) {
    if (l->experts) return experts_apply(t->desc, l, x, c->tokens, out, add, keep, &t->mlp, err);
    mlp_apply(t->desc, &l->mlp, x, c->tokens, out, add, &t->mlp);
    return true;
}

// x += residual_scale * branch
static void add_branch(const Transformer *t, float *x, int64_t n) {
    int64_t dim = t->desc->dim;
    float scale = t->desc->residual_scale != 0 ? (float)t->desc->residual_scale : 1;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * dim; i++) x[i] += scale * t->branch[i];
}

// x + attention(norm(x)) + mlp(norm(x))
static bool parallel_layer(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err) {
    Layer *l = &t->layers[layer];
    int64_t n = c->tokens, dim = t->desc->dim;
    normalize(t, &l->attn_norm, x, n, dim, t->normed);
    attention(t, l, layer, c, cache, t->normed, t->branch, false);
    if (!t->desc->shared_norm) normalize(t, &l->ffn_norm, x, n, dim, t->normed);
    bool ok = mlp(t, l, c, cache, t->normed, t->branch, true, err);
    add_branch(t, x, n);
    return ok;
}

// One block after the other, with their norms where NormPlace says.
static bool serial_layer(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err) {
    Layer *l = &t->layers[layer];
    NormPlace place = t->desc->norm_place;
    bool after = place == NORM_AROUND || place == NORM_AFTER, before = place != NORM_AFTER && place != NORM_SUM;
    bool direct = place == NORM_BEFORE && t->desc->residual_scale == 0; // a block adds to x itself
    int64_t n = c->tokens, dim = t->desc->dim;
    float *input = before && place != NORM_THROUGH ? t->normed : x;
    float *out = direct ? x : t->branch;

    if (before) normalize(t, &l->attn_norm, x, n, dim, input);
    attention(t, l, layer, c, cache, input, out, direct);
    if (after) normalize(t, &l->attn_post_norm, out, n, dim, out);
    if (!direct) add_branch(t, x, n);
    if (place == NORM_SUM) normalize(t, &l->attn_post_norm, x, n, dim, x);

    if (before) normalize(t, &l->ffn_norm, x, n, dim, input);
    if (!mlp(t, l, c, cache, input, out, direct, err)) return false;
    if (after) normalize(t, &l->ffn_post_norm, out, n, dim, out);
    if (!direct) add_branch(t, x, n);
    if (place == NORM_SUM) normalize(t, &l->ffn_post_norm, x, n, dim, x);
    return true;
}

// What is added to, or done with, a token's embedding x [dim] at a position of its sequence.
static void place(const Transformer *t, int64_t position, float *x) {
    const ModelDesc *d = t->desc;
    if (d->embed_scale != 0) t->math->scale(x, d->dim, (float)d->embed_scale);
    if (t->learned) {
        const uint8_t *row = tensor_read(t->learned, position + d->position_offset, 1, NULL);
        kernels_get()->to_f32[t->learned->type](row, t->normed, d->dim);
        for (int64_t i = 0; i < d->dim; i++) x[i] += t->normed[i];
    }
    if (d->embed_norm) norm_row(t->math, &t->embed_norm, t->embed_norm.gain, x, d->dim, x);
}

static void embed(Transformer *t, const int32_t *ids, const Span *spans, size_t count, int64_t past, float *x) {
    const ModelDesc *d = t->desc;
    const Tensor *e = t->embedding.weight;
    ToF32Fn to_f32 = kernels_get()->to_f32[e->type];
    int64_t width = desc_embed_dim(d), n = spans[count - 1].start + spans[count - 1].length;
    for (int64_t first = 0; first < n; first += t->chunk) {
        int64_t tokens = min(t->chunk, n - first);
        float *to = x + first * d->dim, *rows = d->embed_dim ? t->embedded : to;
        for (int64_t i = 0; i < tokens; i++)
            to_f32(tensor_read(e, ids[first + i], 1, t->embed_row), rows + i * width, width);
        if (d->embed_dim) linear_apply(&t->embed_in, rows, tokens, to, false, t->panel);
    }
    for (size_t s = 0; s < count; s++)
        for (int64_t i = 0; i < spans[s].length; i++) place(t, past + i, x + (spans[s].start + i) * d->dim);
}

// As many spans from `first` on as fit the scratch together.
static Chunk chunk_take(const Transformer *t, const Span *spans, size_t first, size_t count, int64_t past) {
    Chunk c = {.spans = spans + first, .past = past};
    while (first + c.count < count && c.tokens + spans[first + c.count].length <= t->chunk)
        c.tokens += spans[first + c.count++].length;
    return c;
}

bool transformer_forward(Transformer *t, const int32_t *ids, const Span *spans, size_t count, KvCache *cache, float *x,
                         LayerDone done, void *context, Error *err) {
    int64_t n = 0, past = cache ? cache->length : 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].length > t->max_length) return error_set(err, "a sequence is longer than was prepared for");
        if (t->learned && past + spans[i].length + t->desc->position_offset > tensor_rows(t->learned))
            return error_set(err, "%s: has no position beyond %lld", t->model->path, (long long)t->desc->context);
        n += spans[i].length;
    }
    if (cache && past + n > cache->capacity) return error_set(err, "the cache of keys and values is full");
    if (!t->embedding.verified && !tensor_verify(t->embedding.weight, err)) return false;
    t->embedding.verified = true;
    embed(t, ids, spans, count, past, x);
    for (int64_t i = 0; i < t->desc->layers; i++) {
        if (!layer_take(&t->layers[i], err)) return false;
        for (size_t s = 0; s < count;) {
            Chunk c = chunk_take(t, spans, s, count, past);
            float *rows = x + spans[s].start * t->desc->dim;
            if (!(t->desc->parallel ? parallel_layer : serial_layer)(t, i, &c, cache, rows, err)) return false;
            if (done) done(context, i, c.tokens);
            s += c.count;
        }
        if (!cache) layer_drop(&t->layers[i]);
    }
    if (cache) cache->length += n;
    return true;
}

void transformer_final(Transformer *t, const float *x, float *y) {
    const ModelDesc *d = t->desc;
    float *normed = d->embed_dim ? t->normed : y;
    if (d->norm_place != NORM_SUM)
        norm_row(t->math, &t->output_norm, t->output_norm.gain, x, d->dim, normed);
    else
        memmove(normed, x, (size_t)d->dim * sizeof *x);
    if (d->embed_dim) linear_apply(&t->embed_out, normed, 1, y, false, t->panel);
}
