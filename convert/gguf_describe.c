// A description from metadata (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) and from which tensors there
// are.
#include "convert/gguf_arch.h"

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

static bool read_sizes(const Gguf *g, const char *architecture, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    if (!needed_int(g, architecture, "block_count", &d->layers, err) ||
        !needed_int(g, architecture, "embedding_length", &d->dim, err) ||
        !needed_uniform_int(g, architecture, "feed_forward_length", &d->ffn_dim, err) ||
        !needed_uniform_int(g, architecture, "attention.head_count", &d->heads, err) ||
        !needed_int(g, architecture, "context_length", &d->context, err))
        return false;
    const Tensor *embedding = model_tensor(model, "token_embd.weight");
    if (!embedding) return error_set(err, "tensor token_embd.weight is missing");
    if (d->layers > LAYERS_MAX)
        return error_set(err, "layers is %lld, outside 1 to %d", (long long)d->layers, LAYERS_MAX);
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
    if (value_dim != d->head_dim) d->v_head_dim = value_dim;
    if (!given && d->dim % d->heads)
        return error_set(err, "the width %lld is no multiple of %lld heads", (long long)d->dim, (long long)d->heads);
    drop_absent_ids(d);
    return true;
}

// With keys and values apart for each head, GGUF takes attention to be that of one head for keys, which is as wide as
// the narrow layer and the turned part; and says beside it what a head is.
static bool read_latent(const Gguf *g, const char *architecture, ModelDesc *d, Error *err) {
    Latent *l = &d->latent;
    int64_t values = desc_value_dim(d);
    if (!needed_int(g, architecture, "attention.kv_lora_rank", &l->kv_rank, err) ||
        !gguf_int(g, key_of(architecture, "attention.q_lora_rank").text, 0, INT_MAX_READ, &l->query_rank, err) ||
        !read_int(g, architecture, "attention.key_length_mla", &d->head_dim, err) ||
        !read_int(g, architecture, "attention.value_length_mla", &values, err))
        return false;
    d->kv_heads = d->heads;
    d->v_head_dim = values != d->head_dim ? values : 0;
    l->split = gguf_find(g, key_of(architecture, "attention.key_length_mla").text);
    return true;
}

static bool read_eps(const Gguf *g, const GgufArch *arch, ModelDesc *d, Error *err) {
    const char *suffix =
        arch->norm_kind == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    Key key = key_of(arch->name, suffix);
    d->norm_kind = arch->norm_kind;
    if (!gguf_find(g, key.text)) return error_set(err, "metadata \"%s\" is missing", key.text);
    return gguf_double(g, key.text, 0, 1, &d->norm_eps, err);
}

// ---- what tensors tell

static bool has(const Model *m, const char *name) { return model_layer_tensor(m, m->desc.layers - 1, name) != NULL; }

static QkNorm find_qk_norm(const Model *m) {
    const Tensor *norm = model_layer_tensor(m, m->desc.layers - 1, "attn_q_norm.weight");
    const ModelDesc *d = &m->desc;
    if (!norm) return QK_NORM_NONE;
    if (norm->dims > 1) return QK_NORM_HEADS;
    return tensor_elements(norm) == d->head_dim && d->heads > 1 ? QK_NORM_HEAD : QK_NORM_WIDE;
}

// The last layer is like all others but that it may have experts where the first has none.
static void look_at_tensors(Model *m) {
    ModelDesc *d = &m->desc;
    bool before = has(m, "attn_norm.weight"), after = has(m, "post_attention_norm.weight");
    d->tied = !model_tensor(m, "output.weight");
    d->head_bias = model_tensor(m, "output.bias");
    d->embed_norm = model_tensor(m, "token_embd_norm.weight");
    if (model_tensor(m, "position_embd.weight")) d->positions = POSITIONS_LEARNED;
    d->norm_bare = !model_tensor(m, "output_norm.weight");
    d->norm_bias = model_tensor(m, "output_norm.bias");
    if (!d->norm_bare) d->norm_place = !after ? NORM_BEFORE : before ? NORM_AROUND : NORM_AFTER;
    d->qkv_bias = has(m, "attn_q.bias") || has(m, "attn_qkv.bias");
    d->attn_output_bias = has(m, "attn_output.bias");
    d->mlp_bias = has(m, "ffn_up.bias");
    d->plain_mlp = has(m, "ffn_up.weight") && !has(m, "ffn_gate.weight");
    d->parallel = d->shared_norm = before && !after && !has(m, "ffn_norm.weight");
    d->qk_norm = find_qk_norm(m);
    d->sinks = has(m, "attn_sinks.weight");
}

