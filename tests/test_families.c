// Every family against transformers: each golden in tests/data/families (scripts/make_family_goldens.py) is a
// checkpoint whose per-token nll must come out, from the directory and from the .nib made of it. One test a golden.
//   test_families [DIRECTORY [PATTERN]]      others than tests/data/families, and only those that match: 'gemma*'
#include "convert/open.h"
#include "convert/write.h"
#include "core/log.h"
#include "eval/evaluate.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_GOLDENS = 1000 };
static const double tolerance = 1e-3;

static const char *families = "tests/data/families";
static char directory[64], model_path[128], nib_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const WriteOptions as_it_is = {.program = "test", .kernels = {widen, narrow}};

static void evaluate_path(const char *path, const Windows *windows, Evaluation *e) {
    Error err = {0};
    Model *model = model_open(path, &err);
    if (!model || !evaluate((const Model *const *)&model, 1, windows, e, &err)) fail_msg("%s", err.text);
    e->models = NULL; // freed here
    model_free(model);
}

static void write_nib(void) {
    Error err = {0};
    Model *model = model_open(model_path, &err);
    if (!model || !model_write_nib(model, nib_path, &as_it_is, &err)) fail_msg("%s", err.text);
    model_free(model);
}

static void tokens_match(void **state) {
    char path[512];
    Error err = {0};
    Windows windows;
    Evaluation from_directory, from_nib;
    const char *name = *state;
    snprintf(path, sizeof path, "%s/%s.json", families, name);
    cJSON *golden = json_read(path, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    golden_write(golden, model_path);
    char *ids = golden_ids(golden);
    if (!windows_parse(ids, path, 0, &windows, &err)) fail_msg("%s", err.text);
    free(ids);

    evaluate_path(model_path, &windows, &from_directory);
    double worst = 0;
    int64_t at = 0;
    const cJSON *sequence, *value;
    cJSON_ArrayForEach(sequence, json_member(golden, "sequences")) {
        cJSON_ArrayForEach(value, json_member(sequence, "nll")) {
            assert_true(at < windows.scored);
            double off = fabs(value->valuedouble - from_directory.results[0].scores[at++].nll);
            worst = fmax(worst, isnan(off) ? INFINITY : off);
        }
    }
    assert_int_equal(at, windows.scored);
    printf("%-30s worst %.1e (%lld tokens)\n", name, worst, (long long)at);
    if (!(worst <= tolerance)) fail_msg("%s: a token's nll is off by %g", name, worst);

    write_nib();
    evaluate_path(nib_path, &windows, &from_nib);
    for (int64_t i = 0; i < at; i++)
        assert_true(from_nib.results[0].scores[i].nll == from_directory.results[0].scores[i].nll);

    evaluation_free(&from_nib);
    evaluation_free(&from_directory);
    windows_free(&windows);
    cJSON_Delete(golden);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

// A test for each NAME.json, sorted; names stay until the program ends.
static size_t list_goldens(struct CMUnitTest tests[MAX_GOLDENS]) {
    size_t count = 0;
    DIR *d = opendir(families);
    if (!d) tiny_die(families);
    for (struct dirent *entry; (entry = readdir(d)) && count < MAX_GOLDENS;) {
        size_t n = strlen(entry->d_name);
        if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0) continue;
        char *name = strndup(entry->d_name, n - 5);
        if (!name) tiny_die("strndup");
        tests[count++] = (struct CMUnitTest){name, tokens_match, NULL, NULL, name};
    }
    closedir(d);
    qsort(tests, count, sizeof *tests, by_name);
    return count;
}

int main(int argc, char **argv) {
    static struct CMUnitTest tests[MAX_GOLDENS];
    if (argc > 1) families = argv[1];
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    size_t count = list_goldens(tests);
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    snprintf(nib_path, sizeof nib_path, "%s/model.nib", directory);
    log_set_level(LOG_QUIET);
    int failed = _cmocka_run_group_tests("families", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) free(tests[i].initial_state);
    tiny_remove(directory);
    return failed;
}
