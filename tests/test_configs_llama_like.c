// What configs of the families near Llama (Mistral, Qwen, SmolLM3, Granite, OLMo, StarCoder2) leave out, and what they
// say that cannot be. tests/test_families.c has whole models; here are the defaults and refusals that those lack.
#include "convert/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// A config of a family, with more members ("\"head_dim\": 8", or empty), described and checked as model_open does.
static bool describe(const char *family, const char *more, ModelDesc *desc, Error *err) {
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", \"vocab_size\": 64, \"hidden_size\": 64, \"intermediate_size\": 96, "
             "\"num_hidden_layers\": 8, \"num_attention_heads\": 32%s%s}",
             family, *more ? ", " : "", more);
    cJSON *config = json_parse(text, strlen(text), err);
    assert_non_null(config);
    const Family *f = family_find(config, err);
    *desc = (ModelDesc){0};
    bool ok = f && f->describe(config, desc, err);
    if (ok) snprintf(desc->family, sizeof desc->family, "%s", f->name);
    ok = ok && model_desc_check(desc, err);
    cJSON_Delete(config);
    return ok;
}

static ModelDesc described(const char *family, const char *more) {
    ModelDesc desc;
    Error err = {0};
    if (!describe(family, more, &desc, &err)) fail_msg("%s {%s}: %s", family, more, err.text);
    return desc;
}

static void refused(const char *family, const char *more, const char *message) {
    ModelDesc desc;
    Error err = {0};
    if (describe(family, more, &desc, &err)) fail_msg("%s {%s}: accepted", family, more);
    if (!strstr(err.text, message)) fail_msg("%s {%s}: %s", family, more, err.text);
}

// The layers of that kind as bits, the first the lowest.
static unsigned layers_of(const ModelDesc *d, LayerKind kind) {
    unsigned bits = 0;
    for (int64_t i = 0; i < d->layers; i++) bits |= (unsigned)desc_layer_is(d, i, kind) << i;
    return bits;
}

static void missing_is_not_null(void **state) {
    (void)state;
    ModelDesc d = described("mistral", "");
    assert_int_equal(d.window, 4096);
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0xff);
    assert_int_equal(d.kv_heads, 8);
    d = described("mistral", "\"sliding_window\": null, \"num_key_value_heads\": null");
    assert_int_equal(d.window, 0);
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0);
    assert_int_equal(d.kv_heads, 32);
    d = described("starcoder2", "");
    assert_int_equal(d.window, 0);
    assert_int_equal(d.kv_heads, 2);
    assert_true(d.tied && d.mlp_bias && d.qkv_bias && d.attn_output_bias && d.activation == ACT_GELU_TANH);
    refused("mistral", "\"sliding_window\": 0", "sliding_window");
    refused("mistral", "\"sliding_window\": \"all\"", "sliding_window");
}

static void qwen_windows(void **state) {
    (void)state;
    static const char types[] =
        "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", \"full_attention\", "
        "\"full_attention\", \"full_attention\", \"full_attention\", \"sliding_attention\"]";
    char more[512];
    ModelDesc d = described("qwen2", "\"sliding_window\": 16, \"max_window_layers\": 5");
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0);
    d = described("qwen2", "\"use_sliding_window\": true, \"max_window_layers\": 5");
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0xe0);
    assert_int_equal(d.window, 4096);
    d = described("qwen3", "\"use_sliding_window\": true, \"max_window_layers\": 5, \"sliding_window\": null");
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0);
    assert_int_equal(d.head_dim, 128);
    snprintf(more, sizeof more, "\"use_sliding_window\": true, \"max_window_layers\": 5, %s", types);
    d = described("qwen3", more);
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0x80);
    refused("qwen2", types, "windowed layers, but no window");
    refused("qwen2", "\"layer_types\": [\"full_attention\"]", "layer_types");
    refused("qwen2", "\"layer_types\": 8", "layer_types");
    refused("qwen2", "\"max_window_layers\": -1", "max_window_layers");
    d = described("qwen3_moe", "\"use_sliding_window\": true, \"max_window_layers\": 5, \"sliding_window\": 9");
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0xff);
}

