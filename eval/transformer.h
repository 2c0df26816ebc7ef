// The transformer, driven by the model description alone: one forward pass for every family, layer by layer over many
// sequences at once (docs: DESIGN's idea 2), f32 arithmetic.
#ifndef EVAL_TRANSFORMER_H
#define EVAL_TRANSFORMER_H

#include "formats/model.h"

typedef struct Transformer Transformer;

// A sequence among the tokens of a batch: ids[start .. start + length - 1], positions from 0 (or from the cache's
// length). What the last layer makes of tokens before the first that is asked for is left out, but their keys and
// values.
typedef struct Span {
    int64_t start, length;
    int64_t asked; // the first whose result is asked for, counted from start
} Span;

// Makes a model ready to run on sequences of up to max_length tokens, batches of about `batch` tokens in all (more may
// come: they pass through each layer in chunks). The model must outlive it. NULL with a message.
Transformer *transformer_new(const Model *model, int64_t max_length, int64_t batch, Error *err);
void transformer_free(Transformer *t); // NULL is fine

// Keys and values of one sequence that grows, for generation.
typedef struct KvCache {
    float *k, *v;             // [layers, capacity, kv_heads * head_dim], [.., kv_heads * value_dim]
    int64_t capacity, length; // tokens; length: how many are there
} KvCache;

bool kv_cache_init(KvCache *cache, const ModelDesc *desc, int64_t capacity, Error *err);
void kv_cache_free(KvCache *cache);

// Called after each layer with how many tokens it has seen; may be NULL.
typedef void (*LayerDone)(void *context, int64_t layer, int64_t tokens);

// Runs all layers over all spans; x [tokens, dim] becomes the residual stream after the last layer, where it is asked
// for. Each tensor is
// checked against its hash when first used and its pages are given back after its layer. With a cache there is one
// span, whose positions follow those in the cache, and its keys and values are added to it.
bool transformer_forward(Transformer *t, const int32_t *ids, const Span *spans, size_t count, KvCache *cache, float *x,
                         LayerDone done, void *context, Error *err);

// What the head takes (eval/head.h) of one row of x: y [desc_embed_dim], finally normed. y may be x.
void transformer_final(Transformer *t, const float *x, float *y);

#endif
