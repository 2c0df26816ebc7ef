// What most architectures' metadata say in the same words (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#include "convert/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// The largest that is read at all; formats/model_desc.c has the real limits.
static const int64_t INT_MAX_READ = INT64_C(1) << 40;
static const double DOUBLE_MAX_READ = 1e30;

typedef struct Key {
    char text[128];
} Key;

static Key key_of(const char *architecture, const char *suffix) {
    Key key;
    snprintf(key.text, sizeof key.text, "%s.%s", architecture, suffix);
    return key;
}

static bool read_int(const Gguf *g, const char *architecture, const char *suffix, int64_t *value, Error *err) {
    return gguf_int(g, key_of(architecture, suffix).text, 1, INT_MAX_READ, value, err);
}

static bool read_double(const Gguf *g, const char *architecture, const char *suffix, double *value, Error *err) {
    return gguf_double(g, key_of(architecture, suffix).text, 0, DOUBLE_MAX_READ, value, err);
}

static bool needed_int(const Gguf *g, const char *architecture, const char *suffix, int64_t *value, Error *err) {
    Key key = key_of(architecture, suffix);
    if (!gguf_find(g, key.text)) return error_set(err, "metadata \"%s\" is missing", key.text);
    return read_int(g, architecture, suffix, value, err);
}

// A number, or a list with one for each layer, which must be the same.
static bool uniform_int(const Gguf *g, const char *architecture, const char *suffix, int64_t *value, Error *err) {
    Key key = key_of(architecture, suffix);
    const GgufValue *v = gguf_find(g, key.text);
    if (!v || !v->array) return read_int(g, architecture, suffix, value, err);
    int64_t first = 0, other;
    if (!v->count || !gguf_int_at(v, 0, &first) || first < 1 || first > INT_MAX_READ)
        return error_set(err, "metadata \"%s\" is no list of numbers above 0", key.text);
    for (uint64_t i = 1; i < v->count; i++)
        if (!gguf_int_at(v, i, &other) || other != first)
            return error_set(err, "metadata \"%s\" differs between layers, which is not supported", key.text);
    *value = first;
    return true;
}

static bool needed_uniform_int(const Gguf *g, const char *architecture, const char *suffix, int64_t *value,
                               Error *err) {
    Key key = key_of(architecture, suffix);
    if (!gguf_find(g, key.text)) return error_set(err, "metadata \"%s\" is missing", key.text);
    return uniform_int(g, architecture, suffix, value, err);
}

static bool read_ids(const Gguf *g, ModelDesc *desc, Error *err) {
    return gguf_int(g, "tokenizer.ggml.bos_token_id", 0, UINT32_MAX, &desc->bos, err) &&
           gguf_int(g, "tokenizer.ggml.eos_token_id", 0, UINT32_MAX, &desc->eos, err);
}

// What is not there is written as all ones by some converters.
static void drop_absent_ids(ModelDesc *desc) {
    if (desc->bos >= desc->vocab) desc->bos = -1;
    if (desc->eos >= desc->vocab) desc->eos = -1;
}

bool describe_gguf_common(const Gguf *g, const char *architecture, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    if (!needed_int(g, architecture, "block_count", &d->layers, err) ||
        !needed_int(g, architecture, "embedding_length", &d->dim, err) ||
        !needed_uniform_int(g, architecture, "feed_forward_length", &d->ffn_dim, err) ||
        !needed_uniform_int(g, architecture, "attention.head_count", &d->heads, err) ||
        !needed_int(g, architecture, "context_length", &d->context, err))
        return false;
    const Tensor *embedding = model_tensor(model, "token_embd.weight");
    if (!embedding) return error_set(err, "tensor token_embd.weight is missing");
    d->vocab = tensor_rows(embedding);
    d->kv_heads = d->heads;
    d->head_dim = d->dim / d->heads;
    d->bos = d->eos = -1;
    bool given = gguf_find(g, key_of(architecture, "attention.key_length").text);
    int64_t value_dim;
    if (!uniform_int(g, architecture, "attention.head_count_kv", &d->kv_heads, err) ||
        !read_int(g, architecture, "attention.key_length", &d->head_dim, err) || !read_ids(g, d, err))
        return false;
    value_dim = d->head_dim;
    if (!read_int(g, architecture, "attention.value_length", &value_dim, err)) return false;
    if (value_dim != d->head_dim)
        return error_set(err, "keys of %lld beside values of %lld are not supported", (long long)d->head_dim,
                         (long long)value_dim);
    if (!given && d->dim % d->heads)
        return error_set(err, "the width %lld is no multiple of %lld heads", (long long)d->dim, (long long)d->heads);
    drop_absent_ids(d);
    Key eps = key_of(architecture, "attention.layer_norm_rms_epsilon");
    if (!gguf_find(g, eps.text)) return error_set(err, "metadata \"%s\" is missing", eps.text);
    return gguf_double(g, eps.text, 0, 1, &d->norm_eps, err);
}

