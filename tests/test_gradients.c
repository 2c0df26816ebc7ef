// The way back through every family against torch: each golden in tests/data/gradients (made, and explained, by
// scripts/make_gradient_goldens.py) has the gradients of a checkpoint of tests/data/families, to which those that a
// walk's observer sees must come. Ends with a table: the worst relative error of each family. One test a golden.
//   test_gradients [PATTERN]      only those that match: 'gemma*'
#include "convert/family.h"
#include "convert/open.h"
#include "convert/regroup.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/threads.h"
#include "eval/walk.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <cblas.h>
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_GOLDENS = 1000, MAX_FAMILIES = 100, PROJECTIONS = 4 };
static const double tolerance = 1e-4; // of |dW|; f32 arithmetic in torch is up to 1e-5 away from f64

// What comes of one family's goldens.
typedef struct FamilyRow {
    char name[32], worst[128]; // worst: which tensor of which golden
    double error, noise;       // noise: of torch in f32
    int goldens, tensors;
} FamilyRow;

static FamilyRow table[MAX_FAMILIES];
static char directory[64], model_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const CastKernels kernels = {widen, narrow};

// ---- dW of every matrix

// A model of gradients: its tensors are the matrices of another, in f32, each the sum of what was seen.
typedef struct Sums {
    Model *model;
    double **sums;   // a tensor each
    int64_t *tokens; // that passed
    int64_t walk;    // tokens of the walk
} Sums;

static void sums_init(Sums *s, const Model *of, int64_t tokens) {
    Error err = {0};
    *s = (Sums){.model = model_new("", &err), .walk = tokens};
    s->sums = calloc(of->tensor_count, sizeof *s->sums);
    s->tokens = calloc(of->tensor_count, sizeof *s->tokens);
    if (!s->model || !s->sums || !s->tokens) tiny_die("calloc");
    s->model->desc = of->desc;
    for (size_t i = 0; i < of->tensor_count; i++) {
        Tensor t = {.type = DT_F32, .dims = 2};
        if (of->tensors[i].dims < 2) continue;
        memcpy(t.shape, of->tensors[i].shape, sizeof t.shape);
        t.name = mem_text(of->tensors[i].name, strlen(of->tensors[i].name), &err);
        t.source = mem_text(of->tensors[i].source, strlen(of->tensors[i].source), &err);
        float *data = calloc((size_t)tensor_elements(&t), sizeof *data);
        t.data = (const uint8_t *)data;
        if (!data || !tensor_size(&t, &err) || !model_add_tensor(s->model, &t, &err)) tiny_die("sums_init");
        s->sums[s->model->tensor_count - 1] = calloc((size_t)tensor_elements(&t), sizeof(double));
        if (!s->sums[s->model->tensor_count - 1]) tiny_die("calloc");
    }
}

static void sums_free(Sums *s) {
    for (size_t i = 0; i < s->model->tensor_count; i++) {
        free((void *)s->model->tensors[i].data);
        free(s->sums[i]);
    }
    free(s->sums);
    free(s->tokens);
    model_free(s->model);
}

static size_t sums_index(const Sums *s, const Tensor *weight) {
    const Tensor *t = model_tensor(s->model, weight->name);
    if (!t) fail_msg("%s was seen, which is no matrix of the model", weight->name);
    return (size_t)(t - s->model->tensors);
}

// A matrix in f64. Free with free.
static double *widened(const float *x, int64_t n) {
    double *out = calloc((size_t)n, sizeof *out);
    if (!out) tiny_die("calloc");
    for (int64_t i = 0; i < n; i++) out[i] = (double)x[i];
    return out;
}

