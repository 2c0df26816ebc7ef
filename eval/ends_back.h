// What stands before the first layer and after the last, for chunks of tokens, and the way back through it.
#ifndef EVAL_ENDS_BACK_H
#define EVAL_ENDS_BACK_H

#include "eval/block.h"

// Scratch of a chunk.
typedef struct EndsBack {
    float *normed; // [chunk, dim]
    float *rows;   // [chunk, embed_dim]
    void *panel;   // of linear_back_bytes for every weight; not owned
    Watch *watch;
} EndsBack;

bool ends_back_init(EndsBack *e, const Transformer *t, void *panel, Watch *watch, Error *err);
void ends_back_free(EndsBack *e);

// hidden [n, desc_embed_dim]: what the head takes of x [n, dim]. Without panel: forward only, whose linear layer, where
// there is one, is seen without gradient.
void ends_final(EndsBack *e, Transformer *t, const float *x, int64_t n, float *hidden);

// After ends_final of the same x: d_hidden, gradients at hidden, give those at x in d [n, dim]; d may be x.
void ends_final_back(EndsBack *e, Transformer *t, const float *x, int64_t n, const float *d_hidden, float *d);

// d [tokens, dim], gradients at what the first layer takes, is used up. Returns those at the embedding's rows
// [tokens, desc_embed_dim]: in d or in e->rows.
const float *ends_embedding_back(EndsBack *e, Transformer *t, const int32_t *ids, const Chunk *c, float *d);

#endif
