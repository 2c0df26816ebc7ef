#include "eval/capture.h"

#include "core/mem.h"
#include "eval/hessian.h"
#include "eval/hessian_head.h"
#include "eval/walk.h"
#include "formats/fingerprint.h"
#include <stdio.h>
#include <string.h>

typedef struct Capture {
    const Model *model;
    const CaptureOptions *options;
    StatsWriter *writer;
    int64_t tokens; // of the text
    Hessian *items; // of the layer that is walked through
    size_t count, capacity;
    HessianHead head;
    HessianWork work;
} Capture;

int64_t capture_tokens_min(StatsKind kind) {
    // A matrix of second moments needs more than the mean squares on its diagonal.
    return kind == STATS_IMPORTANCE ? 512 : 2048;
}

// ---- what the walk shows

static Hessian *find(Capture *c, const Tensor *weight) {
    for (size_t i = c->count; i-- > 0;)
        if (strcmp(c->items[i].weight->name, weight->name) == 0) return &c->items[i];
    return NULL;
}

static bool on_linear(void *context, const LinearSeen *seen, Error *err) {
    Capture *c = context;
    Hessian *h = find(c, seen->weight);
    if (!h) {
        if (!mem_grow(&c->items, c->count, &c->capacity, sizeof *c->items, err)) return false;
        h = &c->items[c->count];
        if (!hessian_open(h, seen->weight, c->options->kind, c->options->output_rows, err)) return false;
        c->count++;
    }
    return hessian_add(h, seen, &c->work, err);
}

static bool on_head(void *context, const HeadSeen *seen, Error *err) {
    Capture *c = context;
    return hessian_head_add(&c->head, seen, &c->work, err);
}

static bool on_embedding(void *context, const EmbeddingSeen *seen, Error *err) {
    Capture *c = context;
    return hessian_embedding_add(&c->head, seen, &c->work, err);
}

// ---- what is finished

static bool keep(Capture *c, StatsTensor *entry, Error *err) {
    const Tensor *weight = model_tensor(c->model, entry->name);
    return (!c->options->finished || !weight || c->options->finished(c->options->context, weight, entry, err)) &&
           stats_add(c->writer, entry, err);
}

static bool keep_linear(Capture *c, Hessian *h, Error *err) {
    StatsTensor entry;
    if (h->tokens <= 0) return true;
    if (!hessian_finish(h, (double)c->tokens, &entry, err)) return false;
    bool ok = keep(c, &entry, err);
    hessian_entry_free(&entry);
    return ok;
}

static bool keep_head(Capture *c, Error *err) {
    StatsTensor entries[2];
    int count;
    bool ok = hessian_head_finish(&c->head, (double)c->tokens, entries, &count, err);
    for (int i = 0; ok && i < count; i++) ok = keep(c, &entries[i], err);
    for (int i = 0; i < count; i++) hessian_entry_free(&entries[i]);
    return ok;
}

static bool on_layer(void *context, int64_t layer, Error *err) {
    Capture *c = context;
    bool ok = true;
    // What stands between embedding and layers comes with the ends.
    for (size_t i = 0; i < c->count; i++) {
        ok = ok && keep_linear(c, &c->items[i], err);
        hessian_close(&c->items[i]);
    }
    c->count = 0;
    return ok && (layer >= 0 || keep_head(c, err));
}

// ---- the whole

static bool check_tokens(const Windows *w, StatsKind kind, int64_t tokens, Error *err) {
    int64_t needed = capture_tokens_min(kind);
    return tokens >= needed || error_set(err,
                                         "the calibration text has %lld tokens in %zu windows; statistics of the kind "
                                         "%s need at least %lld: give "
                                         "more text, or more windows",
                                         (long long)tokens, w->count, stats_kind_name(kind), (long long)needed);
}

static bool fill_info(const Capture *c, const Windows *w, StatsInfo *info, Error *err) {
    const CaptureOptions *o = c->options;
    *info = (StatsInfo){.kind = o->kind,
                        .text = windows_hash(w),
                        .windows = (int64_t)w->count,
                        .ctx = w->ctx,
                        .tokens = c->tokens,
                        .experts = c->model->desc.experts.count,
                        .seed = o->kind == STATS_FISHER ? o->seed : 0};
    snprintf(info->text_name, sizeof info->text_name, "%s", o->text_name ? o->text_name : "");
    return model_fingerprint(c->model, &info->model, err);
}

static bool walk(Capture *c, const Windows *w, Error *err) {
    const CaptureOptions *o = c->options;
    Observer observer = {on_linear, on_head, on_embedding, on_layer, c};
    WalkOptions walk_options = {.seed = o->seed, .memory = o->memory};
    return o->kind == STATS_FISHER ? walk_backward(c->model, w, &walk_options, &observer, NULL, err)
                                   : walk_forward(c->model, w, &observer, err);
}

Stats *capture(const Model *model, const Windows *windows, const CaptureOptions *options, Error *err) {
    Capture c = {.model = model, .options = options};
    StatsInfo info;
    Stats *stats = NULL;
    for (size_t i = 0; i < windows->count; i++) c.tokens += windows->items[i].length;
    hessian_head_init(&c.head, options->kind, model->desc.logit_scale);
    if (check_tokens(windows, options->kind, c.tokens, err) && windows_check(windows, model->desc.vocab, err) &&
        fill_info(&c, windows, &info, err) && (c.writer = stats_create(options->path, &info, err)) &&
        walk(&c, windows, err)) {
        stats = stats_commit(c.writer, err);
        c.writer = NULL;
    }
    stats_abort(c.writer);
    for (size_t i = 0; i < c.count; i++) hessian_close(&c.items[i]);
    mem_free(c.items);
    hessian_head_close(&c.head);
    hessian_work_free(&c.work);
    return stats;
}
