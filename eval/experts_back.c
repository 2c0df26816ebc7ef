#include "eval/experts_back.h"

#include "core/mem.h"
#include "eval/router.h"
#include "eval/vector_back.h"
#include <math.h>
#include <string.h>

bool experts_back_init(ExpertsBack *b, const ModelDesc *d, int64_t chunk, MlpBack *mlp, Error *err) {
    const Experts *e = &d->experts;
    size_t n = (size_t)chunk, dim = (size_t)d->dim;
    *b = (ExpertsBack){.mlp = mlp};
    if (!e->count) return true;
    return (b->rows_d = mem_alloc(n, dim * sizeof *b->rows_d, err)) &&
           (b->rows_dx = mem_alloc(n, dim * sizeof *b->rows_dx, err)) &&
           (b->d_weights = mem_alloc(n, (size_t)e->used * sizeof *b->d_weights, err)) &&
           (b->d_scores = mem_alloc(n, (size_t)e->count * sizeof *b->d_scores, err)) &&
           (b->d_gate = mem_alloc(n, sizeof *b->d_gate, err));
}

void experts_back_free(ExpertsBack *b) {
    float *const owned[] = {b->rows_d, b->rows_dx, b->d_weights, b->d_scores, b->d_gate};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    *b = (ExpertsBack){0};
}

// dx += W^T d
static void take_back(const MlpBack *b, const Linear *l, const float *x, const float *d, int64_t n, float *dx) {
    watch_linear(b->watch, l, x, d, n);
    linear_apply_back(l, d, n, dx, true, b->panel);
}

// One expert over the tokens that chose it, tokens[] as indices into chosen and weights: dx += what comes back through
// it, and the gradients at these weights.
static void expert_back(const ModelDesc *desc, const Mlp *expert, const float *x, const int32_t *tokens, int64_t n,
                        const float *d, float *dx, ExpertsBack *b) {
    int64_t used = desc->experts.used, dim = desc->dim;
    MlpScratch *s = b->mlp->forward;
    for (int64_t i = 0; i < n; i++) memcpy(s->rows + i * dim, x + tokens[i] / used * dim, (size_t)dim * sizeof *x);
    mlp_back_begin(desc, expert, s->rows, n, b->mlp);
    linear_apply(&expert->down, b->mlp->hidden, n, s->out, false, s->panel);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const float *row = d + tokens[i] / used * dim;
        b->d_weights[tokens[i]] = vector_back()->dot(row, s->out + i * dim, dim);
        for (int64_t j = 0; j < dim; j++) b->rows_d[i * dim + j] = s->weights[tokens[i]] * row[j];
    }
    mlp_back_end(desc, expert, s->rows, n, b->rows_d, b->rows_dx, b->mlp);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) // a token is there once
        for (int64_t j = 0; j < dim; j++) dx[tokens[i] / used * dim + j] += b->rows_dx[i * dim + j];
}

// The shared MLP, whose output is weighed by sigmoid(gate) where there is a gate. dx += what comes back through it.
static void shared_back(const ModelDesc *desc, const Layer *l, const float *x, int64_t n, const float *d, float *dx,
                        ExpertsBack *b) {
    MlpScratch *s = b->mlp->forward;
    int64_t dim = desc->dim;
    const float *at_output = d;
    mlp_back_begin(desc, &l->mlp, x, n, b->mlp);
    if (desc->experts.shared_gate) {
        linear_apply(&l->mlp.down, b->mlp->hidden, n, s->out, false, s->panel);
        linear_apply(&l->shared_gate, x, n, s->shared_gate, false, s->panel);
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            float weight = 1 / (1 + expf(-s->shared_gate[i]));
            b->d_gate[i] = weight * (1 - weight) * vector_back()->dot(d + i * dim, s->out + i * dim, dim);
            for (int64_t j = 0; j < dim; j++) b->rows_d[i * dim + j] = weight * d[i * dim + j];
        }
        take_back(b->mlp, &l->shared_gate, x, b->d_gate, n, dx);
        at_output = b->rows_d;
    }
    mlp_back_end(desc, &l->mlp, x, n, at_output, b->rows_dx, b->mlp);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * dim; i++) dx[i] += b->rows_dx[i];
}

bool experts_back(const ModelDesc *desc, Layer *l, const float *x, int64_t n, const float *d, float *dx, ExpertsBack *b,
                  Error *err) {
    const Experts *e = &desc->experts;
    MlpScratch *s = b->mlp->forward;
    int64_t starts[EXPERTS_MAX + 1];
    memset(dx, 0, (size_t)(n * desc->dim) * sizeof *dx);
    linear_apply(&l->router, x, n, s->scores, false, s->panel);
    router_choose(e, l->correction, s->scores, n, s->chosen, s->weights);
    router_sort(e, s->chosen, n, s->tokens, starts);
    for (int64_t k = 0; k < e->count; k++) {
        int64_t tokens = starts[k + 1] - starts[k];
        if (!tokens) continue;
        if (!mlp_take(&l->experts[k], err)) return false;
        expert_back(desc, &l->experts[k], x, s->tokens + starts[k], tokens, d, dx, b);
        mlp_drop(&l->experts[k]);
    }
    router_back(e, s->scores, s->chosen, s->weights, b->d_weights, n, b->d_scores);
    take_back(b->mlp, &l->router, x, b->d_scores, n, dx);
    if (e->shared_dim) shared_back(desc, l, x, n, d, dx, b);
    return true;
}