static bool refuse(const Gguf *g, const char *architecture, const char *suffix, double neutral, Error *err) {
    Key key = key_of(architecture, suffix);
    const GgufValue *v = gguf_find(g, key.text);
    int64_t whole;
    double found = neutral;
    if (!v) return true;
    if (!v->array && gguf_int_at(v, 0, &whole))
        found = (double)whole;
    else if (!gguf_double(g, key.text, -HUGE_VAL, HUGE_VAL, &found, err))
        return false;
    return found == neutral || error_set(err, "metadata \"%s\" is %g, which is not supported", key.text, found);
}

bool refuse_gguf(const Gguf *g, const char *architecture, const GgufRefusal *list, size_t count, Error *err) {
    for (size_t i = 0; i < count; i++)
        if (!refuse(g, architecture, list[i].suffix, list[i].neutral, err)) return false;
    return true;
}

static bool read_yarn(const Gguf *g, const char *architecture, ModelDesc *d, Error *err) {
    static const GgufRefusal refused[] = {{"rope.scaling.yarn_log_multiplier", 0},
                                          {"rope.scaling.yarn_ext_factor", 1},
                                          {"rope.scaling.yarn_attn_factor", 1},
                                          {"rope.scaling.attn_factor", 1}};
    Rope *rope = &d->rope;
    rope->original_context = d->context;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->truncate = true;
    return refuse_gguf(g, architecture, refused, sizeof refused / sizeof *refused, err) &&
           read_int(g, architecture, "rope.scaling.original_context_length", &rope->original_context, err) &&
           read_double(g, architecture, "rope.scaling.yarn_beta_fast", &rope->beta_fast, err) &&
           read_double(g, architecture, "rope.scaling.yarn_beta_slow", &rope->beta_slow, err);
}

// The factor, in the newer spelling or the older one; 0 and 1 mean none, as for llama.cpp.
static bool read_scaling(const Gguf *g, const char *architecture, ModelDesc *d, Error *err) {
    GgufText type = {"linear", 6};
    Rope *rope = &d->rope;
    if (!gguf_text(g, key_of(architecture, "rope.scaling.type").text, &type, err) ||
        !read_double(g, architecture, "rope.scale_linear", &rope->factor, err) ||
        !read_double(g, architecture, "rope.scaling.factor", &rope->factor, err))
        return false;
    bool scaled = rope->factor != 0 && rope->factor != 1;
    if (gguf_text_is(type, "none") || (gguf_text_is(type, "linear") && !scaled)) {
        rope->factor = 0;
        return true;
    }
    if (gguf_text_is(type, "linear")) {
        rope->scaling = ROPE_LINEAR;
        return true;
    }
    if (!gguf_text_is(type, "yarn"))
        return error_set(err, "rotary scaling \"%.*s\" is not supported; those supported are: none, linear, yarn",
                         type.size < 60 ? (int)type.size : 60, type.data);
    rope->scaling = ROPE_YARN;
    if (!scaled) rope->factor = 1;
    return read_yarn(g, architecture, d, err);
}

bool describe_gguf_rope(const Gguf *g, const char *architecture, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    int64_t rotary = d->head_dim;
    d->rope.theta = 10000;
    if (!read_int(g, architecture, "rope.dimension_count", &rotary, err) ||
        !read_double(g, architecture, "rope.freq_base", &d->rope.theta, err) || !read_scaling(g, architecture, d, err))
        return false;
    if (rotary != d->head_dim)
        return error_set(err, "rotary positions on %lld of a head's %lld dimensions are not supported",
                         (long long)rotary, (long long)d->head_dim);
    if (!model_tensor(model, "rope_freqs.weight")) return true;
    if (d->rope.scaling != ROPE_PLAIN)
        return error_set(err, "tensor rope_freqs.weight beside rotary scaling \"%s\" is not supported",
                         rope_scaling_name(d->rope.scaling));
    d->rope.scaling = ROPE_FACTORS;
    return true;
}
