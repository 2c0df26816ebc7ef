// What the goldens (test_families) do not show of gpt-oss and DeepSeek: defaults of configs that leave most out, what
// is refused by name, experts in blocks, layers that are left out.
#include "convert/family.h"
#include "convert/open.h"
#include "core/log.h"
#include "tests/golden_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
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
    "\"hidden_size\":80,\"intermediate_size\":96,\"num_hidden_layers\":5,\"num_attention_heads\":16,"                  \
    "\"vocab_size\":100"
#define CONFIG(type, more) "{\"model_type\":\"" type "\"," SIZES more "}"

static void test_gpt_oss(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("gpt_oss", ""));
    assert_true(d.head_dim == 64 && d.kv_heads == 8 && d.context == 131072 && d.norm_eps == 1e-5 && !d.tied);
    assert_true(d.experts.count == 128 && d.experts.used == 4 && d.experts.ffn_dim == 96 && d.experts.normalized);
    assert_true(d.activation == ACT_SWIGLU_CLAMPED && d.activation_limit == 7 && d.activation_slope == 1.702);
    assert_true(d.rope.scaling == ROPE_YARN && d.rope.theta == 150000 && d.rope.factor == 32 && !d.rope.truncate &&
                d.rope.original_context == 4096);
    assert_true(d.qkv_bias && d.attn_output_bias && d.sinks && d.window == 128);
    for (int i = 0; i < 5; i++) assert_true(desc_layer_is(&d, i, LAYER_WINDOWED) == (i % 2 == 0));
    d = must_describe(CONFIG("gpt_oss", ",\"rope_parameters\":{\"rope_theta\":10},\"num_experts\":6"));
    assert_true(d.rope.scaling == ROPE_PLAIN && d.rope.theta == 10 && d.experts.count == 6);
    must_refuse(CONFIG("gpt_oss", ",\"sliding_window\":null"), "sliding_window");
    must_refuse(CONFIG("gpt_oss", ",\"swiglu_limit\":0"), "swiglu_limit");
    must_refuse(CONFIG("gpt_oss", ",\"num_experts_per_tok\":129"), "129 of 128 experts");
    must_refuse(CONFIG("gpt_oss", ",\"num_local_experts\":1e9"), "num_local_experts");
    must_refuse(CONFIG("gpt_oss", ",\"layer_types\":[\"full_attention\"]"), "layer_types");
}

static void test_deepseek_v2(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("deepseek_v2", ",\"num_experts_per_tok\":6,\"head_dim\":7"));
    assert_true(d.latent.kv_rank == 512 && d.latent.query_rank == 1536 && d.latent.norm_eps == 1e-6);
    assert_true(d.head_dim == 192 && d.rope.dims == 64 && d.v_head_dim == 128 && d.rope.interleaved);
    assert_true(d.experts.count == 64 && d.experts.ffn_dim == 1407 && d.experts.shared_dim == 2 * 1407);
    assert_true(!d.experts.sigmoid && !d.experts.normalized && !d.experts.groups && desc_layer_has_experts(&d, 0));
    // V2-Lite
    d = must_describe(CONFIG("deepseek_v2",
                             ",\"num_experts_per_tok\":6,\"q_lora_rank\":null,\"rope_scaling\":{\"type\":\"yarn\","
                             "\"factor\":40,\"mscale\":0.707,\"mscale_all_dim\":0.707}"));
    assert_int_equal(d.latent.query_rank, 0);
    double m = 0.1 * 0.707 * log(40) + 1;
    assert_true(fabs(d.attn_scale - m * m / sqrt(192)) < 1e-12);
    must_refuse(CONFIG("deepseek_v2", ""), "num_experts_per_tok");
#define V2(more) CONFIG("deepseek_v2", ",\"num_experts_per_tok\":6" more)
    must_refuse(V2(",\"norm_topk_prob\":true"), "norm_topk_prob");
    must_refuse(V2(",\"mlp_bias\":true"), "mlp_bias");
    must_refuse(V2(",\"scoring_func\":\"sigmoid\""), "scoring_func");
    must_refuse(V2(",\"topk_method\":\"noaux_tc\""), "topk_method");
    must_refuse(V2(",\"topk_method\":\"group_limited_greedy\""), "n_group");
    must_refuse(V2(",\"topk_method\":\"group_limited_greedy\",\"n_group\":7,\"topk_group\":3"),
                "64 experts in 7 groups");
    must_refuse(V2(",\"moe_layer_freq\":2"), "moe_layer_freq");
    must_refuse(V2(",\"partial_rotary_factor\":0.5"), "partial_rotary_factor");
    must_refuse(V2(",\"num_key_value_heads\":8"), "latent attention");
    must_refuse(V2(",\"routed_scaling_factor\":0"), "routed_scaling_factor");
    must_refuse(V2(",\"qk_rope_head_dim\":63"), "63 of them turned");
}

