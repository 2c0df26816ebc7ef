// Rotary positions in the spellings of transformers 4 ("rope_theta" and "rope_scaling") and 5 ("rope_parameters").
#include "convert/family.h"

#include "core/mem.h"
#include <math.h>
#include <string.h>

// The largest numbers that are read at all; formats/model_desc.c has the real limits.
static const int64_t INT_MAX_READ = INT64_C(1) << 40;
static const double DOUBLE_MAX_READ = 1e30;

static bool read_yarn(const cJSON *r, Rope *rope, Error *err) {
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->truncate = true;
    return json_double(r, "attention_factor", 0, DOUBLE_MAX_READ, &rope->attention_factor, err) &&
           json_double(r, "beta_fast", 0, DOUBLE_MAX_READ, &rope->beta_fast, err) &&
           json_double(r, "beta_slow", 0, DOUBLE_MAX_READ, &rope->beta_slow, err) &&
           json_double(r, "mscale", 0, DOUBLE_MAX_READ, &rope->mscale, err) &&
           json_double(r, "mscale_all_dim", 0, DOUBLE_MAX_READ, &rope->mscale_all_dim, err) &&
           json_bool(r, "truncate", &rope->truncate, err);
}

static bool needed_double(const cJSON *r, const char *key, double *value, Error *err) {
    if (!json_member(r, key)) return error_set(err, "\"%s\" is missing", key);
    return json_double(r, key, 0, DOUBLE_MAX_READ, value, err);
}

// The positions that the model was first trained for, in transformers' order: beside the scaling, inside it, the
// context.
static bool read_original_context(const cJSON *config, const cJSON *r, const ModelDesc *desc, Rope *rope, Error *err) {
    static const char key[] = "original_max_position_embeddings";
    rope->original_context = desc->context;
    if (rope->scaling == ROPE_DYNAMIC) return true; // always the config's context
    return json_int(r, key, 1, INT_MAX_READ, &rope->original_context, err) &&
           json_int(config, key, 1, INT_MAX_READ, &rope->original_context, err);
}

// Cos and sin grow with the context: sqrt(1 + ln(factor) / ln(original context)), unless the config says by how much.
static bool read_longrope(const cJSON *r, const ModelDesc *desc, Rope *rope, Error *err) {
    double factor = (double)desc->context / (double)rope->original_context;
    if (!json_double(r, "factor", 0, DOUBLE_MAX_READ, &factor, err) ||
        !json_double(r, "attention_factor", 0, DOUBLE_MAX_READ, &rope->attention_factor, err))
        return false;
    if (rope->attention_factor == 0 && factor > 1 && rope->original_context > 1)
        rope->attention_factor = sqrt(1 + log(factor) / log((double)rope->original_context));
    return true;
}

static bool read_scaling(const cJSON *config, const cJSON *r, const ModelDesc *desc, Rope *rope, Error *err) {
    if (!read_original_context(config, r, desc, rope, err)) return false;
    if (rope->scaling == ROPE_LONGROPE) return read_longrope(r, desc, rope, err);
    // yarn alone may leave its factor out: then it is the growth of the context.
    if (rope->scaling == ROPE_YARN && !json_member(r, "factor"))
        rope->factor = (double)desc->context / (double)rope->original_context;
    else if (!needed_double(r, "factor", &rope->factor, err))
        return false;
    if (rope->scaling == ROPE_YARN) return read_yarn(r, rope, err);
    if (rope->scaling == ROPE_LLAMA3)
        return needed_double(r, "low_freq_factor", &rope->low_freq_factor, err) &&
               needed_double(r, "high_freq_factor", &rope->high_freq_factor, err);
    return true;
}

// How many dimensions of a head are turned, from the share of them.
static bool read_share(const cJSON *object, const char *key, const ModelDesc *desc, Rope *rope, Error *err) {
    double share = 1;
    if (!json_member(object, key)) return true;
    if (!json_double(object, key, 0, 1, &share, err)) return false;
    rope->dims = share < 1 ? (int64_t)(share * (double)desc->head_dim) : 0;
    return share == 1 || rope->dims || error_set(err, "\"%s\": %g leaves nothing of a head to turn", key, share);
}

