// Latent attention through GGUF (core/heads.h, convert/export_latent.h): the matrix taken apart and put together, and
// yarn's scales in every way that a DeepSeek config gives them.
#include "convert/export.h"
#include "convert/open.h"
#include "core/heads.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/block.h"
#include "eval/evaluate.h"
#include "eval/walk.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }

// In blocks: to whole steps of 1/128, one scale for all.
static void store(DType type, const float *values, uint8_t *out, int64_t n) {
    static const uint8_t step[2] = {0x00, 0x20};
    if (type != DT_Q8_0) {
        narrow(type, values, out, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (i % 32 == 0) memcpy(out + i / 32 * 34, step, sizeof step);
        out[i / 32 * 34 + 2 + i % 32] = (uint8_t)(int8_t)lrintf(values[i] * 127);
    }
}

enum { HEADS = 3, VALUES = 5, RANK = 64, WIDEST = 320 };

// Takes the keys of a random matrix apart and puts it together again: bit for bit what it was.
static void there_and_back(DType type, int64_t plain, DType pair) {
    int64_t both = plain + VALUES, rows = HEADS * both;
    static float values[HEADS * (WIDEST + VALUES) * RANK], back[HEADS * (WIDEST + VALUES) * RANK];
    static uint8_t stored[sizeof values], keys[sizeof values], kept[sizeof values];
    Error err = {0};
    Tensor matrix = {.name = (char *)"m", .type = type, .dims = 2, .shape = {rows, RANK}, .data = stored}, split, whole;
    Tensor k[HEADS], v[HEADS];
    const Tensor *ks[HEADS], *vs[HEADS];
    void *owned, *row, *joined;
    for (int64_t i = 0; i < rows * RANK; i++) values[i] = golden_value(1, (uint64_t)i, 1, 0);
    store(type, values, stored, rows * RANK);
    widen(type, stored, values, rows * RANK);
    assert_true(tensor_size(&matrix, &err));
    assert_true(heads_split_keys(&matrix, HEADS, plain, widen, &split, &owned, &row, &err));
    assert_int_equal(split.type, dtype_is_block(type) ? DT_F32 : type);
    assert_int_equal(tensor_rows(&split), HEADS * RANK);

    // Rows in pieces that do not fit heads.
    size_t bytes = tensor_row_bytes(&split);
    for (int64_t at = 0; at < HEADS * RANK; at += 7) {
        int64_t n = HEADS * RANK - at < 7 ? HEADS * RANK - at : 7;
        tensor_read(&split, at, n, keys + (size_t)at * bytes);
    }
    widen(split.type, keys, back, HEADS * RANK * plain);
    store(pair, back, kept, HEADS * RANK * plain);
    widen(pair, kept, back, HEADS * RANK * plain);
    size_t head = (size_t)plain * RANK * dtype_info(pair)->block_bytes / (size_t)dtype_info(pair)->block;
    for (int h = 0; h < HEADS; h++) {
        k[h] = (Tensor){.name = (char *)"k", .type = pair, .dims = 2, .shape = {RANK, plain}};
        k[h].data = kept + (size_t)h * head;
        v[h] = (Tensor){.name = (char *)"v", .type = type, .dims = 2, .shape = {VALUES, RANK}};
        v[h].data = stored + matrix.bytes / (size_t)rows * (size_t)(h * both + plain);
        assert_true(tensor_size(&k[h], &err) && tensor_size(&v[h], &err));
        ks[h] = &k[h];
        vs[h] = &v[h];
        for (int64_t r = 0; r < RANK; r++) // what blocks made of the keys
            for (int64_t j = 0; j < plain; j++) values[(h * both + j) * RANK + r] = back[(h * RANK + r) * plain + j];
    }
    assert_true(heads_join(ks, vs, HEADS, widen, &whole, &joined, &err));
    assert_int_equal(tensor_rows(&whole), rows);
    for (int64_t at = 0; at < rows; at += 11)
        tensor_read(&whole, at, rows - at < 11 ? rows - at : 11, (uint8_t *)(back + at * RANK));
    assert_memory_equal(back, values, (size_t)(rows * RANK) * sizeof *back);

    v[1].shape[1] = RANK - 32;
    mem_free(joined);
    assert_false(heads_join(ks, vs, HEADS, widen, &whole, &joined, &err));
    mem_free(owned);
    mem_free(row);
}

static void test_heads(void **state) {
    (void)state;
    there_and_back(DT_F32, 12, DT_F32);
    there_and_back(DT_BF16, 12, DT_BF16);
    there_and_back(DT_Q8_0, 12, DT_F32);
    there_and_back(DT_F16, WIDEST, DT_Q8_0); // more than is widened at a time
    there_and_back(DT_Q8_0, 32, DT_Q8_0);
}

static char directory[64], source[128], first[128], second[128];

static void evaluate_path(const char *path, const Windows *windows, Evaluation *e) {
    Error err = {0};
    Model *model = model_open(path, &err);
    if (!model || !evaluate((const Model *const *)&model, 1, windows, NULL, e, &err)) fail_msg("%s", err.text);
    e->models = NULL; // freed here
    model_free(model);
}

static bool export_to(const char *from, const char *to, Error *err) {
    static const ExportOptions options = {.kernels = {widen, narrow}};
    ExportResult result;
    Model *model = model_open(from, err);
    bool ok = model && model_export_gguf(model, to, &options, &result, err);
    model_free(model);
    return ok;
}

static void assert_alike(const Windows *windows, const Evaluation *a, const Evaluation *b) {
    for (int64_t i = 0; i < windows->scored; i++)
        assert_true(fabs(a->results[0].scores[i].nll - b->results[0].scores[i].nll) <= 5e-5);
}

// The golden with another rope_scaling, NULL: none. As a directory, as GGUF and as GGUF made of that.
static void scaling_survives(const char *scaling, const char *refusal) {
    Error err = {0};
    Windows windows;
    Evaluation from_directory, from_first, from_second;
    cJSON *golden = json_read("tests/data/families/deepseek3-hub.json", 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    cJSON *config = cJSON_GetObjectItem(golden, "config");
    cJSON_ReplaceItemInObject(config, "rope_scaling", scaling ? cJSON_Parse(scaling) : cJSON_CreateNull());
    golden_write(golden, source);
    char *ids = golden_ids(golden);
    assert_true(windows_parse(ids, "golden", 0, &windows, &err));
    bool ok = export_to(source, first, &err);
    if (refusal) {
        assert_false(ok);
        assert_non_null(strstr(err.text, refusal));
    } else {
        if (!ok || !export_to(first, second, &err)) fail_msg("%s", err.text);
        evaluate_path(source, &windows, &from_directory);
        evaluate_path(first, &windows, &from_first);
        evaluate_path(second, &windows, &from_second);
        assert_alike(&windows, &from_directory, &from_first);
        assert_alike(&windows, &from_first, &from_second);
        evaluation_free(&from_directory);
        evaluation_free(&from_first);
        evaluation_free(&from_second);
    }
    windows_free(&windows);
    free(ids);
    cJSON_Delete(golden);
}

#define YARN "{\"type\":\"yarn\",\"factor\":40,\"original_max_position_embeddings\":64"
static void test_scaling(void **state) {
    (void)state;
    scaling_survives(NULL, NULL);
    scaling_survives(YARN "}", NULL);
    scaling_survives(YARN ",\"mscale\":0.707,\"mscale_all_dim\":0.707}", NULL);
    scaling_survives(YARN ",\"mscale\":0.7,\"mscale_all_dim\":1.0}", NULL);
    scaling_survives(YARN ",\"attention_factor\":1.0}", NULL);
    scaling_survives(YARN ",\"attention_factor\":0.9,\"mscale_all_dim\":0.5}", NULL);
    scaling_survives(YARN ",\"beta_fast\":16}", "rope_freqs.weight");
    scaling_survives("{\"type\":\"linear\",\"factor\":4}", "its attn_scale is not there");
}

// ---- the way back

typedef struct Seen {
    float *gradient; // [tokens, dim]: at the embedding
    int64_t width;
    int linears; // calls
} Seen;

static bool count_linear(void *context, const LinearSeen *seen, Error *err) {
    (void)err;
    assert_non_null(seen->weight->name);
    ((Seen *)context)->linears++;
    return true;
}

static bool keep_embedding(void *context, const EmbeddingSeen *seen, Error *err) {
    Seen *s = context;
    (void)err;
    s->width = tensor_cols(seen->weight);
    memcpy(s->gradient + seen->first * s->width, seen->gradient, (size_t)(seen->n * s->width) * sizeof *s->gradient);
    return true;
}

static void walk_back(const char *path, const Windows *windows, const int32_t *labels, Seen *seen) {
    Error err = {0};
    WalkOptions options = {.labels = labels, .memory = SIZE_MAX};
    Observer observer = {.linear = count_linear, .embedding = keep_embedding, .context = seen};
    Model *model = model_open(path, &err);
    if (!model || !walk_backward(model, windows, &options, &observer, NULL, &err)) fail_msg("%s", err.text);
    model_free(model);
}

// Gradients come back through keys and values put together from each head's as through the matrix that they were,
// which alone is not seen then: one a layer.
static void test_gradients(void **state) {
    enum { MOST = 1 << 20 };
    (void)state;
    Error err = {0};
    Windows windows;
    static int32_t labels[1000];
    Seen whole = {.gradient = calloc(MOST, sizeof(float))}, split = {.gradient = calloc(MOST, sizeof(float))};
    cJSON *golden = json_read("tests/data/families/deepseek3-hub.json", 1 << 24, &err);
    if (!golden || !whole.gradient || !split.gradient) fail_msg("%s", err.text);
    golden_write(golden, source);
    char *ids = golden_ids(golden);
    assert_true(windows_parse(ids, "golden", 0, &windows, &err));
    int64_t tokens = windows.items[windows.count - 1].start + windows.items[windows.count - 1].length;
    assert_true(tokens <= 1000);
    for (int64_t i = 0; i < tokens; i++) labels[i] = (int32_t)(i % 50);
    if (!export_to(source, first, &err)) fail_msg("%s", err.text);
    walk_back(source, &windows, labels, &whole);
    walk_back(first, &windows, labels, &split);
    assert_int_equal(whole.linears - split.linears,
                     json_member(json_member(golden, "config"), "num_hidden_layers")->valueint);
    double norm = 0, off = 0;
    for (int64_t i = 0; i < tokens * whole.width; i++) {
        norm += pow((double)whole.gradient[i], 2);
        off += pow((double)(whole.gradient[i] - split.gradient[i]), 2);
    }
    assert_true(norm > 0 && off < 1e-8 * norm);
    free(whole.gradient);
    free(split.gradient);
    windows_free(&windows);
    free(ids);
    cJSON_Delete(golden);
}

// What is put together may be larger than every matrix of the file; memory to multiply with it must do.
static void test_panel(void **state) {
    (void)state;
    Error err = {0};
    Model *model = model_new("m", &err);
    assert_non_null(model);
    model->desc.heads = model->desc.kv_heads = 64;
    model->desc.head_dim = 96;
    model->desc.v_head_dim = 1000;
    model->desc.rope.dims = 32;
    model->desc.latent = (Latent){.kv_rank = 512, .split = true};
    assert_true(transformer_panel(model, linear_panel_bytes) >= linear_panel_bytes(64 * 1064, 512));
    assert_true(transformer_panel(model, linear_back_bytes) >= linear_back_bytes(64 * 1064, 512));
    model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads), cmocka_unit_test(test_scaling),
                                       cmocka_unit_test(test_gradients), cmocka_unit_test(test_panel)};
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    snprintf(first, sizeof first, "%s/first.gguf", directory);
    snprintf(second, sizeof second, "%s/second.gguf", directory);
    log_set_level(LOG_QUIET);
    int failed = cmocka_run_group_tests_name("latent attention in GGUF", tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
