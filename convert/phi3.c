// Phi-3, 3.5 and 4 (mini, medium and 14B): Llama's network with queries, keys and values in one tensor, gate and up in
// another, and longrope's rotary positions. Source: transformers' models/phi3/modeling_phi3.py.
#include "convert/family.h"
#include "convert/llama_names.h"
#include "convert/parts.h"

static bool refuse_others(const cJSON *config, Error *err) {
    static const char *const bools[] = {"attention_bias", "mlp_bias", "lm_head_bias"};
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++)
        if (!refuse_bool(config, bools[i], false, err)) return false;
    return refuse_number(config, "full_attn_mod", 1, err) && refuse_number(config, "interpolate_factor", 1, err);
}

static bool phi3_describe(const cJSON *config, ModelDesc *d, Error *err) {
    d->context = 4096;
    d->norm_eps = 1e-5;
    d->rope.original_context = 4096;
    if (!refuse_others(config, err) || !describe_common(config, d, err) || !describe_rope(config, d, err) ||
        !json_int(config, "sliding_window", 1, INT32_MAX, &d->window, err))
        return false;
    if (d->rope.scaling != ROPE_PLAIN && d->rope.scaling != ROPE_LONGROPE)
        return error_set(err, "rotary scaling \"%s\" is not supported in phi3; those supported are: default, longrope",
                         rope_scaling_name(d->rope.scaling));
    if (d->window) desc_set_layers(d, LAYER_WINDOWED);
    return true;
}

static bool settle(const Gguf *gguf, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)gguf;
    gguf_square_heads(d);
    d->plain_mlp = d->parallel = d->shared_norm = false;
    d->window = 0; // the key is there, and llama.cpp warns that it does not keep to it
    return refuse_gguf_factors(model, "phi3", err);
}

static const NameMap gguf_names[] = {
    {"blk.#.attn_qkv.weight", "blk.#.attn_q.weight", part_q},
    {"blk.#.attn_qkv.weight", "blk.#.attn_k.weight", part_k},
    {"blk.#.attn_qkv.weight", "blk.#.attn_v.weight", part_v},
    {"blk.#.ffn_up.weight", "blk.#.ffn_gate.weight", part_gate},
    {"blk.#.ffn_up.weight", "blk.#.ffn_up.weight", part_up},
    {0},
};

static const GgufArch gguf = {
    .name = "phi3", .names = gguf_names, .activation = ACT_SILU, .keys = GGUF_KEY_WINDOW, .settle = settle};

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    {"model.layers.#.self_attn.qkv_proj.weight", "blk.#.attn_q.weight", part_q},
    {"model.layers.#.self_attn.qkv_proj.weight", "blk.#.attn_k.weight", part_k},
    {"model.layers.#.self_attn.qkv_proj.weight", "blk.#.attn_v.weight", part_v},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.mlp.gate_up_proj.weight", "blk.#.ffn_gate.weight", part_gate},
    {"model.layers.#.mlp.gate_up_proj.weight", "blk.#.ffn_up.weight", part_up},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    {0},
};

static const NameStart starts[] = {LLAMA_STARTS, {NULL, NULL}};

const Family family_phi3 = {
    .name = "phi3",
    .architecture = "Phi3ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = phi3_describe,
    .gguf = &gguf,
    .add_tensors = add_longrope_factors,
};
