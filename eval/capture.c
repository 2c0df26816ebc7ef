#include "eval/capture.h"

#include "core/mem.h"
#include "eval/hessian.h"
#include "eval/hessian_head.h"
#include "eval/walk.h"
#include "formats/fingerprint.h"
#include <stdio.h>

typedef struct Capture {
    const Model *model;
    const CaptureOptions *options;
    StatsWriter *writer;
    double tokens;
    Hessian *open; // of the weights that tokens passed since the last layer was done
    size_t count, capacity;
    int32_t *slots; // [tensors]: index in open + 1; 0: none yet
    HessianHead head;
    HessianWork work;
} Capture;

static Hessian *hessian_of(Capture *c, const Tensor *weight, Error *err) {
    int32_t *slot = &c->slots[weight - c->model->tensors];
    if (*slot) return &c->open[*slot - 1];
    if (!mem_grow(&c->open, c->count, &c->capacity, sizeof *c->open, err)) return NULL;
    Hessian *h = &c->open[c->count++];
    *h = (Hessian){0};
    *slot = (int32_t)c->count;
    return hessian_open(h, weight, c->options->kind, c->options->output_rows, err) ? h : NULL;
}

static bool see_linear(void *context, const LinearSeen *seen, Error *err) {
    Capture *c = context;
    const Tensor *weight = model_tensor(c->model, seen->weight->name);
    if (!weight || !seen->n) return true;
    Hessian *h = hessian_of(c, weight, err);
    return h && hessian_add(h, seen, &c->work, err);
}

static bool see_head(void *context, const HeadSeen *seen, Error *err) {
    Capture *c = context;
    return hessian_head_add(&c->head, seen, &c->work, err);
}

static bool see_embedding(void *context, const EmbeddingSeen *seen, Error *err) {
    Capture *c = context;
    return hessian_embedding_add(&c->head, seen, &c->work, err);
}

// Predicts the losses of all entries, several at once, and adds them to the file.
static bool entries_add(Capture *c, StatsTensor *entries, size_t count, Error *err) {
    Error first = {0};
    bool ok = true;
#pragma omp parallel for schedule(dynamic) if (count > 1)
    for (size_t i = 0; i < (c->options->predict ? count : 0); i++) {
        Error own = {0};
        if (c->options->predict(model_tensor(c->model, entries[i].name), &entries[i], &own)) continue;
#pragma omp critical(capture_error)
        {
            if (ok) first = own;
            ok = false;
        }
    }
    if (!ok && err) *err = first;
    for (size_t i = 0; ok && i < count; i++) ok = stats_add(c->writer, &entries[i], err);
    return ok;
}

static bool see_layer(void *context, int64_t layer, Error *err) {
    Capture *c = context;
    StatsTensor *entries = mem_alloc(c->count + 2, sizeof *entries, err);
    size_t count = 0;
    int ends = 0;
    bool ok = entries != NULL;
    for (; ok && count < c->count; count++) ok = hessian_finish(&c->open[count], c->tokens, &entries[count], err);
    if (ok && layer < 0) ok = hessian_head_finish(&c->head, c->tokens, entries + count, &ends, err);
    count += (size_t)ends;
    ok = ok && entries_add(c, entries, count, err);
    for (size_t i = 0; i < count; i++) hessian_entry_free(&entries[i]);
    mem_free(entries);
    for (size_t i = 0; i < c->count; i++) {
        c->slots[c->open[i].weight - c->model->tensors] = 0;
        hessian_close(&c->open[i]);
    }
    c->count = 0;
    return ok;
}

static bool info_make(const Model *model, const Windows *w, const CaptureOptions *o, StatsInfo *info, Error *err) {
    const Window *last = &w->items[w->count - 1];
    *info = (StatsInfo){
        .kind = o->kind,
        .text = windows_hash(w),
        .windows = (int64_t)w->count,
        .ctx = w->ctx,
        .tokens = last->start + last->length,
        .experts = model->desc.experts.count,
        .seed = o->seed,
    };
    if (o->text_name) snprintf(info->text_name, sizeof info->text_name, "%s", o->text_name);
    return model_fingerprint(model, &info->model, err);
}

Stats *capture(const Model *model, const Windows *windows, const CaptureOptions *options, Error *err) {
    StatsInfo info;
    Capture c = {.model = model, .options = options};
    if (!info_make(model, windows, options, &info, err)) return NULL;
    c.tokens = (double)info.tokens;
    hessian_head_init(&c.head, options->kind, model->desc.logit_scale);
    c.slots = mem_alloc(model->tensor_count, sizeof *c.slots, err);
    const Observer observer = {see_linear, see_head, see_embedding, see_layer, &c};
    const WalkOptions walk = {.seed = options->seed, .memory = options->memory};
    bool ok = c.slots && (c.writer = stats_create(options->path, &info, err)) &&
              (options->kind == STATS_FISHER ? walk_backward(model, windows, &walk, &observer, NULL, err)
                                             : walk_forward(model, windows, &observer, err));
    for (size_t i = 0; i < c.count; i++) hessian_close(&c.open[i]);
    mem_free(c.open);
    mem_free(c.slots);
    hessian_head_close(&c.head);
    hessian_work_free(&c.work);
    if (ok) return stats_commit(c.writer, err);
    stats_abort(c.writer);
    return NULL;
}
