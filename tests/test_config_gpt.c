// What configs of the GPT line (GPT-2, GPT-J, GPT-NeoX, OPT, BLOOM, Falcon) may leave out, and what in them is refused.
#include "convert/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZES "\"vocab_size\": 60000, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"hidden_size\": 64"

static bool describe(const char *text, ModelDesc *desc, Error *err) {
    *desc = (ModelDesc){0};
    cJSON *config = json_parse(text, strlen(text), err);
    const Family *family = config ? family_find(config, err) : NULL;
    bool ok = family && family->describe(config, desc, err) && model_desc_check(desc, err);
    cJSON_Delete(config);
    return ok;
}

static void described(const char *text, ModelDesc *desc) {
    Error err = {0};
    if (!describe(text, desc, &err)) fail_msg("%s: %s", text, err.text);
}

static void refused(const char *text, const char *message) {
    Error err = {0};
    ModelDesc desc;
    if (describe(text, &desc, &err)) fail_msg("%s: was taken", text);
    if (!strstr(err.text, message)) fail_msg("%s: says %s", text, err.text);
}

static void defaults_are_transformers(void **state) {
    (void)state;
    ModelDesc d;
    described("{\"model_type\": \"gpt2\", " SIZES "}", &d);
    assert_true(d.context == 1024 && d.ffn_dim == 256 && d.tied && d.bos == 50256 && d.eos == 50256);
    assert_true(d.activation == ACT_GELU_TANH && d.norm_eps == 1e-5 && d.attn_scale == 0 && !d.attn_scale_by_layer);
    described("{\"model_type\": \"gptj\", \"n_embd\": 512, \"bos_token_id\": null, \"vocab_size\": 50400, "
              "\"n_layer\": 2, \"n_head\": 2}",
              &d);
    assert_true(d.rope.dims == 64 && d.rope.interleaved && d.ffn_dim == 2048 && !d.tied && d.head_bias);
    assert_true(d.bos == -1 && d.eos == 50256);
    described("{\"model_type\": \"gpt_neox\", \"intermediate_size\": 96, " SIZES "}", &d);
    assert_true(d.rope.dims == 4 && d.parallel && !d.shared_norm && d.qkv_bias && !d.tied && d.activation == ACT_GELU);
    described("{\"model_type\": \"opt\", \"ffn_dim\": 96, " SIZES "}", &d);
    assert_true(d.tied && d.qkv_bias && !d.embed_dim && d.norm_place == NORM_BEFORE && d.activation == ACT_RELU);
    described("{\"model_type\": \"bloom\", \"n_inner\": 7, " SIZES "}", &d);
    assert_true(d.tied && d.ffn_dim == 256 && d.positions == POSITIONS_ALIBI && d.embed_norm && d.eos == 2);
    described("{\"model_type\": \"falcon\", " SIZES "}", &d);
    assert_true(d.kv_heads == 1 && d.parallel && d.shared_norm && d.positions == POSITIONS_ROTARY && !d.qkv_bias);
    described("{\"model_type\": \"falcon\", \"new_decoder_architecture\": true, " SIZES "}", &d);
    assert_true(d.kv_heads == 4 && d.parallel && !d.shared_norm);
}

// The first downloads of Falcon.
static void refined_web_is_falcon(void **state) {
    (void)state;
    ModelDesc d;
    described(
        "{\"model_type\": \"RefinedWeb\", \"vocab_size\": 100, \"hidden_size\": 64, \"n_layer\": 2, \"n_head\": 4, "
        "\"n_head_kv\": 2, \"parallel_attn\": true, \"alibi\": false}",
        &d);
    assert_true(d.kv_heads == 2 && d.parallel && !d.shared_norm);
    described("{\"model_type\": \"RefinedWebModel\", \"vocab_size\": 100, \"hidden_size\": 64, \"n_layer\": 2, "
              "\"n_head\": 4, \"multi_query\": true, \"parallel_attn\": true, \"alibi\": false}",
              &d);
    assert_true(d.kv_heads == 1 && d.parallel && d.shared_norm);
    described("{\"model_type\": \"RefinedWebModel\", \"vocab_size\": 100, \"hidden_size\": 64, \"n_layer\": 2, "
              "\"n_head\": 4, \"multi_query\": false, \"parallel_attn\": false, \"alibi\": true, \"bias\": true}",
              &d);
    assert_true(d.kv_heads == 4 && !d.parallel && d.positions == POSITIONS_ALIBI && d.alibi_bf16 && d.qkv_bias);
}

static void the_rest_is_refused(void **state) {
    (void)state;
    refused("{\"model_type\": \"gpt2\", \"add_cross_attention\": true, " SIZES "}", "\"add_cross_attention\": true");
    refused("{\"model_type\": \"gptj\", \"rotary\": false, " SIZES "}", "\"rotary\": false");
    refused("{\"model_type\": \"gptj\", " SIZES "}", "64 of them turned"); // more than head_dim
    refused("{\"model_type\": \"gpt_neox\", \"intermediate_size\": 96, \"rotary_pct\": 0.01, " SIZES "}", "rotary_pct");
    refused("{\"model_type\": \"gpt_neox\", \"intermediate_size\": 96, \"rotary_pct\": 2, " SIZES "}", "rotary_pct");
    refused("{\"model_type\": \"opt\", \"ffn_dim\": 96, \"_remove_final_layer_norm\": true, " SIZES "}",
            "\"_remove_final_layer_norm\": true");
    refused("{\"model_type\": \"opt\", \"ffn_dim\": 96, \"word_embed_proj_dim\": 0, " SIZES "}", "word_embed_proj_dim");
    refused("{\"model_type\": \"bloom\", \"n_embed\": 32, " SIZES "}", "\"n_embed\": 32");
    refused("{\"model_type\": \"falcon\", \"num_ln_in_parallel_attn\": 2, " SIZES "}",
            "\"num_ln_in_parallel_attn\": 2");
    refused("{\"model_type\": \"falcon\", \"num_ln_in_parallel_attn\": 3, " SIZES "}", "\"num_ln_in_parallel_attn\"");
    refused("{\"model_type\": \"falcon\", \"new_decoder_architecture\": true, \"parallel_attn\": false, " SIZES "}",
            "\"parallel_attn\": false");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_transformers),
        cmocka_unit_test(refined_web_is_falcon),
        cmocka_unit_test(the_rest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
