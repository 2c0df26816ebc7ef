#include "eval/transformer.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/block.h"
#include "eval/panel.h"
#include "quant/kernels/kernels.h"
#include <string.h>

enum {
    CHUNK_TOKENS = 4096,     // how many tokens pass through a layer together
    CHUNK_BYTES = 128 << 20, // what their intermediate arrays may take; wide models get fewer tokens
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
size_t transformer_panel(const Model *m, size_t (*bytes_of)(int64_t rows, int64_t cols)) {
    const ModelDesc *d = &m->desc;
    int64_t joined = d->latent.split ? d->heads * (d->head_dim - desc_rope_dims(d) + desc_value_dim(d)) : 0;
    size_t most = joined ? bytes_of(joined, d->latent.kv_rank) : 0; // of its own in memory, no tensor of the model
    for (size_t i = 0; i < m->tensor_count; i++) {
        const Tensor *t = &m->tensors[i];
        size_t bytes = t->dims == 2 ? bytes_of(tensor_rows(t), tensor_cols(t)) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static size_t one_input(int64_t rows, int64_t cols) {
    (void)rows;
    return (size_t)cols;
}

size_t transformer_inputs(const Model *m, int64_t n) {
    int digits = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const Tensor *t = &m->tensors[i];
        int own = t->dims > 1 ? panel_digits(t, m->compute, false) : 0;
        if (own > digits) digits = own;
    }
    return digits ? linear_input_bytes(n, (int64_t)transformer_panel(m, one_input), digits) : 0;
}

int64_t transformer_low(const ModelDesc *d) {
    return d->latent.kv_rank ? max(d->latent.query_rank, d->latent.kv_rank + desc_rope_dims(d)) : 0;
}

static bool scratch_new(Transformer *t, int64_t batch, Error *err) {
    const ModelDesc *d = t->desc;
    int64_t dv = desc_value_dim(d), q = d->heads * d->head_dim, k = d->kv_heads * d->head_dim, v = d->kv_heads * dv;
    int64_t hidden = max(d->ffn_dim, max(d->experts.ffn_dim, d->experts.shared_dim));
    int64_t low = transformer_low(d);
    int64_t wide = d->latent.kv_rank ? d->heads * (d->head_dim - desc_rope_dims(d) + dv) : 0;
    int64_t width = 2 * d->dim + q + d->heads * dv + k + v + low + wide + 2 * hidden;
    if (d->experts.count) width += 2 * d->dim + d->experts.count + 3 * d->experts.used;
    t->chunk = min(batch, min(CHUNK_TOKENS, CHUNK_BYTES / ((int64_t)sizeof(float) * width)));
    t->chunk = max(t->chunk, t->max_length);
    size_t n = (size_t)t->chunk;
    t->attention_floats =
        attention_scratch(kernels_get()->gemm_passing[t->model->compute], t->max_length, d->head_dim, dv);
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
        {&t->panel, 1, transformer_panel(t->model, linear_panel_bytes) + transformer_inputs(t->model, t->chunk)},
        {&t->attention, (size_t)t->threads, sizeof(float) * t->attention_floats},
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

void embedding_rows(Transformer *t, const int32_t *ids, int64_t n, float *rows) {
    const Tensor *e = t->embedding.weight;
    ToF32Fn to_f32 = kernels_get()->to_f32[e->type];
    int64_t width = desc_embed_dim(t->desc);
    for (int64_t i = 0; i < n; i++) to_f32(tensor_read(e, ids[i], 1, t->embed_row), rows + i * width, width);
}

void embedding_place(const Transformer *t, int64_t position, float *x) {
    const ModelDesc *d = t->desc;
    if (d->embed_scale != 0) t->math->scale(x, d->dim, (float)d->embed_scale);
    if (!t->learned) return;
    const uint8_t *row = tensor_read(t->learned, position + d->position_offset, 1, NULL);
    kernels_get()->to_f32[t->learned->type](row, t->normed, d->dim);
    for (int64_t i = 0; i < d->dim; i++) x[i] += t->normed[i];
}

static void embed(Transformer *t, const int32_t *ids, const Span *spans, size_t count, int64_t past, float *x) {
    const ModelDesc *d = t->desc;
    int64_t n = spans[count - 1].start + spans[count - 1].length;
    for (int64_t first = 0; first < n; first += t->chunk) {
        int64_t tokens = min(t->chunk, n - first);
        float *to = x + first * d->dim;
        embedding_rows(t, ids + first, tokens, d->embed_dim ? t->embedded : to);
        if (!d->embed_dim) continue;
        if (t->watch) t->watch->first = first;
        watch_linear(t->watch, &t->embed_in, t->embedded, NULL, tokens);
        linear_apply(&t->embed_in, t->embedded, tokens, to, false, t->panel);
    }
    for (size_t s = 0; s < count; s++)
        for (int64_t i = 0; i < spans[s].length; i++) embedding_place(t, past + i, x + (spans[s].start + i) * d->dim);
    if (d->embed_norm) normalize(t, &t->embed_norm, x, n, d->dim, x);
}

Chunk chunk_take(const Transformer *t, const Span *spans, size_t first, size_t count, int64_t past) {
    Chunk c = {.spans = spans + first, .past = past, .first = spans[first].start};
    while (first + c.count < count && c.tokens + spans[first + c.count].length <= t->chunk)
        c.tokens += spans[first + c.count++].length;
    return c;
}

bool transformer_embed(Transformer *t, const int32_t *ids, const Span *spans, size_t count, int64_t past, float *x,
                       Error *err) {
    for (size_t i = 0; i < count; i++) {
        if (spans[i].length > t->max_length) return error_set(err, "a sequence is longer than was prepared for");
        if (t->learned && past + spans[i].length + t->desc->position_offset > tensor_rows(t->learned))
            return error_set(err, "%s: has no position beyond %lld", t->model->path, (long long)t->desc->context);
    }
    if (!t->embedding.verified && !tensor_verify(t->embedding.weight, err)) return false;
    t->embedding.verified = true;
    embed(t, ids, spans, count, past, x);
    return !(t->watch && t->watch->failed);
}

bool transformer_layer(Transformer *t, int64_t layer, const Span *spans, size_t count, KvCache *cache, float *x,
                       LayerDone done, void *context, Error *err) {
    int64_t tokens = spans[count - 1].start + spans[count - 1].length;
    if (!layer_take(&t->layers[layer], err)) return false;
    if (!cache && layer + 1 < t->desc->layers) layer_prefetch(&t->layers[layer + 1]);
    if (cache && tokens <= LINEAR_FEW && !layer_repack(&t->layers[layer], err)) return false;
    for (size_t s = 0; s < count;) {
        Chunk c = chunk_take(t, spans, s, count, cache ? cache->length : 0);
        c.last = layer + 1 == t->desc->layers;
        if (!block_forward(t, layer, &c, cache, x + spans[s].start * t->desc->dim, err)) return false;
        if (done) done(context, layer, c.tokens);
        s += c.count;
    }
    if (!cache) layer_drop(&t->layers[layer]);
    return true;
}

bool transformer_forward(Transformer *t, const int32_t *ids, const Span *spans, size_t count, KvCache *cache, float *x,
                         LayerDone done, void *context, Error *err) {
    int64_t n = spans[count - 1].start + spans[count - 1].length, past = cache ? cache->length : 0;
    if (cache && past + n > cache->capacity) return error_set(err, "the cache of keys and values is full");
    if (!transformer_embed(t, ids, spans, count, past, x, err)) return false;
    for (int64_t i = 0; i < t->desc->layers; i++)
        if (!transformer_layer(t, i, spans, count, cache, x, done, context, err)) return false;
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
