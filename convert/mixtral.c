// Mixtral 8x7B, 8x22B (arXiv:2401.04088): Mistral with experts in every layer, weighed by the softmax over those
// chosen. Source: transformers' models/mixtral/modeling_mixtral.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool mixtral_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->kv_heads = 8;
    desc->context = 131072;
    desc->norm_eps = 1e-5;
    desc->rope.theta = 1e6;
    desc->experts = (Experts){.count = 8, .used = 2, .normalized = true};
    if (!describe_common(config, desc, err) || !describe_rope(config, desc, err) ||
        !describe_window(config, 0, desc, err) || !describe_experts(config, desc, err))
        return false;
    desc->experts.ffn_dim = desc->ffn_dim;
    return true;
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    LLAMA_ATTENTION_NAMES,
    {"model.layers.#.block_sparse_moe.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.block_sparse_moe.experts.#.w1.weight", "blk.#.ffn_gate.#.weight"},
    {"model.layers.#.block_sparse_moe.experts.#.w2.weight", "blk.#.ffn_down.#.weight"},
    {"model.layers.#.block_sparse_moe.experts.#.w3.weight", "blk.#.ffn_up.#.weight"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

const Family family_mixtral = {
    .name = "mixtral",
    .architecture = "MixtralForCausalLM",
    .names = names,
    .starts = starts,
    .describe = mixtral_describe,
    .gguf = &gguf_llama,
};
