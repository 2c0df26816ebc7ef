// GPT-J: one LayerNorm for attention and MLP, which are parallel, rotary positions on the first dimensions of each head
// in neighbouring pairs, biases in MLP and head only. Source: transformers' models/gptj/modeling_gptj.py.
#include "convert/family.h"

static bool gptj_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->ffn_dim = FFN_FOUR_TIMES;
    desc->norm_eps = 1e-5;
    desc->activation = ACT_GELU_TANH;
    desc->rope = (Rope){.theta = 10000, .dims = 64, .interleaved = true};
    if (!describe_common(config, desc, err) || !json_int(config, "rotary_dim", 1, INT32_MAX, &desc->rope.dims, err) ||
        !refuse_bool(config, "rotary", true, err))
        return false;
    describe_default_ids(config, desc, 50256, 50256);
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    desc->parallel = desc->shared_norm = true;
    desc->plain_mlp = true;
    desc->mlp_bias = desc->head_bias = true;
    return true;
}

static const NameMap names[] = {
    {"transformer.wte.weight", "token_embd.weight"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"lm_head.bias", "output.bias"},
    {"transformer.h.#.ln_1.weight", "blk.#.attn_norm.weight"},
    {"transformer.h.#.ln_1.bias", "blk.#.attn_norm.bias"},
    {"transformer.h.#.attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"transformer.h.#.attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"transformer.h.#.attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"transformer.h.#.attn.out_proj.weight", "blk.#.attn_output.weight"},
    {"transformer.h.#.mlp.fc_in.weight", "blk.#.ffn_up.weight"},
    {"transformer.h.#.mlp.fc_in.bias", "blk.#.ffn_up.bias"},
    {"transformer.h.#.mlp.fc_out.weight", "blk.#.ffn_down.weight"},
    {"transformer.h.#.mlp.fc_out.bias", "blk.#.ffn_down.bias"},
    {"transformer.h.#.attn.bias", NULL}, // the causal mask
    {"transformer.h.#.attn.masked_bias", NULL},
    {0},
};

const Family family_gptj = {
    .name = "gptj",
    .architecture = "GPTJForCausalLM",
    .names = names,
    .describe = gptj_describe,
};
