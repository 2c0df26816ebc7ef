// What goldens as they are do not reach in GGUF: Gemma 2 and 3 with the scale of the scores that engines take for
// granted, windows as short as they come, layers that are windowed in another order; and memory that runs out while
// vectors are taken apart again.
#include "convert/export.h"
#include "convert/open.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/evaluate.h"
#include "formats/gguf.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static char directory[64], model_path[128], gguf_path[128], out_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const ExportOptions as_they_are = {.kernels = {widen, narrow}};

static const char tokenizer[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":null,"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
    "\"merges\":[\"a b\"]}}";

static cJSON *golden_read(const char *name) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/families/%s.json", name);
    cJSON *golden = json_read(path, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    return golden;
}

// The golden as a directory with a tokenizer; scalar: query_pre_attn_scalar from now on, 0: as it is.
static Model *open_golden(cJSON *golden, int scalar) {
    Error err = {0};
    cJSON *config = cJSON_GetObjectItemCaseSensitive(golden, "config");
    cJSON *text = cJSON_GetObjectItemCaseSensitive(config, "text_config");
    cJSON *old = cJSON_GetObjectItemCaseSensitive(text ? text : config, "query_pre_attn_scalar");
    if (scalar) cJSON_SetNumberValue(old, scalar);
    golden_write(golden, model_path);
    tiny_text(model_path, "tokenizer.json", tokenizer);
    Model *model = model_open(model_path, &err);
    if (!model) fail_msg("%s", err.text);
    return model;
}

static void evaluate_path(const char *path, const Windows *windows, Evaluation *e) {
    Error err = {0};
    Model *model = model_open(path, &err);
    if (!model || !evaluate((const Model *const *)&model, 1, windows, NULL, e, &err)) fail_msg("%s", err.text);
    e->models = NULL; // freed here
    model_free(model);
}

static void export_gguf(const Model *model, const ExportOptions *options) {
    Error err = {0};
    ExportResult result;
    if (!model_export_gguf(model, gguf_path, options, &result, &err)) fail_msg("%s", err.text);
}

static bool has_key(const char *key) {
    Error err = {0};
    GgufSet set;
    if (!gguf_set_open(gguf_path, &set, &err)) fail_msg("%s", err.text);
    bool found = gguf_find(&set.parts[0], key);
    gguf_set_close(&set);
    return found;
}

static void test_same_from_gguf(void **state) {
    static const struct {
        const char *golden;
        int head_dim;
        bool has_pattern; // of layers, as a key
    } cases[] = {{"gemma2-hub", 16, false},
                 {"gemma2", 24, false},
                 {"gemma3", 24, true},
                 {"gemma3-hub", 24, true},
                 {"gemma3-default-pattern", 24, false},
                 {"gemma3-images-hub", 16, false}};
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        Error err = {0};
        Windows windows;
        Evaluation expected, found;
        cJSON *golden = golden_read(cases[c].golden);
        char *ids = golden_ids(golden);
        if (!windows_parse(ids, cases[c].golden, 0, &windows, &err)) fail_msg("%s", err.text);
        free(ids);
        Model *model = open_golden(golden, cases[c].head_dim);
        export_gguf(model, &as_they_are);
        model_free(model);
        assert_int_equal(has_key("gemma3.attention.sliding_window_pattern"), cases[c].has_pattern);
        evaluate_path(model_path, &windows, &expected);
        evaluate_path(gguf_path, &windows, &found);
        for (int64_t i = 0; i < windows.scored; i++)
            assert_true(fabs(found.results[0].scores[i].nll - expected.results[0].scores[i].nll) <= 1e-5);
        evaluation_free(&expected);
        evaluation_free(&found);
        windows_free(&windows);
        cJSON_Delete(golden);
    }
}

// A context within the window: what engines know stays, what they do not is none.
static void test_short_context(void **state) {
    static const char *const goldens[] = {"gemma2-hub", "cohere2-hub", "phi3-hub"};
    ExportOptions options = as_they_are;
    (void)state;
    options.context = 8;
    for (size_t c = 0; c < sizeof goldens / sizeof *goldens; c++) {
        Error err = {0};
        cJSON *golden = golden_read(goldens[c]);
        Model *model = open_golden(golden, c == 0 ? 16 : 0);
        export_gguf(model, &options);
        model_free(model);
        model = model_open(gguf_path, &err);
        if (!model) fail_msg("%s", err.text);
        assert_int_equal(model->desc.context, 8);
        assert_int_equal(desc_layer_is(&model->desc, 0, LAYER_WINDOWED), c < 2);
        model_free(model);
        cJSON_Delete(golden);
    }
}

static void test_memory_out(void **state) {
    Error err = {0};
    ExportResult result;
    cJSON *golden = golden_read("stablelm-12b-hub");
    Model *model = open_golden(golden, 0);
    (void)state;
    for (size_t n = 1;; n += 1 + n / 50) { // the first ones each
        err = (Error){0};
        mem_fail_at(n);
        bool ok = model_export_hf(model, out_path, &as_they_are, &result, &err);
        size_t made = mem_fail_at(0);
        if (ok) {
            assert_true(made < n);
            break;
        }
        assert_true(err.text[0] != 0);
    }
    model_free(model);
    cJSON_Delete(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_from_gguf),
        cmocka_unit_test(test_short_context),
        cmocka_unit_test(test_memory_out),
    };
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    snprintf(gguf_path, sizeof gguf_path, "%s/model.gguf", directory);
    snprintf(out_path, sizeof out_path, "%s/out", directory);
    log_set_level(LOG_QUIET);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