static bool read_object(const cJSON *config, const cJSON *r, const ModelDesc *desc, Rope *rope, Error *err) {
    const char *name = json_text(r, "rope_type");
    if (!name) name = json_text(r, "type");
    if (name && strcmp(name, "su") == 0) name = "longrope"; // as the first Phi-3 files say
    if (name && (!rope_scaling_from_name(name, &rope->scaling) || rope->scaling == ROPE_FACTORS))
        return error_set(err,
                         "rotary scaling \"%.60s\" is not supported; those supported are: default, linear, dynamic, "
                         "yarn, llama3, longrope",
                         name);
    if (!json_double(r, "rope_theta", 0, DOUBLE_MAX_READ, &rope->theta, err) ||
        !read_share(r, "partial_rotary_factor", desc, rope, err))
        return false;
    return rope->scaling == ROPE_PLAIN || read_scaling(config, r, desc, rope, err);
}

bool describe_rope_object(const cJSON *config, const cJSON *r, const char *key, const ModelDesc *desc, Rope *rope,
                          Error *err) {
    if (!cJSON_IsObject(r)) return error_set(err, "\"%s\" is not an object", key);
    return read_object(config, r, desc, rope, err) || error_prefix(err, "\"%s\"", key);
}

bool describe_rope(const cJSON *config, ModelDesc *desc, Error *err) {
    if (desc->rope.theta == 0) desc->rope.theta = 10000;
    if (!json_double(config, "rope_theta", 0, DOUBLE_MAX_READ, &desc->rope.theta, err) ||
        !json_double(config, "rotary_emb_base", 0, DOUBLE_MAX_READ, &desc->rope.theta, err) ||
        !read_share(config, "rotary_pct", desc, &desc->rope, err) ||
        !read_share(config, "partial_rotary_factor", desc, &desc->rope, err))
        return false;
    // Where both are there transformers takes rope_scaling, unless it is empty.
    const char *key = "rope_scaling";
    const cJSON *r = json_member(config, key);
    if (!r || (cJSON_IsObject(r) && !r->child)) r = json_member(config, key = "rope_parameters");
    return !r || describe_rope_object(config, r, key, desc, &desc->rope, err);
}

static bool add_factors(const cJSON *object, const char *key, const char *name, Model *model, Error *err) {
    const cJSON *list = json_member(object, key);
    int64_t half = desc_rope_dims(&model->desc) / 2, n = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != half)
        return error_set(err, "\"%s\" is no list of %lld factors, half of the dimensions that are turned", key,
                         (long long)half);
    float *factors = mem_alloc((size_t)half, sizeof *factors, err);
    if (!factors) return false;
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0 && item->valuedouble < 1e9)) {
            mem_free(factors);
            return error_set(err, "\"%s\": factor %lld is not above 0", key, (long long)n);
        }
        factors[n++] = (float)item->valuedouble;
    }
    if (!model_add_buffer(model, factors, err)) {
        mem_free(factors);
        return false;
    }
    Tensor t = {.type = DT_F32, .dims = 1, .shape = {half}, .data = (const uint8_t *)factors};
    if (!tensor_size(&t, err) || !(t.name = mem_text(name, strlen(name), err))) return false;
    if (model_add_tensor(model, &t, err)) return true;
    mem_free(t.name);
    return false;
}

bool add_longrope_factors(const cJSON *config, Model *model, Error *err) {
    if (model->desc.rope.scaling != ROPE_LONGROPE) return true;
    const cJSON *r = json_member(config, "rope_scaling");
    if (!r || (cJSON_IsObject(r) && !r->child)) r = json_member(config, "rope_parameters");
    return add_factors(r, "long_factor", "rope_factors_long.weight", model, err) &&
           add_factors(r, "short_factor", "rope_factors_short.weight", model, err);
}
