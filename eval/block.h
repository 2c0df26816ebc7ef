// The inside of a Transformer and the arithmetic of its layers, for the files that walk through them: transformer.c
// forward, layer_back.c back.
#ifndef EVAL_BLOCK_H
#define EVAL_BLOCK_H

#include "eval/attention.h"
#include "eval/layer.h"
#include "eval/mlp.h"
#include "eval/positions.h"
#include "eval/transformer.h"
#include "eval/vector.h"
#include "eval/watch.h"

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
    float *attention;        // scratch, one part a thread
    size_t attention_floats; // of a part
    int64_t max_length;
    int threads;
    Watch *watch; // sees the linear layers; or NULL. Of the MLP: mlp.watch
};

// The tokens that pass through a layer together: whole spans, consecutive.
typedef struct Chunk {
    const Span *spans;
    size_t count;
    int64_t tokens;
    int64_t past;  // positions before the first span's (with a cache)
    int64_t first; // index of the first token among all of the batch
    bool last;     // in the last layer: of each span, only what is asked for goes beyond keys and values
} Chunk;

// As many spans from `first` on as fit the scratch together.
Chunk chunk_take(const Transformer *t, const Span *spans, size_t first, size_t count, int64_t past);

// The steps of transformer_forward: the embedding, then each layer over all spans.
bool transformer_embed(Transformer *t, const int32_t *ids, const Span *spans, size_t count, int64_t past, float *x,
                       Error *err);
bool transformer_layer(Transformer *t, int64_t layer, const Span *spans, size_t count, KvCache *cache, float *x,
                       LayerDone done, void *context, Error *err);

// x [tokens, dim] passes a layer, in place. The scratch then holds what attention took and gave: q, k, v, mixed (with a
// cache, keys and values are there).
bool block_forward(Transformer *t, int64_t layer, const Chunk *c, KvCache *cache, float *x, Error *err);

// ---- the pieces of that

// Rows [n, desc_embed_dim] of the embedding; n is at most t->chunk.
void embedding_rows(Transformer *t, const int32_t *ids, int64_t n, float *rows);
// The token's x [dim] is scaled, and its position added to it, where the model says so. Uses t->normed.
void embedding_place(const Transformer *t, int64_t position, float *x);

void norm_row(const VectorMath *m, const Norm *norm, const float *gain, const float *x, int64_t width, float *y);

// n rows, `stride` floats from one to the next; y may be x.
void normalize(const Transformer *t, const Norm *norm, const float *x, int64_t n, int64_t stride, float *y);

// t->q, k, v = W x, kept within limits where the model says so; or latent attention's, by its narrow layers.
void attention_project(Transformer *t, const Layer *l, const float *x, int64_t n, float *k, float *v);

// Queries t->q and keys k are normed where the model says so, and turned.
void attention_place(Transformer *t, const Layer *l, int64_t layer, const Chunk *c, float *k);

// The most memory that any of the model's matrices needs to be multiplied with, by linear_panel_bytes or its like.
size_t transformer_panel(const Model *model, size_t (*bytes_of)(int64_t rows, int64_t cols));

// ... and, for linear_apply, n inputs.
size_t transformer_inputs(const Model *model, int64_t n);

// Width of a row of t->low; 0 without latent attention.
int64_t transformer_low(const ModelDesc *desc);

// The MLP or the experts: out [n, dim] or, with `add`, out += that. keep: experts are not dropped after use.
bool mlp_run(Transformer *t, Layer *l, const float *x, int64_t n, bool keep, float *out, bool add, Error *err);

// t->mixed from t->q and all keys and values.
void attention_mix(const Transformer *t, const Layer *l, int64_t layer, const Chunk *c, const float *k, const float *v);
AttentionShape attention_shape(const Transformer *t, const Layer *l, int64_t layer, int64_t past);

// x += residual_scale * branch
void branch_add(const Transformer *t, const float *branch, int64_t n, float *x);

#endif
