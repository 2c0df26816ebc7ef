// Qwen 1.5, 2 and 2.5: Llama with biased queries, keys and values, and windows in the upper layers where they are
// turned on. Source: transformers' models/qwen2/modeling_qwen2.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool qwen2_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->kv_heads = 32;
    desc->context = 32768;
    desc->qkv_bias = true;
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_upper_windows(config, desc, err);
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Engines know no biases but of queries, keys and values, and no rotary factors.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    (void)gguf;
    gguf_drop_biases(&model->desc);
    return refuse_gguf_factors(model, "qwen2", err);
}

static const GgufArch gguf = {.name = "qwen2", .activation = ACT_SILU, .settle = settle};

const Family family_qwen2 = {
    .name = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = qwen2_describe,
    .gguf = &gguf,
};
