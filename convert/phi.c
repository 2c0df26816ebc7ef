// Phi-1, 1.5 and 2 (model_type phi): attention and a plain MLP side by side behind one layer norm, part of each head
// turned, biases everywhere. Source: transformers' models/phi/modeling_phi.py.
#include "convert/family.h"
#include "convert/parts.h"

static bool phi_describe(const cJSON *config, ModelDesc *d, Error *err) {
    bool qk_layernorm = false;
    d->context = 2048;
    d->norm_eps = 1e-5;
    d->activation = ACT_GELU_TANH;
    d->norm_kind = NORM_LAYER;
    d->norm_bias = d->parallel = d->shared_norm = true;
    d->plain_mlp = d->qkv_bias = d->attn_output_bias = d->mlp_bias = d->head_bias = true;
    if (!describe_common(config, d, err)) return false;
    d->rope.dims = d->head_dim / 2;
    if (!describe_rope(config, d, err) || !json_bool(config, "qk_layernorm", &qk_layernorm, err)) return false;
    d->qk_norm = qk_layernorm ? QK_NORM_HEAD : QK_NORM_NONE;
    d->qk_norm_bias = qk_layernorm;
    return true;
}

static bool settle(const Gguf *gguf, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)gguf;
    gguf_square_heads(d);
    d->plain_mlp = d->parallel = d->shared_norm = true;
    d->tied = false;
    d->qk_norm = QK_NORM_NONE;
    return refuse_gguf_factors(model, "phi2", err);
}

// Fused in older files; written apart.
static const NameMap gguf_names[] = {
    {"blk.#.attn_q.weight", "blk.#.attn_q.weight"},
    {"blk.#.attn_k.weight", "blk.#.attn_k.weight"},
    {"blk.#.attn_v.weight", "blk.#.attn_v.weight"},
    {"blk.#.attn_q.bias", "blk.#.attn_q.bias"},
    {"blk.#.attn_k.bias", "blk.#.attn_k.bias"},
    {"blk.#.attn_v.bias", "blk.#.attn_v.bias"},
    {"blk.#.attn_qkv.weight", "blk.#.attn_q.weight", part_q},
    {"blk.#.attn_qkv.weight", "blk.#.attn_k.weight", part_k},
    {"blk.#.attn_qkv.weight", "blk.#.attn_v.weight", part_v},
    {"blk.#.attn_qkv.bias", "blk.#.attn_q.bias", part_q},
    {"blk.#.attn_qkv.bias", "blk.#.attn_k.bias", part_k},
    {"blk.#.attn_qkv.bias", "blk.#.attn_v.bias", part_v},
    {0},
};

static const GgufArch gguf = {
    .name = "phi2", .names = gguf_names, .norm_kind = NORM_LAYER, .activation = ACT_GELU_TANH, .settle = settle};

static const NameMap names[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.final_layernorm.weight", "output_norm.weight"},
    {"model.final_layernorm.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"lm_head.bias", "output.bias"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"model.layers.#.self_attn.dense.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.dense.bias", "blk.#.attn_output.bias"},
    {"model.layers.#.self_attn.q_layernorm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.self_attn.q_layernorm.bias", "blk.#.attn_q_norm.bias"},
    {"model.layers.#.self_attn.k_layernorm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.self_attn.k_layernorm.bias", "blk.#.attn_k_norm.bias"},
    {"model.layers.#.mlp.fc1.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.fc1.bias", "blk.#.ffn_up.bias"},
    {"model.layers.#.mlp.fc2.weight", "blk.#.ffn_down.weight"},
    {"model.layers.#.mlp.fc2.bias", "blk.#.ffn_down.bias"},
    {"model.layers.#.self_attn.rotary_emb.inv_freq", NULL},
    {0},
};

static const NameStart starts[] = {{"", "model."}, {NULL, NULL}};

const Family family_phi = {
    .name = "phi",
    .architecture = "PhiForCausalLM",
    .names = names,
    .starts = starts,
    .describe = phi_describe,
    .gguf = &gguf,
};
