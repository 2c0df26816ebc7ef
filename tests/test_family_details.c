// What the goldens (test_families) do not show of Gemma, Phi, StableLM and Cohere: defaults of configs that leave most
// out, what is refused by name, and norms in a tensor for each head.
#include "convert/family.h"
#include "convert/open.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/golden_model.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static char directory[64], source[128];

static bool describe(const char *text, ModelDesc *desc, Error *err) {
    *desc = (ModelDesc){0};
    *err = (Error){0};
    cJSON *config = json_parse(text, strlen(text), err);
    assert_non_null(config);
    const Family *family = family_find(config, err);
    bool ok = family && family->describe(config, desc, err) && model_desc_check(desc, err);
    cJSON_Delete(config);
    return ok;
}

static ModelDesc must_describe(const char *text) {
    Error err;
    ModelDesc desc;
    if (!describe(text, &desc, &err)) fail_msg("%s\n%s", text, err.text);
    return desc;
}

static void must_refuse(const char *text, const char *word) {
    Error err;
    ModelDesc desc;
    if (describe(text, &desc, &err)) fail_msg("%s\nwas taken", text);
    if (!strstr(err.text, word)) fail_msg("%s\nsays %s, not %s", text, err.text, word);
}

#define SIZES                                                                                                          \
    "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":7,\"num_attention_heads\":4,"                   \
    "\"num_key_value_heads\":2,\"vocab_size\":100"
#define CONFIG(type, more) "{\"model_type\":\"" type "\"," SIZES more "}"

static void test_gemma(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("gemma", ",\"hidden_act\":\"gelu\""));
    assert_int_equal(d.head_dim, 256);
    assert_int_equal(d.activation, ACT_GELU_TANH);
    assert_true(d.tied && d.norm_plus_one && d.embed_scale == 8);
    must_refuse(CONFIG("gemma", ",\"use_bidirectional_attention\":true"), "use_bidirectional_attention");

    d = must_describe(CONFIG("gemma2", ",\"hidden_act\":\"relu\""));
    assert_int_equal(d.activation, ACT_GELU_TANH);
    assert_int_equal(d.window, 4096);
    assert_true(d.attn_cap == 50 && d.logit_cap == 30 && fabs(d.attn_scale - 1.0 / 16) < 1e-15);
    assert_true(desc_layer_is(&d, 0, LAYER_WINDOWED) && !desc_layer_is(&d, 1, LAYER_WINDOWED));
    d = must_describe(CONFIG("gemma2", ",\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null"));
    assert_true(d.attn_cap == 0 && d.logit_cap == 0);
    must_refuse(CONFIG("gemma2", ",\"attn_logit_softcapping\":0"), "attn_logit_softcapping");
    must_refuse(CONFIG("gemma2", ",\"query_pre_attn_scalar\":0"), "query_pre_attn_scalar");
    must_refuse(CONFIG("gemma2", ",\"sliding_window\":null"), "sliding_window");
    must_refuse(CONFIG("gemma2", ",\"hidden_activation\":\"tanh\""), "hidden_activation");
}

static void test_gemma3(void **state) {
    (void)state;
    // google/gemma-3-4b-it, but for the vision tower's own config.
    ModelDesc d = must_describe("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"model_type\":\"gemma3\","
                                "\"eos_token_id\":[1,106],\"text_config\":{\"hidden_size\":2560,"
                                "\"intermediate_size\":10240,\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,"
                                "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"},\"sliding_window\":1024},"
                                "\"vision_config\":{\"hidden_size\":1152}}");
    assert_int_equal(d.layers, 34);
    assert_int_equal(d.dim, 2560);
    assert_int_equal(d.heads, 8);
    assert_int_equal(d.kv_heads, 4);
    assert_int_equal(d.vocab, 262208);
    assert_int_equal(d.window, 1024);
    assert_true(d.rope.scaling == ROPE_LINEAR && d.rope.factor == 8 && d.rope.theta == 1e6);
    assert_true(d.rope_local.scaling == ROPE_PLAIN && d.rope_local.theta == 1e4);
    for (int64_t i = 0; i < d.layers; i++) {
        assert_true(desc_layer_is(&d, i, LAYER_WINDOWED) == (i % 6 != 5));
        assert_true(desc_layer_is(&d, i, LAYER_LOCAL_ROPE) == (i % 6 != 5));
    }
    must_refuse("{\"model_type\":\"gemma3\"}", "text_config");
    must_refuse("{\"model_type\":\"gemma3\",\"text_config\":{\"final_logit_softcapping\":30}}",
                "final_logit_softcapping");
    must_refuse(CONFIG("gemma3_text", ",\"attn_logit_softcapping\":50"), "attn_logit_softcapping");
    must_refuse(CONFIG("gemma3_text", ",\"rope_parameters\":{\"rope_theta\":1e4}"), "rope_parameters");
    must_refuse(CONFIG("gemma3_text", ",\"rope_parameters\":{\"full_attention\":7}"), "full_attention");
    must_refuse(CONFIG("gemma3_text", ",\"sliding_window_pattern\":0"), "sliding_window_pattern");
}

