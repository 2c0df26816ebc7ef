// Command R and R+ (cohere), Command R7B and A (cohere2): attention and MLP side by side behind one layer norm without
// bias, pairs of neighbours turned, scaled logits; R+ with norms of queries and keys, one for each head; cohere2 with
// windowed layers, which alone are turned. Sources: transformers' models/cohere/ and cohere2/.
#include "convert/family.h"
#include "convert/llama_names.h"
#include "convert/parts.h"

#include <string.h>

static bool describe_both(const cJSON *config, ModelDesc *d, Error *err) {
    bool attention_bias = false;
    d->context = 8192;
    d->norm_eps = 1e-5;
    d->norm_kind = NORM_LAYER;
    d->tied = d->parallel = d->shared_norm = d->rope.interleaved = true;
    d->logit_scale = 0.0625;
    if (!describe_common(config, d, err) || !describe_rope(config, d, err) ||
        !json_bool(config, "attention_bias", &attention_bias, err) ||
        !json_double(config, "logit_scale", 1e-30, 1e30, &d->logit_scale, err))
        return false;
    d->qkv_bias = d->attn_output_bias = attention_bias;
    return true;
}

static bool cohere_describe(const cJSON *config, ModelDesc *d, Error *err) {
    bool use_qk_norm = false;
    d->rope.theta = 500000;
    if (!describe_both(config, d, err) || !json_bool(config, "use_qk_norm", &use_qk_norm, err)) return false;
    d->qk_norm = use_qk_norm ? QK_NORM_HEADS : QK_NORM_NONE;
    return true;
}

// Keys of the files that nothing in transformers reads, but that could say that the network is another.
static bool refuse_others(const cJSON *config, int64_t pattern, Error *err) {
    const char *order = json_text(config, "order_of_interleaved_layers");
    const char *position = json_text(config, "position_embedding_type");
    if (order && strcmp(order, "local_attn_first") != 0)
        return error_set(err, "\"order_of_interleaved_layers\": %.40s is not supported", order);
    if (position && strcmp(position, "rope_gptj") != 0)
        return error_set(err, "\"position_embedding_type\": %.40s is not supported", position);
    return refuse_bool(config, "use_qk_norm", false, err) && refuse_bool(config, "use_parallel_block", true, err) &&
           refuse_bool(config, "use_gated_activation", true, err) &&
           (json_member(config, "layer_types") || refuse_number(config, "layer_switch", (double)pattern, err));
}

static bool cohere2_describe(const cJSON *config, ModelDesc *d, Error *err) {
    int64_t pattern = 4;
    d->window = 4096;
    if (!describe_both(config, d, err) || !json_int(config, "sliding_window_pattern", 1, LAYERS_MAX, &pattern, err) ||
        !refuse_others(config, pattern, err) || !describe_layer_pattern(config, d, pattern, err))
        return false;
    for (int64_t i = 0; i < d->layers; i++)
        if (!desc_layer_is(d, i, LAYER_WINDOWED)) d->layer_kinds[i] |= LAYER_UNTURNED;
    return true;
}

static void settle_both(ModelDesc *d) {
    gguf_square_heads(d);
    d->parallel = d->shared_norm = d->tied = true;
    d->attn_output_bias = d->norm_bias = false;
}

// Norms of queries and keys are looked for in the largest model alone.
static bool settle(const Gguf *gguf, Model *model, Error *err) {
    enum { LARGE = 64 };
    (void)gguf;
    settle_both(&model->desc);
    model->desc.qk_norm = model->desc.layers >= LARGE ? QK_NORM_HEADS : QK_NORM_NONE;
    return refuse_gguf_factors(model, "command-r", err);
}

static bool settle2(const Gguf *gguf, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    (void)gguf;
    settle_both(d);
    d->qk_norm = QK_NORM_NONE;
    for (int64_t i = 0; i < d->layers; i++)
        if (!desc_layer_is(d, i, LAYER_WINDOWED)) d->layer_kinds[i] |= LAYER_UNTURNED;
    return refuse_gguf_factors(model, "cohere2", err);
}

static const NameMap gguf_names[] = {
    {"blk.#.attn_q_norm.weight", "blk.#.attn_q_norm.weight", part_flat},
    {"blk.#.attn_k_norm.weight", "blk.#.attn_k_norm.weight", part_flat},
    {0},
};

static const GgufArch gguf = {.name = "command-r",
                              .names = gguf_names,
                              .neighbours = true,
                              .norm_kind = NORM_LAYER,
                              .activation = ACT_SILU,
                              .keys = GGUF_KEY_LOGIT_SCALE,
                              .settle = settle};
static const GgufArch gguf2 = {.name = "cohere2",
                               .neighbours = true,
                               .norm_kind = NORM_LAYER,
                               .activation = ACT_SILU,
                               .keys = GGUF_KEY_WINDOW | GGUF_KEY_LOGIT_SCALE,
                               .window_period = 4,
                               .settle = settle2};

static const NameMap names[] = {
    LLAMA_END_NAMES,
    LLAMA_ATTENTION_NAMES,
    LLAMA_MLP_NAMES,
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight", part_flat},
    {"model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight", part_flat},
    {0},
};

static const NameStart starts[] = {LLAMA_STARTS, {NULL, NULL}};

const Family family_cohere = {
    .name = "cohere",
    .architecture = "CohereForCausalLM",
    .names = names,
    .starts = starts,
    .describe = cohere_describe,
    .gguf = &gguf,
};
const Family family_cohere2 = {
    .name = "cohere2",
    .architecture = "Cohere2ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = cohere2_describe,
    .gguf = &gguf2,
};
