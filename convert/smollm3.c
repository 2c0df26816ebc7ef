// SmolLM3: Llama in which every fourth layer has no rotary positions (arXiv:2501.18795). Source: transformers'
// models/smollm3/modeling_smollm3.py.
#include "convert/family.h"
#include "convert/llama_names.h"

static const int64_t INT_MAX_READ = INT64_C(1) << 40;

// no_rope_layers says for each layer whether it has rotary positions, despite its name; without it every
// no_rope_layer_interval-th has none.
static bool describe_unturned(const cJSON *config, ModelDesc *d, Error *err) {
    int64_t interval = 4, i = 0;
    if (!json_int(config, "no_rope_layer_interval", 1, INT_MAX_READ, &interval, err)) return false;
    const cJSON *list = json_member(config, "no_rope_layers"), *item = list ? list->child : NULL;
    if (list && !cJSON_IsArray(list)) return error_set(err, "\"no_rope_layers\" is not a list");
    for (; i < d->layers && (!list || item); i++) {
        bool turned = (i + 1) % interval != 0;
        if (list) {
            if (!cJSON_IsBool(item) && !cJSON_IsNumber(item))
                return error_set(err, "\"no_rope_layers\": that of layer %lld is neither 0 nor 1", (long long)i);
            turned = cJSON_IsBool(item) ? cJSON_IsTrue(item) : item->valuedouble != 0;
            item = item->next;
        }
        if (!turned) d->layer_kinds[i] |= LAYER_UNTURNED;
    }
    return i == d->layers || error_set(err, "\"no_rope_layers\" has %lld members, the model %lld layers", (long long)i,
                                       (long long)d->layers);
}

// Without layer_types, the layers without rotary positions slide, where windows are turned on.
static bool describe_windows(const cJSON *config, ModelDesc *d, Error *err) {
    bool used = false, listed;
    if (!json_bool(config, "use_sliding_window", &used, err) || !describe_layer_types(config, d, &listed, err) ||
        !read_window(config, 0, &d->window, err))
        return false;
    for (int64_t i = 0; !listed && used && d->window && i < d->layers; i++)
        if (desc_layer_is(d, i, LAYER_UNTURNED)) d->layer_kinds[i] |= LAYER_WINDOWED;
    return true;
}

static bool smollm3_describe(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->kv_heads = 4;
    desc->context = 32768;
    desc->tied = true;
    desc->rope.theta = 2e6;
    return describe_common(config, desc, err) && describe_rope(config, desc, err) &&
           describe_attention_bias(config, desc, err) && json_bool(config, "mlp_bias", &desc->mlp_bias, err) &&
           describe_unturned(config, desc, err) && describe_windows(config, desc, err);
}

static const NameMap names[] = {LLAMA_END_NAMES, LLAMA_NORM_NAMES, LLAMA_ATTENTION_NAMES, LLAMA_MLP_NAMES, {0}};
static const NameStart starts[] = {LLAMA_STARTS, {0}};

// Every fourth layer is without positions, whatever a file says. Engines know no biases but of queries, keys and
// values, and no rotary factors.
static bool settle(const Gguf *g, Model *model, Error *err) {
    (void)g;
    gguf_drop_biases(&model->desc);
    for (int64_t i = 3; i < model->desc.layers; i += 4) model->desc.layer_kinds[i] |= LAYER_UNTURNED;
    return refuse_gguf_factors(model, "smollm3", err);
}

static const GgufArch gguf = {.name = "smollm3", .neighbours = true, .activation = ACT_SILU, .settle = settle};

const Family family_smollm3 = {
    .name = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .names = names,
    .starts = starts,
    .describe = smollm3_describe,
    .gguf = &gguf,
};
