// Granite 3: Llama with four multipliers: of the embedding, of attention's scores, of what each block adds and of the
// logits. Source: transformers' models/granite/modeling_granite.py.
#include "convert/family.h"
#include "convert/llama_names.h"

// A missing multiplier is 1.
static bool read_multiplier(const cJSON *config, const char *key, double *value, Error *err) {
    *value = 1;
    return json_double(config, key, 1e-30, 1e30, value, err);
}

static bool granite_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    double divisor;
    if (!describe_common(config, desc, err) || !describe_rope(config, desc, err) ||
        !describe_attention_bias(config, desc, err) || !json_bool(config, "mlp_bias", &desc->mlp_bias, err) ||
        !read_multiplier(config, "embedding_multiplier", &desc->embed_scale, err) ||
        !read_multiplier(config, "residual_multiplier", &desc->residual_scale, err) ||
        !read_multiplier(config, "attention_multiplier", &desc->attn_scale, err) ||
        !read_multiplier(config, "logits_scaling", &divisor, err))
        return false;
    desc->logit_scale = 1 / divisor;
    return true;
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

static const GgufArch gguf = {.name = "granite",
                              .neighbours = true,
                              .activation = ACT_SILU,
                              .keys = GGUF_KEY_MULTIPLIERS | GGUF_KEY_LOGIT_DIVIDE};

const Family family_granite = {
    .name = "granite",
    .architecture = "GraniteForCausalLM",
    .names = names,
    .starts = starts,
    .describe = granite_describe,
    .gguf = &gguf,
};
