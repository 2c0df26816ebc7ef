// OLMo 1 (arXiv:2402.00838): Llama with layer norms that have no weights, and queries, keys and values kept within
// limits. Source: transformers' models/olmo/modeling_olmo.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool olmo_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->norm_kind = NORM_LAYER;
    desc->norm_bare = true;
    if (!describe_common(config, desc, err) || !describe_rope(config, desc, err) ||
        !describe_attention_bias(config, desc, err) ||
        !json_double(config, "clip_qkv", 1e-30, 1e30, &desc->qkv_clip, err))
        return false;
    desc->norm_eps = 1e-5; // whatever the config says
    return true;
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Engines know no biases but of queries, keys and values, and no rotary factors.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    (void)gguf;
    gguf_drop_biases(&model->desc);
    return refuse_gguf_factors(model, "olmo", err);
}

static const GgufArch gguf = {.name = "olmo",
                              .neighbours = true,
                              .norm_kind = NORM_LAYER,
                              .activation = ACT_SILU,
                              .keys = GGUF_KEY_CLAMP,
                              .settle = settle};

const Family family_olmo = {
    .name = "olmo",
    .architecture = "OlmoForCausalLM",
    .names = names,
    .starts = starts,
    .describe = olmo_describe,
    .gguf = &gguf,
};
