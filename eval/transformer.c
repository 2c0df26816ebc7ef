#include "eval/transformer.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/attention.h"
#include "eval/rope.h"
#include "eval/vector.h"
#include "quant/kernels/kernels.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNK_TOKENS = 4096,     // how many tokens pass through a layer together
    CHUNK_BYTES = 128 << 20, // what their intermediate arrays may take; wide models get fewer tokens
    LAYER_TENSORS = 16,      // at most, with biases
};

typedef struct Layer {
    const float *attn_norm, *ffn_norm; // [dim]
    Linear q, k, v, o;     // [heads * head_dim, dim], [kv_heads * head_dim, dim] twice, [dim, heads * head_dim]
    Linear gate, up, down; // [ffn_dim, dim] twice, [dim, ffn_dim]
    const Tensor *tensors[LAYER_TENSORS]; // all of the above, to check and to release
    int tensor_count;
} Layer;

struct Transformer {
    const Model *model;
    const ModelDesc *desc;
    const VectorMath *math;
    Layer *layers;
    const Tensor *embedding, *head;
    const float *output_norm;
    const float *rope_factors; // [head_dim / 2]; NULL where the rotary scaling has none
    Linear output;
    bool verified;   // every tensor has been checked against its hash
    float **vectors; // norms and biases in f32, owned
    size_t vector_count, vector_capacity;
    int64_t chunk;        // tokens that the scratch below holds
    float *normed;        // [chunk, dim]
    float *q, *mixed;     // [chunk, heads * head_dim]: queries; what attention gives
    float *k, *v;         // [chunk, kv_heads * head_dim]
    float *gate, *up;     // [chunk, ffn_dim]
    float *panel;         // of weights, dequantized
    float *cosine, *sine; // [max_length, head_dim / 2]
    int64_t max_length, table_length, table_first;
    float *attention; // scratch, one part a thread
    int threads;
};

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- making it ready

static const float *vector_load(Transformer *t, const Tensor *tensor, Error *err) {
    if (!mem_grow(&t->vectors, t->vector_count, &t->vector_capacity, sizeof *t->vectors, err)) return NULL;
    if (!tensor_verify(tensor, err)) return NULL;
    int64_t n = tensor_elements(tensor);
    float *values = mem_alloc((size_t)n, sizeof *values, err);
    if (!values) return NULL;
    kernels_get()->to_f32[tensor->type](tensor->data, values, n);
    t->vectors[t->vector_count++] = values;
    return values;
}

static bool norm_find(Transformer *t, int64_t layer, const char *name, const float **norm, Error *err) {
    const Tensor *tensor = model_layer_tensor(t->model, layer, name);
    if (!tensor) return error_set(err, "%s: there is no tensor blk.%lld.%s", t->model->path, (long long)layer, name);
    *norm = vector_load(t, tensor, err);
    return *norm != NULL;
}

static bool linear_find(Transformer *t, int64_t index, const char *name, Linear *linear, Error *err) {
    Layer *layer = &t->layers[index];
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    linear->weight = model_layer_tensor(t->model, index, full);
    if (!linear->weight)
        return error_set(err, "%s: there is no tensor blk.%lld.%s", t->model->path, (long long)index, full);
    if (tensor_rows(linear->weight) > INT32_MAX || tensor_cols(linear->weight) > INT32_MAX)
        return error_set(err, "%s: tensor %s is too large to multiply with", t->model->path, linear->weight->name);
    layer->tensors[layer->tensor_count++] = linear->weight;
    snprintf(full, sizeof full, "%s.bias", name);
    const Tensor *bias = model_layer_tensor(t->model, index, full);
    if (bias) linear->bias = vector_load(t, bias, err);
    return !bias || linear->bias;
}

