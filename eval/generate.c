#include "eval/generate.h"

#include "core/log.h"
#include "core/mem.h"
#include "eval/sample.h"
#include "eval/head.h"
#include "eval/transformer.h"
#include <math.h>
#include <string.h>

enum { MAX_ENDS = 64 };

typedef struct Ends {
    int64_t ids[MAX_ENDS];
    int count;
} Ends;

// eos_token_id of generation_config.json, a number or a list of them; else the description's.
static void ends_find(const Model *model, Ends *ends) {
    const ModelFile *f = model_file(model, "generation_config.json");
    cJSON *config = f ? json_parse((const char *)f->data, f->size, NULL) : NULL;
    const cJSON *eos = json_member(config, "eos_token_id"), *item;
    if (cJSON_IsNumber(eos)) ends->ids[ends->count++] = (int64_t)eos->valuedouble;
    if (cJSON_IsArray(eos))
        cJSON_ArrayForEach(item, eos) if (cJSON_IsNumber(item) && ends->count < MAX_ENDS) ends->ids[ends->count++] =
            (int64_t)item->valuedouble;
    if (!ends->count && model->desc.eos >= 0) ends->ids[ends->count++] = model->desc.eos;
    cJSON_Delete(config);
}

static bool ends_with(const Ends *ends, int32_t id) {
    for (int i = 0; i < ends->count; i++)
        if (ends->ids[i] == id) return true;
    return false;
}

// Bytes at the end of text that begin a character whose rest has not come yet.
static size_t incomplete_tail(const char *text, size_t size) {
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        unsigned char c = (unsigned char)text[size - back];
        if (c < 0x80) return 0;
        if (c < 0xc0) continue; // in the middle of a character
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        return back < length ? back : 0;
    }
    return 0;
}

typedef struct Run {
    const Tokenizer *tokenizer;
    Transformer *transformer;
    Head head;
    void *panel; // for the head
    Sampler *sampler;
    KvCache cache;
    int32_t *ids; // prompt, then what was generated
    int64_t count, prompt;
    float *x, *logits; // [prompt, dim]; [vocab]
    size_t shown;      // bytes of the decoded ids that the sink has
} Run;

static void run_free(Run *r) {
    transformer_free(r->transformer);
    head_close(&r->head);
    mem_free(r->panel);
    sampler_free(r->sampler);
    kv_cache_free(&r->cache);
    mem_free(r->ids);
    mem_free(r->x);
    mem_free(r->logits);
}

// Passes on what the ids so far decode to beyond what was passed on already. Without a sink it only takes note.
static bool run_show(Run *r, TextSink sink, void *context, bool last, Error *err) {
    char *text;
    size_t size;
    if (!tokenizer_decode(r->tokenizer, r->ids, (size_t)r->count, false, &text, &size, err)) return false;
    size_t end = last ? size : size - incomplete_tail(text, size);
    // An incomplete character may decode to U+FFFD until its rest comes: hold those back too.
    while (!last && end >= 3 && memcmp(text + end - 3, "\xef\xbf\xbd", 3) == 0) end -= 3;
    if (end > r->shown) {
        if (sink) sink(context, text + r->shown, end - r->shown);
        r->shown = end;
    }
    mem_free(text);
    return true;
}

// Feeds the ids that the cache has not seen; leaves the logits for what comes next.
static bool run_step(Run *r, const Model *model, Error *err) {
    int64_t fresh = r->count - r->cache.length, dim = model->desc.dim;
    Span span = {0, fresh, fresh - 1};
    if (!transformer_forward(r->transformer, r->ids + r->cache.length, &span, 1, &r->cache, r->x, NULL, NULL, err))
        return false;
    transformer_final(r->transformer, r->x + (fresh - 1) * dim, r->x);
    head_logits(&r->head, r->x, r->logits, r->panel);
    for (int64_t i = 0; i < model->desc.vocab; i++)
        if (!isfinite(r->logits[i]))
            return error_set(err, "%s: its logits are not finite: its weights hold NaN or infinity", model->path);
    return true;
}

static bool run_init(Run *r, const Model *model, const Tokenizer *tokenizer, const char *prompt, int64_t n,
                     const Sampling *s, Error *err) {
    Ids ids;
    if (!tokenizer_encode(tokenizer, prompt, strlen(prompt), true, &ids, err)) return false;
    r->tokenizer = tokenizer;
    r->prompt = r->count = (int64_t)ids.count;
    r->ids = mem_alloc(ids.count + (size_t)n, sizeof *r->ids, err);
    if (r->ids) memcpy(r->ids, ids.ids, ids.count * sizeof *r->ids);
    ids_free(&ids);
    if (!r->ids) return false;
    if (!r->count) return error_set(err, "the prompt has no tokens; give some text with --prompt");
    for (int64_t i = 0; i < r->count; i++)
        if (r->ids[i] >= model->desc.vocab)
            return error_set(err, "%s: its tokenizer gives id %d, outside its vocabulary of %lld", model->path,
                             r->ids[i], (long long)model->desc.vocab);
    if (model->desc.positions == POSITIONS_LEARNED && r->count + n > model->desc.context)
        return error_set(err, "%s: has positions for %lld tokens, the prompt has %lld and %lld more were asked for",
                         model->path, (long long)model->desc.context, (long long)r->count, (long long)n);
    r->transformer = transformer_new(model, r->count, r->count, err);
    if (!r->transformer || !head_open(&r->head, model, err) || !linear_repack(&r->head.output, err)) return false;
    r->panel = mem_alloc(1, head_memory(model), err);
    r->sampler = sampler_new(model->desc.vocab, s->temperature, s->top_p, s->seed, err);
    r->x = mem_alloc((size_t)r->count, sizeof(float) * (size_t)model->desc.dim, err);
    r->logits = mem_alloc((size_t)model->desc.vocab, sizeof(float), err);
    return r->panel && r->sampler && r->x && r->logits && kv_cache_init(&r->cache, &model->desc, r->count + n, err) &&
           run_show(r, NULL, NULL, true, err);
}

bool generate(const Model *model, const Tokenizer *tokenizer, const char *prompt, int64_t n, const Sampling *sampling,
              TextSink sink, void *context, Generated *out, Error *err) {
    Run r = {0};
    Ends ends = {0};
    ends_find(model, &ends);
    *out = (Generated){0};
    double start = log_seconds();
    bool ok = run_init(&r, model, tokenizer, prompt, n, sampling, err) && run_step(&r, model, err);
    out->prompt_seconds = log_seconds() - start;
    out->prompt_tokens = r.prompt;
    while (ok && out->tokens < n) {
        r.ids[r.count++] = sampler_next(r.sampler, r.logits);
        out->tokens++;
        out->ended = ends_with(&ends, r.ids[r.count - 1]);
        if (out->ended) break;
        ok = run_show(&r, sink, context, false, err) && (out->tokens == n || run_step(&r, model, err));
    }
    ok = ok && run_show(&r, sink, context, true, err);
    out->seconds = log_seconds() - start - out->prompt_seconds;
    run_free(&r);
    return ok;
}
