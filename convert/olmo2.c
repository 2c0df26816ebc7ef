// OLMo 2 (arXiv:2501.00656): Llama with the norms after attention and MLP, not before them, and norms of queries and
// keys, all heads together. Source: transformers' models/olmo2/modeling_olmo2.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool olmo2_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->norm_eps = 1e-5;
    desc->norm_place = NORM_AFTER;
    desc->qk_norm = QK_NORM_WIDE;
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err);
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_ATTENTION_NAMES,
    LLAMA_QK_NORM_NAMES,
    LLAMA_MLP_NAMES,
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"},
    {"model.layers.#.post_feedforward_layernorm.weight", "blk.#.post_ffw_norm.weight"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Engines know no biases but of queries, keys and values, no rotary factors, and no tied head.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    (void)gguf;
    gguf_drop_biases(&model->desc);
    model->desc.tied = false;
    return refuse_gguf_factors(model, "olmo2", err);
}

static const GgufArch gguf = {.name = "olmo2", .activation = ACT_SILU, .settle = settle};

const Family family_olmo2 = {
    .name = "olmo2",
    .architecture = "Olmo2ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = olmo2_describe,
    .gguf = &gguf,
};
