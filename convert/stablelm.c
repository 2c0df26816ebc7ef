// StableLM 3B, 2 1.6B and 2 12B: Llama with layer norms and a part of each head turned; the 12B with attention and MLP
// side by side, and norms of queries and keys, one for each head. Source: transformers'
// models/stablelm/modeling_stablelm.py.
#include "convert/family.h"
#include "convert/llama_names.h"
#include "convert/parts.h"

static bool stablelm_describe(const cJSON *config, ModelDesc *d, Error *err) {
    bool qk_layernorm = false;
    d->context = 4096;
    d->kv_heads = 32;
    d->norm_eps = 1e-5;
    d->norm_kind = NORM_LAYER;
    d->norm_bias = true;
    if (!describe_common(config, d, err)) return false;
    d->rope.dims = d->head_dim / 4;
    if (!describe_rope(config, d, err) || !json_bool(config, "qk_layernorm", &qk_layernorm, err) ||
        !json_bool(config, "use_qkv_bias", &d->qkv_bias, err) ||
        !json_bool(config, "use_parallel_residual", &d->parallel, err))
        return false;
    d->qk_norm = qk_layernorm ? QK_NORM_HEADS : QK_NORM_NONE;
    d->shared_norm = d->parallel;
    return true;
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_ATTENTION_NAMES,
    LLAMA_MLP_NAMES,
    {"model.norm.bias", "output_norm.bias"},
    LLAMA_NORM_NAMES,
    {"model.layers.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"model.layers.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias"},
    {"model.layers.#.self_attn.q_layernorm.norms.#.weight", "blk.#.attn_q_norm.weight", part_of_q_norms},
    {"model.layers.#.self_attn.k_layernorm.norms.#.weight", "blk.#.attn_k_norm.weight", part_of_k_norms},
    {0},
};

static const NameStart starts[] = {LLAMA_STARTS, {NULL, NULL}};

const Family family_stablelm = {
    .name = "stablelm",
    .architecture = "StableLmForCausalLM",
    .names = names,
    .starts = starts,
    .describe = stablelm_describe,
};
