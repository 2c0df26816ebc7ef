// Llama 1, 2, 3, 3.1-3.3 and what shares their model_type (SmolLM2 among others): RMSNorm, rotary positions,
// grouped-query attention, gated SiLU MLP. Source: transformers' models/llama/modeling_llama.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static bool llama_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err) && json_bool(config, "mlp_bias", &desc->mlp_bias, err);
}

// GGUF's "llama" is Llama, Mistral and, with experts, Mixtral; rows of q and k are in the order of Llama's own release.
static bool llama_describe_gguf(const Gguf *gguf, Model *model, Error *err) {
    static const GgufRefusal refused[] = {
        {"expert_count", 0},           {"attention.sliding_window", 0},
        {"attention.scale", 0},        {"logit_scale", 0},
        {"embedding_scale", 0},        {"residual_scale", 0},
        {"attn_logit_softcapping", 0}, {"attention.clamp_kqv", 0},
    };
    ModelDesc *desc = &model->desc;
    desc->activation = ACT_SILU;
    desc->rope.interleaved = true;
    desc->tied = !model_tensor(model, "output.weight");
    desc->qkv_bias = model_layer_tensor(model, 0, "attn_q.bias");
    desc->attn_output_bias = model_layer_tensor(model, 0, "attn_output.bias");
    desc->mlp_bias = model_layer_tensor(model, 0, "ffn_gate.bias");
    return refuse_gguf(gguf, "llama", refused, sizeof refused / sizeof *refused, err) &&
           describe_gguf_common(gguf, "llama", model, err) && describe_gguf_rope(gguf, "llama", model, err);
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

const Family family_llama = {
    .name = "llama",
    .architecture = "LlamaForCausalLM",
    .names = names,
    .starts = starts,
    .describe = llama_describe,
    .describe_gguf = llama_describe_gguf,
};
