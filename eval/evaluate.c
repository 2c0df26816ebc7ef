#include "eval/evaluate.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/memory_available.h"
#include "eval/statistics.h"
#include "eval/transformer.h"
#include <math.h>
#include <string.h>
#include <sys/resource.h>

enum {
    GROUP_BYTES = 192 << 20, // for a group's residual streams and final hidden states, where the weights stay in memory
    LEAST_BYTES = 16 << 20,  // ... at least
    SCRATCH_BYTES = 256ull << 20 // what else a transformer and the head take, about
};

typedef struct Group {
    const Windows *windows;
    size_t first, count;
    int64_t tokens, scored; // in the group
    int64_t scored_before;  // in groups before it
} Group;

static int64_t widest(const Model *const *models, int count) {
    int64_t dim = 0;
    for (int k = 0; k < count; k++)
        if (models[k]->desc.dim > dim) dim = models[k]->desc.dim;
    return dim;
}

// Larger groups read the weights less often: where those do not stay in memory, a group gets all that is left of it.
static int64_t group_bytes(const Model *const *models, int count, size_t memory) {
    uint64_t weights = 0, layer = 0;
    for (int k = 0; k < count; k++) {
        uint64_t own = models[k]->file_bytes / (uint64_t)(models[k]->desc.layers + 1);
        weights += models[k]->file_bytes;
        if (own > layer) layer = own;
    }
    uint64_t taken = SCRATCH_BYTES + 2 * layer, left = memory > taken ? memory - taken : 0; // this layer and the next
    if (weights < left && left - weights > GROUP_BYTES) left = GROUP_BYTES;
    return (int64_t)(left > LEAST_BYTES ? left : LEAST_BYTES);
}

// As many windows from `first` on as fit, at least one.
static Group group_take(const Windows *w, size_t first, int64_t scored_before, const Model *const *models, int count,
                        int64_t bytes, size_t most) {
    Group g = {.windows = w, .first = first, .scored_before = scored_before};
    const int64_t width = widest(models, count), number = sizeof(float);
    int64_t hidden = 0; // bytes of a number in the final hidden states
    for (int k = 0; k < count; k++) hidden += (int64_t)head_hidden_bytes(models[k]);
    while (first + g.count < w->count && (!most || g.count < most)) {
        const Window *next = &w->items[first + g.count];
        int64_t tokens = g.tokens + next->length, scored = g.scored + next->length - next->first;
        if (g.count && (tokens * number + scored * hidden) * width > bytes) break;
        g.tokens = tokens;
        g.scored = scored;
        g.count++;
    }
    return g;
}

typedef struct Progress {
    int64_t layers;
} Progress;

// A layer is its share of the tokens' work; the shares of all layers add up to the tokens exactly.
static void layer_done(void *context, int64_t layer, int64_t tokens) {
    int64_t layers = ((const Progress *)context)->layers;
    progress_add((uint64_t)(tokens * (layer + 1) / layers - tokens * layer / layers));
}

// One model over the group: its finally normed hidden states at the positions that predict scored tokens.
static bool group_forward(const Group *g, const Model *model, float *x, float *hidden, Error *err) {
    const Windows *w = g->windows;
    Transformer *t = transformer_new(model, w->longest, g->tokens, err);
    Span *spans = mem_alloc(g->count, sizeof *spans, err);
    bool ok = t && spans;
    int64_t origin = w->items[g->first].start;
    for (size_t i = 0; ok && i < g->count; i++)
        spans[i] = (Span){w->items[g->first + i].start - origin, w->items[g->first + i].length,
                          w->items[g->first + i].first - 1};
    Progress progress = {model->desc.layers};
    ok = ok && transformer_forward(t, w->ids + origin, spans, g->count, NULL, x, layer_done, &progress, err);
    for (size_t i = 0; ok && i < g->count; i++)
        for (int64_t p = w->items[g->first + i].first - 1; p + 1 < spans[i].length;
             p++, hidden += desc_embed_dim(&model->desc))
            transformer_final(t, x + (spans[i].start + p) * model->desc.dim, hidden);
    mem_free(spans);
    transformer_free(t);
    return ok || error_prefix(err, "%s", model->path);
}

static bool group_evaluate(const Group *g, Evaluation *e, Error *err) {
    const Windows *w = g->windows;
    HeadInput *inputs = mem_alloc((size_t)e->count, sizeof *inputs, err);
    Head *heads = mem_alloc((size_t)e->count, sizeof *heads, err);
    float **hidden = mem_alloc((size_t)e->count, sizeof *hidden, err);
    int32_t *targets = mem_alloc((size_t)g->scored, sizeof *targets, err);
    float *x = mem_alloc((size_t)g->tokens, sizeof *x * (size_t)widest(e->models, e->count), err);
    bool ok = inputs && heads && hidden && targets && x;
    for (int k = 0; ok && k < e->count; k++) {
        const Model *m = e->models[k];
        hidden[k] = mem_alloc((size_t)g->scored, sizeof(float) * (size_t)desc_embed_dim(&m->desc), err);
        ok = hidden[k] && group_forward(g, m, x, hidden[k], err);
        ok = ok && head_open(&heads[k], m, err);
        inputs[k] = (HeadInput){&heads[k], hidden[k], e->results[k].scores + g->scored_before};
    }
    mem_free(x);
    int64_t n = 0;
    for (size_t i = 0; ok && i < g->count; i++) {
        const Window *item = &w->items[g->first + i];
        for (int64_t p = item->first; p < item->length; p++) targets[n++] = w->ids[item->start + p];
    }
    ok = ok && head_score(inputs, e->count, n, targets, err);
    for (int k = 0; hidden && k < e->count; k++) mem_free(hidden[k]);
    for (int k = 0; heads && k < e->count; k++) head_close(&heads[k]);
    mem_free(inputs);
    mem_free(hidden);
    mem_free(heads);
    mem_free(targets);
    return ok;
}

