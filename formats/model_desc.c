// The model description: its names, its JSON (in .nib), its limits.
#include "formats/model_desc_variants.h"

#include <stdio.h>
#include <string.h>

enum {
    HEADS_MAX = 1 << 14,
    HEAD_DIM_MAX = 1 << 14,
    DIM_MAX = 1 << 20,
    FFN_MAX = 1 << 24,
    VOCAB_MAX = 1 << 26,
    CONTEXT_MAX = 1 << 30,
};
static const double POSITIVE_MIN = 1e-30, POSITIVE_MAX = 1e30;

// Names as .nib and reports write them; the other spellings are transformers' ACT2FN keys for the same function.
static const struct {
    Activation value;
    const char *name;
} activations[] = {
    {ACT_SILU, "silu"},           {ACT_GELU, "gelu"},
    {ACT_GELU_TANH, "gelu_tanh"}, {ACT_RELU, "relu"},
    {ACT_SILU, "swish"},          {ACT_GELU, "gelu_python"},
    {ACT_GELU_TANH, "gelu_new"},  {ACT_GELU_TANH, "gelu_pytorch_tanh"},
    {ACT_GELU_TANH, "gelu_fast"}, {ACT_SWIGLU_CLAMPED, "swiglu_clamped"},
};

static const char *const scalings[ROPE_COUNT] = {"default", "linear",  "dynamic", "yarn",
                                                 "llama3",  "factors", "longrope"};

const char *activation_name(Activation a) {
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (activations[i].value == a) return activations[i].name;
    return "?";
}

bool activation_from_name(const char *name, Activation *a) {
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(activations[i].name, name) == 0) {
            *a = activations[i].value;
            return true;
        }
    return false;
}

const char *rope_scaling_name(RopeScaling s) { return scalings[s]; }

bool rope_scaling_from_name(const char *name, RopeScaling *s) {
    for (int i = 0; i < ROPE_COUNT; i++)
        if (strcmp(scalings[i], name) == 0) {
            *s = (RopeScaling)i;
            return true;
        }
    return false;
}

// ---- JSON: one table of the numbers, so that what is written is what is read

typedef struct IntField {
    const char *key;
    size_t offset;
    int64_t min, max;
} IntField;

typedef struct DoubleField {
    const char *key;
    size_t offset;
    double min, max;
    unsigned scalings; // bit s: this number belongs to RopeScaling s
} DoubleField;

typedef struct BoolField {
    const char *key;
    size_t offset;
} BoolField;

static const IntField ints[] = {
    {"layers", offsetof(ModelDesc, layers), 1, LAYERS_MAX},
    {"dim", offsetof(ModelDesc, dim), 1, DIM_MAX},
    {"heads", offsetof(ModelDesc, heads), 1, HEADS_MAX},
    {"kv_heads", offsetof(ModelDesc, kv_heads), 1, HEADS_MAX},
    {"head_dim", offsetof(ModelDesc, head_dim), 1, HEAD_DIM_MAX},
    {"ffn_dim", offsetof(ModelDesc, ffn_dim), 1, FFN_MAX},
    {"vocab", offsetof(ModelDesc, vocab), 1, VOCAB_MAX},
    {"context", offsetof(ModelDesc, context), 1, CONTEXT_MAX},
    {"bos", offsetof(ModelDesc, bos), -1, VOCAB_MAX},
    {"eos", offsetof(ModelDesc, eos), -1, VOCAB_MAX},
};

static const BoolField bools[] = {
    {"tied", offsetof(ModelDesc, tied)},
    {"qkv_bias", offsetof(ModelDesc, qkv_bias)},
    {"attn_output_bias", offsetof(ModelDesc, attn_output_bias)},
    {"mlp_bias", offsetof(ModelDesc, mlp_bias)},
};

enum {
    SCALED = 1 << ROPE_LINEAR | 1 << ROPE_DYNAMIC | 1 << ROPE_YARN | 1 << ROPE_LLAMA3,
    YARN = 1 << ROPE_YARN,
    LLAMA3 = 1 << ROPE_LLAMA3
};
static const DoubleField rope_doubles[] = {
    {"factor", offsetof(Rope, factor), 1e-6, 1e9, SCALED},
    {"attention_factor", offsetof(Rope, attention_factor), 0, 1e6, YARN | 1 << ROPE_LONGROPE},
    {"beta_fast", offsetof(Rope, beta_fast), 1e-6, 1e9, YARN},
    {"beta_slow", offsetof(Rope, beta_slow), 1e-6, 1e9, YARN},
    {"mscale", offsetof(Rope, mscale), 0, 1e6, YARN},
    {"mscale_all_dim", offsetof(Rope, mscale_all_dim), 0, 1e6, YARN},
    {"low_freq_factor", offsetof(Rope, low_freq_factor), 1e-6, 1e9, LLAMA3},
    {"high_freq_factor", offsetof(Rope, high_freq_factor), 1e-6, 1e9, LLAMA3},
};

