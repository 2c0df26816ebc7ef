#include "eval/mlp.h"

#include "core/mem.h"
#include "eval/router.h"
#include "eval/vector.h"
#include <math.h>
#include <string.h>

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

bool mlp_scratch_init(MlpScratch *s, const ModelDesc *d, int64_t chunk, float *panel, Error *err) {
    const Experts *e = &d->experts;
    size_t n = (size_t)chunk, width = (size_t)max(d->ffn_dim, max(e->ffn_dim, e->shared_dim));
    size_t dim = (size_t)d->dim, used = (size_t)e->used;
    *s = (MlpScratch){.panel = panel};
    size_t both = 2 * n * width * sizeof *s->gate, rounded = linear_input_bytes(chunk, (int64_t)width, ACT_DIGITS);
    if (!(s->gate = mem_alloc(both > rounded ? both : rounded, 1, err))) return false;
    s->up = s->gate + n * width;
    if (!e->count) return true;
    return (s->rows = mem_alloc(n, dim * sizeof *s->rows, err)) && (s->out = mem_alloc(n, dim * sizeof *s->out, err)) &&
           (s->scores = mem_alloc(n, (size_t)e->count * sizeof *s->scores, err)) &&
           (s->chosen = mem_alloc(n, used * sizeof *s->chosen, err)) &&
           (s->weights = mem_alloc(n, used * sizeof *s->weights, err)) &&
           (s->tokens = mem_alloc(n, used * sizeof *s->tokens, err)) &&
           (s->shared_gate = mem_alloc(n, sizeof *s->shared_gate, err));
}

void mlp_scratch_free(MlpScratch *s) {
    void *const owned[] = {s->gate, s->rows, s->out, s->scores, s->chosen, s->weights, s->tokens, s->shared_gate};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    *s = (MlpScratch){0};
}

// Rows have nothing to do with it: element by element.
static void activate(const ModelDesc *d, float *x, const float *up, int64_t n) {
    const VectorMath *m = vector_math();
    void (*const f[ACT_COUNT])(float *, const float *, int64_t) = {
        [ACT_SILU] = m->silu, [ACT_GELU] = m->gelu, [ACT_GELU_TANH] = m->gelu_tanh, [ACT_RELU] = m->relu};
    if (d->activation == ACT_SWIGLU_CLAMPED)
        m->swiglu_clamped(x, up, n, (float)d->activation_slope, (float)d->activation_limit);
    else
        f[d->activation](x, up, n);
}

void mlp_activate(const ModelDesc *d, float *x, const float *up, int64_t n, int64_t width) {
#pragma omp parallel for schedule(static) if (n > LINEAR_FEW)
    for (int64_t i = 0; i < n; i++) activate(d, x + i * width, up ? up + i * width : NULL, width);
}

static void activate_pair(const void *desc, float *gate, const float *up, int64_t n) { activate(desc, gate, up, n); }

// y = W x + b, seen by whoever watches.
static void apply(const MlpScratch *s, const Linear *l, const float *x, int64_t n, float *y, bool add) {
    watch_linear(s->watch, l, x, NULL, n);
    linear_apply(l, x, n, y, add, s->panel);
}

void mlp_apply(const ModelDesc *d, const Mlp *mlp, const float *x, int64_t n, float *out, bool add, MlpScratch *s) {
    int64_t width = tensor_rows(mlp->up.weight);
    if (!s->watch && mlp->gate.weight && linear_pair_can(&mlp->gate, &mlp->up, &mlp->down, n)) {
        BlockAct *hidden = (void *)s->gate; // there is room
        linear_pair(&(LinearPair){&mlp->gate, &mlp->up, activate_pair, d}, x, n, hidden, s->panel);
        linear_apply_acts(&mlp->down, hidden, n, out, add, s->panel);
        return;
    }
    if (mlp->gate.weight) {
        const LinearUse both[] = {{&mlp->gate, s->gate, false}, {&mlp->up, s->up, false}};
        for (int i = 0; i < 2; i++) watch_linear(s->watch, both[i].layer, x, NULL, n);
        linear_apply_all(both, 2, x, n, s->panel);
    } else {
        apply(s, &mlp->up, x, n, s->gate, false);
    }
    mlp_activate(d, s->gate, mlp->gate.weight ? s->up : NULL, n, width);
    apply(s, &mlp->down, s->gate, n, out, add);
}

// One expert over the tokens that chose it, tokens[] as indices into chosen and weights.
static void expert_apply(const ModelDesc *d, const Mlp *expert, const float *x, const int32_t *tokens, int64_t n,
                         float *out, MlpScratch *s) {
    int64_t used = d->experts.used, dim = d->dim;
    for (int64_t i = 0; i < n; i++) memcpy(s->rows + i * dim, x + tokens[i] / used * dim, (size_t)dim * sizeof *x);
    mlp_apply(d, expert, s->rows, n, s->out, false, s);
    for (int64_t i = 0; i < n; i++) {
        float weight = s->weights[tokens[i]], *to = out + tokens[i] / used * dim;
        for (int64_t j = 0; j < dim; j++) to[j] += weight * s->out[i * dim + j];
    }
}

static void shared_apply(const ModelDesc *d, const Layer *l, const float *x, int64_t n, float *out, MlpScratch *s) {
    if (!d->experts.shared_gate) {
        mlp_apply(d, &l->mlp, x, n, out, true, s);
        return;
    }
    apply(s, &l->shared_gate, x, n, s->shared_gate, false);
    mlp_apply(d, &l->mlp, x, n, s->out, false, s);
    for (int64_t i = 0; i < n; i++) {
        float weight = 1 / (1 + expf(-s->shared_gate[i]));
        for (int64_t j = 0; j < d->dim; j++) out[i * d->dim + j] += weight * s->out[i * d->dim + j];
    }
}

bool experts_apply(const ModelDesc *d, Layer *l, const float *x, int64_t n, float *out, bool add, bool keep,
                   MlpScratch *s, Error *err) {
    const Experts *e = &d->experts;
    int64_t starts[EXPERTS_MAX + 1];
    if (!add) memset(out, 0, (size_t)(n * d->dim) * sizeof *out);
    apply(s, &l->router, x, n, s->scores, false);
    router_choose(e, l->correction, s->scores, n, s->chosen, s->weights);
    router_sort(e, s->chosen, n, s->tokens, starts);
    for (int64_t k = 0; k < e->count; k++) {
        int64_t tokens = starts[k + 1] - starts[k];
        if (!tokens) continue;
        if (!mlp_take(&l->experts[k], err)) return false;
        if (keep && n <= LINEAR_FEW && !mlp_repack(&l->experts[k], err)) return false;
        expert_apply(d, &l->experts[k], x, s->tokens + starts[k], tokens, out, s);
        if (!keep) mlp_drop(&l->experts[k]);
    }
    if (e->shared_dim) shared_apply(d, l, x, n, out, s);
    return true;
}
