#include "eval/mlp_back.h"

#include "core/mem.h"
#include "eval/vector_back.h"
#include <string.h>

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

bool mlp_back_init(MlpBack *b, const ModelDesc *d, int64_t chunk, MlpScratch *forward, void *panel, Error *err) {
    const Experts *e = &d->experts;
    size_t width = (size_t)max(d->ffn_dim, max(e->ffn_dim, e->shared_dim));
    *b = (MlpBack){.forward = forward, .panel = panel};
    return (b->hidden = mem_alloc((size_t)chunk, width * sizeof *b->hidden, err));
}

void mlp_back_free(MlpBack *b) {
    mem_free(b->hidden);
    *b = (MlpBack){0};
}

// x and up, what the activation took, become the gradients there.
static void activate_back(const ModelDesc *d, float *x, float *up, const float *dh, int64_t n, int64_t width) {
    const VectorBack *m = vector_back();
    void (*const f[ACT_COUNT])(float *, float *, const float *, int64_t) = {
        [ACT_SILU] = m->silu, [ACT_GELU] = m->gelu, [ACT_GELU_TANH] = m->gelu_tanh, [ACT_RELU] = m->relu};
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float *row = up ? up + i * width : NULL;
        if (d->activation == ACT_SWIGLU_CLAMPED)
            m->swiglu_clamped(x + i * width, row, dh + i * width, width, (float)d->activation_slope,
                              (float)d->activation_limit);
        else
            f[d->activation](x + i * width, row, dh + i * width, width);
    }
}

void mlp_back_begin(const ModelDesc *d, const Mlp *mlp, const float *x, int64_t n, MlpBack *b) {
    bool gated = mlp->gate.weight;
    int64_t width = tensor_rows(mlp->up.weight);
    float *gate = b->forward->gate, *up = gated ? b->forward->up : NULL;
    linear_apply(gated ? &mlp->gate : &mlp->up, x, n, gate, false, b->forward->panel);
    if (gated) linear_apply(&mlp->up, x, n, up, false, b->forward->panel);
    memcpy(b->hidden, gate, (size_t)(n * width) * sizeof *gate);
    mlp_activate(d, b->hidden, up, n, width);
}

void mlp_back_end(const ModelDesc *d, const Mlp *mlp, const float *x, int64_t n, const float *dy, float *dx,
                  MlpBack *b) {
    bool gated = mlp->gate.weight;
    const Linear *first = gated ? &mlp->gate : &mlp->up;
    float *gate = b->forward->gate, *up = gated ? b->forward->up : NULL;
    watch_linear(b->watch, &mlp->down, b->hidden, dy, n);
    linear_apply_back(&mlp->down, dy, n, b->hidden, false, b->panel);
    activate_back(d, gate, up, b->hidden, n, tensor_rows(mlp->up.weight));
    watch_linear(b->watch, first, x, gate, n);
    linear_apply_back(first, gate, n, dx, false, b->panel);
    if (!gated) return;
    watch_linear(b->watch, &mlp->up, x, up, n);
    linear_apply_back(&mlp->up, up, n, dx, true, b->panel);
}

void mlp_back(const ModelDesc *d, const Mlp *mlp, const float *x, int64_t n, const float *dy, float *dx, MlpBack *b) {
    mlp_back_begin(d, mlp, x, n, b);
    mlp_back_end(d, mlp, x, n, dy, dx, b);
}