static void test_phi(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("phi", ""));
    assert_int_equal(d.rope.dims, 8);
    assert_true(d.head_bias && d.qkv_bias && d.parallel && !d.qk_norm_bias);
    d = must_describe(CONFIG("phi", ",\"rope_parameters\":{\"partial_rotary_factor\":1.0}"));
    assert_int_equal(d.rope.dims, 0);
    must_refuse(CONFIG("phi", ",\"partial_rotary_factor\":0.01"), "partial_rotary_factor");

#define FACTORS "\"long_factor\":[2,2,2,2,2,2,2,2],\"short_factor\":[1,1,1,1,1,1,1,1]"
    d = must_describe(
        CONFIG("phi3", ",\"max_position_embeddings\":131072,\"rope_scaling\":{\"type\":\"yarn\"," FACTORS "}"));
    assert_true(d.rope.scaling == ROPE_LONGROPE && d.rope.original_context == 4096);
    assert_true(fabs(d.rope.attention_factor - sqrt(1 + log(32) / log(4096))) < 1e-12);
    assert_false(desc_layer_is(&d, 0, LAYER_WINDOWED));
    must_refuse(CONFIG("phi3", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"), "linear");
    must_refuse(CONFIG("phi3", ",\"lm_head_bias\":true"), "lm_head_bias");
    must_refuse(CONFIG("phi3", ",\"full_attn_mod\":2"), "full_attn_mod");
}

static void test_stablelm_and_cohere(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("stablelm", ",\"head_dim\":32"));
    assert_int_equal(d.rope.dims, 8);
    d = must_describe(CONFIG("cohere", ""));
    assert_true(d.logit_scale == 0.0625 && d.rope.theta == 500000 && d.rope.interleaved && d.tied && !d.norm_bias);
    must_refuse(CONFIG("cohere", ",\"logit_scale\":0"), "logit_scale");

    d = must_describe(CONFIG("cohere2", ",\"layer_switch\":4"));
    assert_true(d.rope.theta == 10000 && d.window == 4096);
    for (int64_t i = 0; i < d.layers; i++) {
        assert_true(desc_layer_is(&d, i, LAYER_WINDOWED) == (i % 4 != 3));
        assert_true(desc_layer_is(&d, i, LAYER_UNTURNED) == (i % 4 == 3));
    }
    must_refuse(CONFIG("cohere2", ",\"layer_switch\":3"), "layer_switch");
    must_refuse(CONFIG("cohere2", ",\"order_of_interleaved_layers\":\"local_attn_last\""), "local_attn_last");
    must_refuse(CONFIG("cohere2", ",\"use_parallel_block\":false"), "use_parallel_block");
    must_refuse(CONFIG("cohere2", ",\"use_qk_norm\":true"), "use_qk_norm");
}

// ---- a norm for each head

static cJSON *read_golden(const char *name) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/families/%s.json", name);
    cJSON *golden = json_read(path, 1 << 24, &err);
    if (!golden) fail_msg("%s", err.text);
    return golden;
}

static const char second_key[] = "model.layers.1.self_attn.k_layernorm.norms.1.weight";

// The golden's tensor of that name.
static cJSON *find_tensor(cJSON *golden, const char *name) {
    cJSON *list = cJSON_GetObjectItem(golden, "tensors"), *t;
    cJSON_ArrayForEach(t, list) if (strcmp(t->child->valuestring, name) == 0) return t;
    fail_msg("%s is not in the golden", name);
    return NULL;
}