static bool models_check(const Model *const *models, int count, const Windows *windows, Error *err) {
    for (int k = 1; k < count; k++)
        if (models[k]->desc.vocab != models[0]->desc.vocab)
            return error_set(
                err, "%s: has a vocabulary of %lld, %s one of %lld; only models that share it can be compared",
                models[k]->path, (long long)models[k]->desc.vocab, models[0]->path, (long long)models[0]->desc.vocab);
    return windows_check(windows, models[0]->desc.vocab, err);
}

static size_t memory_default(void) {
    uint64_t available = memory_available();
    return available > SIZE_MAX ? SIZE_MAX : (size_t)(available / 4 * 3);
}

static uint64_t peak_rss(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

bool evaluation_init(Evaluation *e, int count, const Windows *windows, Error *err) {
    *e = (Evaluation){.count = count, .windows = windows};
    e->results = mem_alloc((size_t)count, sizeof *e->results, err);
    for (int k = 0; e->results && k < count; k++) {
        e->results[k].scores = mem_alloc((size_t)windows->scored, sizeof(TokenScore), err);
        e->results[k].window_nll = mem_alloc(windows->count, sizeof(double), err);
        if (!e->results[k].scores || !e->results[k].window_nll) return false;
    }
    return e->results != NULL;
}

static bool summarize(ModelSummary *s, const Model *m, Error *err) {
    s->file_bytes = (double)m->file_bytes;
    s->tensor_bytes = (double)model_tensor_bytes(m);
    s->bits_per_weight = model_bits_per_weight(m);
    if (m->has_identity) hash_hex(m->identity, s->identity);
    return (s->path = mem_text(m->path, strlen(m->path), err)) != NULL;
}

bool evaluation_name(Evaluation *e, const Model *const *models, int count, const Windows *windows, Error *err) {
    bool ok = evaluation_init(e, count, windows, err);
    e->models = models;
    for (int k = 0; ok && k < count; k++) ok = summarize(&e->results[k].model, models[k], err);
    return ok;
}

// What was done before; returns how many tokens that scored.
static int64_t take_over(Evaluation *e, const EvaluateOptions *o) {
    int64_t scored = 0;
    for (size_t i = 0; o->before && i < o->done; i++)
        scored += e->windows->items[i].length - e->windows->items[i].first;
    for (int k = 0; o->before && k < e->count; k++)
        memcpy(e->results[k].scores, o->before->results[k].scores, (size_t)scored * sizeof(TokenScore));
    return scored;
}

static uint64_t tokens_from(const Windows *w, size_t first) {
    uint64_t tokens = 0;
    for (size_t i = first; i < w->count; i++) tokens += (uint64_t)w->items[i].length;
    return tokens;
}

bool evaluate(const Model *const *models, int count, const Windows *windows, const EvaluateOptions *options,
              Evaluation *out, Error *err) {
    const EvaluateOptions none = {0}, *o = options ? options : &none;
    double start = log_seconds();
    int64_t bytes = group_bytes(models, count, o->memory ? o->memory : memory_default());
    *out = (Evaluation){0};
    bool ok = models_check(models, count, windows, err) && evaluation_name(out, models, count, windows, err);
    if (!ok) return false;
    int64_t scored = take_over(out, o);
    uint64_t tokens = tokens_from(windows, o->done) * (uint64_t)count;
    progress_start("eval", tokens, PROGRESS_TOKENS);
    for (size_t first = o->done; ok && first < windows->count;) {
        Group g = group_take(windows, first, scored, models, count, bytes, o->most);
        ok = group_evaluate(&g, out, err);
        first += g.count;
        scored += g.scored;
        ok = ok && (!o->saved || o->saved(o->context, out, first, err));
    }
    progress_end();
    ok = ok && statistics_fill(out, err);
    out->seconds = log_seconds() - start;
    out->tokens_per_second = (double)tokens / out->seconds;
    out->peak_rss = (double)peak_rss();
    return ok;
}

void evaluation_free(Evaluation *e) {
    for (int k = 0; e->results && k < e->count; k++) {
        mem_free(e->results[k].scores);
        mem_free(e->results[k].window_nll);
        mem_free(e->results[k].model.path);
    }
    mem_free(e->results);
    *e = (Evaluation){0};
}
