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

// What engines multiply their own 0.1 ln(factor) + 1 by: 1 unless the config says otherwise.
static double yarn_attention(const Rope *r) {
    double own = yarn_mscale(r->factor, 1);
    if (r->attention_factor > 0) return r->attention_factor / own;
    if (r->mscale != 0 && r->mscale_all_dim != 0)
        return yarn_mscale(r->factor, r->mscale) / yarn_mscale(r->factor, r->mscale_all_dim) / own;
    return 1;
}

static bool add_rope_scaling(const ArchMeta *m, const Rope *r, Error *err) {
    switch (r->scaling) {
    case ROPE_LINEAR:
        add_text(m, "rope.scaling.type", "linear");
        add_f32(m, "rope.scaling.factor", r->factor);
        return true;
    case ROPE_YARN:
        if (!r->truncate)
            return error_set(err, "GGUF cannot say that yarn's range is not rounded (\"truncate\": false in "
                                  "config.json); export to a Hugging Face directory instead");
        add_text(m, "rope.scaling.type", "yarn");
        add_f32(m, "rope.scaling.factor", r->factor);
        add_u32(m, "rope.scaling.original_context_length", r->original_context);
        add_f32(m, "rope.scaling.yarn_beta_fast", r->beta_fast);
        add_f32(m, "rope.scaling.yarn_beta_slow", r->beta_slow);
        if (yarn_attention(r) != 1) add_f32(m, "rope.scaling.attn_factor", yarn_attention(r));
        return true;
    // Up to the context that the file states, dynamic scaling is none at all; llama3's is a tensor.
    default: return true;
    }
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
    return add_rope_scaling(&m, &d->rope, err);
}

// As transformers' modeling_rope_utils.py defines it; short wavelengths are kept, long ones slowed by `factor`, those
// between blended.
void gguf_rope_factors(const ModelDesc *d, float *factors) {
    const Rope *r = &d->rope;
    double context = (double)r->original_context;
    double longest = context / r->low_freq_factor, shortest = context / r->high_freq_factor;
    for (int64_t i = 0; i < d->head_dim / 2; i++) {
        double wavelength = 2 * M_PI * pow(r->theta, (double)(2 * i) / (double)d->head_dim);
        double blend = (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        factors[i] = wavelength < shortest  ? 1
                     : wavelength > longest ? (float)r->factor
                                            : (float)(1 / ((1 - blend) / r->factor + blend));
    }
}
