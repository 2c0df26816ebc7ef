// gpt-oss 20B and 120B (arXiv:2508.10925): experts with biases and a clamped SwiGLU, every other layer windowed, a sink
// in each head's softmax, yarn. Source: transformers' models/gpt_oss/modeling_gpt_oss.py.
#include "convert/family.h"
#include "convert/llama_names.h"
#include "convert/parts.h"

static const double POSITIVE_MIN = 1e-30, POSITIVE_MAX = 1e30;

static bool read_rope(const cJSON *config, ModelDesc *d, Error *err) {
    const cJSON *scaling = json_member(config, "rope_scaling");
    bool said = (scaling && scaling->child) || json_member(config, "rope_parameters");
    d->rope.theta = 150000;
    if (!describe_rope(config, d, err)) return false;
    if (said) return true;
    d->rope.scaling = ROPE_YARN;
    d->rope.factor = 32;
    d->rope.beta_fast = 32;
    d->rope.beta_slow = 1;
    d->rope.original_context = 4096;
    return true;
}

static bool read_windows(const cJSON *config, ModelDesc *d, Error *err) {
    bool found;
    d->window = 128;
    // transformers has no window then, and fails.
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, "sliding_window")))
        return error_set(err, "\"sliding_window\": null is not supported beside sliding layers");
    if (!describe_layer_types(config, d, &found, err)) return false;
    for (int64_t i = 0; !found && i < d->layers; i += 2) d->layer_kinds[i] |= LAYER_WINDOWED;
    return json_int(config, "sliding_window", 1, INT32_MAX, &d->window, err);
}

static bool read_experts(const cJSON *config, ModelDesc *d, Error *err) {
    const char *count = json_member(config, "num_local_experts") ? "num_local_experts" : "num_experts";
    // The softmax over those chosen is that over all, normalized.
    d->experts = (Experts){.count = 128, .used = 4, .bias = true, .router_bias = true, .normalized = true};
    d->experts.ffn_dim = d->ffn_dim;
    d->activation = ACT_SWIGLU_CLAMPED; // "hidden_act" is not read
    d->activation_limit = 7;
    d->activation_slope = 1.702;
    return json_int(config, count, 1, EXPERTS_MAX, &d->experts.count, err) &&
           json_int(config, "num_experts_per_tok", 1, EXPERTS_MAX, &d->experts.used, err) &&
           json_double(config, "swiglu_limit", POSITIVE_MIN, POSITIVE_MAX, &d->activation_limit, err) &&
           json_double(config, "swiglu_alpha", POSITIVE_MIN, POSITIVE_MAX, &d->activation_slope, err);
}

static bool gpt_oss_describe(const cJSON *config, ModelDesc *d, Error *err) {
    bool attention_bias = true;
    d->kv_heads = 8;
    d->head_dim = 64;
    d->context = 131072;
    d->norm_eps = 1e-5;
    d->sinks = true;
    if (!describe_common(config, d, err) || !read_rope(config, d, err) || !read_windows(config, d, err) ||
        !read_experts(config, d, err) || !json_bool(config, "attention_bias", &attention_bias, err))
        return false;
    d->qkv_bias = d->attn_output_bias = attention_bias;
    return true;
}

// Experts' weights lie [in, out] in what transformers saves, and [out, in] in the encoded blocks of the downloads. Gate
// and up take turns among what comes out.
static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    LLAMA_ATTENTION_NAMES,
    {"model.layers.#.self_attn.sinks", "blk.#.attn_sinks.weight"},
    {"model.layers.#.mlp.router.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.router.bias", "blk.#.ffn_gate_inp.bias"},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate.#.weight", part_even_transposed, part_even},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_up.#.weight", part_odd_transposed, part_odd},
    {"model.layers.#.mlp.experts.down_proj", "blk.#.ffn_down.#.weight", part_transposed, part_whole},
    {"model.layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_gate.#.bias", part_even},
    {"model.layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_up.#.bias", part_odd},
    {"model.layers.#.mlp.experts.down_proj_bias", "blk.#.ffn_down.#.bias"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

static const NameMap gguf_names[] = {
    GGUF_EXPERT_NAMES,
    {"blk.#.ffn_gate_exps.bias", "blk.#.ffn_gate.#.bias"},
    {"blk.#.ffn_up_exps.bias", "blk.#.ffn_up.#.bias"},
    {"blk.#.ffn_down_exps.bias", "blk.#.ffn_down.#.bias"},
    {"blk.#.post_attention_norm.weight", "blk.#.ffn_norm.weight"}, // it comes after attention, before the experts
    {0},
};

// Engines have the limit and the slope in their code, and tensors that they cannot do without.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)gguf;
    d->norm_place = NORM_BEFORE;
    d->parallel = d->shared_norm = d->tied = d->mlp_bias = false;
    d->attn_output_bias = d->sinks = d->experts.bias = d->experts.router_bias = d->experts.normalized = true;
    d->activation_limit = 7;
    d->activation_slope = 1.702;
    return refuse_gguf_factors(model, "gpt-oss", err);
}

static const GgufArch gguf = {.name = "gpt-oss",
                              .names = gguf_names,
                              .activation = ACT_SWIGLU_CLAMPED,
                              .keys = GGUF_KEY_WINDOW | GGUF_KEY_EXPERTS | GGUF_YARN_ROUNDED,
                              .window_period = 2,
                              .settle = settle};

const Family family_gpt_oss = {
    .name = "gpt_oss",
    .architecture = "GptOssForCausalLM",
    .names = names,
    .starts = starts,
    .describe = gpt_oss_describe,
    .gguf = &gguf,
};