// Speeds are divided by these: zeros and what is no number would make every logit NaN.
static bool rope_factors_find(Transformer *t, Error *err) {
    if (t->desc->rope.scaling != ROPE_FACTORS) return true;
    const Tensor *tensor = model_tensor(t->model, "rope_freqs.weight");
    if (!tensor) return error_set(err, "%s: there is no tensor rope_freqs.weight", t->model->path);
    if (!(t->rope_factors = vector_load(t, tensor, err))) return false;
    for (int64_t i = 0; i < t->desc->head_dim / 2; i++)
        if (!(t->rope_factors[i] > 0 && isfinite(t->rope_factors[i])))
            return error_set(err, "%s: tensor %s: factor %lld is %g", t->model->path, tensor_label(tensor),
                             (long long)i, (double)t->rope_factors[i]);
    return true;
}

static bool layers_find(Transformer *t, Error *err) {
    for (int64_t i = 0; i < t->desc->layers; i++) {
        Layer *l = &t->layers[i];
        bool ok = norm_find(t, i, "attn_norm.weight", &l->attn_norm, err) &&
                  norm_find(t, i, "ffn_norm.weight", &l->ffn_norm, err) && linear_find(t, i, "attn_q", &l->q, err) &&
                  linear_find(t, i, "attn_k", &l->k, err) && linear_find(t, i, "attn_v", &l->v, err) &&
                  linear_find(t, i, "attn_output", &l->o, err) && linear_find(t, i, "ffn_gate", &l->gate, err) &&
                  linear_find(t, i, "ffn_up", &l->up, err) && linear_find(t, i, "ffn_down", &l->down, err);
        if (!ok) return false;
    }
    const Tensor *norm = model_tensor(t->model, "output_norm.weight");
    t->embedding = model_tensor(t->model, "token_embd.weight");
    t->head = t->desc->tied ? t->embedding : model_tensor(t->model, "output.weight");
    if (!norm || !t->embedding || !t->head)
        return error_set(err, "%s: the embedding, the final norm or the head is missing", t->model->path);
    t->output = (Linear){.weight = t->head};
    t->output_norm = vector_load(t, norm, err);
    return t->output_norm && rope_factors_find(t, err);
}

static bool scratch_new(Transformer *t, int64_t batch, Error *err) {
    const ModelDesc *d = t->desc;
    int64_t heads = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    int64_t width = d->dim + 2 * heads + 2 * kv + 2 * d->ffn_dim;
    t->chunk = min(batch, min(CHUNK_TOKENS, CHUNK_BYTES / ((int64_t)sizeof(float) * width)));
    t->chunk = max(t->chunk, t->max_length);
    size_t n = (size_t)t->chunk, half = (size_t)d->head_dim / 2, panel = linear_panel_bytes(d->vocab, d->dim);
    const int64_t shapes[][2] = {{heads, d->dim}, {d->ffn_dim, d->dim}, {d->dim, d->ffn_dim}, {d->dim, heads}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t bytes = linear_panel_bytes(shapes[i][0], shapes[i][1]);
        if (bytes > panel) panel = bytes;
    }
    struct {
        float **slot;
        size_t count, size;
    } wanted[] = {
        {&t->normed, n, sizeof(float) * (size_t)d->dim},
        {&t->q, n, sizeof(float) * (size_t)heads},
        {&t->mixed, n, sizeof(float) * (size_t)heads},
        {&t->k, n, sizeof(float) * (size_t)kv},
        {&t->v, n, sizeof(float) * (size_t)kv},
        {&t->gate, n, sizeof(float) * (size_t)d->ffn_dim},
        {&t->up, n, sizeof(float) * (size_t)d->ffn_dim},
        {&t->panel, 1, panel},
        {&t->cosine, (size_t)t->max_length, sizeof(float) * half},
        {&t->sine, (size_t)t->max_length, sizeof(float) * half},
        {&t->attention, (size_t)t->threads, sizeof(float) * attention_scratch()},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!(*wanted[i].slot = mem_alloc(wanted[i].count, wanted[i].size, err))) return false;
    return true;
}

Transformer *transformer_new(const Model *model, int64_t max_length, int64_t batch, Error *err) {
    Transformer *t = mem_alloc(1, sizeof *t, err);
    if (!t) return NULL;
    t->model = model;
    t->desc = &model->desc;
    t->math = vector_math();
    t->max_length = max_length;
    t->table_length = -1;
    t->threads = threads_count();
    t->layers = mem_alloc((size_t)model->desc.layers, sizeof *t->layers, err);
    if (!t->layers || !layers_find(t, err) || !scratch_new(t, batch, err)) {
        transformer_free(t);
        return NULL;
    }
    return t;
}

