// Scales are d (1 + a) and dmin (1 + b) or, where an offset may have any sign, dmin + b * half the range of the codes.
// a and b are kept in f32 and tuned; what the model computes with, and what is stored, is rounded to f16 (the gradient
// passes the rounding: a straight-through estimator).
#include "eval/tune.h"

#include "core/log.h"
#include "core/mem.h"
#include "eval/evaluate.h"
#include "eval/walk.h"
#include "quant/grid.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum { ROW_TILE = 64 };
static const double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-12;

// A parameter a block, with Adam's two averages.
typedef struct Parameter {
    float *value, *mean, *square, *best; // [blocks]
} Parameter;

typedef struct Tuned {
    Tensor *tensor; // its bytes are ours
    const Grid *grid;
    int64_t rows, cols, blocks; // blocks in all
    GridScales *first;          // [blocks]: as they were
    Parameter scale, offset;    // the second where the grid has a minimum
    float *gradient;            // [rows, cols], while its layer passes
} Tuned;

typedef struct Tuning {
    const Model *base;
    Model *model;
    Tuned *items;
    size_t count;
    int32_t *index; // of each of the model's tensors; -1: it is not tuned
    double rate;    // of this step
    int64_t step;   // from 1
    double tokens;  // in this step
} Tuning;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- what is tuned

static bool parameter_new(Parameter *p, int64_t blocks, Error *err) {
    float **const arrays[] = {&p->value, &p->mean, &p->square, &p->best};
    for (int i = 0; i < 4; i++)
        if (!(*arrays[i] = mem_alloc((size_t)blocks, sizeof(float), err))) return false;
    return true;
}

static void parameter_free(Parameter *p) {
    mem_free(p->value);
    mem_free(p->mean);
    mem_free(p->square);
    mem_free(p->best);
}

static bool is_tuned(const Tensor *t) {
    return t->dims >= 2 && grid_of(t->type) && !grid_of(t->type)->power && strncmp(t->name, "blk.", 4) == 0;
}

static uint8_t *block_at(const Tuned *t, int64_t i) {
    return (uint8_t *)(uintptr_t)t->tensor->data + (size_t)i * dtype_info(t->tensor->type)->block_bytes;
}

static bool tuned_open(Tuned *t, Model *model, Tensor *tensor, Error *err) {
    *t = (Tuned){tensor, grid_of(tensor->type), tensor_rows(tensor), tensor_cols(tensor)};
    t->blocks = t->rows * t->cols / t->grid->block;
    if (!tensor_verify(tensor, err)) return false;
    uint8_t *bytes = mem_alloc(tensor->bytes, 1, err);
    if (!bytes) return false;
    memcpy(bytes, tensor_read(tensor, 0, t->rows, bytes), tensor->bytes);
    if (!model_add_buffer(model, bytes, err)) {
        mem_free(bytes);
        return false;
    }
    tensor->data = bytes;
    tensor->file = NULL;
    tensor->layout = NULL;
    tensor->has_hash = false;
    t->first = mem_alloc((size_t)t->blocks, sizeof *t->first, err);
    for (int64_t i = 0; t->first && i < t->blocks; i++) grid_unpack(t->grid, block_at(t, i), &t->first[i], NULL);
    return t->first && parameter_new(&t->scale, t->blocks, err) &&
           (!t->grid->has_min || parameter_new(&t->offset, t->blocks, err));
}

static bool tuning_open(Tuning *t, Error *err) {
    Model *m = t->model;
    t->items = mem_alloc(m->tensor_count, sizeof *t->items, err);
    t->index = mem_alloc(m->tensor_count, sizeof *t->index, err);
    if (!t->items || !t->index) return false;
    for (size_t i = 0; i < m->tensor_count; i++) {
        t->index[i] = is_tuned(&m->tensors[i]) ? (int32_t)t->count : -1;
        if (t->index[i] >= 0 && !tuned_open(&t->items[t->count++], m, &m->tensors[i], err)) return false;
    }
    if (t->count) return true;
    return error_set(err, "%s: has no layers in blocks whose scales could be tuned; quantize it first", m->path);
}

static void tuning_close(Tuning *t) {
    for (size_t i = 0; i < t->count; i++) {
        parameter_free(&t->items[i].scale);
        parameter_free(&t->items[i].offset);
        mem_free(t->items[i].first);
        mem_free(t->items[i].gradient);
    }
    mem_free(t->items);
    mem_free(t->index);
}

// ---- a step

// What one unit of the offset's parameter is worth: dmin itself, or half the range of the codes.
static float offset_unit(const Tuned *t, const GridScales *s) {
    return t->grid->subs > 1 ? s->dmin : 0.5f * s->d * (float)(t->grid->codes - 1);
}

