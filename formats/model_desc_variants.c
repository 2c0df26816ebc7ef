#include "formats/model_desc_variants.h"

#include <math.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 24, COUNT_MAX = 1 << 30 };

static const struct {
    const char *key;
    size_t offset;
    int64_t max;
} ints[] = {
    {"v_head_dim", offsetof(ModelDesc, v_head_dim), 1 << 14},
    {"embed_dim", offsetof(ModelDesc, embed_dim), 1 << 20},
    {"position_offset", offsetof(ModelDesc, position_offset), 1 << 20},
    {"window", offsetof(ModelDesc, window), COUNT_MAX},
    {"latent_kv_rank", offsetof(ModelDesc, latent.kv_rank), 1 << 20},
    {"latent_query_rank", offsetof(ModelDesc, latent.query_rank), 1 << 20},
    {"experts", offsetof(ModelDesc, experts.count), EXPERTS_MAX},
    {"experts_used", offsetof(ModelDesc, experts.used), EXPERTS_MAX},
    {"expert_ffn_dim", offsetof(ModelDesc, experts.ffn_dim), WIDTH_MAX},
    {"expert_shared_dim", offsetof(ModelDesc, experts.shared_dim), WIDTH_MAX},
    {"expert_groups", offsetof(ModelDesc, experts.groups), EXPERTS_MAX},
    {"expert_groups_used", offsetof(ModelDesc, experts.groups_used), EXPERTS_MAX},
};

static const struct {
    const char *key;
    size_t offset;
} doubles[] = {
    {"activation_limit", offsetof(ModelDesc, activation_limit)},
    {"activation_slope", offsetof(ModelDesc, activation_slope)},
    {"alibi_scale", offsetof(ModelDesc, alibi_scale)},
    {"attn_scale", offsetof(ModelDesc, attn_scale)},
    {"attn_cap", offsetof(ModelDesc, attn_cap)},
    {"qkv_clip", offsetof(ModelDesc, qkv_clip)},
    {"embed_scale", offsetof(ModelDesc, embed_scale)},
    {"residual_scale", offsetof(ModelDesc, residual_scale)},
    {"logit_scale", offsetof(ModelDesc, logit_scale)},
    {"logit_cap", offsetof(ModelDesc, logit_cap)},
    {"expert_scale", offsetof(ModelDesc, experts.scale)},
    {"latent_norm_eps", offsetof(ModelDesc, latent.norm_eps)},
};

static const struct {
    const char *key;
    size_t offset;
} bools[] = {
    {"norm_bias", offsetof(ModelDesc, norm_bias)},
    {"norm_bare", offsetof(ModelDesc, norm_bare)},
    {"norm_plus_one", offsetof(ModelDesc, norm_plus_one)},
    {"parallel", offsetof(ModelDesc, parallel)},
    {"shared_norm", offsetof(ModelDesc, shared_norm)},
    {"plain_mlp", offsetof(ModelDesc, plain_mlp)},
    {"head_bias", offsetof(ModelDesc, head_bias)},
    {"alibi_bf16", offsetof(ModelDesc, alibi_bf16)},
    {"attn_scale_by_layer", offsetof(ModelDesc, attn_scale_by_layer)},
    {"sinks", offsetof(ModelDesc, sinks)},
    {"embed_norm", offsetof(ModelDesc, embed_norm)},
    {"qk_norm_bias", offsetof(ModelDesc, qk_norm_bias)},
    {"expert_shared_gate", offsetof(ModelDesc, experts.shared_gate)},
    {"expert_bias", offsetof(ModelDesc, experts.bias)},
    {"router_bias", offsetof(ModelDesc, experts.router_bias)},
    {"router_sigmoid", offsetof(ModelDesc, experts.sigmoid)},
    {"router_correction", offsetof(ModelDesc, experts.correction)},
    {"router_normalized", offsetof(ModelDesc, experts.normalized)},
    {"expert_groups_by_two", offsetof(ModelDesc, experts.groups_by_two)},
    {"latent_bias", offsetof(ModelDesc, latent.bias)},
    {"latent_split", offsetof(ModelDesc, latent.split)},
};

// The first name of each is the plain case.
static const char *const norm_kinds[NORM_KINDS] = {"rms", "layer"};
static const char *const norm_places[NORM_PLACES] = {"before", "around", "after", "sum", "through"};
static const char *const qk_norms[QK_NORM_KINDS] = {"none", "head", "heads", "wide"};
static const char *const positions[POSITIONS_KINDS] = {"rotary", "learned", "alibi"};
static const struct {
    const char *key;
    size_t offset;
    const char *const *names;
    int count;
} enums[] = {
    {"norm_kind", offsetof(ModelDesc, norm_kind), norm_kinds, NORM_KINDS},
    {"norm_place", offsetof(ModelDesc, norm_place), norm_places, NORM_PLACES},
    {"qk_norm", offsetof(ModelDesc, qk_norm), qk_norms, QK_NORM_KINDS},
    {"positions", offsetof(ModelDesc, positions), positions, POSITIONS_KINDS},
};

