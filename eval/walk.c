#include "eval/walk.h"

#include "core/log.h"
#include "core/mem.h"
#include "eval/activations.h"
#include "eval/block_back.h"
#include "eval/ends_back.h"
#include "eval/head_back.h"

enum {
    CHUNK = 2048, // tokens that pass a layer together: the way back needs about as many arrays again
    HEAD_STEPS = 3,
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct Walk {
    const Model *model;
    const Windows *windows;
    const Observer *observer;
    Watch watch;
    Transformer *t;
    Span *spans;         // [windows]
    int64_t tokens;      // in all windows
    int64_t step, steps; // of the progress shown: layers passed, and the head as so many
    float *x;            // [tokens, dim]: the residual stream, then the gradients there
    Head head;
    EndsBack ends;
    float *hidden, *d_hidden; // [chunk, the head's width]
    // Of the way back:
    BlockBack back;
    Activations *inputs; // of the layers
    float *input;        // [chunk, dim]
    int32_t *labels;     // [chunk]
    float *token_spread; // [chunk]
    double *row_spread;  // [vocab]
} Walk;

static bool walk_init(Walk *w, bool back, Error *err) {
    const ModelDesc *d = &w->model->desc;
    const Window *last = &w->windows->items[w->windows->count - 1];
    w->tokens = last->start + last->length;
    w->watch = (Watch){.observer = w->observer, .err = err};
    if (!windows_check(w->windows, d->vocab, err)) return false;
    w->t = transformer_new(w->model, w->windows->longest, min(w->tokens, CHUNK), err);
    w->spans = mem_alloc(w->windows->count, sizeof *w->spans, err);
    w->x = mem_alloc((size_t)w->tokens, sizeof *w->x * (size_t)d->dim, err);
    if (!w->t || !w->spans || !w->x || !head_open(&w->head, w->model, err)) return false;
    for (size_t i = 0; i < w->windows->count; i++)
        w->spans[i] = (Span){w->windows->items[i].start, w->windows->items[i].length};
    size_t chunk = (size_t)w->t->chunk, width = (size_t)desc_embed_dim(d);
    if (!(w->hidden = mem_alloc(chunk, sizeof *w->hidden * width, err))) return false;
    w->steps = d->layers + HEAD_STEPS + (back ? 2 * d->layers : 0);
    if (!back) {
        w->t->watch = w->t->mlp.watch = &w->watch;
        return ends_back_init(&w->ends, w->t, NULL, &w->watch, err);
    }
    return block_back_init(&w->back, w->t, &w->watch, err) &&
           ends_back_init(&w->ends, w->t, w->back.panel, &w->watch, err) &&
           (w->d_hidden = mem_alloc(chunk, sizeof *w->d_hidden * width, err)) &&
           (w->input = mem_alloc(chunk, sizeof *w->input * (size_t)d->dim, err)) &&
           (w->labels = mem_alloc(chunk, sizeof *w->labels, err)) &&
           (w->token_spread = mem_alloc(chunk, sizeof *w->token_spread, err)) &&
           (w->row_spread = mem_alloc((size_t)d->vocab, sizeof *w->row_spread, err));
}

static void walk_free(Walk *w) {
    ends_back_free(&w->ends);
    block_back_free(&w->back);
    activations_free(w->inputs);
    head_close(&w->head);
    transformer_free(w->t);
    void *const owned[] = {w->spans, w->x, w->hidden, w->d_hidden, w->input, w->labels, w->token_spread, w->row_spread};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
}

// So many of the walk's steps are done for n tokens; the shares of all add up to the tokens exactly.
static void progress_steps(const Walk *w, int64_t n, int64_t steps) {
    progress_add((uint64_t)(n * (w->step + steps) / w->steps - n * w->step / w->steps));
}

static void layer_passed(void *context, int64_t layer, int64_t tokens) {
    (void)layer;
    progress_steps(context, tokens, 1);
}

static bool layer_done(const Walk *w, int64_t layer, Error *err) {
    return !w->observer->layer || w->observer->layer(w->observer->context, layer, err);
}

// The chunk of spans that starts there.
static Chunk chunk_at(const Walk *w, size_t span) { return chunk_take(w->t, w->spans, span, w->windows->count, 0); }

static bool layers_forward(Walk *w, bool back, Error *err) {
    const ModelDesc *d = &w->model->desc;
    size_t count = w->windows->count;
    if (!transformer_embed(w->t, w->windows->ids, w->spans, count, 0, w->x, err)) return false;
    for (int64_t i = 0; i < d->layers; i++) {
        if (back && !activations_write(w->inputs, i, 0, w->tokens, w->x, err)) return false;
        if (!transformer_layer(w->t, i, w->spans, count, NULL, w->x, layer_passed, w, err)) return false;
        if (!back && !layer_done(w, i, err)) return false;
        w->step++;
    }
    return true;
}

static bool head_seen(const Walk *w, const Chunk *c, bool back, Error *err) {
    HeadSeen seen = {
        .weight = w->head.output.weight,
        .hidden = w->hidden,
        .token_spread = back ? w->token_spread : NULL,
        .row_spread = back ? w->row_spread : NULL,
        .n = c->tokens,
        .first = c->first,
    };
    return !w->observer->head || w->observer->head(w->observer->context, &seen, err);
}

static bool head_forward(Walk *w, Error *err) {
    for (size_t s = 0; s < w->windows->count;) {
        Chunk c = chunk_at(w, s);
        w->watch.first = c.first;
        ends_final(&w->ends, w->t, w->x + c.first * w->model->desc.dim, c.tokens, w->hidden);
        if (w->watch.failed || !head_seen(w, &c, false, err)) return false;
        progress_steps(w, c.tokens, HEAD_STEPS);
        s += c.count;
    }
    return true;
}

// w->x, the residual stream after the last layer, becomes the gradients there.
static bool head_walk_back(Walk *w, const WalkOptions *o, WalkResult *result, Error *err) {
    int64_t dim = w->model->desc.dim;
    for (size_t s = 0; s < w->windows->count;) {
        Chunk c = chunk_at(w, s);
        float *x = w->x + c.first * dim;
        HeadBack b = {
            .head = &w->head,
            .hidden = w->hidden,
            .n = c.tokens,
            .labels = w->labels,
            .draw = !o->labels,
            .seed = o->seed,
            .first = c.first,
            .d = w->d_hidden,
            .token_spread = w->token_spread,
            .row_spread = w->row_spread,
        };
        for (int64_t i = 0; o->labels && i < c.tokens; i++) w->labels[i] = o->labels[c.first + i];
        w->watch.first = c.first;
        ends_final(&w->ends, w->t, x, c.tokens, w->hidden);
        if (!head_back(&b, err)) return error_prefix(err, "%s", w->model->path);
        ends_final_back(&w->ends, w->t, x, c.tokens, w->d_hidden, x);
        if (w->watch.failed || !head_seen(w, &c, true, err)) return false;
        result->tokens += b.tokens;
        result->nll += b.nll;
        progress_steps(w, c.tokens, HEAD_STEPS);
        s += c.count;
    }
    w->step += HEAD_STEPS;
    return true;
}

static bool layer_walk_back(Walk *w, int64_t layer, Error *err) {
    int64_t dim = w->model->desc.dim;
    if (!layer_take(&w->t->layers[layer], err)) return false;
    if (layer > 0) layer_prefetch(&w->t->layers[layer - 1]);
    for (size_t s = 0; s < w->windows->count;) {
        Chunk c = chunk_at(w, s);
        const float *x = activations_read(w->inputs, layer, c.first, c.tokens, w->input, err);
        if (!x || !block_back(&w->back, w->t, layer, &c, x, w->x + c.first * dim, err)) return false;
        progress_steps(w, c.tokens, 2);
        s += c.count;
    }
    w->step += 2;
    layer_drop(&w->t->layers[layer]);
    return layer_done(w, layer, err);
}

static bool embedding_walk_back(Walk *w, Error *err) {
    const Observer *o = w->observer;
    for (size_t s = 0; s < w->windows->count;) {
        Chunk c = chunk_at(w, s);
        const int32_t *ids = w->windows->ids + c.first;
        w->watch.first = c.first;
        const float *d = ends_embedding_back(&w->ends, w->t, ids, &c, w->x + c.first * w->model->desc.dim);
        EmbeddingSeen seen = {w->t->embedding.weight, ids, d, c.tokens, c.first};
        if (w->watch.failed || (o->embedding && !o->embedding(o->context, &seen, err))) return false;
        s += c.count;
    }
    return layer_done(w, -1, err);
}

static bool labels_check(const Walk *w, const int32_t *labels, Error *err) {
    for (int64_t i = 0; labels && i < w->tokens; i++)
        if (labels[i] < -1 || labels[i] >= w->model->desc.vocab)
            return error_set(err, "label %d of token %lld is outside the model's vocabulary of %lld", labels[i],
                             (long long)i, (long long)w->model->desc.vocab);
    return true;
}

bool walk_forward(const Model *model, const Windows *windows, const Observer *observer, Error *err) {
    Walk w = {.model = model, .windows = windows, .observer = observer};
    bool ok = walk_init(&w, false, err);
    progress_start("calibrate", (uint64_t)w.tokens, PROGRESS_TOKENS);
    ok = ok && layers_forward(&w, false, err) && head_forward(&w, err) && layer_done(&w, -1, err);
    progress_end();
    walk_free(&w);
    return ok;
}

bool walk_backward(const Model *model, const Windows *windows, const WalkOptions *options, const Observer *observer,
                   WalkResult *result, Error *err) {
    Walk w = {.model = model, .windows = windows, .observer = observer};
    WalkResult own = {0};
    bool ok = walk_init(&w, true, err) && labels_check(&w, options->labels, err) &&
              (w.inputs = activations_new(model->desc.layers, w.tokens, model->desc.dim, options->memory, err));
    progress_start("calibrate", (uint64_t)w.tokens, PROGRESS_TOKENS);
    ok = ok && layers_forward(&w, true, err) && head_walk_back(&w, options, &own, err);
    for (int64_t i = model->desc.layers - 1; ok && i >= 0; i--) ok = layer_walk_back(&w, i, err);
    ok = ok && embedding_walk_back(&w, err);
    progress_end();
    walk_free(&w);
    if (result) *result = own;
    return ok;
}
