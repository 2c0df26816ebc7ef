// GPT-2 and what shares its model_type: LayerNorm, learned positions, a plain MLP, biases everywhere, weights stored
// [in, out] (Conv1D). Source: transformers' models/gpt2/modeling_gpt2.py.
#include "convert/family.h"

#include "convert/parts.h"

static bool gpt2_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool scaled = true;
    desc->ffn_dim = FFN_FOUR_TIMES;
    desc->context = 1024;
    desc->norm_eps = 1e-5;
    desc->activation = ACT_GELU_TANH;
    desc->tied = true;
    // reorder_and_upcast_attn only orders the operations for half precision.
    if (!describe_common(config, desc, err) || !json_bool(config, "scale_attn_weights", &scaled, err) ||
        !json_bool(config, "scale_attn_by_inverse_layer_idx", &desc->attn_scale_by_layer, err) ||
        !refuse_bool(config, "add_cross_attention", false, err))
        return false;
    describe_default_ids(config, desc, 50256, 50256);
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = true;
    desc->positions = POSITIONS_LEARNED;
    desc->attn_scale = scaled ? 0 : 1;
    desc->plain_mlp = true;
    desc->qkv_bias = desc->attn_output_bias = desc->mlp_bias = true;
    return true;
}

static const NameMap names[] = {
    {"transformer.wte.weight", "token_embd.weight"},
    {"transformer.wpe.weight", "position_embd.weight"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"transformer.h.#.ln_1.weight", "blk.#.attn_norm.weight"},
    {"transformer.h.#.ln_1.bias", "blk.#.attn_norm.bias"},
    {"transformer.h.#.attn.c_attn.weight", "blk.#.attn_q.weight", part_q_transposed},
    {"transformer.h.#.attn.c_attn.weight", "blk.#.attn_k.weight", part_k_transposed},
    {"transformer.h.#.attn.c_attn.weight", "blk.#.attn_v.weight", part_v_transposed},
    {"transformer.h.#.attn.c_attn.bias", "blk.#.attn_q.bias", part_q},
    {"transformer.h.#.attn.c_attn.bias", "blk.#.attn_k.bias", part_k},
    {"transformer.h.#.attn.c_attn.bias", "blk.#.attn_v.bias", part_v},
    {"transformer.h.#.attn.c_proj.weight", "blk.#.attn_output.weight", part_transposed},
    {"transformer.h.#.attn.c_proj.bias", "blk.#.attn_output.bias"},
    {"transformer.h.#.ln_2.weight", "blk.#.ffn_norm.weight"},
    {"transformer.h.#.ln_2.bias", "blk.#.ffn_norm.bias"},
    {"transformer.h.#.mlp.c_fc.weight", "blk.#.ffn_up.weight", part_transposed},
    {"transformer.h.#.mlp.c_fc.bias", "blk.#.ffn_up.bias"},
    {"transformer.h.#.mlp.c_proj.weight", "blk.#.ffn_down.weight", part_transposed},
    {"transformer.h.#.mlp.c_proj.bias", "blk.#.ffn_down.bias"},
    {"transformer.h.#.attn.bias", NULL}, // the causal mask
    {"transformer.h.#.attn.masked_bias", NULL},
    {0},
};

// OpenAI's own checkpoints have no "transformer.".
static const NameStart starts[] = {{"", "transformer."}, {NULL, NULL}};

static const NameMap gguf_names[] = {GGUF_QKV_NAMES, {0}};

// Some with GPT-2's model_type (Cerebras-GPT) have GELU's erf form, for which engines compute the tanh form as well.
static const GgufArch gguf = {
    .name = "gpt2", .names = gguf_names, .norm_kind = NORM_LAYER, .activation = ACT_GELU_TANH, .keys = GGUF_KEY_GELU};

const Family family_gpt2 = {
    .name = "gpt2",
    .architecture = "GPT2LMHeadModel",
    .names = names,
    .starts = starts,
    .describe = gpt2_describe,
    .gguf = &gguf,
};
