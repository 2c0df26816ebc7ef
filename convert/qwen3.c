// Qwen 3: Llama with norms of queries and keys, head by head, heads of a width of their own, and windows in the upper
// layers where they are turned on. Source: transformers' models/qwen3/modeling_qwen3.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool qwen3_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->kv_heads = 32;
    desc->head_dim = 128;
    desc->context = 32768;
    desc->qk_norm = QK_NORM_HEAD;
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err) && describe_upper_windows(config, desc, err);
}

static const NameMap names[] = {
    LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_QK_NORM_NAMES, LLAMA_MLP_NAMES, {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Engines know no biases but of queries, keys and values, and no rotary factors.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    (void)gguf;
    gguf_drop_biases(&model->desc);
    return refuse_gguf_factors(model, "qwen3", err);
}

static const GgufArch gguf = {.name = "qwen3", .activation = ACT_SILU, .settle = settle};

const Family family_qwen3 = {
    .name = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = qwen3_describe,
    .gguf = &gguf,
};