static void block_write(const Tuned *t, int64_t i, const Parameter *scale, const Parameter *offset, bool best) {
    uint8_t codes[SUPER];
    GridScales s, now = t->first[i];
    grid_unpack(t->grid, block_at(t, i), &s, codes);
    now.d = grid_round_scale(t->grid, now.d * (1 + (best ? scale->best : scale->value)[i]));
    if (t->grid->has_min) {
        float dmin = now.dmin + offset_unit(t, &t->first[i]) * (best ? offset->best : offset->value)[i];
        now.dmin = grid_round_scale(t->grid, t->grid->subs > 1 ? fmaxf(dmin, 0) : dmin);
    }
    grid_pack(t->grid, &now, codes, block_at(t, i));
}

static float level(const Grid *g, uint8_t code) { return g->levels ? g->levels[code] : g->low + (float)code; }

static void adam(const Tuning *t, Parameter *p, int64_t i, double gradient) {
    double m = beta1 * (double)p->mean[i] + (1 - beta1) * gradient;
    double v = beta2 * (double)p->square[i] + (1 - beta2) * gradient * gradient;
    p->mean[i] = (float)m;
    p->square[i] = (float)v;
    m /= 1 - pow(beta1, (double)t->step);
    v /= 1 - pow(beta2, (double)t->step);
    p->value[i] -= (float)(t->rate * m / (sqrt(v) + epsilon));
}

static void block_step(const Tuning *tuning, Tuned *t, int64_t i) {
    const Grid *g = t->grid;
    const GridScales *s = &t->first[i];
    const float *dw = t->gradient + i * g->block;
    uint8_t codes[SUPER];
    GridScales unused;
    double by_scale = 0, by_offset = 0;
    grid_unpack(g, block_at(t, i), &unused, codes);
    for (int sub = 0; sub < g->subs; sub++) {
        float sum = 0, total = 0;
        for (int j = sub * g->sub; j < (sub + 1) * g->sub; j++) {
            sum += dw[j] * level(g, codes[j]);
            total += dw[j];
        }
        by_scale += (double)(sum * (float)s->s[sub]);
        by_offset -= (double)(total * (float)s->m[sub]);
    }
    adam(tuning, &t->scale, i, by_scale * (double)s->d / tuning->tokens);
    if (g->has_min) adam(tuning, &t->offset, i, by_offset * (double)offset_unit(t, s) / tuning->tokens);
    block_write(t, i, &t->scale, &t->offset, false);
}

// ---- what the walk calls

static bool see_linear(void *context, const LinearSeen *seen, Error *err) {
    Tuning *tuning = context;
    const Tensor *tensor = model_tensor(tuning->model, seen->weight->name);
    int32_t index = tensor ? tuning->index[tensor - tuning->model->tensors] : -1;
    if (index < 0) return true;
    Tuned *t = &tuning->items[index];
    if (!t->gradient && !(t->gradient = mem_alloc((size_t)t->rows, sizeof(float) * (size_t)t->cols, err))) return false;
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < t->rows; first += ROW_TILE)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)min(ROW_TILE, t->rows - first), (int)t->cols,
                    (int)seen->n, 1, seen->gradient + first, (int)t->rows, seen->x, (int)t->cols, 1,
                    t->gradient + first * t->cols, (int)t->cols);
    return true;
}

static bool see_layer(void *context, int64_t layer, Error *err) {
    (void)layer, (void)err;
    Tuning *tuning = context;
    for (size_t k = 0; k < tuning->count; k++) {
        Tuned *t = &tuning->items[k];
        if (!t->gradient) continue;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < t->blocks; i++) block_step(tuning, t, i);
        mem_free(t->gradient);
        t->gradient = NULL;
    }
    return true;
}

// ---- windows

typedef struct Lesson { // some of the windows, one after another, and what the base says of them
    Windows windows;
    float *teacher; // [tokens, width]: the base's final hidden states
} Lesson;

static void lesson_free(Lesson *l) {
    windows_free(&l->windows);
    mem_free(l->teacher);
}

// Windows first, first + step, first + 2 step ... below `end`.
static bool lesson_take(const Windows *all, size_t first, size_t step, size_t end, Windows *w, Error *err) {
    int64_t tokens = 0;
    *w = (Windows){.ctx = all->ctx, .longest = all->longest};
    for (size_t i = first; i < end; i += step) tokens += all->items[i].length;
    w->ids = mem_alloc((size_t)tokens, sizeof *w->ids, err);
    w->items = mem_alloc((end - first) / step + 1, sizeof *w->items, err);
    if (!w->ids || !w->items) return false;
    int64_t at = 0;
    for (size_t i = first; i < end; i += step) {
        const Window *from = &all->items[i];
        memcpy(w->ids + at, all->ids + from->start, (size_t)from->length * sizeof *w->ids);
        w->items[w->count++] = (Window){at, from->length, from->first};
        at += from->length;
        w->scored += from->length - from->first;
    }
    return true;
}

typedef struct Copy {
    float *to;
    int64_t width;
} Copy;

static bool see_hidden(void *context, const HeadSeen *seen, Error *err) {
    (void)err;
    const Copy *c = context;
    memcpy(c->to + seen->first * c->width, seen->hidden, (size_t)(seen->n * c->width) * sizeof *c->to);
    return true;
}