void transformer_free(Transformer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->vector_count; i++) mem_free(t->vectors[i]);
    float *const owned[] = {t->normed, t->q,     t->mixed,  t->k,    t->v,        t->gate,
                            t->up,     t->panel, t->cosine, t->sine, t->attention};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mem_free(t->vectors);
    mem_free(t->layers);
    mem_free(t);
}

bool kv_cache_init(KvCache *cache, const ModelDesc *desc, int64_t capacity, Error *err) {
    size_t row = sizeof(float) * (size_t)(desc->kv_heads * desc->head_dim);
    *cache = (KvCache){.capacity = capacity};
    cache->k = mem_alloc((size_t)(desc->layers * capacity), row, err);
    cache->v = mem_alloc((size_t)(desc->layers * capacity), row, err);
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

static void norm(const Transformer *t, const float *x, const float *gain, int64_t n, float *y) {
    int64_t dim = t->desc->dim;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) t->math->rms_norm(x + i * dim, gain, (float)t->desc->norm_eps, dim, y + i * dim);
}

// The tables for positions first .. first + count - 1 of a sequence of `length`, kept while the same are asked for.
static void positions(Transformer *t, int64_t length, int64_t first, int64_t count) {
    if (t->table_length == length && t->table_first == first) return;
    rope_table(&t->desc->rope, t->rope_factors, t->desc->head_dim, length, first, count, t->cosine, t->sine);
    t->table_length = length;
    t->table_first = first;
}

// Turns the heads of a sequence's rows, x [length, heads * head_dim].
static void rotate(const Transformer *t, float *x, int64_t heads, int64_t length) {
    int64_t d = t->desc->head_dim, half = d / 2;
    void (*turn)(float *, const float *, const float *, int64_t) =
        t->desc->rope.interleaved ? t->math->rotate_pairs : t->math->rotate;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < length; i++)
        for (int64_t h = 0; h < heads; h++)
            turn(x + (i * heads + h) * d, t->cosine + i * half, t->sine + i * half, half);
}

static void attend(const Transformer *t, const Span *spans, size_t count, int64_t past, const float *k,
                   const float *v) {
    const ModelDesc *d = t->desc;
    int64_t tasks = (int64_t)count * d->heads;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) {
        const Span *s = &spans[task / d->heads];
        AttentionShape shape = {d->heads,  d->kv_heads, d->head_dim,
                                s->length, past,        (float)(1 / sqrt((double)d->head_dim))};
        int64_t row = s->start - spans[0].start, wide = d->heads * d->head_dim, narrow = d->kv_heads * d->head_dim;
        attention_head(&shape, task % d->heads, t->q + row * wide, k + row * narrow, v + row * narrow,
                       t->mixed + row * wide, t->attention + (size_t)omp_get_thread_num() * attention_scratch());
    }
}

// x += o(attention(norm(x)))
static void attention_block(Transformer *t, const Layer *l, int64_t layer, const Span *spans, size_t count,
                            KvCache *cache, float *x, int64_t n) {
    const ModelDesc *d = t->desc;
    int64_t kv = d->kv_heads * d->head_dim, past = cache ? cache->length : 0;
    float *k = cache ? cache->k + layer * cache->capacity * kv : t->k;
    float *v = cache ? cache->v + layer * cache->capacity * kv : t->v;
    norm(t, x, l->attn_norm, n, t->normed);
    linear_apply(&l->q, t->normed, n, t->q, false, t->panel);
    linear_apply(&l->k, t->normed, n, k + past * kv, false, t->panel);
    linear_apply(&l->v, t->normed, n, v + past * kv, false, t->panel);
    for (size_t i = 0; i < count; i++) {
        int64_t row = spans[i].start - spans[0].start;
        positions(t, past + spans[i].length, past, spans[i].length);
        rotate(t, t->q + row * d->heads * d->head_dim, d->heads, spans[i].length);
        rotate(t, k + (past + row) * kv, d->kv_heads, spans[i].length);
    }
    attend(t, spans, count, past, k, v);
    linear_apply(&l->o, t->mixed, n, x, true, t->panel);
}

