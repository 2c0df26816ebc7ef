#include "convert/engine_memory.h"

#include "core/size.h"

enum {
    BATCH = 512,    // tokens computed at a time (-ub)
    CACHE_PAD = 256 // positions of a cache come in so many
};

static const uint64_t margin = 96u << 20;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Positions that a layer's cache holds: of a windowed one the window and the batch that is being computed.
static int64_t cache_positions(const ModelDesc *d, int64_t layer, int64_t context) {
    int64_t n = context;
    if (d->window && desc_layer_is(d, layer, LAYER_WINDOWED) && d->window + BATCH < n) n = d->window + BATCH;
    return (n + CACHE_PAD - 1) / CACHE_PAD * CACHE_PAD;
}

// 16-bit numbers that a position takes in a layer. Of latent attention the narrow layer's output and the turned part
// are kept, for keys and values at once.
static int64_t cache_width(const ModelDesc *d) {
    if (d->latent.kv_rank) return d->latent.kv_rank + desc_rope_dims(d);
    return d->kv_heads * (d->head_dim + desc_value_dim(d));
}

// f32 numbers for each token of a batch while a layer is computed: an MLP has gate, up and their product beside the
// residual stream, the normed one, the block's input and output; attention has queries, keys, values and the result.
static int64_t layer_width(const ModelDesc *d) {
    const Experts *e = &d->experts;
    int64_t hidden = d->ffn_dim, stream = 4 * d->dim;
    if (e->count) hidden = most(hidden, e->used * e->ffn_dim + e->shared_dim);
    int64_t mlp = 3 * hidden + (e->count ? (e->used + 1) * d->dim + 2 * e->count : 0);
    int64_t query = d->heads * d->head_dim, value = d->heads * desc_value_dim(d);
    int64_t attention = 2 * query + value + 2 * d->kv_heads * (d->head_dim + desc_value_dim(d));
    if (d->latent.kv_rank) // queries in the space of the narrow layer
        attention += d->heads * (2 * d->latent.kv_rank + desc_rope_dims(d)) + d->latent.query_rank;
    return stream + most(mlp, attention);
}

bool engine_memory(const ModelDesc *desc, int64_t context, EngineMemory *memory, Error *err) {
    uint64_t cache = 0, mask, compute;
    bool windows = false;
    for (int64_t i = 0; i < desc->layers; i++) {
        uint64_t bytes;
        if (!size_mul((uint64_t)cache_positions(desc, i, context), 2 * (uint64_t)cache_width(desc), &bytes) ||
            !size_add(cache, bytes, &cache))
            return error_set(err, "the cache for a context of %lld is larger than any memory", (long long)context);
        windows = windows || desc_layer_is(desc, i, LAYER_WINDOWED);
    }
    // The head gives a logit for every word; a mask (16 bits) says which position sees which, one more where layers
    // have windows.
    uint64_t width = (uint64_t)most(layer_width(desc), desc->vocab + 2 * desc->dim);
    uint64_t masks = (uint64_t)(context + CACHE_PAD - 1) / CACHE_PAD * CACHE_PAD * 2 * (windows ? 2 : 1);
    if (!size_mul(width, sizeof(float) * BATCH, &compute) || !size_mul(masks, BATCH, &mask) ||
        !size_add(compute, mask, &compute))
        return error_set(err, "computing at a context of %lld takes more than any memory", (long long)context);
    *memory = (EngineMemory){.cache = cache, .compute = compute, .margin = margin};
    return true;
}

uint64_t engine_tensor_bytes(const Tensor *t) {
    return t->dims <= 1 ? (uint64_t)tensor_elements(t) * sizeof(float) : t->bytes;
}