// ---- keys that some have

// A number that is neutral at 1 in GGUF and at 0 in a description.
static bool read_factor(const Gguf *g, const char *architecture, const char *suffix, double *value, Error *err) {
    if (!read_double(g, architecture, suffix, value, err)) return false;
    if (*value == 1) *value = 0;
    return true;
}

static bool read_experts(const Gguf *g, const char *a, Model *m, Error *err) {
    enum { SOFTMAX = 1, SIGMOID = 2 };
    Experts *e = &m->desc.experts;
    int64_t shared = 0, dense = 0, gating = SOFTMAX;
    Key count = key_of(a, "expert_count"), leading = key_of(a, "leading_dense_block_count");
    if (!gguf_int(g, count.text, 0, EXPERTS_MAX, &e->count, err)) return false;
    if (!e->count) return true;
    e->ffn_dim = m->desc.ffn_dim;
    if (!needed_int(g, a, "expert_used_count", &e->used, err) ||
        !uniform_int(g, a, "expert_feed_forward_length", &e->ffn_dim, err) ||
        !gguf_int(g, key_of(a, "expert_shared_count").text, 0, EXPERTS_MAX, &shared, err) ||
        !gguf_int(g, leading.text, 0, LAYERS_MAX, &dense, err) ||
        !gguf_bool(g, key_of(a, "expert_weights_norm").text, &e->normalized, err) ||
        !read_factor(g, a, "expert_weights_scale", &e->scale, err) ||
        !gguf_int(g, key_of(a, "expert_gating_func").text, 0, 3, &gating, err) ||
        !gguf_int(g, key_of(a, "expert_group_count").text, 0, EXPERTS_MAX, &e->groups, err) ||
        !gguf_int(g, key_of(a, "expert_group_used_count").text, 0, EXPERTS_MAX, &e->groups_used, err))
        return false;
    if (e->groups <= 1 || e->groups == e->groups_used) e->groups = e->groups_used = 0;
    e->groups_by_two = e->groups;
    if (gating > SIGMOID)
        return error_set(err, "metadata \"%s.expert_gating_func\" is %lld, which is not supported", a,
                         (long long)gating);
    e->shared_dim = shared * e->ffn_dim;
    if (!read_int(g, a, "expert_shared_feed_forward_length", &e->shared_dim, err)) return false;
    e->sigmoid = gating == SIGMOID;
    e->router_bias = has(m, "ffn_gate_inp.bias");
    e->correction = has(m, "exp_probs_b.bias");
    e->bias = has(m, "ffn_down_exps.bias");
    e->shared_gate = has(m, "ffn_gate_inp_shexp.weight");
    for (int64_t i = 0; i < dense && i < m->desc.layers; i++) m->desc.layer_kinds[i] |= LAYER_DENSE;
    return true;
}

static bool read_multipliers(const Gguf *g, const char *a, ModelDesc *d, Error *err) {
    return read_factor(g, a, "embedding_scale", &d->embed_scale, err) &&
           read_factor(g, a, "residual_scale", &d->residual_scale, err) &&
           read_double(g, a, "attention.scale", &d->attn_scale, err);
}

static bool read_some(const Gguf *g, const GgufArch *arch, Model *m, Error *err) {
    ModelDesc *d = &m->desc;
    const char *a = arch->name;
    unsigned keys = arch->keys;
    if (((keys & GGUF_KEY_WINDOW) &&
         !gguf_int(g, key_of(a, "attention.sliding_window").text, 0, INT_MAX_READ, &d->window, err)) ||
        ((keys & GGUF_KEY_CAPS) && (!read_double(g, a, "attn_logit_softcapping", &d->attn_cap, err) ||
                                    !read_double(g, a, "final_logit_softcapping", &d->logit_cap, err))) ||
        ((keys & (GGUF_KEY_LOGIT_SCALE | GGUF_KEY_LOGIT_DIVIDE)) &&
         !read_factor(g, a, "logit_scale", &d->logit_scale, err)) ||
        ((keys & GGUF_KEY_MULTIPLIERS) && !read_multipliers(g, a, d, err)) ||
        ((keys & GGUF_KEY_CLAMP) && !read_double(g, a, "attention.clamp_kqv", &d->qkv_clip, err)) ||
        ((keys & GGUF_KEY_EXPERTS) && !read_experts(g, a, m, err)))
        return false;
    if ((keys & GGUF_KEY_LOGIT_DIVIDE) && d->logit_scale != 0) d->logit_scale = 1 / d->logit_scale;
    if (!(keys & GGUF_KEY_PARALLEL)) return true;
    d->parallel = true;
    return gguf_bool(g, key_of(a, "use_parallel_residual").text, &d->parallel, err);
}

