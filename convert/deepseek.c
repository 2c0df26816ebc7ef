// DeepSeek V2 (arXiv:2405.04434) and V3 (arXiv:2412.19437): latent attention, and experts of which some see every
// token; V3 chooses them by sigmoid scores and a correction. R1 is a V3; so is Kimi K2 but for its model_type. Sources:
// transformers' models/deepseek_v2/modeling_deepseek_v2.py, models/deepseek_v3/modeling_deepseek_v3.py.
#include "convert/family.h"
#include "convert/llama_names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 24 };
static const double POSITIVE_MIN = 1e-30, POSITIVE_MAX = 1e30;

static bool expect_text(const cJSON *config, const char *key, const char *only, Error *err) {
    if (!json_member(config, key)) return true;
    const char *text = json_text(config, key);
    return (text && strcmp(text, only) == 0) ||
           error_set(err, "\"%s\": %.60s is not supported, but \"%s\" is", key, text ? text : "what is no text", only);
}

// ---- attention

// A head of queries and keys is `plain` dimensions and `turned` ones after them.
static bool read_latent(const cJSON *config, ModelDesc *d, Error *err) {
    int64_t plain = 128, turned = 64;
    // Norms are transformers' with their own default, whatever the config says.
    d->latent = (Latent){.kv_rank = 512, .query_rank = 1536, .norm_eps = 1e-6};
    d->v_head_dim = 128;
    // A null says that queries are not narrowed; where it says nothing, they are.
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, "q_lora_rank"))) d->latent.query_rank = 0;
    if (!json_int(config, "kv_lora_rank", 1, WIDTH_MAX, &d->latent.kv_rank, err) ||
        !json_int(config, "q_lora_rank", 1, WIDTH_MAX, &d->latent.query_rank, err) ||
        !json_int(config, "qk_nope_head_dim", 1, WIDTH_MAX, &plain, err) ||
        !json_int(config, "qk_rope_head_dim", 1, WIDTH_MAX, &turned, err) ||
        !json_int(config, "v_head_dim", 1, WIDTH_MAX, &d->v_head_dim, err) ||
        !json_bool(config, "attention_bias", &d->latent.bias, err))
        return false;
    d->attn_output_bias = d->latent.bias;
    d->head_dim = plain + turned;
    if (!describe_rope(config, d, err)) return false;
    if (d->rope.dims) return error_set(err, "\"partial_rotary_factor\" is not supported");
    d->rope.dims = turned;
    return true;
}

// With yarn the scores grow with the context.
static void scale_scores(ModelDesc *d) {
    const Rope *r = &d->rope;
    if (r->scaling != ROPE_YARN || r->mscale_all_dim == 0 || r->factor <= 1) return;
    double m = 0.1 * r->mscale_all_dim * log(r->factor) + 1;
    d->attn_scale = m * m / sqrt((double)d->head_dim);
}

static bool describe_attention(const cJSON *config, ModelDesc *d, Error *err) {
    d->head_dim = 1; // what the config calls so is not: read_latent knows
    if (!describe_common(config, d, err) || !read_latent(config, d, err)) return false;
    scale_scores(d);
    return true;
}

// ---- experts

// What the config says of them in both; what the caller has set is the default. The first `dense` layers have none.
static bool read_experts(const cJSON *config, ModelDesc *d, const char *count_key, int64_t shared, int64_t dense,
                         Error *err) {
    Experts *e = &d->experts;
    const char *key = json_member(config, count_key) ? count_key : "n_routed_experts";
    if (!json_int(config, key, 1, EXPERTS_MAX, &e->count, err) ||
        !json_int(config, "num_experts_per_tok", 1, EXPERTS_MAX, &e->used, err) ||
        !json_int(config, "moe_intermediate_size", 1, WIDTH_MAX, &e->ffn_dim, err) ||
        !json_int(config, "n_shared_experts", 0, EXPERTS_MAX, &shared, err) ||
        !json_int(config, "first_k_dense_replace", 0, LAYERS_MAX, &dense, err) ||
        !json_double(config, "routed_scaling_factor", POSITIVE_MIN, POSITIVE_MAX, &e->scale, err) ||
        !refuse_number(config, "moe_layer_freq", 1, err))
        return false;
    if (!e->used) return error_set(err, "\"num_experts_per_tok\" is missing");
    e->shared_dim = shared * e->ffn_dim;
    for (int64_t i = 0; i < dense && i < d->layers; i++) d->layer_kinds[i] |= LAYER_DENSE;
    return true;
}

