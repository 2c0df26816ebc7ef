// Values by key, and the metadata as a file of its own.
#include "formats/gguf.h"

#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[GGUF_KINDS] = {
    "an uint8", "an int8", "an uint16", "an int16",  "an uint32", "an int32",  "a float32",
    "a bool",   "a text",  "an array",  "an uint64", "an int64",  "a float64",
};

static const char *kind_text(const GgufValue *v) { return v->array ? "an array" : kind_names[v->kind]; }

static int by_key(const void *a, const void *b) {
    const char *key = a;
    const GgufText *other = &(*(const GgufValue *const *)b)->key;
    size_t size = strlen(key);
    int c = memcmp(key, other->data, size < other->size ? size : other->size);
    return c ? c : (size > other->size) - (size < other->size);
}

const GgufValue *gguf_find(const Gguf *g, const char *key) {
    if (!g->value_count) return NULL;
    const GgufValue **found = bsearch(key, g->by_key, g->value_count, sizeof *g->by_key, by_key);
    return found ? *found : NULL;
}

static uint64_t read_uint(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

bool gguf_int_at(const GgufValue *v, uint64_t i, int64_t *out) {
    const uint8_t *p = v->data;
    uint64_t u = 0;
    switch (v->kind) {
    case GGUF_U8: *out = p[i]; return true;
    case GGUF_I8: *out = (int8_t)p[i]; return true;
    case GGUF_U16: *out = (int64_t)read_uint(p + 2 * i, 2); return true;
    case GGUF_I16: *out = (int16_t)read_uint(p + 2 * i, 2); return true;
    case GGUF_U32: *out = (int64_t)read_uint(p + 4 * i, 4); return true;
    case GGUF_I32: *out = (int32_t)read_uint(p + 4 * i, 4); return true;
    case GGUF_U64:
        u = read_uint(p + 8 * i, 8);
        *out = (int64_t)u;
        return u <= INT64_MAX;
    case GGUF_I64: *out = (int64_t)read_uint(p + 8 * i, 8); return true;
    default: return false;
    }
}

double gguf_f32_at(const GgufValue *v, uint64_t i) {
    uint32_t bits = (uint32_t)read_uint(v->data + 4 * i, 4);
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static double f64_of(const GgufValue *v) {
    uint64_t bits = read_uint(v->data, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

bool gguf_int(const Gguf *g, const char *key, int64_t min, int64_t max, int64_t *value, Error *err) {
    const GgufValue *v = gguf_find(g, key);
    int64_t found = 0;
    if (!v) return true;
    if (v->array || !gguf_int_at(v, 0, &found))
        return error_set(err, "metadata \"%s\" is %s where a whole number belongs", key, kind_text(v));
    if (found < min || found > max)
        return error_set(err, "metadata \"%s\" is %lld, outside %lld to %lld", key, (long long)found, (long long)min,
                         (long long)max);
    *value = found;
    return true;
}

bool gguf_double(const Gguf *g, const char *key, double min, double max, double *value, Error *err) {
    const GgufValue *v = gguf_find(g, key);
    if (!v) return true;
    if (v->array || (v->kind != GGUF_F32 && v->kind != GGUF_F64))
        return error_set(err, "metadata \"%s\" is %s where a floating-point number belongs", key, kind_text(v));
    double found = v->kind == GGUF_F32 ? gguf_f32_at(v, 0) : f64_of(v);
    if (!(found >= min && found <= max))
        return error_set(err, "metadata \"%s\" is %g, outside %g to %g", key, found, min, max);
    *value = found;
    return true;
}

bool gguf_bool(const Gguf *g, const char *key, bool *value, Error *err) {
    const GgufValue *v = gguf_find(g, key);
    if (!v) return true;
    if (v->array || v->kind != GGUF_BOOL)
        return error_set(err, "metadata \"%s\" is %s where a bool belongs", key, kind_text(v));
    *value = v->data[0] != 0;
    return true;
}

bool gguf_text(const Gguf *g, const char *key, GgufText *value, Error *err) {
    const GgufValue *v = gguf_find(g, key);
    if (!v) return true;
    if (v->array || v->kind != GGUF_TEXT)
        return error_set(err, "metadata \"%s\" is %s where a text belongs", key, kind_text(v));
    const uint8_t *at = v->data;
    *value = gguf_text_next(&at);
    return true;
}

const GgufValue *gguf_array(const Gguf *g, const char *key, GgufKind kind, Error *err) {
    const GgufValue *v = gguf_find(g, key);
    if (!v || (v->array && v->kind == kind)) return v;
    error_set(err, "metadata \"%s\" is no array whose elements are each %s", key, kind_names[kind]);
    return NULL;
}

GgufText gguf_text_next(const uint8_t **at) {
    size_t size = (size_t)read_uint(*at, 8);
    GgufText text = {(const char *)*at + 8, size};
    *at += 8 + size;
    return text;
}

bool gguf_text_is(GgufText text, const char *other) {
    return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

static bool is_about_parts(const GgufValue *v) {
    static const char start[] = "split.";
    return v->key.size >= sizeof start - 1 && memcmp(v->key.data, start, sizeof start - 1) == 0;
}

uint8_t *gguf_metadata(const Gguf *g, size_t *size, Error *err) {
    enum { HEAD = 24, VERSION = 3 };
    size_t bytes = HEAD;
    uint64_t count = 0;
    for (size_t i = 0; i < g->value_count; i++)
        if (!is_about_parts(&g->values[i])) bytes += g->values[i].bytes; // no more than the file has
    uint8_t *data = mem_alloc(bytes, 1, err);
    if (!data) return NULL;
    uint8_t *at = data + HEAD;
    for (size_t i = 0; i < g->value_count; i++) {
        const GgufValue *v = &g->values[i];
        if (is_about_parts(v)) continue;
        memcpy(at, v->start, v->bytes);
        at += v->bytes;
        count++;
    }
    memcpy(data, "GGUF", 4);
    data[4] = VERSION; // the two versions differ in nothing but what 3 says of the order of bytes
    for (int i = 0; i < 8; i++) data[16 + i] = (uint8_t)(count >> 8 * i);
    *size = bytes;
    return data;
}
