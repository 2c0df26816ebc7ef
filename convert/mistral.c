// Mistral 7B, Nemo, Small: Llama with a window on attention, in every layer or in none, and heads of a width of their
// own. Source: transformers' models/mistral/modeling_mistral.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool mistral_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->kv_heads = 8;
    desc->context = 131072;
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_window(config, 4096, desc, err);
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

const Family family_mistral = {
    .name = "mistral",
    .architecture = "MistralForCausalLM",
    .names = names,
    .starts = starts,
    .describe = mistral_describe,
    .gguf = &gguf_llama,
};
