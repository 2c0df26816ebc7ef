// GPT-NeoX, Pythia and others of that model_type: LayerNorm, attention and MLP parallel with a norm each, rotary
// positions on part of each head, queries, keys and values in one tensor head by head. Source: transformers'
// models/gpt_neox/modeling_gpt_neox.py.
#include "convert/family.h"

#include "convert/parts.h"

static bool gptneox_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool attention_bias = true;
    desc->norm_eps = 1e-5;
    desc->activation = ACT_GELU;
    desc->parallel = true;
    if (!describe_common(config, desc, err)) return false;
    desc->rope.dims = desc->head_dim / 4;
    if (!describe_rope(config, desc, err) || !json_bool(config, "attention_bias", &attention_bias, err) ||
        !json_bool(config, "use_parallel_residual", &desc->parallel, err))
        return false;
    describe_default_ids(config, desc, 0, 2);
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    desc->plain_mlp = true;
    desc->qkv_bias = desc->attn_output_bias = attention_bias;
    desc->mlp_bias = true;
    return true;
}

static const NameMap names[] = {
    {"gpt_neox.embed_in.weight", "token_embd.weight"},
    {"gpt_neox.final_layer_norm.weight", "output_norm.weight"},
    {"gpt_neox.final_layer_norm.bias", "output_norm.bias"},
    {"embed_out.weight", "output.weight"},
    {"gpt_neox.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"gpt_neox.layers.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"gpt_neox.layers.#.attention.query_key_value.weight", "blk.#.attn_q.weight", part_head_q},
    {"gpt_neox.layers.#.attention.query_key_value.weight", "blk.#.attn_k.weight", part_head_k},
    {"gpt_neox.layers.#.attention.query_key_value.weight", "blk.#.attn_v.weight", part_head_v},
    {"gpt_neox.layers.#.attention.query_key_value.bias", "blk.#.attn_q.bias", part_head_q},
    {"gpt_neox.layers.#.attention.query_key_value.bias", "blk.#.attn_k.bias", part_head_k},
    {"gpt_neox.layers.#.attention.query_key_value.bias", "blk.#.attn_v.bias", part_head_v},
    {"gpt_neox.layers.#.attention.dense.weight", "blk.#.attn_output.weight"},
    {"gpt_neox.layers.#.attention.dense.bias", "blk.#.attn_output.bias"},
    {"gpt_neox.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"gpt_neox.layers.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias"},
    {"gpt_neox.layers.#.mlp.dense_h_to_4h.weight", "blk.#.ffn_up.weight"},
    {"gpt_neox.layers.#.mlp.dense_h_to_4h.bias", "blk.#.ffn_up.bias"},
    {"gpt_neox.layers.#.mlp.dense_4h_to_h.weight", "blk.#.ffn_down.weight"},
    {"gpt_neox.layers.#.mlp.dense_4h_to_h.bias", "blk.#.ffn_down.bias"},
    {"gpt_neox.layers.#.attention.bias", NULL}, // the causal mask
    {"gpt_neox.layers.#.attention.masked_bias", NULL},
    {"gpt_neox.layers.#.attention.rotary_emb.inv_freq", NULL},
    {0},
};

static const NameMap gguf_names[] = {GGUF_QKV_NAMES, {0}};

// Tensors that engines insist on, and those that they do not know.
static bool settle(const Gguf *g, Model *model, Error *err) {
    const ModelDesc *d = &model->desc;
    const char *missing = d->tied ? "output.weight" : !d->qkv_bias ? "blk.0.attn_qkv.bias" : NULL;
    if (!d->attn_output_bias && !missing) missing = "blk.0.attn_output.bias";
    (void)g;
    if (missing) return error_set(err, "has no tensor %s, without which engines run no gptneox", missing);
    return gguf_refuse_rope_factors(model, "gptneox", err);
}

// Engines compute GELU's tanh form for all; Pythia has the erf form, and that is what a file means which says nothing.
static const GgufArch gguf = {.name = "gptneox",
                              .names = gguf_names,
                              .norm_kind = NORM_LAYER,
                              .activation = ACT_GELU,
                              .keys = GGUF_KEY_PARALLEL | GGUF_KEY_GELU,
                              .settle = settle};

const Family family_gptneox = {
    .name = "gpt_neox",
    .architecture = "GPTNeoXForCausalLM",
    .names = names,
    .describe = gptneox_describe,
    .gguf = &gguf,
};