// dW += g^T x
static bool add_linear(void *context, const LinearSeen *seen, Error *err) {
    Sums *s = context;
    size_t at = sums_index(s, seen->weight);
    int rows = (int)tensor_rows(seen->weight), cols = (int)tensor_cols(seen->weight);
    double *g = widened(seen->gradient, seen->n * rows), *x = widened(seen->x, seen->n * cols);
    (void)err;
    assert_true(seen->first >= 0 && seen->n > 0 && seen->first + seen->n <= s->walk);
    s->tokens[at] += seen->n;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, cols, (int)seen->n, 1, g, rows, x, cols, 1, s->sums[at],
                cols);
    free(g);
    free(x);
    return true;
}

static bool add_embedding(void *context, const EmbeddingSeen *seen, Error *err) {
    Sums *s = context;
    size_t at = sums_index(s, seen->weight);
    int64_t width = tensor_cols(seen->weight);
    (void)err;
    s->tokens[at] += seen->n;
    for (int64_t t = 0; t < seen->n; t++)
        for (int64_t c = 0; c < width; c++)
            s->sums[at][seen->ids[t] * width + c] += (double)seen->gradient[t * width + c];
    return true;
}

static int64_t tokens_of(const Windows *w) { return w->items[w->count - 1].start + w->items[w->count - 1].length; }

// y_t = (7 * id_t + 3 * t + 1) mod vocab, t in its sequence.
static int32_t *labels_of(const Windows *w, int64_t vocab) {
    int32_t *labels = calloc((size_t)tokens_of(w), sizeof *labels);
    if (!labels) tiny_die("calloc");
    for (size_t i = 0; i < w->count; i++)
        for (int64_t t = 0; t < w->items[i].length; t++) {
            int64_t at = w->items[i].start + t;
            labels[at] = (int32_t)((7 * w->ids[at] + 3 * t + 1) % vocab);
        }
    return labels;
}

// Walks back, seen by the observer; returns the loss.
static double walk(const Model *model, const Windows *windows, const Observer *observer) {
    Error err = {0};
    WalkResult result;
    int32_t *labels = labels_of(windows, model->desc.vocab);
    WalkOptions options = {.labels = labels, .memory = SIZE_MAX};
    if (!walk_backward(model, windows, &options, observer, &result, &err)) fail_msg("%s", err.text);
    assert_int_equal(result.tokens, tokens_of(windows));
    free(labels);
    return result.nll;
}

// The gradients of all matrices, and the loss.
static double walk_sums(const Model *model, const Windows *windows, Sums *s) {
    sums_init(s, model, tokens_of(windows));
    double loss = walk(model, windows, &(Observer){.linear = add_linear, .embedding = add_embedding, .context = s});
    for (size_t i = 0; i < s->model->tensor_count; i++) {
        float *data = (float *)s->model->tensors[i].data;
        for (int64_t k = 0; k < tensor_elements(&s->model->tensors[i]); k++) data[k] = (float)s->sums[i][k];
    }
    return loss;
}

// ---- all that is seen, as a hash

static bool hash_linear(void *hash, const LinearSeen *seen, Error *err) {
    (void)err;
    hash_stream_add(hash, seen->x, (size_t)(seen->n * tensor_cols(seen->weight)) * sizeof *seen->x);
    hash_stream_add(hash, seen->gradient, (size_t)(seen->n * tensor_rows(seen->weight)) * sizeof *seen->gradient);
    return true;
}

static bool hash_head(void *hash, const HeadSeen *seen, Error *err) {
    (void)err;
    hash_stream_add(hash, seen->hidden, (size_t)(seen->n * tensor_cols(seen->weight)) * sizeof *seen->hidden);
    hash_stream_add(hash, seen->token_spread, (size_t)seen->n * sizeof *seen->token_spread);
    hash_stream_add(hash, seen->row_spread, (size_t)tensor_rows(seen->weight) * sizeof *seen->row_spread);
    return true;
}

static bool hash_embedding(void *hash, const EmbeddingSeen *seen, Error *err) {
    (void)err;
    hash_stream_add(hash, seen->gradient, (size_t)(seen->n * tensor_cols(seen->weight)) * sizeof *seen->gradient);
    return true;
}

