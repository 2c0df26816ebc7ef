// OPT and Galactica: LayerNorm before the blocks (after their sums in OPT 350M, whose embedding is narrower too),
// learned positions from row 2 on, a plain ReLU MLP. Source: transformers' models/opt/modeling_opt.py.
#include "convert/family.h"

static bool opt_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool bias = true, affine = true, before = true;
    desc->norm_eps = 1e-5; // not in the config
    desc->activation = ACT_RELU;
    desc->tied = true;
    if (!describe_common(config, desc, err)) return false;
    int64_t width = desc->dim;
    if (!json_int(config, "word_embed_proj_dim", 1, INT32_MAX, &width, err) ||
        !json_bool(config, "enable_bias", &bias, err) ||
        !json_bool(config, "layer_norm_elementwise_affine", &affine, err) ||
        !json_bool(config, "do_layer_norm_before", &before, err) ||
        (before && !refuse_bool(config, "_remove_final_layer_norm", false, err)))
        return false;
    describe_default_ids(config, desc, 2, 2);
    desc->norm_kind = NORM_LAYER;
    desc->norm_bias = affine;
    desc->norm_bare = !affine;
    if (!before) desc->norm_place = NORM_SUM;
    if (width != desc->dim) desc->embed_dim = width;
    desc->positions = POSITIONS_LEARNED;
    desc->position_offset = 2; // rows that fairseq kept for its padding
    desc->plain_mlp = true;
    desc->qkv_bias = desc->attn_output_bias = desc->mlp_bias = bias;
    return true;
}

static const NameMap names[] = {
    {"model.decoder.embed_tokens.weight", "token_embd.weight"},
    {"model.decoder.embed_positions.weight", "position_embd.weight"},
    {"model.decoder.project_in.weight", "embd_in.weight"},
    {"model.decoder.project_out.weight", "embd_out.weight"},
    {"model.decoder.final_layer_norm.weight", "output_norm.weight"},
    {"model.decoder.final_layer_norm.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"model.decoder.layers.#.self_attn_layer_norm.weight", "blk.#.attn_norm.weight"},
    {"model.decoder.layers.#.self_attn_layer_norm.bias", "blk.#.attn_norm.bias"},
    {"model.decoder.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.decoder.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.decoder.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.decoder.layers.#.self_attn.out_proj.weight", "blk.#.attn_output.weight"},
    {"model.decoder.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},
    {"model.decoder.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},
    {"model.decoder.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {"model.decoder.layers.#.self_attn.out_proj.bias", "blk.#.attn_output.bias"},
    {"model.decoder.layers.#.final_layer_norm.weight", "blk.#.ffn_norm.weight"},
    {"model.decoder.layers.#.final_layer_norm.bias", "blk.#.ffn_norm.bias"},
    {"model.decoder.layers.#.fc1.weight", "blk.#.ffn_up.weight"},
    {"model.decoder.layers.#.fc1.bias", "blk.#.ffn_up.bias"},
    {"model.decoder.layers.#.fc2.weight", "blk.#.ffn_down.weight"},
    {"model.decoder.layers.#.fc2.bias", "blk.#.ffn_down.bias"},
    {0},
};

// The first checkpoints have no "model.".
static const NameStart starts[] = {{"decoder.", "model.decoder."}, {NULL, NULL}};

const Family family_opt = {
    .name = "opt",
    .architecture = "OPTForCausalLM",
    .names = names,
    .starts = starts,
    .describe = opt_describe,
};
