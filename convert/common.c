// What most families' config.json say in the same words: transformers' common keys, and rotary positions in the
// spellings of transformers 4 ("rope_theta" and "rope_scaling") and 5 ("rope_parameters").
#include "convert/family.h"

#include <stdio.h>
#include <string.h>

// The largest numbers that are read at all; formats/model_desc.c has the real limits, for .nib and for these alike.
static const int64_t INT_MAX_READ = INT64_C(1) << 40;
static const double DOUBLE_MAX_READ = 1e30;

static bool needed_int(const cJSON *config, const char *key, int64_t *value, Error *err) {
    if (!json_member(config, key)) return error_set(err, "\"%s\" is missing", key);
    return json_int(config, key, 1, INT_MAX_READ, value, err);
}

// An id, or a list of them (Llama 3's eos_token_id) of which the first is taken.
static bool read_id(const cJSON *config, const char *key, int64_t *id, Error *err) {
    const cJSON *m = json_member(config, key);
    if (!cJSON_IsArray(m)) return json_int(config, key, -1, INT_MAX_READ, id, err);
    if (!cJSON_IsNumber(m->child) || m->child->valuedouble != (double)m->child->valueint || m->child->valueint < 0)
        return error_set(err, "\"%s\" is neither an id nor a list of them", key);
    *id = m->child->valueint;
    return true;
}

bool describe_common(const cJSON *config, ModelDesc *desc, Error *err) {
    if (!needed_int(config, "num_hidden_layers", &desc->layers, err) ||
        !needed_int(config, "hidden_size", &desc->dim, err) ||
        !needed_int(config, "intermediate_size", &desc->ffn_dim, err) ||
        !needed_int(config, "num_attention_heads", &desc->heads, err) ||
        !needed_int(config, "vocab_size", &desc->vocab, err))
        return false;

    desc->kv_heads = desc->heads;
    desc->head_dim = desc->dim / desc->heads;
    desc->context = 2048;
    desc->norm_eps = 1e-6;
    desc->bos = desc->eos = -1;
    if (!json_int(config, "num_key_value_heads", 1, INT_MAX_READ, &desc->kv_heads, err) ||
        !json_int(config, "head_dim", 1, INT_MAX_READ, &desc->head_dim, err) ||
        !json_int(config, "max_position_embeddings", 1, INT_MAX_READ, &desc->context, err) ||
        !json_double(config, "rms_norm_eps", 0, 1, &desc->norm_eps, err) ||
        !json_bool(config, "tie_word_embeddings", &desc->tied, err) ||
        !read_id(config, "bos_token_id", &desc->bos, err) || !read_id(config, "eos_token_id", &desc->eos, err))
        return false;
    if (!json_member(config, "head_dim") && desc->dim % desc->heads)
        return error_set(err, "hidden_size %lld is no multiple of num_attention_heads %lld, and head_dim is not given",
                         (long long)desc->dim, (long long)desc->heads);

    const char *activation = json_text(config, "hidden_act");
    if (activation && !activation_from_name(activation, &desc->activation))
        return error_set(err, "the activation \"%.60s\" (hidden_act) is not supported", activation);
    return true;
}

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
static bool read_original_context(const cJSON *config, const cJSON *r, ModelDesc *desc, Error *err) {
    static const char key[] = "original_max_position_embeddings";
    Rope *rope = &desc->rope;
    rope->original_context = desc->context;
    if (rope->scaling == ROPE_DYNAMIC) return true; // always the config's context
    return json_int(r, key, 1, INT_MAX_READ, &rope->original_context, err) &&
           json_int(config, key, 1, INT_MAX_READ, &rope->original_context, err);
}

static bool read_scaling(const cJSON *config, const cJSON *r, ModelDesc *desc, Error *err) {
    Rope *rope = &desc->rope;
    const char *name = json_text(r, "rope_type");
    if (!name) name = json_text(r, "type");
    if (name && (!rope_scaling_from_name(name, &rope->scaling) || rope->scaling == ROPE_FACTORS))
        return error_set(err,
                         "rotary scaling \"%.60s\" is not supported; those supported are: default, linear, dynamic, "
                         "yarn, llama3",
                         name);
    double partial = 1;
    if (!json_double(r, "rope_theta", 0, DOUBLE_MAX_READ, &rope->theta, err) ||
        !json_double(r, "partial_rotary_factor", 0, 1, &partial, err))
        return false;
    if (partial != 1) return error_set(err, "partial_rotary_factor %g is not supported", partial);
    if (rope->scaling == ROPE_PLAIN) return true;

    if (!read_original_context(config, r, desc, err)) return false;
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

bool describe_rope(const cJSON *config, ModelDesc *desc, Error *err) {
    desc->rope = (Rope){.theta = 10000};
    if (!json_double(config, "rope_theta", 0, DOUBLE_MAX_READ, &desc->rope.theta, err)) return false;
    // Where both are there transformers takes rope_scaling, unless it is empty.
    const char *key = "rope_scaling";
    const cJSON *r = json_member(config, key);
    if (!r || (cJSON_IsObject(r) && !r->child)) r = json_member(config, key = "rope_parameters");
    if (!r) return true;
    if (!cJSON_IsObject(r)) return error_set(err, "\"%s\" is not an object", key);
    return read_scaling(config, r, desc, err) || error_prefix(err, "\"%s\"", key);
}