// Lists of layers, counted from 0, in rising order.
static const struct {
    const char *key;
    LayerKind kind;
} layer_lists[] = {
    {"windowed_layers", LAYER_WINDOWED},
    {"unturned_layers", LAYER_UNTURNED},
    {"local_rope_layers", LAYER_LOCAL_ROPE},
    {"dense_layers", LAYER_DENSE},
};

#define COUNT(a)             (sizeof(a) / sizeof *(a))
#define FIELD(p, type, off)  ((type *)((char *)(p) + (off)))
#define CFIELD(p, type, off) (*(const type *)((const char *)(p) + (off)))

void desc_set_layers(ModelDesc *d, LayerKind kind) {
    for (int64_t i = 0; i < d->layers && i < LAYERS_MAX; i++) d->layer_kinds[i] |= (uint8_t)kind;
}

static bool any_layer(const ModelDesc *d, LayerKind kind) {
    for (int64_t i = 0; i < d->layers; i++)
        if (desc_layer_is(d, i, kind)) return true;
    return false;
}

static bool layers_write(const ModelDesc *d, cJSON *json) {
    for (size_t l = 0; l < COUNT(layer_lists); l++) {
        if (!any_layer(d, layer_lists[l].kind)) continue;
        cJSON *list = cJSON_AddArrayToObject(json, layer_lists[l].key);
        for (int64_t i = 0; i < d->layers; i++)
            if (desc_layer_is(d, i, layer_lists[l].kind)) {
                cJSON *number = cJSON_CreateNumber((double)i);
                if (!list || !number || !cJSON_AddItemToArray(list, number)) {
                    cJSON_Delete(number);
                    return false;
                }
            }
    }
    return true;
}

bool variants_write(const ModelDesc *d, cJSON *json) {
    for (size_t i = 0; i < COUNT(enums); i++) {
        int v = CFIELD(d, int, enums[i].offset);
        if (v && !cJSON_AddStringToObject(json, enums[i].key, enums[i].names[v])) return false;
    }
    for (size_t i = 0; i < COUNT(ints); i++) {
        int64_t v = CFIELD(d, int64_t, ints[i].offset);
        if (v && !cJSON_AddNumberToObject(json, ints[i].key, (double)v)) return false;
    }
    for (size_t i = 0; i < COUNT(doubles); i++) {
        double v = CFIELD(d, double, doubles[i].offset);
        if (v != 0 && !cJSON_AddNumberToObject(json, doubles[i].key, v)) return false;
    }
    for (size_t i = 0; i < COUNT(bools); i++)
        if (CFIELD(d, bool, bools[i].offset) && !cJSON_AddBoolToObject(json, bools[i].key, true)) return false;
    if (any_layer(d, LAYER_LOCAL_ROPE)) {
        cJSON *rope = cJSON_AddObjectToObject(json, "rope_local");
        if (!rope || !rope_write(&d->rope_local, rope)) return false;
    }
    return layers_write(d, json);
}

static bool enum_read(const cJSON *json, size_t i, ModelDesc *d, Error *err) {
    if (!json_member(json, enums[i].key)) return true;
    const char *name = json_text(json, enums[i].key);
    for (int v = 0; name && v < enums[i].count; v++)
        if (strcmp(enums[i].names[v], name) == 0) {
            *FIELD(d, int, enums[i].offset) = v;
            return true;
        }
    return error_set(err, "\"%s\" is unknown: %.40s", enums[i].key, name ? name : "");
}

static bool layers_read(const cJSON *json, size_t l, ModelDesc *d, Error *err) {
    const cJSON *list = json_member(json, layer_lists[l].key);
    double last = -1;
    if (!list) return true;
    if (!cJSON_IsArray(list)) return error_set(err, "\"%s\" is not a list", layer_lists[l].key);
    for (const cJSON *item = list->child; item; item = item->next) {
        double v = item->valuedouble;
        if (!cJSON_IsNumber(item) || v != floor(v) || !(v > last && v < (double)d->layers))
            return error_set(err, "\"%s\" is no rising list of layers", layer_lists[l].key);
        d->layer_kinds[(int64_t)v] |= (uint8_t)layer_lists[l].kind;
        last = v;
    }
    return true;
}

