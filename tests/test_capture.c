// Whole captures on models of many families: every matrix of the model has statistics, sums hold together, experts have
// those of their tokens, the file is the same with any number of threads, and what goes wrong on the way leaves
// nothing.
#include "convert/open.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/threads.h"
#include "eval/capture.h"
#include "formats/imatrix.h"
#include "tests/golden_model.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>

enum { TOKENS = 2048, WINDOW = 16 };

static char directory[64], source[128], path[128];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    snprintf(path, sizeof path, "%s/a.stats", directory);
    log_set_level(LOG_QUIET);
    return 0;
}

static Model *open_golden(const char *name) {
    char file[128];
    Error err = {0};
    snprintf(file, sizeof file, "tests/data/families/%s.json", name);
    cJSON *golden = json_read(file, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    golden_write(golden, source);
    cJSON_Delete(golden);
    Model *model = model_open(source, &err);
    if (!model) fail_msg("%s", err.text);
    return model;
}

// Windows of ids by rule.
static Windows make_windows(int64_t vocab) {
    char *text = malloc(TOKENS * 12), *at = text;
    Error err = {0};
    Windows w;
    for (int64_t i = 0; i < TOKENS; i++)
        at += sprintf(at, "%d%c", (int)((i * i * 7 + i / 3) % vocab), i % WINDOW == WINDOW - 1 ? '\n' : ' ');
    if (!windows_parse(text, "ids", 0, &w, &err)) fail_msg("%s", err.text);
    free(text);
    return w;
}

static Stats *must_capture(const Model *model, const Windows *w, StatsKind kind, const char *to) {
    Error err = {0};
    CaptureOptions o = {.kind = kind, .path = to, .memory = 1 << 20, .output_rows = 48};
    Stats *s = capture(model, w, &o, &err);
    if (!s) fail_msg("%s: %s", model->path, err.text);
    return s;
}

// A matrix that linear layers or head multiply with.
static bool has_statistics(const Model *m, const Tensor *t, StatsKind kind) {
    bool embedding = strcmp(t->name, "token_embd.weight") == 0;
    if (t->dims != 2 || strcmp(t->name, "position_embd.weight") == 0) return false;
    return !embedding || m->desc.tied || kind == STATS_FISHER;
}

static bool is_expert(const char *name) {
    const char *dot = strstr(name, ".ffn_");
    return dot && (dot = strchr(dot + 1, '.')) && dot[1] >= '0' && dot[1] <= '9';
}

static void check_entry(const Model *m, const Stats *s, const Tensor *t) {
    Error err = {0};
    StatsTensor e;
    if (!stats_load(s, t->name, &e, &err)) fail_msg("%s", err.text);
    assert_int_equal(e.rows, tensor_rows(t));
    assert_int_equal(e.cols, tensor_cols(t));
    if (!is_expert(t->name) && e.tokens != TOKENS) fail_msg("%s: %g tokens", t->name, e.tokens);
    StatsKind kind = stats_info(s)->kind;
    assert_true((e.hessian != NULL) == (kind >= STATS_HESSIAN));
    for (int64_t j = 0; kind == STATS_HESSIAN && j < e.cols; j++) {
        double share = (double)e.importance[j] * e.tokens / TOKENS, h = (double)e.hessian[j * e.cols + j];
        if (fabs(share - h) > 1e-4 * share + 1e-9) fail_msg("%s: H is %g where %g belongs", t->name, h, share);
    }
    bool ends = strcmp(t->name, "token_embd.weight") == 0 || strcmp(t->name, "output.weight") == 0;
    assert_true((e.row_weights != NULL) == (kind == STATS_FISHER));
    if (kind == STATS_FISHER) assert_true((e.output != NULL) == (!ends && e.rows <= 48));
    double sum = 0;
    for (int64_t r = 0; ends && e.row_weights && r < e.rows; r++) sum += (double)e.row_weights[r];
    if (ends && e.row_weights && fabs(sum - 1) > 1e-3) fail_msg("%s: rows' weights add up to %g", t->name, sum);
    (void)m;
    stats_tensor_free(&e);
}

static void check_family(const char *name) {
    Error err = {0};
    Model *m = open_golden(name);
    Windows w = make_windows(m->desc.vocab);
    for (int kind = 0; kind < STATS_KINDS; kind++) {
        Stats *s = must_capture(m, &w, (StatsKind)kind, NULL);
        double chosen = 0;
        size_t missing = 0;
        for (size_t i = 0; i < m->tensor_count; i++) {
            const Tensor *t = &m->tensors[i];
            const StatsTensor *e = stats_find(s, t->name);
            if (e) check_entry(m, s, t);
            if (!e && has_statistics(m, t, (StatsKind)kind) && !is_expert(t->name)) {
                fail_msg("%s: there are no statistics of %s", name, t->name);
            }
            if (e && is_expert(t->name) && strstr(t->name, ".ffn_down.")) chosen += e->tokens;
            missing += !e && is_expert(t->name);
        }
        int64_t layers = 0;
        for (int64_t l = 0; l < m->desc.layers; l++) layers += desc_layer_has_experts(&m->desc, l);
        if (chosen != (double)(layers * m->desc.experts.used * TOKENS)) fail_msg("%s: %g tokens chose", name, chosen);
        // As an importance matrix and back.
        char gguf[160];
        snprintf(gguf, sizeof gguf, "%s/a.gguf", directory);
        if (!imatrix_write(gguf, s, &err)) fail_msg("%s", err.text);
        Stats *back = imatrix_read(gguf, 0, &err);
        if (!back) fail_msg("%s", err.text);
        if (stats_count(back) != stats_count(s))
            fail_msg("%s: %zu of %zu entries came back", name, stats_count(back), stats_count(s));
        stats_close(back);
        stats_close(s);
        if (missing) print_message("%s: %zu matrices of experts that no token chose\n", name, missing);
    }
    windows_free(&w);
    model_free(m);
}

static void test_families(void **state) {
    (void)state;
    static const char *const names[] = {"llama",   "gpt2",         "bloom",          "opt",
                                        "gemma2",  "phi3-hub",     "falcon-40b-hub", "cohere-hub",
                                        "mixtral", "qwen3moe-hub", "gptoss-hub",     "qwen3moe-no-norm-mlp-layer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[128];
        snprintf(file, sizeof file, "tests/data/families/%s.json", names[i]);
        if (access(file, R_OK) != 0) fail_msg("%s is not there", file);
        check_family(names[i]);
    }
}

static void test_threads(void **state) {
    (void)state;
    Model *m = open_golden("mixtral");
    Windows w = make_windows(m->desc.vocab);
    size_t size, other;
    threads_set(1);
    stats_close(must_capture(m, &w, STATS_FISHER, path));
    uint8_t *one = tiny_get(path, &size);
    for (int n = 2; n < 5; n++) {
        threads_set(n);
        stats_close(must_capture(m, &w, STATS_FISHER, path));
        uint8_t *many = tiny_get(path, &other);
        assert_int_equal(size, other);
        assert_memory_equal(one, many, size);
        free(many);
    }
    threads_set(0);
    free(one);
    unlink(path);
    windows_free(&w);
    model_free(m);
}

// What the caller is shown of each finished weight, and what it sets.
static bool set_loss(void *context, const Tensor *weight, StatsTensor *stats, Error *err) {
    int *count = context;
    assert_string_equal(weight->name, stats->name);
    assert_non_null(stats->hessian);
    if (++*count == 5) return error_set(err, "the fifth");
    stats->loss[DT_Q5_0] = *count;
    return true;
}

static void test_hook(void **state) {
    (void)state;
    Error err = {0};
    Model *m = open_golden("llama");
    Windows w = make_windows(m->desc.vocab);
    int count = 100;
    CaptureOptions o = {.kind = STATS_HESSIAN, .path = path, .finished = set_loss, .context = &count};
    Stats *s = capture(m, &w, &o, &err);
    if (!s) fail_msg("%s", err.text);
    assert_true(stats_at(s, 0)->loss[DT_Q5_0] == 101);
    assert_true(isnan(stats_at(s, 0)->loss[DT_Q5_1]));
    stats_close(s);
    unlink(path);
    count = 0;
    assert_null(capture(m, &w, &o, &err));
    assert_string_equal(err.text, "the fifth");
    assert_true(access(path, F_OK) != 0);

    w.count = 100; // of 16 tokens
    assert_null(capture(m, &w, &o, &err));
    assert_non_null(strstr(err.text, "1600 tokens"));
    assert_non_null(strstr(err.text, "at least 2048"));
    windows_free(&w);
    model_free(m);
}

static void test_memory(void **state) {
    (void)state;
    Error err = {0};
    Model *m = open_golden("mixtral");
    Windows w = make_windows(m->desc.vocab);
    CaptureOptions o = {.kind = STATS_FISHER, .path = path, .memory = 1 << 20, .output_rows = 48};
    mem_fail_at(0);
    stats_close(capture(m, &w, &o, &err));
    size_t count = mem_fail_at(0);
    unlink(path);
    // All of them take too long: some.
    for (size_t n = 1; n <= count; n += 1 + count / 60) {
        mem_fail_at(n);
        Stats *s = capture(m, &w, &o, &err);
        mem_fail_at(0);
        if (s) fail_msg("the %zu-th allocation of %zu failed unnoticed", n, count);
        assert_non_null(strstr(err.text, "memory"));
        unlink(path);
    }
    windows_free(&w);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
