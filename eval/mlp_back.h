// The way back through an MLP.
#ifndef EVAL_MLP_BACK_H
#define EVAL_MLP_BACK_H

#include "eval/mlp.h"

typedef struct MlpBack {
    MlpScratch *forward; // the forward pass's, whose arrays are used again; not owned. Its watch is not called
    float *hidden;       // [chunk, the widest hidden width]
    void *panel;         // of linear_back_bytes for every weight in use; not owned
    Watch *watch;
} MlpBack;

bool mlp_back_init(MlpBack *b, const ModelDesc *desc, int64_t chunk, MlpScratch *forward, void *panel, Error *err);
void mlp_back_free(MlpBack *b);

// d [n, dim] is the gradient at what mlp_apply gives for x [n, dim]; dx [n, dim] becomes that at x.
void mlp_back(const ModelDesc *desc, const Mlp *mlp, const float *x, int64_t n, const float *d, float *dx, MlpBack *b);

// The same in two steps: what the MLP computes on the way forward, b->hidden [n, its hidden width] among it, which its
// last linear layer takes; and from there back.
void mlp_back_begin(const ModelDesc *desc, const Mlp *mlp, const float *x, int64_t n, MlpBack *b);
void mlp_back_end(const ModelDesc *desc, const Mlp *mlp, const float *x, int64_t n, const float *d, float *dx,
                  MlpBack *b);

#endif
