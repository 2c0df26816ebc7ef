// Every family against transformers: each golden in tests/data/families (scripts/make_family_goldens.py) is a
// checkpoint whose per-token nll must come out, from the directory, from the .nib made of it and from a GGUF file made
// of it; and a Hugging Face directory made of either must have the tensors that the first one had. One test a golden.
//   test_families [DIRECTORY [PATTERN]]      others than tests/data/families, and only those that match: 'gemma*'
#include "convert/export.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/log.h"
#include "eval/evaluate.h"
#include "formats/safetensors.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_GOLDENS = 1000 };
static const double tolerance = 1e-3;
static const double gguf_tolerance = 5e-5; // rows of heads in another order are summed in another order

// What GGUF's engines would not compute as it is: the export says so, in these words.
static const struct {
    const char *golden, *says;
} refusals[] = {
    {"bloom-6-heads-residual", "its norm_place is"},
    {"cohere-bias-untied", "its tied is"},
    {"cohere-qk-norm", "its qk_norm is"},
    {"cohere2-layer-types", "its head_dim is"},
    {"deepseek2-biases", "its attn_output_bias is"},
    {"deepseek2-groups", "its latent_norm_eps is"},
    {"deepseek3-plain", "its rows cannot be put in the order"},
    {"falcon-alibi-parallel", "its positions is"},
    {"falcon-new-alibi-bias", "has biases of linear layers"},
    {"falcon-rw-6-heads", "has biases of linear layers"},
    {"falcon-rw-hub", "has biases of linear layers"},
    {"falcon-serial-multi-query", "has biases of linear layers"},
    {"gemma2", "its attn_scale is"},
    {"gemma2-hub", "its attn_scale is"},
    {"gemma3", "its attn_scale is"},
    {"gemma3-default-pattern", "its attn_scale is"},
    {"gemma3-hub", "its attn_scale is"},
    {"gemma3-images-hub", "its attn_scale is"},
    {"gpt2-inverse-layer", "its activation is"},
    {"gpt2-unscaled-untied", "its attn_scale is"},
    {"gptj", "family gptj cannot be exported to GGUF"},
    {"gptj-hub", "family gptj cannot be exported to GGUF"},
    {"gptj-inner", "family gptj cannot be exported to GGUF"},
    {"gptneox-no-attention-bias-tied", "has no tensor output.weight"},
    {"gptoss-no-bias-limit", "has no rotary factors"},
    {"mistral-window", "no layers that see a window"},
    {"mistral-window-tied", "no layers that see a window"},
    {"mixtral-window-3-of-5-hub", "no layers that see a window"},
    {"olmo2-grouped-tied", "its tied is"},
    {"opt", "family opt cannot be exported to GGUF"},
    {"opt-350m", "family opt cannot be exported to GGUF"},
    {"opt-decoder-hub", "family opt cannot be exported to GGUF"},
    {"opt-no-bias-no-affine", "family opt cannot be exported to GGUF"},
    {"opt-projected-before", "family opt cannot be exported to GGUF"},
    {"phi2-qk-norm-grouped", "its qk_norm is"},
    {"phi3-hub", "no layers that see a window"},
    {"phi3-longrope-new", "no layers that see a window"},
    {"phi3-mini4-hub", "no layers that see a window"},
    {"qwen2-window", "no layers that see a window"},
    {"qwen2-window-hub", "no layers that see a window"},
    {"qwen3-tied-bias-window", "its attn_output_bias is"},
    {"qwen3moe-no-norm-mlp-layer", "its dense_layers is"},
    {"qwen3moe-sparse-step", "its attn_output_bias is"},
    {"qwen3moe-window", "no layers that see a window"},
    {"smollm3-hub", "its unturned_layers is"},
    {"smollm3-window-biases", "its attn_output_bias is"},
    {"stablelm-qkv-bias", "its tied is"},
    {"starcoder2-hub", "no layers that see a window"},
    {"starcoder2-no-bias", "its attn_output_bias is"},
};

// Tensors of downloads that no model uses, and what exports leave out.
static const char *const unused[] = {
    ".attn.bias",           ".attn.masked_bias", ".attention.bias",        ".attention.masked_bias",
    ".rotary_emb.inv_freq", "vision_tower.",     "multi_modal_projector.",
};

static const char *families = "tests/data/families";
static char directory[64], model_path[128], nib_path[128], gguf_path[128], out_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const WriteOptions as_it_is = {.program = "test", .kernels = {widen, narrow}};
static const ExportOptions as_they_are = {.kernels = {widen, narrow}};

static void evaluate_path(const char *path, const Windows *windows, Evaluation *e) {
    Error err = {0};
    Model *model = model_open(path, &err);
    if (!model || !evaluate((const Model *const *)&model, 1, windows, NULL, e, &err)) fail_msg("%s", err.text);
    e->models = NULL; // freed here
    model_free(model);
}

