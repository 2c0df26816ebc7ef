// The forward pass against transformers: tests/data/tiny holds random Llamas in every rotary scaling and config
// spelling with the per-token nll that transformers gives in f32 (scripts/make_rope_goldens.py); and against itself,
// with a cache.
#include "convert/open.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/threads.h"
#include "eval/evaluate.h"
#include "eval/head.h"
#include "eval/transformer.h"
#include "quant/kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const variants[] = {"plain-biases",  "plain-head-dim", "linear-new", "linear-old",
                                       "dynamic-short", "dynamic-long",   "yarn-new",   "yarn-old",
                                       "yarn-factor",   "llama3-new",     "llama3-old"};

static Model *open_tiny(const char *variant) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/tiny/%s", variant);
    Model *m = model_open(path, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

static void read_windows(const char *variant, Windows *w) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/tiny/%s/tokens.txt", variant);
    char *text = file_read(path, 1 << 20, NULL, &err);
    if (!text || !windows_parse(text, path, 0, w, &err)) fail_msg("%s", err.text);
    mem_free(text);
}

static void tokens_match_transformers(void **state) {
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        char path[256];
        Error err = {0};
        Windows w;
        Evaluation e;
        Model *m = open_tiny(variants[v]);
        read_windows(variants[v], &w);
        snprintf(path, sizeof path, "tests/data/tiny/%s/golden.json", variants[v]);
        cJSON *golden = json_read(path, 1 << 20, &err);
        if (!golden || !evaluate((const Model *const *)&m, 1, &w, NULL, &e, &err)) fail_msg("%s", err.text);
        const cJSON *rows = json_member(golden, "nll"), *row, *value;
        double worst = 0;
        int64_t at = 0;
        cJSON_ArrayForEach(row, rows) cJSON_ArrayForEach(value, row) {
            assert_true(at < w.scored);
            worst = fmax(worst, fabs(value->valuedouble - e.results[0].scores[at++].nll));
        }
        assert_int_equal(at, w.scored);
        printf("%-16s %lld tokens, worst nll error %.1e\n", variants[v], (long long)at, worst);
        assert_true(worst < 1e-4);
        cJSON_Delete(golden);
        evaluation_free(&e);
        windows_free(&w);
        model_free(m);
    }
}

// One token after another with the cache gives the last logits of the whole sequence at once.
static void cache_matches_whole(void **state) {
    (void)state;
    static const char *const cached[] = {"plain-biases", "plain-head-dim", "yarn-new", "llama3-new"};
    for (size_t v = 0; v < sizeof cached / sizeof *cached; v++) {
        Error err = {0};
        Model *m = open_tiny(cached[v]);
        Windows w;
        read_windows(cached[v], &w);
        int64_t n = w.items[0].length, dim = m->desc.dim, vocab = m->desc.vocab;
        Transformer *t = transformer_new(m, n, n, &err);
        Head head;
        KvCache cache;
        if (!head_open(&head, m, &err)) fail_msg("%s", err.text);
        float *panel = mem_alloc(1, head_memory(m), &err);
        float *x = mem_alloc((size_t)(n * dim), sizeof *x, &err), *y = mem_alloc((size_t)dim, sizeof *y, &err);
        float *whole = mem_alloc((size_t)vocab, sizeof *whole, &err),
              *step = mem_alloc((size_t)vocab, sizeof *step, &err);
        if (!t || !x || !y || !whole || !step || !kv_cache_init(&cache, &m->desc, n, &err)) fail_msg("%s", err.text);
        Span all = {0, n, n - 1};
        assert_true(transformer_forward(t, w.ids, &all, 1, NULL, x, NULL, NULL, &err));
        transformer_final(t, x + (n - 1) * dim, y);
        head_logits(&head, y, whole, panel);
        for (int64_t i = 0, take; i < n; i += take) { // a prompt of seven, then one by one
            take = i ? 1 : 7;
            Span span = {0, take, take - 1};
            assert_true(transformer_forward(t, w.ids + i, &span, 1, &cache, x, NULL, NULL, &err));
            transformer_final(t, x + (take - 1) * dim, y);
        }
        head_logits(&head, y, step, panel);
        for (int64_t i = 0; i < vocab; i++) assert_true(fabsf(whole[i] - step[i]) < 1e-3f);
        Span more = {0, 1};
        assert_false(transformer_forward(t, w.ids, &more, 1, &cache, x, NULL, NULL, &err)); // the cache is full
        kv_cache_free(&cache);
        transformer_free(t);
        head_close(&head);
        float *const owned[] = {x, y, whole, step, panel};
        for (int i = 0; i < 5; i++) mem_free(owned[i]);
        windows_free(&w);
        model_free(m);
    }
}

