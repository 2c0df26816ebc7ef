// The model description in GGUF's keys.
#include "convert/export_gguf_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Keys of one architecture: "llama." and the rest.
typedef struct ArchMeta {
    GgufMeta *meta;
    const char *architecture;
} ArchMeta;

enum { KEY = 128 };

static const char *key_of(const ArchMeta *m, const char *rest, char key[KEY]) {
    snprintf(key, KEY, "%s.%s", m->architecture, rest);
    return key;
}

static void add_u32(const ArchMeta *m, const char *rest, int64_t value) {
    char key[KEY];
    gguf_meta_u32(m->meta, key_of(m, rest, key), (uint32_t)value);
}

static void add_f32(const ArchMeta *m, const char *rest, double value) {
    char key[KEY];
    gguf_meta_f32(m->meta, key_of(m, rest, key), (float)value);
}

static void add_text(const ArchMeta *m, const char *rest, const char *text) {
    char key[KEY];
    gguf_meta_text(m->meta, key_of(m, rest, key), text, strlen(text));
}

static double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

double gguf_yarn_attention(const Rope *r) {
    if (r->attention_factor > 0) return r->attention_factor;
    if (r->mscale != 0 && r->mscale_all_dim != 0)
        return yarn_mscale(r->factor, r->mscale) / yarn_mscale(r->factor, r->mscale_all_dim);
    return yarn_mscale(r->factor, 1);
}

// Whether engines' own yarn is this one: they round its range, and take 32 and 1 for beta_fast and beta_slow whatever
// keys a file has.
static bool is_plain_yarn(const Rope *r, const GgufArch *arch) {
    bool whole = r->truncate || (arch->keys & GGUF_YARN_ROUNDED);
    return whole && r->beta_fast == 32 && r->beta_slow == 1;
}

bool gguf_has_rope_factors(const ModelDesc *d, const GgufArch *arch) {
    return d->rope.scaling == ROPE_LLAMA3 || (d->rope.scaling == ROPE_YARN && !is_plain_yarn(&d->rope, arch));
}

// Up to the context that the file states, dynamic scaling is none at all.
static void add_rope_scaling(const ArchMeta *m, const Rope *r, const GgufArch *arch) {
    double attention = r->scaling == ROPE_YARN ? gguf_yarn_attention(r) : 1;
    if (r->scaling == ROPE_LINEAR) {
        add_text(m, "rope.scaling.type", "linear");
        add_f32(m, "rope.scaling.factor", r->factor);
    } else if (r->scaling == ROPE_YARN && is_plain_yarn(r, arch)) {
        add_text(m, "rope.scaling.type", "yarn");
        add_f32(m, "rope.scaling.factor", r->factor);
        add_u32(m, "rope.scaling.original_context_length", r->original_context);
        // Engines multiply by this themselves.
        if (!(arch->keys & GGUF_KEY_LATENT)) attention /= yarn_mscale(r->factor, 1);
    } else if (r->scaling == ROPE_LONGROPE) {
        add_text(m, "rope.scaling.type", "longrope");
        add_u32(m, "rope.scaling.original_context_length", r->original_context);
        attention = r->attention_factor != 0 ? r->attention_factor : 1;
    } else if (r->scaling == ROPE_FACTORS && r->attention_factor != 0) {
        attention = r->attention_factor;
    }
    if (attention != 1) add_f32(m, "rope.scaling.attn_factor", attention);
}

// 0 in a description means that there is none, which in GGUF is 1.
static void add_factor(const ArchMeta *m, const char *rest, double value) { add_f32(m, rest, value != 0 ? value : 1); }

static void add_sizes(const ArchMeta *m, const ModelDesc *d) {
    int64_t latent = d->latent.kv_rank;
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"vocab_size", d->vocab},
                 {"context_length", d->context},
                 {"embedding_length", d->dim},
                 {"block_count", d->layers},
                 {"feed_forward_length", d->ffn_dim},
                 {"attention.head_count", d->heads},
                 {"attention.head_count_kv", latent ? 1 : d->kv_heads},
                 {"attention.key_length", latent ? latent + desc_rope_dims(d) : d->head_dim},
                 {"attention.value_length", latent ? latent : desc_value_dim(d)}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) add_u32(m, sizes[i].key, sizes[i].value);
    add_f32(m, d->norm_kind == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
            d->norm_eps);
}

