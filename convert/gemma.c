// Gemma 1, 2 and 3: norms whose weights are stored less 1, an embedding multiplied by sqrt(dim); 2 has norms around its
// blocks, soft caps and every other layer windowed; 3 has norms of queries and keys in place of the caps, and windowed
// layers turned at a base of their own. Of the Gemma 3 that sees (model_type gemma3) this is the language model; the
// tensors of the rest are left out. Sources: transformers' models/gemma/, gemma2/, gemma3/.
//
// transformers rounds sqrt(dim) to the weights' type, which is bf16 in most files; here it is f32, as in llama.cpp.
#include "convert/family.h"
#include "convert/llama_names.h"

#include <math.h>

static const double POSITIVE_MIN = 1e-30, POSITIVE_MAX = 1e30;

static bool describe_all(const cJSON *config, ModelDesc *d, Error *err) {
    bool attention_bias = false;
    d->head_dim = 256;
    d->activation = ACT_GELU_TANH;
    d->norm_eps = 1e-6;
    d->norm_plus_one = d->tied = true;
    if (!describe_common(config, d, err) || !json_bool(config, "attention_bias", &attention_bias, err) ||
        !refuse_bool(config, "use_bidirectional_attention", false, err))
        return false;
    d->qkv_bias = d->attn_output_bias = attention_bias;
    d->embed_scale = sqrt((double)d->dim);
    return true;
}

static bool gemma_describe(const cJSON *config, ModelDesc *d, Error *err) {
    d->context = 8192;
    d->kv_heads = 16;
    if (!describe_all(config, d, err) || !describe_rope(config, d, err)) return false;
    // "gelu" in the first files meant the tanh form.
    if (d->activation == ACT_GELU) d->activation = ACT_GELU_TANH;
    return true;
}

// ---- Gemma 2 and 3

// A cap that is null is none.
static bool read_cap(const cJSON *config, const char *key, double *cap, Error *err) {
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(config, key))) *cap = 0;
    return json_double(config, key, POSITIVE_MIN, POSITIVE_MAX, cap, err);
}

static bool describe_later(const cJSON *config, ModelDesc *d, Error *err) {
    double scalar = 256;
    d->norm_place = NORM_AROUND;
    d->window = 4096;
    d->kv_heads = 4;
    if (!describe_all(config, d, err)) return false;
    d->activation = ACT_GELU_TANH; // whatever "hidden_act" says: these read another key
    if (!describe_activation(config, "hidden_activation", d, err) ||
        !json_double(config, "query_pre_attn_scalar", POSITIVE_MIN, POSITIVE_MAX, &scalar, err))
        return false;
    d->attn_scale = 1 / sqrt(scalar);
    return true;
}

static bool gemma2_describe(const cJSON *config, ModelDesc *d, Error *err) {
    d->context = 8192;
    d->attn_cap = 50;
    d->logit_cap = 30;
    return describe_later(config, d, err) && describe_rope(config, d, err) &&
           describe_layer_pattern(config, d, 2, err) && read_cap(config, "attn_logit_softcapping", &d->attn_cap, err) &&
           read_cap(config, "final_logit_softcapping", &d->logit_cap, err);
}

// transformers 5: "rope_parameters" with an object for each kind of layer.
static bool read_ropes(const cJSON *config, const cJSON *both, ModelDesc *d, Error *err) {
    const struct {
        const char *key;
        Rope *rope;
    } kinds[] = {{"full_attention", &d->rope}, {"sliding_attention", &d->rope_local}};
    if (json_member(both, "rope_theta") || json_member(both, "rope_type"))
        return error_set(err, "\"rope_parameters\" is the same for all layers, which is not supported");
    for (int i = 0; i < 2; i++) {
        const cJSON *one = json_member(both, kinds[i].key);
        if (one && !describe_rope_object(config, one, kinds[i].key, d, kinds[i].rope, err))
            return error_prefix(err, "\"rope_parameters\"");
    }
    return true;
}