static void test_deepseek_v3(void **state) {
    (void)state;
    ModelDesc d = must_describe(CONFIG("deepseek_v3", ""));
    assert_true(d.experts.count == 256 && d.experts.used == 8 && d.experts.groups == 8 && d.experts.groups_used == 4);
    assert_true(d.experts.sigmoid && d.experts.correction && d.experts.normalized && d.experts.scale == 2.5);
    assert_true(d.experts.shared_dim == 2048 && d.context == 4096 && d.rope.interleaved);
    for (int i = 0; i < 5; i++) assert_true(desc_layer_has_experts(&d, i) == (i >= 3));
    d = must_describe(CONFIG("kimi_k2", ",\"n_group\":1,\"topk_group\":1,\"rope_interleave\":false"));
    assert_true(!d.experts.groups && !d.rope.interleaved);
    must_refuse(CONFIG("deepseek_v3", ",\"scoring_func\":\"softmax\""), "scoring_func");
    must_refuse(CONFIG("deepseek_v3", ",\"topk_method\":1"), "topk_method");
    must_refuse(CONFIG("deepseek_v3", ",\"n_group\":256"), "too small");
    must_refuse(CONFIG("deepseek_v3", ",\"n_group\":3,\"topk_group\":3"), "256 experts in 3 groups");
}

// As they are in downloads of gpt-oss: [experts, 2 * ffn_dim, dim], gate and up in turn.
static void test_experts_in_blocks(void **state) {
    (void)state;
    enum { EXPERTS = 2, FFN = 3, DIM = 32, BLOCK = 17 };
    Error err = {0};
    bool known;
    uint8_t rows[EXPERTS * 2 * FFN][BLOCK], row[BLOCK];
    for (int r = 0; r < EXPERTS * 2 * FFN; r++) memset(rows[r], r, BLOCK);
    char name[] = "model.layers.4.mlp.experts.gate_up_proj";
    Tensor t = {.type = DT_MXFP4, .dims = 3, .shape = {EXPERTS, 2 * FFN, DIM}, .data = rows[0], .source = name};
    assert_true(tensor_size(&t, &err));
    Model *model = model_new("test", &err);
    assert_non_null(model);
    model->desc.experts.ffn_dim = FFN;
    if (!names_add(family_gpt_oss.names, family_gpt_oss.starts, &t, model, &known, &err)) fail_msg("%s", err.text);
    assert_true(known);
    for (int e = 0; e < EXPERTS; e++)
        for (int up = 0; up < 2; up++)
            for (int r = 0; r < FFN; r++) {
                char internal[64];
                snprintf(internal, sizeof internal, "blk.4.ffn_%s.%d.weight", up ? "up" : "gate", e);
                const Tensor *part = model_tensor(model, internal);
                assert_non_null(part);
                assert_true(part->dims == 2 && part->shape[0] == FFN && part->shape[1] == DIM);
                assert_memory_equal(tensor_read(part, r, 1, row), rows[e * 2 * FFN + 2 * r + up], BLOCK);
            }
    char down[] = "model.layers.4.mlp.experts.down_proj";
    t.source = down; // [experts, dim, ffn_dim], all of it
    assert_true(names_add(family_gpt_oss.names, family_gpt_oss.starts, &t, model, &known, &err) && known);
    const Tensor *second = model_tensor(model, "blk.4.ffn_down.1.weight");
    assert_non_null(second);
    assert_true(second->dims == 2 && second->shape[0] == 2 * FFN);
    assert_memory_equal(tensor_read(second, 1, 1, row), rows[2 * FFN + 1], BLOCK);
    model_free(model);
}

// The golden with a layer more than the config counts.
static Model *open_longer(const char *key, int predicted, Error *err) {
    cJSON *golden = json_read("tests/data/families/deepseek3-hub.json", 1 << 24, err);
    assert_non_null(golden);
    cJSON *config = cJSON_GetObjectItem(golden, "config"), *tensors = cJSON_GetObjectItem(golden, "tensors");
    cJSON_DeleteItemFromObject(config, "num_nextn_predict_layers");
    cJSON_AddNumberToObject(config, key, predicted);
    const char *const names[] = {"model.layers.3.enorm.weight", "model.layers.3.shared_head.head.weight",
                                 "model.layers.3.self_attn.o_proj.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[128];
        snprintf(text, sizeof text, "[\"%s\", [64], 1, 0]", names[i]);
        cJSON_AddItemToArray(tensors, cJSON_Parse(text));
    }
    golden_write(golden, source);
    cJSON_Delete(golden);
    *err = (Error){0};
    return model_open(source, err);
}

static void test_prediction_layers(void **state) {
    (void)state;
    Error err = {0};
    Model *model = open_longer("num_nextn_predict_layers", 1, &err);
    if (!model) fail_msg("%s", err.text);
    assert_null(model_layer_tensor(model, 3, "attn_output.weight"));
    model_free(model);
    model_free(model = open_longer("num_mtp_layers", 2, &err));
    assert_non_null(model);
    model_free(model = open_longer("other", 0, &err)); // one is the default
    assert_non_null(model);
    assert_null(open_longer("num_nextn_predict_layers", 0, &err));
    assert_non_null(strstr(err.text, "model.layers.3."));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt_oss),           cmocka_unit_test(test_deepseek_v2),
        cmocka_unit_test(test_deepseek_v3),       cmocka_unit_test(test_experts_in_blocks),
        cmocka_unit_test(test_prediction_layers),
    };
    log_set_level(LOG_QUIET);
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
