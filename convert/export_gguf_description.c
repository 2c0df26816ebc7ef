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

// What yarn multiplies cos and sin by.
static double yarn_attention(const Rope *r) {
    if (r->attention_factor > 0) return r->attention_factor;
    if (r->mscale != 0 && r->mscale_all_dim != 0)
        return yarn_mscale(r->factor, r->mscale) / yarn_mscale(r->factor, r->mscale_all_dim);
    return yarn_mscale(r->factor, 1);
}

// Whether engines' own yarn is this one: they round its range, and take 32 and 1 for beta_fast and beta_slow whatever
// keys a file has.
static bool is_plain_yarn(const Rope *r) { return r->truncate && r->beta_fast == 32 && r->beta_slow == 1; }

bool gguf_has_rope_factors(const ModelDesc *d) {
    return d->rope.scaling == ROPE_LLAMA3 || (d->rope.scaling == ROPE_YARN && !is_plain_yarn(&d->rope));
}

// Up to the context that the file states, dynamic scaling is none at all.
static void add_rope_scaling(const ArchMeta *m, const Rope *r) {
    double attention = r->scaling == ROPE_YARN ? yarn_attention(r) : 1;
    if (r->scaling == ROPE_LINEAR) {
        add_text(m, "rope.scaling.type", "linear");
        add_f32(m, "rope.scaling.factor", r->factor);
    } else if (r->scaling == ROPE_YARN && is_plain_yarn(r)) {
        add_text(m, "rope.scaling.type", "yarn");
        add_f32(m, "rope.scaling.factor", r->factor);
        add_u32(m, "rope.scaling.original_context_length", r->original_context);
        attention /= yarn_mscale(r->factor, 1); // engines multiply by this themselves
    }
    if (attention != 1) add_f32(m, "rope.scaling.attn_factor", attention);
}

bool gguf_add_description(GgufMeta *meta, const ModelDesc *d, const char *arch, Error *err) {
    if (d->activation != ACT_SILU)
        return error_set(err,
                         "GGUF's %s is run with silu, this model has %s; export to a Hugging Face directory instead",
                         arch, activation_name(d->activation));
    ArchMeta m = {meta, arch};
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"vocab_size", d->vocab},
                 {"context_length", d->context},
                 {"embedding_length", d->dim},
                 {"block_count", d->layers},
                 {"feed_forward_length", d->ffn_dim},
                 {"attention.head_count", d->heads},
                 {"attention.head_count_kv", d->kv_heads},
                 {"attention.key_length", d->head_dim},
                 {"attention.value_length", d->head_dim},
                 {"rope.dimension_count", d->head_dim}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) add_u32(&m, sizes[i].key, sizes[i].value);
    add_f32(&m, "attention.layer_norm_rms_epsilon", d->norm_eps);
    add_f32(&m, "rope.freq_base", d->rope.theta);
    add_rope_scaling(&m, &d->rope);
    return true;
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
    double dim = (double)d->head_dim;
    for (int64_t i = 0; i < d->head_dim / 2; i++) {
        double wavelength = 2 * M_PI * pow(r->theta, (double)(2 * i) / dim);
        factors[i] = (float)(r->scaling == ROPE_LLAMA3 ? llama3_factor(r, wavelength) : yarn_factor(r, (double)i, dim));
    }
}