void gguf_window_pattern(ModelDesc *d, int64_t period) {
    for (int64_t i = 0; i < d->layers; i++)
        if (i % period < period - 1) d->layer_kinds[i] |= LAYER_WINDOWED;
}

static bool read_flag(const GgufValue *v, uint64_t i, bool *flag) {
    int64_t number = 0;
    bool ok = v->kind == GGUF_BOOL || gguf_int_at(v, i, &number);
    *flag = v->kind == GGUF_BOOL ? v->data[i] != 0 : number != 0;
    return ok;
}

// One number is a period, a list has a flag for each layer. 0 as a period: every layer.
static bool read_window_pattern(const Gguf *g, const GgufArch *arch, ModelDesc *d, Error *err) {
    Key key = key_of(arch->name, "attention.sliding_window_pattern");
    const GgufValue *v = gguf_find(g, key.text);
    int64_t period = arch->window_period;
    if (!v || !v->array) {
        if (!gguf_int(g, key.text, 0, UINT32_MAX, &period, err)) return false;
        gguf_window_pattern(d, period ? period : INT64_MAX);
        return true;
    }
    if (v->count < (uint64_t)d->layers)
        return error_set(err, "metadata \"%s\" has %llu values for %lld layers", key.text, (unsigned long long)v->count,
                         (long long)d->layers);
    for (int64_t i = 0; i < d->layers; i++) {
        bool windowed;
        if (!read_flag(v, (uint64_t)i, &windowed))
            return error_set(err, "metadata \"%s\" is no list of flags", key.text);
        if (windowed) d->layer_kinds[i] |= LAYER_WINDOWED;
    }
    return true;
}

bool refuse_gguf_factors(const Model *m, const char *architecture, Error *err) {
    if (!model_tensor(m, "rope_freqs.weight")) return true;
    return error_set(err,
                     "GGUF's %s has no rotary factors (rope_freqs.weight, which stand for llama3's and some of "
                     "yarn's scaling)",
                     architecture);
}

void gguf_drop_biases(ModelDesc *d) { d->attn_output_bias = d->mlp_bias = false; }