#define COUNT(a)             (sizeof(a) / sizeof *(a))
#define FIELD(p, type, off)  ((type *)((char *)(p) + (off)))
#define CFIELD(p, type, off) (*(const type *)((const char *)(p) + (off)))

static bool rope_has_original_context(RopeScaling s) {
    return s == ROPE_DYNAMIC || s == ROPE_YARN || s == ROPE_LLAMA3 || s == ROPE_LONGROPE;
}

bool rope_write(const Rope *rope, cJSON *json) {
    bool ok = cJSON_AddStringToObject(json, "scaling", rope_scaling_name(rope->scaling)) &&
              cJSON_AddNumberToObject(json, "theta", rope->theta) &&
              (!rope->dims || cJSON_AddNumberToObject(json, "dims", (double)rope->dims)) &&
              (!rope->interleaved || cJSON_AddBoolToObject(json, "interleaved", true));
    for (size_t i = 0; ok && i < COUNT(rope_doubles); i++)
        if (rope_doubles[i].scalings >> rope->scaling & 1)
            ok = cJSON_AddNumberToObject(json, rope_doubles[i].key, CFIELD(rope, double, rope_doubles[i].offset));
    if (ok && rope_has_original_context(rope->scaling))
        ok = cJSON_AddNumberToObject(json, "original_context", (double)rope->original_context);
    if (ok && rope->scaling == ROPE_YARN) ok = cJSON_AddBoolToObject(json, "truncate", rope->truncate);
    if (ok && rope->scaling == ROPE_FACTORS && rope->attention_factor != 0)
        ok = cJSON_AddNumberToObject(json, "attention_factor", rope->attention_factor);
    return ok;
}