// Groups of which all are used are none.
static bool read_groups(const cJSON *config, Experts *e, Error *err) {
    if (!json_int(config, "n_group", 1, EXPERTS_MAX, &e->groups, err) ||
        !json_int(config, "topk_group", 1, EXPERTS_MAX, &e->groups_used, err))
        return false;
    if (!e->groups || !e->groups_used) return error_set(err, "\"n_group\" or \"topk_group\" is missing");
    if (e->groups == e->groups_used && e->count % e->groups == 0) e->groups = e->groups_used = 0;
    return true;
}

static bool deepseek_v2_describe(const cJSON *config, ModelDesc *d, Error *err) {
    const char *method = json_text(config, "topk_method");
    d->rope.interleaved = true;
    d->experts = (Experts){.count = 64, .ffn_dim = 1407};
    // Of weights that are normalized transformers knows nothing, and DeepSeek's own code leaves the scaling out then.
    if (!describe_attention(config, d, err) || !read_experts(config, d, "num_experts", 2, 0, err) ||
        !refuse_bool(config, "mlp_bias", false, err) || !refuse_bool(config, "norm_topk_prob", false, err) ||
        !expect_text(config, "scoring_func", "softmax", err))
        return false;
    if (method && strcmp(method, "group_limited_greedy") == 0) return read_groups(config, &d->experts, err);
    return expect_text(config, "topk_method", "greedy", err);
}

static bool deepseek_v3_describe(const cJSON *config, ModelDesc *d, Error *err) {
    d->context = 4096;
    d->rope.interleaved = true;
    d->experts = (Experts){
        .count = 256,
        .used = 8,
        .ffn_dim = 2048,
        .sigmoid = true,
        .correction = true,
        .normalized = true,
        .scale = 2.5,
        .groups = 8,
        .groups_used = 4,
        .groups_by_two = true,
    };
    return describe_attention(config, d, err) && read_experts(config, d, "num_local_experts", 1, 3, err) &&
           read_groups(config, &d->experts, err) && json_bool(config, "norm_topk_prob", &d->experts.normalized, err) &&
           json_bool(config, "rope_interleave", &d->rope.interleaved, err) &&
           expect_text(config, "scoring_func", "sigmoid", err) && expect_text(config, "topk_method", "noaux_tc", err);
}

// ---- tensors