bool variants_has(const char *key) {
    for (size_t i = 0; i < COUNT(enums); i++)
        if (strcmp(enums[i].key, key) == 0) return true;
    for (size_t i = 0; i < COUNT(ints); i++)
        if (strcmp(ints[i].key, key) == 0) return true;
    for (size_t i = 0; i < COUNT(doubles); i++)
        if (strcmp(doubles[i].key, key) == 0) return true;
    for (size_t i = 0; i < COUNT(bools); i++)
        if (strcmp(bools[i].key, key) == 0) return true;
    for (size_t i = 0; i < COUNT(layer_lists); i++)
        if (strcmp(layer_lists[i].key, key) == 0) return true;
    return strcmp(key, "rope_local") == 0;
}

bool variants_read(const cJSON *json, ModelDesc *d, Error *err) {
    for (size_t i = 0; i < COUNT(enums); i++)
        if (!enum_read(json, i, d, err)) return false;
    for (size_t i = 0; i < COUNT(ints); i++)
        if (!json_int(json, ints[i].key, 0, ints[i].max, FIELD(d, int64_t, ints[i].offset), err)) return false;
    for (size_t i = 0; i < COUNT(doubles); i++)
        if (!json_double(json, doubles[i].key, 0, 1e30, FIELD(d, double, doubles[i].offset), err)) return false;
    for (size_t i = 0; i < COUNT(bools); i++)
        if (!json_bool(json, bools[i].key, FIELD(d, bool, bools[i].offset), err)) return false;
    const cJSON *rope = json_member(json, "rope_local");
    if (rope && !rope_read(rope, &d->rope_local, err)) return error_prefix(err, "\"rope_local\"");
    for (size_t l = 0; l < COUNT(layer_lists); l++)
        if (!layers_read(json, l, d, err)) return false;
    return true;
}

static bool check_experts(const Experts *e, Error *err) {
    if (!e->count) return true;
    if (e->used < 1 || e->used > e->count || e->ffn_dim < 1)
        return error_set(err, "%lld of %lld experts, %lld wide: that cannot be", (long long)e->used,
                         (long long)e->count, (long long)e->ffn_dim);
    if (!e->groups) return true;
    if (e->count % e->groups || e->groups_used < 1 || e->groups_used > e->groups)
        return error_set(err, "%lld experts in %lld groups, %lld of them used: that cannot be", (long long)e->count,
                         (long long)e->groups, (long long)e->groups_used);
    if (e->used > e->groups_used * (e->count / e->groups) || (e->groups_by_two && e->count / e->groups < 2))
        return error_set(err, "groups of %lld experts are too small for the %lld used",
                         (long long)(e->count / e->groups), (long long)e->used);
    return true;
}

static bool check_latent(const ModelDesc *d, Error *err) {
    if (!d->latent.kv_rank) return true;
    if (d->kv_heads == d->heads && desc_rope_dims(d) < d->head_dim && !d->qk_norm && !d->qkv_bias && !d->qkv_clip &&
        d->positions == POSITIONS_ROTARY)
        return true;
    return error_set(err, "latent attention goes with as many key as query heads, a turned part of each head, and no "
                          "biases, norms or limits of queries and keys");
}

bool variants_check(const ModelDesc *d, Error *err) {
    for (size_t i = 0; i < COUNT(ints); i++) {
        int64_t v = CFIELD(d, int64_t, ints[i].offset);
        if (v < 0 || v > ints[i].max)
            return error_set(err, "%s is %lld, outside 0 to %lld", ints[i].key, (long long)v, (long long)ints[i].max);
    }
    for (size_t i = 0; i < COUNT(doubles); i++) {
        double v = CFIELD(d, double, doubles[i].offset);
        if (!(v >= 0 && v <= 1e30)) return error_set(err, "%s is %g", doubles[i].key, v);
    }
    if (any_layer(d, LAYER_WINDOWED) && !d->window) return error_set(err, "windowed layers, but no window");
    if (d->parallel && d->norm_place != NORM_BEFORE)
        return error_set(err, "parallel attention and MLP have their norms before them");
    if (d->qk_norm_bias && d->qk_norm != QK_NORM_HEAD)
        return error_set(err, "norms of queries and keys have biases only where all heads share them");
    if (d->activation == ACT_SWIGLU_CLAMPED &&
        (d->plain_mlp || !(d->activation_limit > 0) || !(d->activation_slope > 0)))
        return error_set(err, "swiglu_clamped needs a limit, a slope and a gated MLP");
    if (d->positions == POSITIONS_ROTARY &&
        (!rope_check(&d->rope, d->head_dim, err) ||
         (any_layer(d, LAYER_LOCAL_ROPE) && !rope_check(&d->rope_local, d->head_dim, err))))
        return false;
    return check_experts(&d->experts, err) && check_latent(d, err);
}
