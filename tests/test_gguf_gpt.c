// GGUF of GPT-2, GPT-NeoX and Falcon, where the goldens (test_families) cannot see it: which form of GELU a file says,
// under which names and in which order engines find norms and fused tensors, what is refused and why.
#include "convert/export.h"
#include "convert/open.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "quant/kernels/kernels.h"
#include "tests/golden_model.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static char directory[64], model_path[128], gguf_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }

// The checkpoint of a golden, with config.json[key] set to a value in JSON.
static void write_model(const char *golden_name, const char *key, const char *value) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/families/%s.json", golden_name);
    cJSON *golden = json_read(path, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    if (key) {
        cJSON *config = (cJSON *)(uintptr_t)json_member(golden, "config");
        cJSON_DeleteItemFromObjectCaseSensitive(config, key);
        cJSON_AddItemToObject(config, key, cJSON_Parse(value));
    }
    golden_write(golden, model_path);
    cJSON_Delete(golden);
}

static bool write_gguf(const ExportOptions *options, Error *err) {
    ExportResult result;
    *err = (Error){0};
    Model *model = model_open(model_path, err);
    if (!model) fail_msg("%s", err->text);
    bool ok = model_export_gguf(model, gguf_path, options, &result, err);
    model_free(model);
    return ok;
}

static void must_write_gguf(void) {
    const ExportOptions options = {.kernels = {widen, narrow}};
    Error err;
    if (!write_gguf(&options, &err)) fail_msg("%s", err.text);
}

static void must_refuse(const char *golden, const char *key, const char *value, const char *says) {
    const ExportOptions options = {.kernels = {widen, narrow}};
    Error err;
    write_model(golden, key, value);
    if (write_gguf(&options, &err)) fail_msg("%s with %s %s was written", golden, key, value);
    if (!strstr(err.text, says)) fail_msg("said: %s\nexpected: %s", err.text, says);
}

// ---- GELU

// Where the file has a text; NULL: nowhere.
static uint8_t *find_text(uint8_t *bytes, size_t size, const char *text) {
    return memmem(bytes, size, text, strlen(text));
}

static void check_gelu(const char *golden, const char *key, const char *value, Activation activation,
                       const char *says) {
    size_t size;
    Error err = {0};
    write_model(golden, key, value);
    must_write_gguf();
    uint8_t *bytes = (uint8_t *)file_read(gguf_path, 1 << 24, &size, &err);
    assert_non_null(bytes);
    assert_true(!find_text(bytes, size, "hidden_activation") == !says);
    if (says) assert_non_null(find_text(bytes, size, says));
    mem_free(bytes);
    Model *model = model_open(gguf_path, &err);
    if (!model) fail_msg("%s", err.text);
    assert_int_equal(model->desc.activation, activation);
    model_free(model);
}

static void test_gelu(void **state) {
    (void)state;
    check_gelu("gpt2", "activation_function", "\"gelu_new\"", ACT_GELU_TANH, NULL);
    check_gelu("gpt2", "activation_function", "\"gelu\"", ACT_GELU, "gelu");
    check_gelu("gptneox-hub", "hidden_act", "\"gelu\"", ACT_GELU, NULL);
    check_gelu("gptneox-hub", "hidden_act", "\"gelu_fast\"", ACT_GELU_TANH, "gelu_pytorch_tanh");
    check_gelu("falcon-40b-hub", "activation", "\"gelu_pytorch_tanh\"", ACT_GELU_TANH, "gelu_pytorch_tanh");
    must_refuse("gptneox-hub", "hidden_act", "\"relu\"", "its activation is \"relu\"");
}

static void test_unknown_gelu(void **state) {
    (void)state;
    size_t size;
    Error err = {0};
    write_model("gptneox-hub", "hidden_act", "\"gelu_fast\"");
    must_write_gguf();
    uint8_t *bytes = (uint8_t *)file_read(gguf_path, 1 << 24, &size, &err);
    assert_non_null(bytes);
    memcpy(find_text(bytes, size, "gelu_pytorch_tanh"), "relu", 4);
    tiny_put(gguf_path, bytes, size);
    mem_free(bytes);
    assert_null(model_open(gguf_path, &err));
    assert_non_null(strstr(err.text, "relu_pytorch_tanh"));
    assert_non_null(strstr(err.text, "gptneox.hidden_activation"));
}

// ---- tensors

static const Tensor *find(const GgufSet *set, const char *name) {
    for (size_t i = 0; i < set->parts[0].tensor_count; i++)
        if (strcmp(set->parts[0].tensors[i].source, name) == 0) return &set->parts[0].tensors[i];
    fail_msg("%s is not there", name);
    return NULL;
}