static void qwen_experts(void **state) {
    (void)state;
    ModelDesc d = described("qwen3_moe", "");
    assert_int_equal(d.experts.count, 128);
    assert_int_equal(d.experts.used, 8);
    assert_int_equal(d.experts.ffn_dim, 768);
    assert_false(d.experts.normalized);
    d = described("qwen3_moe", "\"num_local_experts\": 8, \"decoder_sparse_step\": 3, \"mlp_only_layers\": [5, 0]");
    assert_int_equal(layers_of(&d, LAYER_DENSE), 0xff & ~(1 << 2));
    refused("qwen3_moe", "\"num_experts\": 4", "8 of 4 experts");
    refused("mixtral", "\"num_experts_per_tok\": 9", "9 of 8 experts");
    refused("qwen3_moe", "\"num_experts\": 0", "num_experts");
    refused("qwen3_moe", "\"decoder_sparse_step\": 0", "decoder_sparse_step");
    refused("qwen3_moe", "\"mlp_only_layers\": [8]", "mlp_only_layers");
    refused("qwen3_moe", "\"mlp_only_layers\": [-1]", "mlp_only_layers");
    refused("qwen3_moe", "\"mlp_only_layers\": [1.5]", "mlp_only_layers");
    refused("qwen3_moe", "\"mlp_only_layers\": [1e300]", "mlp_only_layers");
    refused("qwen3_moe", "\"mlp_only_layers\": [\"0\"]", "mlp_only_layers");
    refused("qwen3_moe", "\"mlp_only_layers\": 3", "mlp_only_layers");
}

static void smollm3_positions(void **state) {
    (void)state;
    ModelDesc d = described("smollm3", "");
    assert_int_equal(layers_of(&d, LAYER_UNTURNED), 0x88);
    assert_true(d.tied && d.rope.theta == 2e6);
    d = described("smollm3", "\"no_rope_layers\": [1, 0, true, false, 1, 1, 1, 1, 0], \"use_sliding_window\": true, "
                             "\"sliding_window\": 7"); // a list may be longer than the model
    assert_int_equal(layers_of(&d, LAYER_UNTURNED), 0x0a);
    assert_int_equal(layers_of(&d, LAYER_WINDOWED), 0x0a);
    refused("smollm3", "\"no_rope_layers\": [1, 0, 1]", "no_rope_layers");
    refused("smollm3", "\"no_rope_layers\": []", "no_rope_layers");
    refused("smollm3", "\"no_rope_layers\": {\"0\": 1}", "no_rope_layers");
    refused("smollm3", "\"no_rope_layers\": [1, 1, 1, 1, 1, 1, 1, \"0\"]", "no_rope_layers");
    refused("smollm3", "\"no_rope_layer_interval\": 0", "no_rope_layer_interval");
}

static void multipliers(void **state) {
    (void)state;
    ModelDesc d = described("granite", "\"logits_scaling\": 8");
    assert_true(d.attn_scale == 1 && d.embed_scale == 1 && d.residual_scale == 1 && d.logit_scale == 0.125);
    refused("granite", "\"logits_scaling\": 0", "logits_scaling");
    refused("granite", "\"residual_multiplier\": -1", "residual_multiplier");
    refused("granite", "\"attention_multiplier\": \"1\"", "attention_multiplier");
    d = described("olmo", "\"rms_norm_eps\": 0.5"); // which OLMo does not read
    assert_true(d.norm_eps == 1e-5 && d.norm_bare && d.qkv_clip == 0);
    refused("olmo", "\"clip_qkv\": 0", "clip_qkv");
    refused("olmo", "\"clip_qkv\": -8", "clip_qkv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_is_not_null), cmocka_unit_test(qwen_windows), cmocka_unit_test(qwen_experts),
        cmocka_unit_test(smollm3_positions),   cmocka_unit_test(multipliers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