// Layers after the last, which predict tokens further ahead: transformers passes them over too.
static bool is_prediction_layer(const cJSON *config, const ModelDesc *d, const char *source) {
    NameNumbers numbers;
    int64_t more = 1;
    const char *key = "num_nextn_predict_layers";
    if (!json_member(config, key)) key = "num_mtp_layers";
    return json_int(config, key, 0, LAYERS_MAX, &more, NULL) && name_match("model.layers.#.*", source, &numbers) &&
           numbers.values[0] >= d->layers && numbers.values[0] < d->layers + more;
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    LLAMA_MLP_NAMES,
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.q_a_proj.weight", "blk.#.attn_q_a.weight"},
    {"model.layers.#.self_attn.q_a_proj.bias", "blk.#.attn_q_a.bias"},
    {"model.layers.#.self_attn.q_a_layernorm.weight", "blk.#.attn_q_a_norm.weight"},
    {"model.layers.#.self_attn.q_b_proj.weight", "blk.#.attn_q_b.weight"},
    {"model.layers.#.self_attn.kv_a_proj_with_mqa.weight", "blk.#.attn_kv_a_mqa.weight"},
    {"model.layers.#.self_attn.kv_a_proj_with_mqa.bias", "blk.#.attn_kv_a_mqa.bias"},
    {"model.layers.#.self_attn.kv_a_layernorm.weight", "blk.#.attn_kv_a_norm.weight"},
    {"model.layers.#.self_attn.kv_b_proj.weight", "blk.#.attn_kv_b.weight"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias"},
    {"model.layers.#.mlp.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.gate.e_score_correction_bias", "blk.#.exp_probs_b.bias"},
    {"model.layers.#.mlp.experts.#.gate_proj.weight", "blk.#.ffn_gate.#.weight"},
    {"model.layers.#.mlp.experts.#.up_proj.weight", "blk.#.ffn_up.#.weight"},
    {"model.layers.#.mlp.experts.#.down_proj.weight", "blk.#.ffn_down.#.weight"},
    {"model.layers.#.mlp.shared_experts.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// ---- GGUF

static const NameMap gguf_names[] = {
    GGUF_EXPERT_NAMES,
    {"blk.#.attn_k_b.weight", "blk.#.attn_k_b.#.weight"},
    {"blk.#.attn_v_b.weight", "blk.#.attn_v_b.#.weight"},
    {0},
};

static bool read_number(const Gguf *g, const char *key, double *value, Error *err) {
    return gguf_double(g, key, -1e6, 1e6, value, err);
}

// Engines multiply the scores by the square of what cos and sin are multiplied by and of 1 + multiplier * ln factor.
// Without the multiplier cos and sin get yarn's own share besides; where scaling is linear, the scores get that alone.
static bool settle_scaling(const Gguf *g, ModelDesc *d, Error *err) {
    double multiplier = 0, attention = 1;
    Rope *r = &d->rope;
    if (!read_number(g, "deepseek2.rope.scaling.yarn_log_multiplier", &multiplier, err) ||
        !read_number(g, "deepseek2.rope.scaling.attn_factor", &attention, err))
        return false;
    if ((r->scaling != ROPE_YARN && r->scaling != ROPE_LINEAR) || r->factor <= 1) return true;
    double own = 0.1 * log(r->factor) + 1;
    bool as_config = r->scaling == ROPE_YARN && attention == 1 && multiplier > 1e-9;
    if (r->scaling == ROPE_LINEAR || multiplier == 0) attention *= own;
    double scale = attention * (1 + multiplier * log(r->factor));
    if (fabs(scale - 1) > 1e-6) d->attn_scale = scale * scale / sqrt((double)d->head_dim);
    r->attention_factor = as_config || r->scaling == ROPE_LINEAR ? 0 : attention;
    if (as_config) r->mscale = r->mscale_all_dim = 10 * multiplier;
    return true;
}

// Engines take models of so many layers to be those whose queries are not narrowed.
static bool is_lite(const ModelDesc *d) {
    return d->layers == 26 || d->layers == 27 || (d->layers == 48 && d->vocab == 128256);
}

static bool settle(const Gguf *g, Model *model, Error *err) {
    static const GgufRefusal refused[] = {{"attention.temperature_scale", 0}, {"nextn_predict_layers", 0}};
    ModelDesc *d = &model->desc;
    gguf_drop_biases(d);
    if (is_lite(d)) d->latent.query_rank = 0;
    if (!d->experts.shared_dim)
        return error_set(err, "GGUF's deepseek2 needs experts, and some that every token passes (n_shared_experts)");
    if (d->experts.sigmoid) snprintf(d->family, sizeof d->family, "%s", family_deepseek_v3.name);
    return settle_scaling(g, d, err) && refuse_gguf(g, "deepseek2", refused, sizeof refused / sizeof *refused, err) &&
           refuse_gguf_factors(model, "deepseek2", err);
}

static const GgufArch gguf = {.name = "deepseek2",
                              .names = gguf_names,
                              .neighbours = true,
                              .activation = ACT_SILU,
                              .keys = GGUF_KEY_EXPERTS | GGUF_KEY_LATENT,
                              .settle = settle};

const Family family_deepseek_v2 = {
    .name = "deepseek_v2",
    .architecture = "DeepseekV2ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = deepseek_v2_describe,
    .gguf = &gguf,
};

const Family family_deepseek_v3 = {
    .name = "deepseek_v3",
    .architecture = "DeepseekV3ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = deepseek_v3_describe,
    .gguf = &gguf,
    .leave_out = is_prediction_layer,
};

const Family family_kimi_k2 = {
    .name = "kimi_k2",
    .architecture = "DeepseekV3ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = deepseek_v3_describe,
    .gguf = &gguf,
    .leave_out = is_prediction_layer,
};
