// The MLP of a layer, plain, gated, or a mixture of experts (arXiv:1701.06538, arXiv:2401.04088).
#ifndef EVAL_MLP_H
#define EVAL_MLP_H

#include "eval/layer.h"
#include "eval/watch.h"

typedef struct MlpScratch {
    float *gate, *up;   // [chunk, the widest hidden width], one behind the other; or the same, rounded
    float *rows, *out;  // [chunk, dim]: the tokens of one expert, what it makes of them
    float *scores;      // [chunk, experts]
    int32_t *chosen;    // [chunk, used]
    float *weights;     // [chunk, used]
    int32_t *tokens;    // [chunk * used], by expert
    float *shared_gate; // [chunk]
    float *panel;       // for linear_apply of every weight in use; not owned
    Watch *watch;       // sees the linear layers; or NULL
} MlpScratch;

bool mlp_scratch_init(MlpScratch *s, const ModelDesc *desc, int64_t chunk, float *panel, Error *err);
void mlp_scratch_free(MlpScratch *s);

// x = act(x) * up, or act(x) where up is NULL; both [n, width].
void mlp_activate(const ModelDesc *desc, float *x, const float *up, int64_t n, int64_t width);

// out [n, dim] = down(act(gate(x)) * up(x)); with `add`, out += that. x [n, dim].
void mlp_apply(const ModelDesc *desc, const Mlp *mlp, const float *x, int64_t n, float *out, bool add, MlpScratch *s);

// The same for a layer with experts: only those that tokens choose are read and computed; each is dropped after use
// unless `keep`. Fails when a weight is damaged or memory is out.
bool experts_apply(const ModelDesc *desc, Layer *layer, const float *x, int64_t n, float *out, bool add, bool keep,
                   MlpScratch *s, Error *err);

#endif