// What is not asked for changes nothing in what is, to the last bit: blocks one after the other, from their norms on,
// or side by side.
static void unasked_rows_change_nothing(void **state) {
    (void)state;
    enum { N = 24, SPANS = 2 };
    static const char *const models[] = {"plain-biases", "plain-head-dim"};
    for (size_t v = 0; v < sizeof models / sizeof *models; v++)
        for (int kind = 0; kind < 4; kind++) {
            Error err = {0};
            Model *m = open_tiny(models[v]);
            if (kind == 1) m->desc.norm_place = NORM_THROUGH;
            m->desc.parallel = kind > 1;
            m->desc.shared_norm = kind > 2;
            int32_t ids[N];
            for (int i = 0; i < N; i++) ids[i] = (i * 37 + 5) % (int32_t)m->desc.vocab;
            const int64_t dim = m->desc.dim;
            const Span whole[SPANS] = {{0, 15, 0}, {15, N - 15, 0}}, asked[SPANS] = {{0, 15, 9}, {15, N - 15, 8}};
            Transformer *t = transformer_new(m, N, N, &err);
            float *want = mem_alloc(N, sizeof *want * (size_t)dim, &err);
            float *got = mem_alloc(N, sizeof *got * (size_t)dim, &err);
            if (!t || !want || !got) fail_msg("%s", err.text);
            assert_true(transformer_forward(t, ids, whole, SPANS, NULL, want, NULL, NULL, &err));
            assert_true(transformer_forward(t, ids, asked, SPANS, NULL, got, NULL, NULL, &err));
            for (int s = 0; s < SPANS; s++) {
                int64_t from = (asked[s].start + asked[s].asked) * dim, end = (asked[s].start + asked[s].length) * dim;
                for (int64_t i = from; i < end; i++) // OpenBLAS's digits depend on how many rows there are
                    assert_true(kernels_get()->gemm ? got[i] == want[i] : fabsf(got[i] - want[i]) < 1e-4f);
            }
            assert_true(memcmp(got, want, sizeof *got * (size_t)dim) != 0); // it was left out
            transformer_free(t);
            mem_free(want);
            mem_free(got);
            model_free(m);
        }
}

// The digits do not depend on the number of threads.
static void threads_agree(void **state) {
    (void)state;
    Error err = {0};
    Model *m = open_tiny("plain-biases");
    Windows w;
    Evaluation e[3];
    read_windows("plain-biases", &w);
    for (int i = 0; i < 3; i++) {
        threads_set(1 << i);
        if (!evaluate((const Model *const *)&m, 1, &w, NULL, &e[i], &err)) fail_msg("%s", err.text);
    }
    threads_set(0);
    for (int64_t i = 0; i < w.scored; i++)
        for (int k = 1; k < 3; k++) assert_true(e[0].results[0].scores[i].nll == e[k].results[0].scores[i].nll);
    for (int i = 0; i < 3; i++) evaluation_free(&e[i]);
    windows_free(&w);
    model_free(m);
}

// A model beside itself diverges by exactly nothing.
static void same_model_diverges_by_nothing(void **state) {
    (void)state;
    Error err = {0};
    Model *m = open_tiny("llama3-new");
    const Model *both[] = {m, m};
    Windows w;
    Evaluation e;
    read_windows("llama3-new", &w);
    if (!evaluate(both, 2, &w, NULL, &e, &err)) fail_msg("%s", err.text);
    assert_true(e.results[1].vs_base.kld_max == 0 && e.results[1].vs_base.delta_ln_ppl == 0);
    assert_true(e.results[1].vs_base.top1 == 1 && e.results[1].vs_base.rms_dp == 0);
    evaluation_free(&e);
    windows_free(&w);
    model_free(m);
}

static void ids_beyond_the_vocabulary(void **state) {
    (void)state;
    Error err = {0};
    Model *m = open_tiny("llama3-new");
    Windows w;
    Evaluation e;
    assert_true(windows_parse("1 2 100000 3\n", "ids", 0, &w, &err));
    assert_false(evaluate((const Model *const *)&m, 1, &w, NULL, &e, &err));
    assert_non_null(strstr(err.text, "100000"));
    evaluation_free(&e);
    windows_free(&w);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_match_transformers),      cmocka_unit_test(cache_matches_whole),
        cmocka_unit_test(unasked_rows_change_nothing),    cmocka_unit_test(threads_agree),
        cmocka_unit_test(same_model_diverges_by_nothing), cmocka_unit_test(ids_beyond_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
