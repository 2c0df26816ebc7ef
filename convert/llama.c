// Llama 1, 2, 3, 3.1-3.3 and what shares their model_type (SmolLM2 among others): RMSNorm, rotary positions,
// grouped-query attention, gated SiLU MLP. Source: transformers' models/llama/modeling_llama.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool llama_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err) && json_bool(config, "mlp_bias", &desc->mlp_bias, err);
}

// GGUF's "llama" is Llama, Mistral and, with experts, Mixtral: the chosen ones' weights are divided by their sum.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    static const GgufRefusal refused[] = {
        {"attention.sliding_window", 0}, {"attention.scale", 0}, {"logit_scale", 0},
        {"embedding_scale", 0},          {"residual_scale", 0},  {"attn_logit_softcapping", 0},
        {"attention.clamp_kqv", 0},
    };
    if (model->desc.experts.count) model->desc.experts.normalized = true;
    return refuse_gguf(gguf, "llama", refused, sizeof refused / sizeof *refused, err);
}

static const NameMap gguf_names[] = {GGUF_EXPERT_NAMES, {0}};
const GgufArch gguf_llama = {.name = "llama",
                             .names = gguf_names,
                             .neighbours = true,
                             .activation = ACT_SILU,
                             .keys = GGUF_KEY_EXPERTS,
                             .settle = settle};

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

const Family family_llama = {
    .name = "llama",
    .architecture = "LlamaForCausalLM",
    .names = names,
    .starts = starts,
    .describe = llama_describe,
    .gguf = &gguf_llama,
};
