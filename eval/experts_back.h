// The way back through a mixture of experts, its router and the MLP that all tokens share.
#ifndef EVAL_EXPERTS_BACK_H
#define EVAL_EXPERTS_BACK_H

#include "eval/mlp_back.h"

typedef struct ExpertsBack {
    MlpBack *mlp;            // not owned; its watch sees the experts, with the rows of their tokens, and the router
    float *rows_d, *rows_dx; // [chunk, dim]: gradients at what an expert gives and takes, its tokens alone
    float *d_weights;        // [chunk, used]
    float *d_scores;         // [chunk, experts]
    float *d_gate;           // [chunk]: of the shared MLP
} ExpertsBack;

// Nothing to free, and nothing done, where the model has no experts.
bool experts_back_init(ExpertsBack *b, const ModelDesc *desc, int64_t chunk, MlpBack *mlp, Error *err);
void experts_back_free(ExpertsBack *b);

// d [n, dim] is the gradient at what experts_apply gives for x [n, dim]; dx [n, dim] becomes that at x. Which experts a
// token passes is taken as given: the gradient goes through their weights. Experts are taken, and dropped after use.
bool experts_back(const ModelDesc *desc, Layer *layer, const float *x, int64_t n, const float *d, float *dx,
                  ExpertsBack *b, Error *err);

#endif
