// Llama 1, 2, 3, 3.1-3.3 and what shares their model_type (SmolLM2 among others): RMSNorm, rotary positions,
// grouped-query attention, gated SiLU MLP. Source: transformers' models/llama/modeling_llama.py.
#include "convert/family.h"

static bool llama_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool attention_bias = false;
    if (!describe_common(config, desc, err) || !describe_rope(config, desc, err) ||
        !json_bool(config, "attention_bias", &attention_bias, err) ||
        !json_bool(config, "mlp_bias", &desc->mlp_bias, err))
        return false;
    desc->qkv_bias = desc->attn_output_bias = attention_bias;
    return true;
}

// GGUF's "llama" is Llama, Mistral and, with experts, Mixtral.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    static const GgufRefusal refused[] = {
        {"expert_count", 0},           {"attention.sliding_window", 0},
        {"attention.scale", 0},        {"logit_scale", 0},
        {"embedding_scale", 0},        {"residual_scale", 0},
        {"attn_logit_softcapping", 0}, {"attention.clamp_kqv", 0},
    };
    (void)model;
    return refuse_gguf(gguf, "llama", refused, sizeof refused / sizeof *refused, err);
}

static const GgufArch gguf = {.name = "llama", .neighbours = true, .activation = ACT_SILU, .settle = settle};

static const NameMap names[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {"model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias"},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    {"model.layers.#.mlp.gate_proj.bias", "blk.#.ffn_gate.bias"},
    {"model.layers.#.mlp.up_proj.bias", "blk.#.ffn_up.bias"},
    {"model.layers.#.mlp.down_proj.bias", "blk.#.ffn_down.bias"},
    {"model.layers.#.self_attn.rotary_emb.inv_freq", NULL},
    {"model.rotary_emb.inv_freq", NULL},
    {0},
};

// Checkpoints of the bare model have no "model.".
static const NameStart starts[] = {{"", "model."}, {NULL, NULL}};

const Family family_llama = {
    .name = "llama",
    .architecture = "LlamaForCausalLM",
    .names = names,
    .starts = starts,
    .describe = llama_describe,
    .gguf = &gguf,
};