static void write_nib(void) {
    Error err = {0};
    Model *model = model_open(model_path, &err);
    if (!model || !model_write_nib(model, nib_path, &as_it_is, &err)) fail_msg("%s", err.text);
    model_free(model);
}

static const char *refusal_of(const char *name) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(refusals[i].golden, name) == 0) return refusals[i].says;
    return NULL;
}

// Whether there is a GGUF file now, as there must be unless it is listed why not.
static bool write_gguf(const char *name) {
    Error err = {0};
    ExportResult result;
    const char *refusal = refusal_of(name);
    Model *model = model_open(nib_path, &err);
    if (!model) fail_msg("%s", err.text);
    bool ok = model_export_gguf(model, gguf_path, &as_they_are, &result, &err);
    model_free(model);
    if (!ok && !refusal) fail_msg("%s: GGUF: %s", name, err.text);
    if (ok && refusal) fail_msg("%s: a GGUF file was made; expected: %s", name, refusal);
    if (!ok && !strstr(err.text, refusal)) fail_msg("%s: GGUF: %s; expected: %s", name, err.text, refusal);
    return ok;
}

static void gguf_matches(const char *name, const Windows *windows, const Evaluation *expected) {
    Evaluation from_gguf;
    if (!write_gguf(name)) return;
    evaluate_path(gguf_path, windows, &from_gguf);
    double worst = 0;
    for (int64_t i = 0; i < windows->scored; i++) {
        double off = fabs(from_gguf.results[0].scores[i].nll - expected->results[0].scores[i].nll);
        worst = fmax(worst, isnan(off) ? INFINITY : off);
    }
    evaluation_free(&from_gguf);
    printf("%-30s GGUF off by %.1e\n", name, worst);
    if (!(worst <= gguf_tolerance)) fail_msg("%s: from GGUF a token's nll is off by %g", name, worst);
}

static bool is_unused(const char *name) {
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        if (strstr(name, unused[i])) return true;
    return false;
}

static TensorFile *open_weights(const char *model) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    TensorFile *file = safetensors_open(path, &err);
    if (!file) fail_msg("%s", err.text);
    return file;
}

static bool same_tensor(const Tensor *a, const Tensor *b) {
    return a->type == b->type && a->dims == b->dims &&
           memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->dims) == 0 && a->bytes == b->bytes &&
           memcmp(a->data, b->data, a->bytes) == 0;
}

// Of the same name, or of one that begins otherwise: downloads may leave "transformer." out where exports do not.
static const Tensor *find_counterpart(const TensorFile *file, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < file->count; i++) {
        const char *other = file->tensors[i].source;
        size_t m = strlen(other), least = m < n ? m : n;
        bool whole = m == n || (m > n ? other[m - n - 1] : name[n - m - 1]) == '.';
        if (whole && memcmp(name + n - least, other + m - least, least) == 0) return &file->tensors[i];
    }
    return NULL;
}

// Exported from a model, the directory's tensors are those of the first, bit for bit.
static void directory_matches(const char *from) {
    Error err = {0};
    ExportResult result;
    tiny_remove(out_path);
    Model *model = model_open(from, &err);
    if (!model || !model_export_hf(model, out_path, &as_they_are, &result, &err)) fail_msg("%s", err.text);
    model_free(model);
    TensorFile *was = open_weights(model_path), *is = open_weights(out_path);
    for (size_t i = 0; i < is->count; i++)
        if (!find_counterpart(was, is->tensors[i].source)) fail_msg("%s: is new", is->tensors[i].source);
    for (size_t i = 0; i < was->count; i++) {
        const Tensor *t = &was->tensors[i], *other = find_counterpart(is, t->source);
        if (other ? !same_tensor(t, other) : !is_unused(t->source))
            fail_msg("%s: is %s", t->source, other ? "another" : "lost");
    }
    tensor_file_close(was);
    tensor_file_close(is);
}

static void nll_is_the_same(const char *path, const Windows *windows, const Evaluation *expected) {
    Evaluation e;
    evaluate_path(path, windows, &e);
    for (int64_t i = 0; i < windows->scored; i++)
        assert_true(e.results[0].scores[i].nll == expected->results[0].scores[i].nll);
    evaluation_free(&e);
}

static void tokens_match(void **state) {
    char path[512];
    Error err = {0};
    Windows windows;
    Evaluation from_directory;
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
    nll_is_the_same(nib_path, &windows, &from_directory);
    directory_matches(nib_path);
    directory_matches(model_path);
    nll_is_the_same(out_path, &windows, &from_directory);
    gguf_matches(name, &windows, &from_directory);

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
    snprintf(gguf_path, sizeof gguf_path, "%s/model.gguf", directory);
    snprintf(out_path, sizeof out_path, "%s/out", directory);
    log_set_level(LOG_QUIET);
    int failed = _cmocka_run_group_tests("families", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) free(tests[i].initial_state);
    tiny_remove(directory);
    return failed;
}