static void open_fails(cJSON *golden, const char *word) {
    Error err = {0};
    golden_write(golden, source);
    Model *model = model_open(source, &err);
    if (model || !strstr(err.text, word) || !strstr(err.text, source) || strchr(err.text, '\n'))
        fail_msg("\"%s\" where \"%s\" was expected", model ? "" : err.text, word);
    cJSON_Delete(golden);
}

static void rename_tensor(cJSON *golden, const char *name) {
    cJSON_SetValuestring(cJSON_GetArrayItem(find_tensor(golden, second_key), 0), name);
}

static void test_norms_of_heads(void **state) {
    (void)state;
    cJSON *golden = read_golden("stablelm-12b-hub");
    cJSON_Delete(cJSON_DetachItemViaPointer(cJSON_GetObjectItem(golden, "tensors"), find_tensor(golden, second_key)));
    open_fails(golden, "k_layernorm.norms.0.weight has shape [16] where the config calls for [32]");

    golden = read_golden("stablelm-12b-hub");
    rename_tensor(golden, "model.layers.1.self_attn.k_layernorm.norms.2.weight"); // of 2 heads
    open_fails(golden, "norms.2.weight");
    golden = read_golden("stablelm-12b-hub");
    rename_tensor(golden, "layers.1.self_attn.k_layernorm.norms.0.weight"); // the first once more, less its beginning
    open_fails(golden, "is there twice");
    golden = read_golden("stablelm-12b-hub");
    cJSON *shape = cJSON_GetArrayItem(find_tensor(golden, second_key), 1);
    cJSON_SetNumberValue(shape->child, 15);
    open_fails(golden, "has shape [15]");
    golden = read_golden("stablelm-12b-hub");
    cJSON_AddItemToArray(cJSON_GetArrayItem(find_tensor(golden, second_key), 1), cJSON_CreateNumber(1));
    open_fails(golden, "has shape [16, 1]");

    golden = read_golden("cohere-qk-norm");
    shape = cJSON_GetArrayItem(find_tensor(golden, "model.layers.0.self_attn.k_norm.weight"), 1);
    cJSON_AddItemToArray(shape, cJSON_CreateNumber(1));
    open_fails(golden, "k_norm.weight: has shape [2, 16, 1]");
}

// Each head's weights in its place, in whichever order a file has them.
static void test_order_of_heads(void **state) {
    (void)state;
    Error err = {0};
    cJSON *golden = read_golden("stablelm-12b-hub"), *tensors = cJSON_GetObjectItem(golden, "tensors");
    char name[128];
    for (int head = 0; head < 4; head += 2) { // 1, 3, 0, 2
        snprintf(name, sizeof name, "model.layers.0.self_attn.q_layernorm.norms.%d.weight", head);
        cJSON_AddItemToArray(tensors, cJSON_DetachItemViaPointer(tensors, find_tensor(golden, name)));
    }
    golden_write(golden, source);
    Model *model = model_open(source, &err);
    if (!model) fail_msg("%s", err.text);
    const Tensor *t = model_tensor(model, "blk.0.attn_q_norm.weight");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 64);
    for (int head = 0; head < 4; head++) {
        snprintf(name, sizeof name, "model.layers.0.self_attn.q_layernorm.norms.%d.weight", head);
        uint64_t start = golden_start(name, 1);
        for (uint64_t i = 0; i < 16; i++)
            assert_true(((const float *)t->data)[(uint64_t)head * 16 + i] == golden_value(start, i, 0.5f, 1));
    }
    model_free(model);
    cJSON_Delete(golden);
}

static void test_out_of_memory(void **state) {
    (void)state;
    Error err = {0};
    cJSON *golden = read_golden("stablelm-12b-hub");
    golden_write(golden, source);
    cJSON_Delete(golden);
    mem_fail_at(0);
    Model *model = model_open(source, &err);
    if (!model) fail_msg("%s", err.text);
    model_free(model);
    size_t total = mem_fail_at(0);
    for (size_t n = 1; n <= total; n++) {
        err.text[0] = 0;
        mem_fail_at(n);
        model = model_open(source, &err);
        mem_fail_at(0);
        if (model || !err.text[0]) fail_msg("allocation %zu of %zu failed without a message", n, total);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_phi),
        cmocka_unit_test(test_stablelm_and_cohere),
        cmocka_unit_test(test_norms_of_heads),
        cmocka_unit_test(test_order_of_heads),
        cmocka_unit_test(test_out_of_memory),
    };
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    log_set_level(LOG_QUIET);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