static void check_rows(const Tensor *t, int64_t row, const Tensor *other, int64_t other_row, int64_t rows) {
    size_t bytes = (size_t)t->shape[1] * sizeof(float);
    assert_int_equal(t->type, DT_F32);
    assert_int_equal(t->shape[1], other->shape[1]);
    assert_true(row + rows <= t->shape[0] && other_row + rows <= other->shape[0]);
    assert_memory_equal(t->data + (size_t)row * bytes, other->data + (size_t)other_row * bytes, (size_t)rows * bytes);
}

static TensorFile *open_weights(void) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "%s/model.safetensors", model_path);
    TensorFile *file = safetensors_open(path, &err);
    if (!file) fail_msg("%s", err.text);
    return file;
}

static void check_vector(const Tensor *t, const Tensor *other) {
    assert_int_equal(t->bytes, other->bytes);
    assert_memory_equal(t->data, other->data, t->bytes);
}

// Of Falcon's two norms the MLP's is attn_norm; groups of heads become all queries, all keys, all values.
static void test_falcon(void **state) {
    (void)state;
    Error err = {0};
    GgufSet set;
    write_model("falcon-40b-hub", NULL, NULL);
    must_write_gguf();
    Model *model = model_open(model_path, &err);
    assert_non_null(model);
    int64_t heads = model->desc.heads, groups = model->desc.kv_heads, h = model->desc.head_dim, each = heads / groups;
    model_free(model);
    assert_true(each > 1 && groups > 1);
    TensorFile *source = open_weights();
    if (!gguf_set_open(gguf_path, &set, &err)) fail_msg("%s", err.text);
    check_vector(find(&set, "blk.1.attn_norm.weight"), tensor_file_find(source, "transformer.h.1.ln_mlp.weight"));
    check_vector(find(&set, "blk.1.attn_norm_2.bias"), tensor_file_find(source, "transformer.h.1.ln_attn.bias"));
    const Tensor *fused = find(&set, "blk.0.attn_qkv.weight");
    const Tensor *was = tensor_file_find(source, "transformer.h.0.self_attention.query_key_value.weight");
    assert_int_equal(fused->shape[0], was->shape[0]);
    for (int64_t g = 0; g < groups; g++) {
        check_rows(fused, g * each * h, was, g * (each + 2) * h, each * h);
        check_rows(fused, (heads + g) * h, was, (g * (each + 2) + each) * h, h);
        check_rows(fused, (heads + groups + g) * h, was, (g * (each + 2) + each + 1) * h, h);
    }
    gguf_set_close(&set);
    tensor_file_close(source);
}

// Learned positions stay f32 whatever type is asked for; all else takes it.
static void test_positions(void **state) {
    (void)state;
    const ExportOptions options = {.cast = true, .dtype = DT_BF16, .kernels = {widen, narrow}};
    Error err;
    GgufSet set;
    write_model("gpt2", NULL, NULL);
    if (!write_gguf(&options, &err) || !gguf_set_open(gguf_path, &set, &err)) fail_msg("%s", err.text);
    assert_int_equal(find(&set, "position_embd.weight")->type, DT_F32);
    assert_int_equal(find(&set, "token_embd.weight")->type, DT_BF16);
    assert_int_equal(find(&set, "blk.0.attn_qkv.weight")->type, DT_BF16);
    assert_int_equal(find(&set, "blk.0.attn_qkv.bias")->type, DT_F32);
    gguf_set_close(&set);
}

// ---- what engines do not compute

#define LLAMA3                                                                                                         \
    "{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"                             \
    "\"original_max_position_embeddings\":64}"

static void test_refusals(void **state) {
    (void)state;
    must_refuse("gpt2", "scale_attn_by_inverse_layer_idx", "true", "its attn_scale_by_layer is true");
    must_refuse("bloom", "apply_residual_connection_post_layernorm", "true", "its norm_place is \"through\"");
    must_refuse("gptneox-hub", "rope_scaling", LLAMA3, "rope_freqs.weight");
    must_refuse("falcon-7b-hub", "rope_scaling", LLAMA3, "rope_freqs.weight");
    must_refuse("falcon-7b-hub", "partial_rotary_factor", "0.5", "dimensions of a head");
    must_refuse("falcon-7b-hub", "alibi", "true", "its positions is \"alibi\"");
    must_refuse("opt", NULL, NULL, "family opt cannot be exported to GGUF: llama.cpp has no code that runs them");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gelu),      cmocka_unit_test(test_unknown_gelu), cmocka_unit_test(test_falcon),
        cmocka_unit_test(test_positions), cmocka_unit_test(test_refusals),
    };
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    snprintf(gguf_path, sizeof gguf_path, "%s/model.gguf", directory);
    log_set_level(LOG_QUIET);
    int failed = cmocka_run_group_tests_name("gguf_gpt", tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
