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

// Whether attention and MLP are side by side is told by the tensors, not by the key.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)gguf;
    gguf_square_heads(d);
    d->parallel = d->shared_norm;
    d->norm_bias = true;
    d->tied = d->attn_output_bias = false;
    if (d->qk_norm) d->qk_norm = QK_NORM_HEADS;
    return refuse_gguf_factors(model, "stablelm", err);
}

static const NameMap gguf_names[] = {
    {"blk.#.attn_q_norm.weight", "blk.#.attn_q_norm.weight", part_flat},
    {"blk.#.attn_k_norm.weight", "blk.#.attn_k_norm.weight", part_flat},
    {0},
};

static const GgufArch gguf = {.name = "stablelm",
                              .names = gguf_names,
                              .norm_kind = NORM_LAYER,
                              .activation = ACT_SILU,
                              .keys = GGUF_KEY_PARALLEL,
                              .settle = settle};

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
    .gguf = &gguf,
};