static int64_t leading_dense(const ModelDesc *d) {
    int64_t n = 0;
    while (n < d->layers && desc_layer_is(d, n, LAYER_DENSE)) n++;
    return n;
}

static void add_experts(const ArchMeta *m, const ModelDesc *d) {
    const Experts *e = &d->experts;
    char key[KEY];
    if (!e->count) return;
    add_u32(m, "expert_count", e->count);
    add_u32(m, "expert_used_count", e->used);
    add_u32(m, "expert_feed_forward_length", e->ffn_dim);
    if (e->shared_dim) {
        add_u32(m, "expert_shared_count", e->shared_dim / e->ffn_dim);
        add_u32(m, "expert_shared_feed_forward_length", e->shared_dim);
    }
    if (leading_dense(d)) add_u32(m, "leading_dense_block_count", leading_dense(d));
    gguf_meta_bool(m->meta, key_of(m, "expert_weights_norm", key), e->normalized);
    if (e->scale != 0) add_f32(m, "expert_weights_scale", e->scale);
    add_u32(m, "expert_gating_func", e->sigmoid ? 2 : 1);
    if (!e->groups) return;
    add_u32(m, "expert_group_count", e->groups);
    add_u32(m, "expert_group_used_count", e->groups_used);
}

// Engines multiply the scores by (attention * (1 + log_multiplier * ln factor))^2: where the key is not there, or 0, by
// another attention.
static double yarn_log_multiplier(const ModelDesc *d) {
    const Rope *r = &d->rope;
    double scale = d->attn_scale != 0 ? d->attn_scale : 1 / sqrt((double)d->head_dim);
    double multiplier = (sqrt(scale * sqrt((double)d->head_dim)) / gguf_yarn_attention(r) - 1) / log(r->factor);
    return fabs(multiplier) > 1e-12 ? multiplier : 1e-12;
}

static void add_latent(const ArchMeta *m, const ModelDesc *d) {
    if (!d->latent.kv_rank) return;
    add_u32(m, "attention.kv_lora_rank", d->latent.kv_rank);
    add_u32(m, "attention.q_lora_rank", d->latent.query_rank); // which most engines ask for where it is 0, too
    add_u32(m, "attention.key_length_mla", d->head_dim);
    add_u32(m, "attention.value_length_mla", desc_value_dim(d));
    if (d->rope.scaling == ROPE_YARN && d->rope.factor > 1)
        add_f32(m, "rope.scaling.yarn_log_multiplier", yarn_log_multiplier(d));
}

// Which layers are windowed, where it is not what engines take for granted.
static void add_window_pattern(const ArchMeta *m, const ModelDesc *d, int64_t period) {
    char key[KEY];
    int32_t flags[LAYERS_MAX];
    bool usual = true;
    for (int64_t i = 0; i < d->layers; i++) {
        flags[i] = desc_layer_is(d, i, LAYER_WINDOWED);
        usual = usual && flags[i] == (i % period < period - 1);
    }
    if (!usual) gguf_meta_i32s(m->meta, key_of(m, "attention.sliding_window_pattern", key), flags, (size_t)d->layers);
}

static void add_window(const ArchMeta *m, const ModelDesc *d, const GgufArch *arch) {
    if (!(arch->keys & GGUF_KEY_WINDOW) || !d->window) return;
    add_u32(m, "attention.sliding_window", d->window);
    if (arch->window_period) add_window_pattern(m, d, arch->window_period);
}

