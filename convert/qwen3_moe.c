// Qwen 3 with experts (30B-A3B, 235B-A22B): Qwen 3 with a mixture of experts in all layers but those that the config
// says are dense. Source: transformers' models/qwen3_moe/modeling_qwen3_moe.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static const int64_t INT_MAX_READ = INT64_C(1) << 40;

// Layer i has experts where decoder_sparse_step divides i + 1, and mlp_only_layers does not name it.
static bool describe_dense(const cJSON *config, ModelDesc *d, Error *err) {
    int64_t step = 1;
    if (!json_int(config, "decoder_sparse_step", 1, INT_MAX_READ, &step, err)) return false;
    for (int64_t i = 0; i < d->layers; i++)
        if ((i + 1) % step) d->layer_kinds[i] |= LAYER_DENSE;
    const cJSON *list = json_member(config, "mlp_only_layers");
    if (!list) return true;
    if (!cJSON_IsArray(list)) return error_set(err, "\"mlp_only_layers\" is not a list");
    for (const cJSON *item = list->child; item; item = item->next) {
        double layer = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(layer >= 0 && layer < (double)d->layers) || layer != (double)(int64_t)layer)
            return error_set(err, "\"mlp_only_layers\" is no list of layers, 0 to %lld", (long long)d->layers - 1);
        d->layer_kinds[(int64_t)layer] |= LAYER_DENSE;
    }
    return true;
}

static bool qwen3_moe_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    bool windowed = false;
    desc->kv_heads = 4;
    desc->ffn_dim = 6144;
    desc->context = 32768;
    desc->qk_norm = QK_NORM_HEAD;
    desc->experts = (Experts){.count = 128, .used = 8, .ffn_dim = 768};
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err) && json_bool(config, "use_sliding_window", &windowed, err) &&
           (!windowed || describe_window(config, 4096, desc, err)) && describe_experts(config, desc, err) &&
           json_int(config, "moe_intermediate_size", 1, INT_MAX_READ, &desc->experts.ffn_dim, err) &&
           json_bool(config, "norm_topk_prob", &desc->experts.normalized, err) && describe_dense(config, desc, err);
}

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_NORM_NAMES,
    LLAMA_ATTENTION_NAMES,
    LLAMA_QK_NORM_NAMES,
    LLAMA_MLP_NAMES,
    {"model.layers.#.mlp.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.experts.#.gate_proj.weight", "blk.#.ffn_gate.#.weight"},
    {"model.layers.#.mlp.experts.#.up_proj.weight", "blk.#.ffn_up.#.weight"},
    {"model.layers.#.mlp.experts.#.down_proj.weight", "blk.#.ffn_down.#.weight"},
    {0},
};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

static const NameMap gguf_names[] = {GGUF_EXPERT_NAMES, {0}};

// Engines divide the chosen ones' weights by their sum whatever a file says. They know no biases but of queries, keys
// and values, and no rotary factors.
static bool settle(const Gguf *g, Model *model, Error *err) {
    (void)g;
    gguf_drop_biases(&model->desc);
    model->desc.experts.normalized = true;
    return refuse_gguf_factors(model, "qwen3moe", err);
}

static const GgufArch gguf = {
    .name = "qwen3moe", .names = gguf_names, .activation = ACT_SILU, .keys = GGUF_KEY_EXPERTS, .settle = settle};

const Family family_qwen3_moe = {
    .name = "qwen3_moe",
    .architecture = "Qwen3MoeForCausalLM",
    .names = names,
    .starts = starts,
    .describe = qwen3_moe_describe,
    .gguf = &gguf,
};
