#include "cli/bench.h"

#include "core/log.h"
#include "core/mem.h"
#include "eval/head.h"
#include "eval/transformer.h"
#include <math.h>

typedef struct Run {
    const Model *model;
    Transformer *transformer;
    Head head;
    void *panel; // for the head
    KvCache cache;
    int32_t *ids; // [the longer of prompt and gen]
    float *x, *logits;
} Run;

static bool run_init(Run *r, const Model *m, int64_t longest, Error *err) {
    r->model = m;
    r->ids = mem_alloc((size_t)longest, sizeof *r->ids, err);
    for (int64_t i = 0; r->ids && i < longest; i++) r->ids[i] = (int32_t)((i * 7919 + 11) % m->desc.vocab);
    return r->ids && (r->transformer = transformer_new(m, longest, longest, err)) && head_open(&r->head, m, err) &&
           (r->panel = mem_alloc(1, head_memory(m), err)) &&
           (r->x = mem_alloc((size_t)longest, sizeof *r->x * (size_t)m->desc.dim, err)) &&
           (r->logits = mem_alloc((size_t)m->desc.vocab, sizeof *r->logits, err)) &&
           kv_cache_init(&r->cache, &m->desc, longest, err);
}

static void run_free(Run *r) {
    transformer_free(r->transformer);
    head_close(&r->head);
    kv_cache_free(&r->cache);
    mem_free(r->panel);
    mem_free(r->ids);
    mem_free(r->x);
    mem_free(r->logits);
}

// Tokens first .. first + n - 1 and the logits after the last.
static bool step(Run *r, int64_t first, int64_t n, Error *err) {
    Span span = {0, n, n - 1};
    if (!transformer_forward(r->transformer, r->ids + first, &span, 1, &r->cache, r->x, NULL, NULL, err)) return false;
    transformer_final(r->transformer, r->x + (n - 1) * r->model->desc.dim, r->x);
    head_logits(&r->head, r->x, r->logits, r->panel);
    return true;
}

typedef struct Rate {
    double mean, deviation; // tokens a second
} Rate;

// `count` tokens, `at_once` together, from an empty cache; a first run does not count.
static bool measure(Run *r, int64_t count, int64_t at_once, int repeat, Rate *rate, Error *err) {
    double sum = 0, squares = 0;
    for (int i = 0; i <= repeat; i++) {
        r->cache.length = 0;
        double start = log_seconds();
        for (int64_t t = 0; t < count; t += at_once)
            if (!step(r, t, at_once, err)) return false;
        double tokens = (double)count / (log_seconds() - start);
        if (i == 0) continue;
        sum += tokens;
        squares += tokens * tokens;
    }
    rate->mean = sum / repeat;
    rate->deviation = sqrt(fmax(0, squares / repeat - rate->mean * rate->mean));
    return true;
}

// Bytes of weights that a token reads: all but the embedding where the head has a tensor of its own.
static double bytes_a_token(const Model *m) {
    double bytes = 0;
    const Tensor *embedding = m->desc.tied ? NULL : model_tensor(m, "token_embd.weight");
    for (size_t i = 0; i < m->tensor_count; i++)
        if (&m->tensors[i] != embedding) bytes += (double)m->tensors[i].bytes;
    return bytes;
}

bool bench_model(Bench *b, const Model *m, const BenchModel *what, Error *err) {
    Run r = {0};
    Rate prefill, decode;
    bool ok = run_init(&r, m, what->prompt > what->gen ? what->prompt : what->gen, err) &&
              measure(&r, what->prompt, what->prompt, what->repeat, &prefill, err) &&
              linear_repack(&r.head.output, err) && measure(&r, what->gen, 1, what->repeat, &decode, err);
    run_free(&r);
    if (!ok) return error_prefix(err, "%s", m->path);
    double read = bytes_a_token(m) * decode.mean;
    cJSON *models = cJSON_GetObjectItem(b->json, "models"), *o = cJSON_CreateObject();
    if (!models) models = cJSON_AddArrayToObject(b->json, "models");
    cJSON_AddStringToObject(o, "path", m->path);
    cJSON_AddStringToObject(o, "compute", compute_name(m->compute));
    cJSON_AddNumberToObject(o, "prompt", (double)what->prompt);
    cJSON_AddNumberToObject(o, "prefill_tokens_per_second", prefill.mean);
    cJSON_AddNumberToObject(o, "prefill_deviation", prefill.deviation);
    cJSON_AddNumberToObject(o, "gen", (double)what->gen);
    cJSON_AddNumberToObject(o, "decode_tokens_per_second", decode.mean);
    cJSON_AddNumberToObject(o, "decode_deviation", decode.deviation);
    cJSON_AddNumberToObject(o, "decode_gb_per_second", read / 1e9);
    cJSON_AddNumberToObject(o, "decode_share_of_bandwidth", read / b->bandwidth);
    cJSON_AddItemToArray(models, o);
    if (b->table)
        fprintf(
            b->table,
            "%s, %s: prefill %lld: %.1f +- %.1f tokens/s; decode %lld: %.1f +- %.1f tokens/s, %.1f GB/s (%.0f %%)\n",
            m->path, compute_name(m->compute), (long long)what->prompt, prefill.mean, prefill.deviation,
            (long long)what->gen, decode.mean, decode.deviation, read / 1e9, 100 * read / b->bandwidth);
    return true;
}