// Before: "rope_theta" and "rope_scaling" are the full layers', "rope_local_base_freq" the others'. What is said in the
// new way goes before, but for the scaling.
static bool describe_gemma3_rope(const cJSON *config, ModelDesc *d, Error *err) {
    const cJSON *both = json_member(config, "rope_parameters"), *scaling = json_member(config, "rope_scaling");
    d->rope.theta = 1e6;
    d->rope_local.theta = 1e4;
    return json_double(config, "rope_theta", POSITIVE_MIN, POSITIVE_MAX, &d->rope.theta, err) &&
           json_double(config, "rope_local_base_freq", POSITIVE_MIN, POSITIVE_MAX, &d->rope_local.theta, err) &&
           (!both || read_ropes(config, both, d, err)) &&
           (!scaling || describe_rope_object(config, scaling, "rope_scaling", d, &d->rope, err));
}

static bool gemma3_text_describe(const cJSON *config, ModelDesc *d, Error *err) {
    int64_t pattern = 6;
    d->qk_norm = QK_NORM_HEAD;
    d->context = 131072;
    // The attention has no cap, whatever the config says.
    if (!describe_later(config, d, err) || !describe_gemma3_rope(config, d, err) ||
        !json_int(config, "sliding_window_pattern", 1, LAYERS_MAX, &pattern, err) ||
        !describe_layer_pattern(config, d, pattern, err) || !refuse_number(config, "attn_logit_softcapping", 0, err) ||
        !read_cap(config, "final_logit_softcapping", &d->logit_cap, err))
        return false;
    for (int64_t i = 0; i < d->layers; i++)
        if (desc_layer_is(d, i, LAYER_WINDOWED)) d->layer_kinds[i] |= LAYER_LOCAL_ROPE;
    return true;
}

// The nested config leaves out what is as in transformers' class: in the 4B that is most of it.
static bool gemma3_describe(const cJSON *config, ModelDesc *d, Error *err) {
    const cJSON *text = json_member(config, "text_config");
    if (!cJSON_IsObject(text)) return error_set(err, "\"text_config\" is missing or not an object");
    d->layers = 26;
    d->dim = 2304;
    d->ffn_dim = 9216;
    d->heads = 8;
    d->vocab = 262208;
    if (!gemma3_text_describe(text, d, err) || !refuse_number(text, "final_logit_softcapping", 0, err))
        return error_prefix(err, "\"text_config\"");
    return json_bool(config, "tie_word_embeddings", &d->tied, err);
}

// clang-format off
#define NAMES_LATER \
    LLAMA_END_NAMES, \
    LLAMA_ATTENTION_NAMES, \
    LLAMA_MLP_NAMES, \
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"}, \
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"}, \
    {"model.layers.#.pre_feedforward_layernorm.weight", "blk.#.ffn_norm.weight"}, \
    {"model.layers.#.post_feedforward_layernorm.weight", "blk.#.post_ffw_norm.weight"}, \
    LLAMA_QK_NORM_NAMES
// clang-format on

static const NameMap gemma_names[] = {
    LLAMA_END_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, LLAMA_NORM_NAMES, {0},
};

static const NameMap later_names[] = {NAMES_LATER, {0}};

static const NameMap gemma3_names[] = {
    NAMES_LATER,
    {"vision_tower.*", NULL},
    {"multi_modal_projector.*", NULL},
    {"model.vision_tower.*", NULL},
    {"model.multi_modal_projector.*", NULL},
    {0},
};

static const NameStart starts[] = {LLAMA_STARTS, {NULL, NULL}};
// As on the hub, and as transformers 5 writes them.
static const NameStart gemma3_starts[] = {
    {"language_model.model.", "model."},
    {"language_model.lm_head.", "lm_head."},
    {"model.language_model.", "model."},
    {NULL, NULL},
};

const Family family_gemma = {
    .name = "gemma",
    .architecture = "GemmaForCausalLM",
    .names = gemma_names,
    .starts = starts,
    .describe = gemma_describe,
};
const Family family_gemma2 = {
    .name = "gemma2",
    .architecture = "Gemma2ForCausalLM",
    .names = later_names,
    .starts = starts,
    .describe = gemma2_describe,
};
const Family family_gemma3_text = {
    .name = "gemma3_text",
    .architecture = "Gemma3ForCausalLM",
    .names = later_names,
    .starts = starts,
    .describe = gemma3_text_describe,
};
const Family family_gemma3 = {
    .name = "gemma3",
    .architecture = "Gemma3ForConditionalGeneration",
    .names = gemma3_names,
    .starts = gemma3_starts,
    .describe = gemma3_describe,
    .text = &family_gemma3_text,
};