static Hash walk_hash(const Model *model, const Windows *windows, int threads, double loss) {
    HashStream *hash = hash_stream_new();
    if (!hash) tiny_die("hash_stream_new");
    Observer observer = {.linear = hash_linear, .head = hash_head, .embedding = hash_embedding, .context = hash};
    threads_set(threads);
    assert_true(walk(model, windows, &observer) == loss);
    return hash_stream_end(hash);
}

// Each token passes each matrix of a layer once, and `used` of its experts.
static void all_tokens_pass(const Sums *s) {
    const ModelDesc *d = &s->model->desc;
    for (int64_t layer = 0; layer < d->layers; layer++) {
        int64_t experts = 0;
        for (size_t i = 0; i < s->model->tensor_count; i++) {
            long long number, expert;
            int after = 0;
            const char *name = s->model->tensors[i].name;
            if (sscanf(name, "blk.%lld.%n", &number, &after) != 1 || number != layer) continue;
            if (sscanf(name + after, "ffn_up.%lld.weight", &expert) == 1)
                experts += s->tokens[i];
            else if (sscanf(name + after, "ffn_%*[a-z].%lld.weight", &expert) != 1)
                assert_int_equal(s->tokens[i], s->walk);
        }
        assert_int_equal(experts, desc_layer_has_experts(d, layer) ? s->walk * d->experts.used : 0);
    }
}

// ---- against the golden

static const Tensor *find_item(const Regroup *groups, const char *source) {
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->items[i].source, source) == 0) return &groups->items[i];
    fail_msg("there is no tensor %s", source);
    return NULL;
}

// How far a gradient is from [name, norm, projections], of the larger of its norm and `least`.
static double error_of(const Tensor *t, const cJSON *entry, double least) {
    int64_t n = tensor_elements(t);
    double norm = 0, squares = 0, golden_norm = golden_item(entry, 1)->valuedouble;
    float *values = calloc((size_t)n, sizeof *values);
    if (!values) tiny_die("calloc");
    const float *dw = (const float *)tensor_read(t, 0, tensor_rows(t), values);
    for (int64_t i = 0; i < n; i++) norm += (double)dw[i] * (double)dw[i];
    norm = sqrt(norm);
    for (int k = 0; k < PROJECTIONS; k++) {
        char name[300];
        snprintf(name, sizeof name, "%d %s", k, golden_item(entry, 0)->valuestring);
        double p = -golden_item(entry, 2 + k)->valuedouble;
        uint64_t start = golden_start(name, 0);
        for (int64_t i = 0; i < n; i++) p += (double)golden_value(start, (uint64_t)i, 1, 0) * (double)dw[i];
        squares += p * p;
    }
    free(values);
    double error = fmax(sqrt(3 * squares / PROJECTIONS), fabs(norm - golden_norm)) / fmax(golden_norm, least);
    return isnan(error) ? INFINITY : error;
}

static FamilyRow *family_row(const char *family) {
    FamilyRow *row = table;
    while (row->goldens && strcmp(row->name, family) != 0) row++;
    assert_true(row < table + MAX_FAMILIES - 1);
    snprintf(row->name, sizeof row->name, "%s", family);
    return row;
}

