// StarCoder2 (arXiv:2402.19173): layer norms, biases everywhere, a plain GELU MLP, rotary positions, few key and value
// heads, a window. Source: transformers' models/starcoder2/modeling_starcoder2.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool starcoder2_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool bias = true;
    desc->kv_heads = 2;
    desc->context = 4096;
    desc->tied = true;
    desc->norm_eps = 1e-5;
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    desc->plain_mlp = true;
    desc->activation = ACT_GELU_TANH;
    if (!describe_common(config, desc, err) || !describe_rope(config, desc, err) ||
        !describe_window(config, 0, desc, err) || !json_bool(config, "use_bias", &bias, err))
        return false;
    desc->qkv_bias = desc->attn_output_bias = desc->mlp_bias = bias;
    return true;
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    LLAMA_ATTENTION_NAMES,
    {"model.norm.bias", "output_norm.bias"},
    {"model.layers.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"model.layers.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias"},
    {"model.layers.#.mlp.c_fc.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.c_fc.bias", "blk.#.ffn_up.bias"},
    {"model.layers.#.mlp.c_proj.weight", "blk.#.ffn_down.weight"},
    {"model.layers.#.mlp.c_proj.bias", "blk.#.ffn_down.bias"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Engines need these biases, whatever queries, keys and values have, and know no rotary factors.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    (void)gguf;
    model->desc.attn_output_bias = model->desc.mlp_bias = model->desc.norm_bias = true;
    return refuse_gguf_factors(model, "starcoder2", err);
}

static const GgufArch gguf = {
    .name = "starcoder2", .norm_kind = NORM_LAYER, .activation = ACT_GELU_TANH, .settle = settle};

const Family family_starcoder2 = {
    .name = "starcoder2",
    .architecture = "Starcoder2ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = starcoder2_describe,
    .gguf = &gguf,
};
