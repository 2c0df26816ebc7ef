// The way back through a layer of a Transformer (eval/block.h): from gradients at its output to those at its input.
// What the layer computed on the way forward is computed again from its input, for a chunk of tokens.
#ifndef EVAL_BLOCK_BACK_H
#define EVAL_BLOCK_BACK_H

#include "eval/block.h"
#include "eval/experts_back.h"

// Scratch, [chunk, width of the array].
typedef struct BlockBack {
    float *attn_in, *ffn_in;   // [dim]: normed, where there are norms before the blocks
    float *attn_out;           // [dim]: what the norm after attention takes
    float *middle;             // [dim]: the residual stream between the blocks
    float *branch;             // [dim]: gradient at what a block gives
    float *attn_d, *ffn_d;     // [dim]: gradients at what the blocks take
    float *q_plain, *k_plain;  // queries and keys before norms and turning
    float *dq, *dk, *dv;       // gradients there
    float *d_mixed;            // [heads * value_dim]
    float *low_normed, *d_low; // latent attention: [the widest rank + turned] what a norm gives; a gradient there
    float *attention;          // scratch, one part a thread
    size_t attention_scratch;  // floats of a part
    void *panel;               // of linear_back_bytes for every weight
    MlpBack mlp;
    ExpertsBack experts;
    Watch *watch; // sees every linear layer's inputs and gradients
} BlockBack;

bool block_back_init(BlockBack *b, Transformer *t, Watch *watch, Error *err);
void block_back_free(BlockBack *b);

// x [tokens, dim] is the layer's input; d, gradients at its output, become those at x. The layer is taken
// (layer_take); experts are taken here. False when one is damaged or the watch's observer failed.
bool block_back(BlockBack *b, Transformer *t, int64_t layer, const Chunk *c, const float *x, float *d, Error *err);

// ---- the pieces of that

// dx [n, cols] = W^T d or, with `add`, dx += that; x: what the linear layer took. Watched.
void linear_back(BlockBack *b, const Linear *l, const float *x, const float *d, int64_t n, float *dx, bool add);

// Latent attention (eval/latent_back.c): dx [n, dim] from b->dq, dk and dv; x: what the block took.
void latent_back(BlockBack *b, Transformer *t, const Layer *l, const float *x, int64_t n, float *dx);

// dx [n, dim] from d, the gradient at norm(x), or with `add` dx += that; `stride` floats from row to row of all three.
// dx may be d.
void normalize_back(const Norm *norm, const float *x, int64_t n, int64_t stride, const float *d, float *dx, bool add);

#endif