static void compare(const char *golden_name, const cJSON *golden, const Sums *s, double loss) {
    Error err = {0};
    Regroup groups;
    const Family *family = family_by_name(s->model->desc.family);
    const cJSON *entry, *worst = NULL, *entries = json_member(golden, "tensors");
    double largest = 0, off = 0, expected = json_member(golden, "loss")->valuedouble;
    if (!regroup(s->model, family->names, family->starts, true, &kernels, &groups, &err)) fail_msg("%s", err.text);
    cJSON_ArrayForEach(entry, entries) largest = fmax(largest, golden_item(entry, 1)->valuedouble);
    cJSON_ArrayForEach(entry, entries) {
        double error = error_of(find_item(&groups, golden_item(entry, 0)->valuestring), entry, largest / 100);
        if (worst && error <= off) continue;
        off = error;
        worst = entry;
    }
    regroup_free(&groups);
    const char *tensor = golden_item(worst, 0)->valuestring;
    double noise = json_member(golden, "noise")->valuedouble;
    printf("%-28s worst %.1e (torch in f32 %.1e)  %s\n", golden_name, off, noise, tensor);
    FamilyRow *row = family_row(s->model->desc.family);
    row->goldens++;
    row->tensors += cJSON_GetArraySize(entries);
    row->noise = fmax(row->noise, noise);
    if (off >= row->error) {
        row->error = off;
        snprintf(row->worst, sizeof row->worst, "%s, %s", golden_name, tensor);
    }
    if (!(fabs(loss - expected) < 1e-5 * expected)) fail_msg("%s: the loss is %g, not %g", golden_name, loss, expected);
    if (!(off <= tolerance)) fail_msg("%s: the gradient of %s is off by %g", golden_name, tensor, off);
}

static cJSON *golden_read(const char *kind, const char *name) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/%s/%s.json", kind, name);
    cJSON *golden = json_read(path, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    return golden;
}

static void gradients_match(void **state) {
    const char *name = *state;
    Error err = {0};
    Windows windows;
    Sums sums;
    cJSON *checkpoint = golden_read("families", name), *golden = golden_read("gradients", name);
    golden_write(checkpoint, model_path);
    char *ids = golden_ids(checkpoint);
    if (!windows_parse(ids, name, 0, &windows, &err)) fail_msg("%s", err.text);
    free(ids);
    Model *model = model_open(model_path, &err);
    if (!model) fail_msg("%s", err.text);

    double loss = walk_sums(model, &windows, &sums);
    all_tokens_pass(&sums);
    compare(name, golden, &sums, loss);
    Hash one = walk_hash(model, &windows, 1, loss), two = walk_hash(model, &windows, 2, loss);
    if (!hash_equal(one, two)) fail_msg("%s: gradients depend on the number of threads", name);

    sums_free(&sums);
    model_free(model);
    windows_free(&windows);
    cJSON_Delete(golden);
    cJSON_Delete(checkpoint);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

// A test for each NAME.json, sorted; names stay until the program ends.
static size_t list_goldens(struct CMUnitTest tests[MAX_GOLDENS]) {
    size_t count = 0;
    DIR *d = opendir("tests/data/gradients");
    if (!d) tiny_die("tests/data/gradients");
    for (struct dirent *entry; (entry = readdir(d)) && count < MAX_GOLDENS;) {
        size_t n = strlen(entry->d_name);
        if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0) continue;
        char *name = strndup(entry->d_name, n - 5);
        if (!name) tiny_die("strndup");
        tests[count++] = (struct CMUnitTest){name, gradients_match, NULL, NULL, name};
    }
    closedir(d);
    qsort(tests, count, sizeof *tests, by_name);
    return count;
}

static void print_table(void) {
    printf("\n%-16s %7s %7s  %-11s %-12s %s\n", "family", "goldens", "tensors", "worst error", "torch in f32", "where");
    for (const FamilyRow *row = table; row->goldens; row++)
        printf("%-16s %7d %7d  %-11.1e %-12.1e %s\n", row->name, row->goldens, row->tensors, row->error, row->noise,
               row->worst);
}

int main(int argc, char **argv) {
    static struct CMUnitTest tests[MAX_GOLDENS];
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    size_t count = list_goldens(tests);
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    log_set_level(LOG_QUIET);
    int failed = _cmocka_run_group_tests("gradients", tests, count, NULL, NULL);
    print_table();
    for (size_t i = 0; i < count; i++) free(tests[i].initial_state);
    tiny_remove(directory);
    return failed;
}