static bool lesson_open(const Model *base, const Windows *all, size_t first, size_t step, size_t end, Lesson *l,
                        Error *err) {
    *l = (Lesson){0};
    if (!lesson_take(all, first, step, end, &l->windows, err)) return false;
    const Window *last = &l->windows.items[l->windows.count - 1];
    Copy copy = {.width = desc_embed_dim(&base->desc)};
    copy.to = l->teacher = mem_alloc((size_t)(last->start + last->length), sizeof(float) * (size_t)copy.width, err);
    const Observer observer = {.head = see_hidden, .context = &copy};
    return copy.to && walk_forward(base, &l->windows, &observer, err);
}

// ---- the whole

static bool held_out_divergence(const Tuning *t, const Windows *windows, double *kld, Error *err) {
    const Model *const pair[] = {t->base, t->model};
    Evaluation e = {0};
    bool ok = evaluate(pair, 2, windows, &e, err);
    if (ok) *kld = e.results[1].vs_base.kld_mean;
    evaluation_free(&e);
    return ok;
}

static void keep_best(Tuning *t) {
    for (size_t k = 0; k < t->count; k++) {
        Tuned *item = &t->items[k];
        size_t bytes = (size_t)item->blocks * sizeof(float);
        memcpy(item->scale.best, item->scale.value, bytes);
        if (item->grid->has_min) memcpy(item->offset.best, item->offset.value, bytes);
    }
}

static void write_best(const Tuning *t) {
    for (size_t k = 0; k < t->count; k++)
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < t->items[k].blocks; i++)
            block_write(&t->items[k], i, &t->items[k].scale, &t->items[k].offset, true);
}

static bool epochs_run(Tuning *t, const Lesson *lessons, int64_t steps, const Windows *held_out, const TuneOptions *o,
                       TuneResult *r, Error *err) {
    const Observer observer = {.linear = see_linear, .layer = see_layer, .context = t};
    if (!held_out_divergence(t, held_out, &r->before, err)) return false;
    r->after = r->before;
    log_more("tuning: divergence %.6f on %zu windows held out", r->before, held_out->count);
    for (int64_t epoch = 1; epoch <= o->epochs; epoch++) {
        double loss = 0, tokens = 0, kld;
        for (int64_t s = 0; s < steps; s++) {
            const Lesson *l = &lessons[s];
            const Window *last = &l->windows.items[l->windows.count - 1];
            WalkOptions walk = {.memory = o->memory, .teacher = t->base, .teacher_hidden = l->teacher};
            WalkResult result = {0};
            t->tokens = (double)(last->start + last->length);
            t->rate = o->rate * 0.5 * (1 + cos(M_PI * (double)t->step / (double)(o->epochs * steps)));
            t->step++;
            if (!walk_backward(t->model, &l->windows, &walk, &observer, &result, err)) return false;
            loss += result.nll;
            tokens += (double)result.tokens;
        }
        if (!held_out_divergence(t, held_out, &kld, err)) return false;
        log_more("tuning: epoch %lld: %.6f while tuning, %.6f on windows held out", (long long)epoch, loss / tokens,
                 kld);
        if (kld >= r->after) continue;
        r->after = kld;
        r->epoch = epoch;
        keep_best(t);
    }
    write_best(t);
    return true;
}

static bool check(const Windows *w, const TuneOptions *o, Error *err) {
    if (w->count >= (size_t)(o->held_out + o->batch)) return true;
    return error_set(err, "tuning needs %lld windows, %lld to tune on and %lld held out; there are %zu: give more text",
                     (long long)(o->held_out + o->batch), (long long)o->batch, (long long)o->held_out, w->count);
}

bool tune_scales(const Model *base, Model *model, const Windows *windows, const TuneOptions *o, TuneResult *r,
                 Error *err) {
    if (!check(windows, o, err)) return false;
    Tuning t = {.base = base, .model = model};
    size_t tuned_on = windows->count - (size_t)o->held_out, steps = tuned_on / (size_t)o->batch;
    Windows held_out = {0};
    *r = (TuneResult){0};
    Lesson *lessons = mem_alloc(steps, sizeof *lessons, err);
    bool ok = lessons && tuning_open(&t, err) && lesson_take(windows, tuned_on, 1, windows->count, &held_out, err);
    for (size_t s = 0; ok && s < steps; s++) ok = lesson_open(base, windows, s, steps, tuned_on, &lessons[s], err);
    ok = ok && epochs_run(&t, lessons, (int64_t)steps, &held_out, o, r, err);
    r->tensors = (int64_t)t.count;
    for (size_t k = 0; ok && k < t.count; k++) r->scales += t.items[k].blocks * (t.items[k].grid->has_min ? 2 : 1);
    for (size_t s = 0; lessons && s < steps; s++) lesson_free(&lessons[s]);
    mem_free(lessons);
    windows_free(&held_out);
    tuning_close(&t);
    return ok;
}
