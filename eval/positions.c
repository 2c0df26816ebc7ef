#include "eval/positions.h"

#include "core/mem.h"
#include "eval/linear.h"
#include "eval/rope.h"
#include "eval/vector.h"
#include "eval/linear.h"
#include <math.h>

// One kind of rotary positions; the table holds one sequence's positions, kept while the same are asked for.
typedef struct Turn {
    const Rope *rope;
    float *factors, *long_factors; // [dims / 2], where the scaling has them
    float *cosine, *sine, *back;   // [max_length, dims / 2]; back: -sine, which turns the other way
    int64_t dims, length, first;
} Turn;

struct Positioner {
    const ModelDesc *desc;
    Turn everywhere, local;
    float *slopes; // [heads]
};

// Speeds are divided by these: zeros and what is no number would make every logit NaN.
static float *factors_load(const Model *model, const char *name, int64_t half, Error *err) {
    const Tensor *tensor = model_tensor(model, name);
    float *factors = tensor ? vector_load(tensor, err) : NULL;
    if (!tensor) error_set(err, "%s: there is no tensor %s", model->path, name);
    for (int64_t i = 0; factors && i < half; i++)
        if (!(factors[i] > 0 && isfinite(factors[i]))) {
            error_set(err, "%s: tensor %s: factor %lld is %g", model->path, tensor_label(tensor), (long long)i,
                      (double)factors[i]);
            mem_free(factors);
            return NULL;
        }
    return factors;
}

static bool turn_init(Turn *t, const Model *model, const Rope *rope, int64_t max_length, Error *err) {
    t->rope = rope;
    t->dims = rope->dims ? rope->dims : model->desc.head_dim;
    t->length = -1;
    size_t row = sizeof(float) * (size_t)(t->dims / 2);
    if (!(t->cosine = mem_alloc((size_t)max_length, row, err)) ||
        !(t->sine = mem_alloc((size_t)max_length, row, err)) || !(t->back = mem_alloc((size_t)max_length, row, err)))
        return false;
    if (rope->scaling == ROPE_FACTORS) return (t->factors = factors_load(model, "rope_freqs.weight", t->dims / 2, err));
    if (rope->scaling == ROPE_LONGROPE)
        return (t->factors = factors_load(model, "rope_factors_short.weight", t->dims / 2, err)) &&
               (t->long_factors = factors_load(model, "rope_factors_long.weight", t->dims / 2, err));
    return true;
}

static void turn_free(Turn *t) {
    mem_free(t->factors);
    mem_free(t->long_factors);
    mem_free(t->cosine);
    mem_free(t->sine);
    mem_free(t->back);
}

// 2^(-8 (h + 1) / n) for n heads, a power of two; of any other number the next lower power's, and then every other one
// of the next higher power's (the reference code of arXiv:2108.12409).
static void slopes_make(const ModelDesc *d, float *slopes) {
    int64_t power = 1;
    while (power * 2 <= d->heads) power *= 2;
    for (int64_t h = 0; h < d->heads; h++) {
        double exponent =
            h < power ? 8.0 * (double)(h + 1) / (double)power : 4.0 * (double)(2 * (h - power) + 1) / (double)power;
        slopes[h] = (float)exp2(-exponent);
    }
}

static bool uses(const ModelDesc *d, bool local) {
    for (int64_t i = 0; i < d->layers; i++)
        if (!desc_layer_is(d, i, LAYER_UNTURNED) && desc_layer_is(d, i, LAYER_LOCAL_ROPE) == local) return true;
    return false;
}

Positioner *positioner_new(const Model *model, int64_t max_length, Error *err) {
    const ModelDesc *d = &model->desc;
    Positioner *p = mem_alloc(1, sizeof *p, err);
    bool ok = p, rotary = d->positions == POSITIONS_ROTARY;
    if (ok) p->desc = d;
    if (ok && rotary && uses(d, false)) ok = turn_init(&p->everywhere, model, &d->rope, max_length, err);
    if (ok && rotary && uses(d, true)) ok = turn_init(&p->local, model, &d->rope_local, max_length, err);
    if (ok && d->positions == POSITIONS_ALIBI) {
        ok = (p->slopes = mem_alloc((size_t)d->heads, sizeof *p->slopes, err));
        if (ok) slopes_make(d, p->slopes);
    }
    if (ok) return p;
    positioner_free(p);
    return NULL;
}

void positioner_free(Positioner *p) {
    if (!p) return;
    turn_free(&p->everywhere);
    turn_free(&p->local);
    mem_free(p->slopes);
    mem_free(p);
}

static void table_make(Turn *t, Sequence s) {
    if (t->length == s.past + s.length && t->first == s.past) return;
    t->length = s.past + s.length;
    t->first = s.past;
    bool far = t->long_factors && t->length > t->rope->original_context;
    rope_table(t->rope, far ? t->long_factors : t->factors, t->dims, t->length, s.past, s.length, t->cosine, t->sine);
    for (int64_t i = 0; i < s.length * (t->dims / 2); i++) t->back[i] = -t->sine[i];
}

static void turn(Positioner *p, int64_t layer, Sequence s, float *x, int64_t heads, bool back) {
    const ModelDesc *d = p->desc;
    if (d->positions != POSITIONS_ROTARY || desc_layer_is(d, layer, LAYER_UNTURNED)) return;
    Turn *t = desc_layer_is(d, layer, LAYER_LOCAL_ROPE) ? &p->local : &p->everywhere;
    table_make(t, s);
    const VectorMath *m = vector_math();
    const float *sine = back ? t->back : t->sine;
    void (*rotate)(float *, const float *, const float *, int64_t) = t->rope->interleaved ? m->rotate_pairs : m->rotate;
    int64_t half = t->dims / 2, skip = d->latent.kv_rank ? d->head_dim - t->dims : 0;
#pragma omp parallel for schedule(static) if (s.length > LINEAR_FEW)
    for (int64_t i = 0; i < s.length; i++)
        for (int64_t h = 0; h < heads; h++)
            rotate(x + (i * heads + h) * d->head_dim + skip, t->cosine + i * half, sine + i * half, half);
}

void positioner_turn(Positioner *p, int64_t layer, Sequence s, float *x, int64_t heads) {
    turn(p, layer, s, x, heads, false);
}

// A rotation, times an attention factor: its transpose turns by the negative angle, times the same factor.
void positioner_turn_back(Positioner *p, int64_t layer, Sequence s, float *d, int64_t heads) {
    turn(p, layer, s, d, heads, true);
}

const float *positioner_slopes(const Positioner *p) { return p->slopes; }