static void activate(const Transformer *t, int64_t n) {
    int64_t width = t->desc->ffn_dim;
    void (*const f[ACT_COUNT])(float *, const float *, int64_t) = {
        [ACT_SILU] = t->math->silu_mul,
        [ACT_GELU] = t->math->gelu_mul,
        [ACT_GELU_TANH] = t->math->gelu_tanh_mul,
        [ACT_RELU] = t->math->relu_mul,
    };
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) f[t->desc->activation](t->gate + i * width, t->up + i * width, width);
}

// x += down(act(gate(norm(x))) * up(norm(x)))
static void mlp_block(Transformer *t, const Layer *l, float *x, int64_t n) {
    norm(t, x, l->ffn_norm, n, t->normed);
    linear_apply(&l->gate, t->normed, n, t->gate, false, t->panel);
    linear_apply(&l->up, t->normed, n, t->up, false, t->panel);
    activate(t, n);
    linear_apply(&l->down, t->gate, n, x, true, t->panel);
}

static void embed(const Transformer *t, const int32_t *ids, int64_t n, float *x) {
    int64_t dim = t->desc->dim;
    size_t row_bytes = t->embedding->bytes / (size_t)t->desc->vocab;
    ToF32Fn to_f32 = kernels_get()->to_f32[t->embedding->type];
    for (int64_t i = 0; i < n; i++) to_f32(t->embedding->data + (size_t)ids[i] * row_bytes, x + i * dim, dim);
}

static bool layer_verify(const Layer *l, Error *err) {
    for (int i = 0; i < l->tensor_count; i++)
        if (!tensor_verify(l->tensors[i], err)) return false;
    return true;
}

static bool ends_verify(const Transformer *t, Error *err) {
    return tensor_verify(t->embedding, err) && (t->head == t->embedding || tensor_verify(t->head, err));
}

static void layer_release(const Layer *l) {
    for (int i = 0; i < l->tensor_count; i++)
        file_release(l->tensors[i]->file, l->tensors[i]->data, l->tensors[i]->bytes);
}

// How many spans from `first` on fit the scratch together; their tokens in *tokens.
static size_t chunk_take(const Transformer *t, const Span *spans, size_t first, size_t count, int64_t *tokens) {
    size_t n = 0;
    *tokens = 0;
    while (first + n < count && *tokens + spans[first + n].length <= t->chunk) *tokens += spans[first + n++].length;
    return n;
}

bool transformer_forward(Transformer *t, const int32_t *ids, const Span *spans, size_t count, KvCache *cache, float *x,
                         LayerDone done, void *context, Error *err) {
    int64_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].length > t->max_length) return error_set(err, "a sequence is longer than was prepared for");
        n += spans[i].length;
    }
    if (cache && cache->length + n > cache->capacity) return error_set(err, "the cache of keys and values is full");
    if (!t->verified && !ends_verify(t, err)) return false;
    embed(t, ids, n, x);
    for (int64_t i = 0; i < t->desc->layers; i++) {
        const Layer *l = &t->layers[i];
        if (!t->verified && !layer_verify(l, err)) return false;
        int64_t tokens;
        for (size_t s = 0, taken; s < count; s += taken) {
            taken = chunk_take(t, spans, s, count, &tokens);
            float *rows = x + spans[s].start * t->desc->dim;
            attention_block(t, l, i, spans + s, taken, cache, rows, tokens);
            mlp_block(t, l, rows, tokens);
            if (done) done(context, i, tokens);
        }
        if (!cache) layer_release(l);
    }
    if (cache) cache->length += n;
    t->verified = true;
    return true;
}

void transformer_final_norm(const Transformer *t, const float *x, float *y) {
    t->math->rms_norm(x, t->output_norm, (float)t->desc->norm_eps, t->desc->dim, y);
}

const Tensor *transformer_head(const Transformer *t) { return t->head; }

void transformer_logits(Transformer *t, const float *y, float *logits) {
    linear_apply(&t->output, y, 1, logits, false, t->panel);
}