static void add_some(const ArchMeta *m, const ModelDesc *d, unsigned keys) {
    char key[KEY];
    if (keys & GGUF_KEY_CAPS) {
        if (d->attn_cap != 0) add_f32(m, "attn_logit_softcapping", d->attn_cap);
        if (d->logit_cap != 0) add_f32(m, "final_logit_softcapping", d->logit_cap);
    }
    if (keys & GGUF_KEY_LOGIT_SCALE) add_factor(m, "logit_scale", d->logit_scale);
    if (keys & GGUF_KEY_LOGIT_DIVIDE) add_factor(m, "logit_scale", d->logit_scale != 0 ? 1 / d->logit_scale : 0);
    if (keys & GGUF_KEY_MULTIPLIERS) {
        add_factor(m, "embedding_scale", d->embed_scale);
        add_factor(m, "residual_scale", d->residual_scale);
        if (d->attn_scale != 0) add_f32(m, "attention.scale", d->attn_scale);
    }
    if ((keys & GGUF_KEY_CLAMP) && d->qkv_clip != 0) add_f32(m, "attention.clamp_kqv", d->qkv_clip);
    if (keys & GGUF_KEY_PARALLEL) gguf_meta_bool(m->meta, key_of(m, "use_parallel_residual", key), d->parallel);
    if (keys & GGUF_KEY_EXPERTS) add_experts(m, d);
    if (keys & GGUF_KEY_LATENT) add_latent(m, d);
}

// Transformers' names. Engines do not read this for the architectures that have it here: they compute one form.
static void add_gelu(const ArchMeta *m, const ModelDesc *d, const GgufArch *arch) {
    if (!(arch->keys & GGUF_KEY_GELU) || d->activation == arch->activation) return;
    if (d->activation == ACT_GELU) add_text(m, "hidden_activation", "gelu");
    if (d->activation == ACT_GELU_TANH) add_text(m, "hidden_activation", "gelu_pytorch_tanh");
}

void gguf_add_description(GgufMeta *meta, const ModelDesc *d, const GgufArch *arch) {
    ArchMeta m = {meta, arch->name};
    add_sizes(&m, d);
    add_window(&m, d, arch);
    add_some(&m, d, arch->keys);
    add_gelu(&m, d, arch);
    if (d->positions != POSITIONS_ROTARY) return;
    add_u32(&m, "rope.dimension_count", desc_rope_dims(d));
    add_f32(&m, "rope.freq_base", d->rope.theta);
    if (arch->keys & GGUF_KEY_LOCAL_ROPE) add_f32(&m, "rope.freq_base_swa", d->rope_local.theta);
    add_rope_scaling(&m, &d->rope, arch);
}

// Short wavelengths are kept, long ones slowed by `factor`, those between blended.
static double llama3_factor(const Rope *r, double wavelength) {
    double context = (double)r->original_context;
    if (wavelength < context / r->high_freq_factor) return 1;
    if (wavelength > context / r->low_freq_factor) return r->factor;
    double blend = (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return 1 / ((1 - blend) / r->factor + blend);
}

// The dimension whose wavelength fits `turns` times into the original context.
static double yarn_dimension(const Rope *r, double turns, double dim) {
    return dim * log((double)r->original_context / (turns * 2 * M_PI)) / (2 * log(r->theta));
}

static double yarn_factor(const Rope *r, double i, double dim) {
    double low = yarn_dimension(r, r->beta_fast, dim), high = yarn_dimension(r, r->beta_slow, dim);
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, dim - 1);
    if (low == high) high += 0.001; // as transformers does, against a division by zero
    double slowed = fmin(fmax((i - low) / (high - low), 0), 1);
    return 1 / (slowed / r->factor + 1 - slowed);
}

void gguf_rope_factors(const ModelDesc *d, float *factors) {
    const Rope *r = &d->rope;
    int64_t dims = desc_rope_dims(d);
    double dim = (double)dims;
    for (int64_t i = 0; i < dims / 2; i++) {
        double wavelength = 2 * M_PI * pow(r->theta, (double)(2 * i) / dim);
        factors[i] = (float)(r->scaling == ROPE_LLAMA3 ? llama3_factor(r, wavelength) : yarn_factor(r, (double)i, dim));
    }
}