void gguf_square_heads(ModelDesc *d) {
    d->head_dim = d->dim / d->heads;
    d->v_head_dim = 0;
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

// What cos and sin are multiplied by is a factor of what yarn itself has.
static bool read_attention_factor(const Gguf *g, const char *architecture, Rope *rope, Error *err) {
    double factor = 1;
    if (!read_double(g, architecture, "rope.scaling.attn_factor", &factor, err)) return false;
    if (rope->scaling == ROPE_YARN && rope->factor > 1 && factor != 1) factor *= 0.1 * log(rope->factor) + 1;
    if (factor != 1) rope->attention_factor = factor;
    return true;
}

static bool read_yarn(const Gguf *g, const GgufArch *arch, ModelDesc *d, Error *err) {
    static const GgufRefusal refused[] = {{"rope.scaling.yarn_ext_factor", 1},
                                          {"rope.scaling.yarn_attn_factor", 1},
                                          {"rope.scaling.yarn_log_multiplier", 0}};
    enum { REFUSED = sizeof refused / sizeof *refused };
    const char *architecture = arch->name;
    Rope *rope = &d->rope;
    rope->original_context = d->context;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->truncate = !(arch->keys & GGUF_YARN_ROUNDED);
    return refuse_gguf(g, architecture, refused, arch->keys & GGUF_KEY_LATENT ? REFUSED - 1 : REFUSED, err) &&
           read_attention_factor(g, architecture, rope, err) &&
           read_int(g, architecture, "rope.scaling.original_context_length", &rope->original_context, err) &&
           read_double(g, architecture, "rope.scaling.yarn_beta_fast", &rope->beta_fast, err) &&
           read_double(g, architecture, "rope.scaling.yarn_beta_slow", &rope->beta_slow, err);
}

// The factor, in the newer spelling or the older one; 0 and 1 mean none, as for llama.cpp.
static bool read_scaling(const Gguf *g, const GgufArch *arch, ModelDesc *d, Error *err) {
    GgufText type = {"linear", 6};
    const char *architecture = arch->name;
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
    return read_yarn(g, arch, d, err);
}

// Longrope's original context and attention factor; factors are tensors.
static bool read_longrope(const Gguf *g, const char *a, ModelDesc *d, Error *err) {
    d->rope.scaling = ROPE_LONGROPE;
    d->rope.original_context = d->context;
    d->rope.attention_factor = 1;
    return read_int(g, a, "rope.scaling.original_context_length", &d->rope.original_context, err) &&
           read_double(g, a, "rope.scaling.attn_factor", &d->rope.attention_factor, err);
}

static bool read_rope(const Gguf *g, const GgufArch *arch, Model *model, Error *err) {
    ModelDesc *d = &model->desc;
    int64_t rotary = d->head_dim;
    d->rope.theta = 10000;
    d->rope.interleaved = arch->neighbours;
    if (!read_int(g, arch->name, "rope.dimension_count", &rotary, err) ||
        !read_double(g, arch->name, "rope.freq_base", &d->rope.theta, err))
        return false;
    if (rotary != d->head_dim) d->rope.dims = rotary;
    if (model_tensor(model, "rope_factors_long.weight")) return read_longrope(g, arch->name, d, err);
    if (!read_scaling(g, arch, d, err)) return false;
    if (arch->keys & GGUF_KEY_LOCAL_ROPE) {
        d->rope_local = d->rope;
        if (!read_double(g, arch->name, "rope.freq_base_swa", &d->rope_local.theta, err)) return false;
    }
    if (!model_tensor(model, "rope_freqs.weight")) return true;
    if (d->rope.scaling != ROPE_PLAIN)
        return error_set(err, "tensor rope_freqs.weight beside rotary scaling \"%s\" is not supported",
                         rope_scaling_name(d->rope.scaling));
    d->rope.scaling = ROPE_FACTORS;
    return read_attention_factor(g, arch->name, &d->rope, err);
}

bool gguf_refuse_rope_factors(const Model *model, const char *architecture, Error *err) {
    static const char *const names[] = {"rope_freqs.weight", "rope_factors_long.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (model_tensor(model, names[i]))
            return error_set(err, "rotary positions scaled by factors (tensor %s) are not what engines compute for %s",
                             names[i], architecture);
    return true;
}

// The names are transformers'.
static bool read_gelu(const Gguf *g, const GgufArch *arch, ModelDesc *d, Error *err) {
    Key key = key_of(arch->name, "hidden_activation");
    GgufText name = {NULL, 0};
    if (!(arch->keys & GGUF_KEY_GELU) || !gguf_find(g, key.text)) return true;
    if (!gguf_text(g, key.text, &name, err)) return false;
    if (!gguf_text_is(name, "gelu") && !gguf_text_is(name, "gelu_pytorch_tanh"))
        return error_set(err, "the activation \"%.*s\" (%s) is not supported", name.size < 60 ? (int)name.size : 60,
                         name.data, key.text);
    d->activation = gguf_text_is(name, "gelu") ? ACT_GELU : ACT_GELU_TANH;
    return true;
}

bool gguf_describe(const Gguf *g, const GgufArch *arch, Model *model, Error *err) {
    model->desc.activation = arch->activation;
    if (!read_sizes(g, arch->name, model, err) || !read_eps(g, arch, &model->desc, err) ||
        ((arch->keys & GGUF_KEY_LATENT) && !read_latent(g, arch->name, &model->desc, err)))
        return false;
    look_at_tensors(model);
    if (!read_some(g, arch, model, err) || !read_gelu(g, arch, &model->desc, err)) return false;
    if (arch->window_period && !read_window_pattern(g, arch, &model->desc, err)) return false;
    if (model->desc.positions == POSITIONS_ROTARY && !read_rope(g, arch, model, err)) return false;
    return !arch->settle || arch->settle(g, model, err);
}