cJSON *model_desc_write(const ModelDesc *desc) {
    cJSON *json = cJSON_CreateObject(), *rope = NULL;
    bool ok = json && cJSON_AddStringToObject(json, "family", desc->family);
    for (size_t i = 0; ok && i < COUNT(ints); i++)
        ok = cJSON_AddNumberToObject(json, ints[i].key, (double)CFIELD(desc, int64_t, ints[i].offset));
    ok = ok && cJSON_AddNumberToObject(json, "norm_eps", desc->norm_eps) &&
         cJSON_AddStringToObject(json, "activation", activation_name(desc->activation));
    for (size_t i = 0; ok && i < COUNT(bools); i++)
        ok = cJSON_AddBoolToObject(json, bools[i].key, CFIELD(desc, bool, bools[i].offset));
    if (ok && desc->positions == POSITIONS_ROTARY)
        ok = (rope = cJSON_AddObjectToObject(json, "rope")) && rope_write(&desc->rope, rope);
    ok = ok && variants_write(desc, json);
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

int model_desc_version(const cJSON *json) {
    for (const cJSON *m = json->child; m; m = m->next)
        if (variants_has(m->string)) return 2;
    return 1;
}

// A member that is not known would change the network.
static bool check_members(const cJSON *json, Error *err) {
    static const char *const others[] = {"family", "norm_eps", "activation", "rope"};
    for (const cJSON *m = json->child; m; m = m->next) {
        bool known = variants_has(m->string);
        for (size_t i = 0; i < COUNT(ints); i++) known = known || strcmp(m->string, ints[i].key) == 0;
        for (size_t i = 0; i < COUNT(bools); i++) known = known || strcmp(m->string, bools[i].key) == 0;
        for (size_t i = 0; i < COUNT(others); i++) known = known || strcmp(m->string, others[i]) == 0;
        if (!known)
            return error_set(err, "\"model\" has \"%.60s\", which this nibble does not know: update it", m->string);
    }
    return true;
}

static bool must_have(const cJSON *json, const char *key, Error *err) {
    return json_member(json, key) || error_set(err, "\"%s\" is missing", key);
}

bool rope_read(const cJSON *json, Rope *rope, Error *err) {
    const char *name = json_text(json, "scaling");
    if (!name || !rope_scaling_from_name(name, &rope->scaling))
        return error_set(err, "\"scaling\" is missing or unknown: %.40s", name ? name : "");
    if (!must_have(json, "theta", err) || !json_double(json, "theta", POSITIVE_MIN, POSITIVE_MAX, &rope->theta, err))
        return false;
    for (size_t i = 0; i < COUNT(rope_doubles); i++) {
        const DoubleField *f = &rope_doubles[i];
        if (!(f->scalings >> rope->scaling & 1)) continue;
        if (!must_have(json, f->key, err) ||
            !json_double(json, f->key, f->min, f->max, FIELD(rope, double, f->offset), err))
            return false;
    }
    if (rope_has_original_context(rope->scaling) &&
        (!must_have(json, "original_context", err) ||
         !json_int(json, "original_context", 1, CONTEXT_MAX, &rope->original_context, err)))
        return false;
    if (rope->scaling == ROPE_FACTORS && !json_double(json, "attention_factor", 0, 1e6, &rope->attention_factor, err))
        return false;
    return json_int(json, "dims", 1, HEAD_DIM_MAX, &rope->dims, err) &&
           json_bool(json, "truncate", &rope->truncate, err) && json_bool(json, "interleaved", &rope->interleaved, err);
}

bool model_desc_read(const cJSON *json, ModelDesc *desc, Error *err) {
    *desc = (ModelDesc){.bos = -1, .eos = -1};
    if (!cJSON_IsObject(json)) return error_set(err, "\"model\" is missing or not an object");
    if (!check_members(json, err)) return false;
    const char *family = json_text(json, "family"), *activation = json_text(json, "activation");
    if (!family || strlen(family) >= sizeof desc->family) return error_set(err, "\"family\" is missing or too long");
    snprintf(desc->family, sizeof desc->family, "%s", family);
    for (size_t i = 0; i < COUNT(ints); i++)
        if (!must_have(json, ints[i].key, err) ||
            !json_int(json, ints[i].key, ints[i].min, ints[i].max, FIELD(desc, int64_t, ints[i].offset), err))
            return false;
    if (!must_have(json, "norm_eps", err) || !json_double(json, "norm_eps", 0, 1, &desc->norm_eps, err)) return false;
    if (!activation || !activation_from_name(activation, &desc->activation))
        return error_set(err, "\"activation\" is missing or unknown: %.40s", activation ? activation : "");
    for (size_t i = 0; i < COUNT(bools); i++)
        if (!must_have(json, bools[i].key, err) ||
            !json_bool(json, bools[i].key, FIELD(desc, bool, bools[i].offset), err))
            return false;
    if (!variants_read(json, desc, err)) return false;
    if (desc->positions == POSITIONS_ROTARY && !rope_read(json_member(json, "rope"), &desc->rope, err))
        return error_prefix(err, "\"rope\"");
    return model_desc_check(desc, err);
}

bool rope_check(const Rope *rope, int64_t head_dim, Error *err) {
    int64_t dims = rope->dims ? rope->dims : head_dim;
    if (dims < 2 || dims % 2 || dims > head_dim)
        return error_set(err, "head_dim is %lld, %lld of them turned: rotary positions need an even number of them",
                         (long long)head_dim, (long long)dims);
    if (!(rope->theta >= POSITIVE_MIN && rope->theta <= POSITIVE_MAX))
        return error_set(err, "rope theta is %g", rope->theta);
    for (size_t i = 0; i < COUNT(rope_doubles); i++) {
        const DoubleField *f = &rope_doubles[i];
        double v = CFIELD(rope, double, f->offset);
        if ((f->scalings >> rope->scaling & 1) && !(v >= f->min && v <= f->max))
            return error_set(err, "rope %s is %g, outside %g to %g", f->key, v, f->min, f->max);
    }
    if (rope_has_original_context(rope->scaling) &&
        (rope->original_context < 1 || rope->original_context > CONTEXT_MAX))
        return error_set(err, "rope original_context is %lld", (long long)rope->original_context);
    if (rope->scaling == ROPE_LLAMA3 && !(rope->high_freq_factor > rope->low_freq_factor))
        return error_set(err, "rope high_freq_factor %g is not above low_freq_factor %g", rope->high_freq_factor,
                         rope->low_freq_factor);
    return true;
}

bool model_desc_check(const ModelDesc *desc, Error *err) {
    for (size_t i = 0; i < COUNT(ints); i++) {
        int64_t v = CFIELD(desc, int64_t, ints[i].offset);
        if (v < ints[i].min || v > ints[i].max)
            return error_set(err, "%s is %lld, outside %lld to %lld", ints[i].key, (long long)v, (long long)ints[i].min,
                             (long long)ints[i].max);
    }
    if (desc->heads % desc->kv_heads)
        return error_set(err, "%lld query heads are no multiple of %lld key and value heads", (long long)desc->heads,
                         (long long)desc->kv_heads);
    if (!(desc->norm_eps >= 0 && desc->norm_eps <= 1)) return error_set(err, "norm_eps is %g", desc->norm_eps);

    return variants_check(desc, err);
}
