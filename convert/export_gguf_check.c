// What engines will make of an export, against what the model is: the metadata is read back as any GGUF's.
#include "convert/export_gguf_parts.h"

#include "core/mem.h"
#include <math.h>
#include <string.h>

// The metadata as a file without tensors.
static uint8_t *as_file(const GgufMeta *meta, size_t *size, Error *err) {
    enum { HEAD = 24 };
    uint8_t *bytes = mem_alloc(HEAD + meta->size, 1, err);
    if (!bytes) return NULL;
    memcpy(bytes, "GGUF\3\0\0\0", 8); // no tensors
    for (int i = 0; i < 8; i++) bytes[16 + i] = (uint8_t)(meta->count >> (8 * i));
    memcpy(bytes + HEAD, meta->data, meta->size);
    *size = HEAD + meta->size;
    return bytes;
}

static bool add_tensors(Model *model, const Tensor *tensors, size_t count, Error *err) {
    for (size_t i = 0; i < count; i++) {
        Tensor t = {.type = tensors[i].type, .dims = tensors[i].dims};
        memcpy(t.shape, tensors[i].shape, sizeof t.shape);
        if (!(t.name = mem_text(tensors[i].name, strlen(tensors[i].name), err))) return false;
        if (!model_add_tensor(model, &t, err)) {
            mem_free(t.name);
            return false;
        }
    }
    return true;
}

static bool any_windowed(const ModelDesc *d) {
    for (int64_t i = 0; i < d->layers; i++)
        if (desc_layer_is(d, i, LAYER_WINDOWED)) return true;
    return false;
}

static void drop_windows(ModelDesc *d) {
    for (int64_t i = 0; i < d->layers; i++) d->layer_kinds[i] &= (uint8_t)~LAYER_WINDOWED;
}

// The same attention, whatever it follows from.
static void settle_yarn(Rope *r) {
    if (r->scaling != ROPE_YARN) return;
    r->attention_factor = gguf_yarn_attention(r);
    r->mscale = r->mscale_all_dim = 0;
}

// 1 is the same as none.
static void settle_factors(ModelDesc *d) {
    double *const factors[] = {&d->embed_scale, &d->residual_scale, &d->logit_scale, &d->experts.scale};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (*factors[i] == 1) *factors[i] = 0;
    if (d->v_head_dim == d->head_dim) d->v_head_dim = 0;
    if (d->latent.norm_eps == d->norm_eps) d->latent.norm_eps = 0;
}

// What GGUF says in another way, or not at all, without changing the network.
static void make_alike(ModelDesc *wanted, ModelDesc *found, const GgufArch *arch) {
    memcpy(found->family, wanted->family, sizeof found->family);
    found->bos = wanted->bos;
    found->eos = wanted->eos;
    wanted->norm_plus_one = false;
    settle_factors(wanted);
    wanted->latent.split = found->latent.split;
    if (wanted->window >= wanted->context) { // which then is none
        drop_windows(wanted);
        drop_windows(found);
    }
    if (!any_windowed(wanted)) wanted->window = found->window;
    if (wanted->positions != POSITIONS_ROTARY) return;
    wanted->rope.interleaved = wanted->rope_local.interleaved = arch->neighbours;
    if (gguf_has_rope_factors(wanted, arch)) {
        double theta = wanted->rope.theta;
        int64_t dims = wanted->rope.dims;
        double attention = wanted->rope.scaling == ROPE_YARN ? gguf_yarn_attention(&wanted->rope) : 1;
        wanted->rope = (Rope){.theta = theta, .dims = dims, .interleaved = arch->neighbours, .scaling = ROPE_FACTORS};
        wanted->rope.attention_factor = attention != 1 ? attention : 0;
        found->rope.scaling = ROPE_FACTORS;
    }
    if (wanted->rope.scaling == ROPE_DYNAMIC) wanted->rope.scaling = ROPE_PLAIN; // up to the context it is none
    settle_yarn(&wanted->rope);
    settle_yarn(&found->rope);
    if (wanted->rope.scaling == ROPE_LONGROPE && wanted->rope.attention_factor == 0) wanted->rope.attention_factor = 1;
}

static bool is_number_alike(const cJSON *a, const cJSON *b) {
    double most = fmax(fabs(a->valuedouble), fabs(b->valuedouble));
    return fabs(a->valuedouble - b->valuedouble) <= 1e-6 * most; // GGUF's numbers are f32
}

static bool is_alike(const cJSON *a, const cJSON *b) {
    if (!a || !b) return a == b;
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) return is_number_alike(a, b);
    if (cJSON_IsObject(a) && cJSON_IsObject(b)) {
        for (const cJSON *m = a->child; m; m = m->next)
            if (!is_alike(m, json_member(b, m->string))) return false;
        return cJSON_GetArraySize(a) == cJSON_GetArraySize(b);
    }
    return cJSON_Compare(a, b, true);
}

static bool differs(const cJSON *wanted, const cJSON *found, const char *key, const GgufArch *arch, Error *err) {
    const cJSON *w = json_member(wanted, key), *f = json_member(found, key);
    if (!f && (strcmp(key, "windowed_layers") == 0 || strcmp(key, "window") == 0))
        return error_set(err,
                         "GGUF's %s has no layers that see a window (sliding_window) only: give --context N, at most "
                         "the window, or export to a Hugging Face directory",
                         arch->name);
    char *is = w ? cJSON_PrintUnformatted(w) : NULL, *taken = f ? cJSON_PrintUnformatted(f) : NULL;
    error_set(err,
              "GGUF's %s cannot say what this model is: its %s is %.120s, engines take it to be %.120s; export to a "
              "Hugging Face directory instead",
              arch->name, key, is ? is : "not there", taken ? taken : "not there");
    cJSON_free(is);
    cJSON_free(taken);
    return false;
}

static bool compare(const cJSON *wanted, const cJSON *found, const GgufArch *arch, Error *err) {
    for (const cJSON *m = wanted->child; m; m = m->next)
        if (!is_alike(m, json_member(found, m->string))) return differs(wanted, found, m->string, arch, err);
    for (const cJSON *m = found->child; m; m = m->next)
        if (!json_member(wanted, m->string)) return differs(wanted, found, m->string, arch, err);
    return true;
}

static bool compare_descriptions(ModelDesc *wanted, ModelDesc *found, const GgufArch *arch, Error *err) {
    make_alike(wanted, found, arch);
    cJSON *w = model_desc_write(wanted), *f = model_desc_write(found);
    bool ok = w && f ? compare(w, f, arch, err) : error_set(err, "out of memory");
    cJSON_Delete(w);
    cJSON_Delete(f);
    return ok;
}

bool gguf_check(const GgufMeta *meta, const Tensor *tensors, size_t count, const GgufArch *arch, const ModelDesc *desc,
                Error *err) {
    size_t size;
    Gguf g = {0};
    if (meta->failed) return error_set(err, "out of memory");
    uint8_t *bytes = as_file(meta, &size, err);
    Model *shadow = bytes ? model_new("", err) : NULL;
    ModelDesc *wanted = shadow ? mem_alloc(1, sizeof *wanted, err) : NULL;
    bool ok = wanted && add_tensors(shadow, tensors, count, err) && gguf_read(bytes, size, NULL, &g, err);
    if (ok) {
        *wanted = *desc;
        ok = gguf_describe(&g, arch, shadow, err) && compare_descriptions(wanted, &shadow->desc, arch, err);
        gguf_free(&g);
    }
    mem_free(wanted);
    model_free(shadow);
    mem_free(bytes);
    return ok;
}
