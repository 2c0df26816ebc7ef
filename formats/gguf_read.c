#include "formats/gguf.h"

#include "core/mem.h"
#include "core/size.h"
#include "core/utf8.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 32,          // where the file says nothing
    ALIGNMENT_MAX = 1 << 20, // far above any in use
    VALUES_MAX = 1 << 16,    // pairs; models have some fifty
    TENSORS_MAX = 1 << 18,   // the largest mixtures of experts have some thousands
    KEY_MAX = 65535,         // the format's own limit
    NAME_MAX_BYTES = 255,    // the format's is 64
};

static const uint8_t element_bytes[GGUF_KINDS] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

// What is left to read.
typedef struct Cursor {
    const uint8_t *at, *end;
} Cursor;

static bool cut_short(Error *err) {
    return error_set(err, "ends inside its metadata: is it cut short, or does a length in it lie?");
}

// The next bytes; NULL with a message where there are fewer.
static const uint8_t *take(Cursor *c, uint64_t bytes, Error *err) {
    const uint8_t *at = c->at;
    if (bytes > (uint64_t)(c->end - at)) {
        cut_short(err);
        return NULL;
    }
    c->at += bytes;
    return at;
}

static bool take_u32(Cursor *c, uint32_t *out, Error *err) {
    const uint8_t *p = take(c, 4, err);
    if (!p) return false;
    *out = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return true;
}

static bool take_u64(Cursor *c, uint64_t *out, Error *err) {
    uint32_t low, high;
    if (!take_u32(c, &low, err) || !take_u32(c, &high, err)) return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

static bool take_text(Cursor *c, GgufText *text, Error *err) {
    uint64_t size;
    if (!take_u64(c, &size, err)) return false;
    const uint8_t *data = take(c, size, err);
    if (!data) return false;
    *text = (GgufText){(const char *)data, (size_t)size};
    return true;
}

// A key or a tensor's name.
static bool take_name(Cursor *c, const char *what, size_t limit, GgufText *text, Error *err) {
    if (!take_text(c, text, err)) return false;
    if (!text->size || text->size > limit)
        return error_set(err, "has a %s of %zu bytes, outside 1 to %zu", what, text->size, limit);
    if (utf8_valid_prefix(text->data, text->size) != text->size || memchr(text->data, 0, text->size))
        return error_set(err, "has a %s that is not plain UTF-8 text", what);
    return true;
}

// ---- key-value pairs

static int shown(GgufText t) { return t.size < 80 ? (int)t.size : 80; }

static bool take_elements(Cursor *c, GgufValue *v, Error *err) {
    if (v->kind == GGUF_TEXT) {
        GgufText text;
        for (uint64_t i = 0; i < v->count; i++)
            if (!take_text(c, &text, err)) return false;
        return true;
    }
    size_t bytes;
    if (v->count > SIZE_MAX || !size_mul((size_t)v->count, element_bytes[v->kind], &bytes)) return cut_short(err);
    const uint8_t *data = take(c, bytes, err);
    if (!data) return false;
    for (size_t i = 0; v->kind == GGUF_BOOL && i < bytes; i++)
        if (data[i] > 1) return error_set(err, "holds a bool that is %d", data[i]);
    return true;
}

static bool take_value(Cursor *c, GgufValue *v, Error *err) {
    uint32_t kind;
    if (!take_u32(c, &kind, err)) return false;
    v->array = kind == GGUF_ARRAY;
    v->count = 1;
    if (v->array && (!take_u32(c, &kind, err) || !take_u64(c, &v->count, err))) return false;
    if (kind == GGUF_ARRAY) return error_set(err, "is an array of arrays, which is not supported");
    if (kind >= GGUF_KINDS) return error_set(err, "has a value of the unknown type %u", kind);
    v->kind = (GgufKind)kind;
    v->data = c->at;
    return take_elements(c, v, err);
}

static int by_key(const void *a, const void *b) {
    const GgufText *x = &(*(const GgufValue *const *)a)->key, *y = &(*(const GgufValue *const *)b)->key;
    int c = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return c ? c : (x->size > y->size) - (x->size < y->size);
}

static bool read_values(Gguf *g, Cursor *c, uint64_t count, Error *err) {
    if (count > VALUES_MAX)
        return error_set(err, "claims %llu metadata keys, above the limit of %d", (unsigned long long)count,
                         VALUES_MAX);
    for (uint64_t i = 0; i < count; i++) {
        if (!mem_grow(&g->values, g->value_count, &g->value_capacity, sizeof *g->values, err)) return false;
        GgufValue *v = &g->values[g->value_count];
        v->start = c->at;
        if (!take_name(c, "metadata key", KEY_MAX, &v->key, err)) return false;
        if (!take_value(c, v, err)) return error_prefix(err, "metadata \"%.*s\"", shown(v->key), v->key.data);
        v->bytes = (size_t)(c->at - v->start);
        g->value_count++;
    }
    g->by_key = mem_alloc(g->value_count, sizeof *g->by_key, err);
    if (!g->by_key) return false;
    for (size_t i = 0; i < g->value_count; i++) g->by_key[i] = &g->values[i];
    qsort(g->by_key, g->value_count, sizeof *g->by_key, by_key);
    for (size_t i = 1; i < g->value_count; i++) {
        GgufText key = g->by_key[i]->key;
        if (by_key(&g->by_key[i - 1], &g->by_key[i]) == 0)
            return error_set(err, "metadata \"%.*s\" is there twice", shown(key), key.data);
    }
    return true;
}

// ---- tensors

static bool read_type(Tensor *t, uint32_t number, Error *err) {
    if (dtype_from_ggml(number, &t->type)) return true;
    static const struct {
        uint32_t number;
        const char *name;
    } removed[] = {{4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
                   {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}};
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        if (removed[i].number == number)
            return error_set(err, "tensor %s: its type %s was taken out of GGUF; fetch a newer file of the model",
                             t->source, removed[i].name);
    return error_set(err, "tensor %s: its type has the number %u, which is none that this nibble knows", t->source,
                     number);
}

// One tensor's description; its offset in the data goes to *offset.
static bool read_tensor(Cursor *c, Tensor *t, uint64_t *offset, Error *err) {
    uint32_t dims, type;
    uint64_t size;
    if (!take_u32(c, &dims, err)) return false;
    if (dims > TENSOR_DIMS)
        return error_set(err, "tensor %s: has %u dimensions, more than %d", t->source, dims, TENSOR_DIMS);
    t->dims = (int)dims;
    for (int i = t->dims - 1; i >= 0; i--) { // the file has the innermost first
        if (!take_u64(c, &size, err)) return false;
        if (!size || size > INT64_MAX)
            return error_set(err, "tensor %s: has a dimension of %llu", t->source, (unsigned long long)size);
        t->shape[i] = (int64_t)size;
    }
    return take_u32(c, &type, err) && take_u64(c, offset, err) && read_type(t, type, err) && tensor_size(t, err);
}

static int by_place(const void *a, const void *b) {
    const Tensor *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->source, (*(const Tensor *const *)b)->source);
}

static bool check_names(const Gguf *g, Error *err) {
    const Tensor **names = mem_alloc(g->tensor_count, sizeof *names, err);
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < g->tensor_count; i++) names[i] = &g->tensors[i];
    if (ok) qsort(names, g->tensor_count, sizeof *names, by_name);
    for (size_t i = 1; ok && i < g->tensor_count; i++)
        if (by_name(&names[i - 1], &names[i]) == 0) ok = error_set(err, "tensor %s is there twice", names[i]->source);
    mem_free(names);
    return ok;
}

// Places the tensors in the data, which starts at `base`.
static bool place_tensors(Gguf *g, const uint64_t *offsets, size_t base, size_t alignment, Error *err) {
    size_t data_bytes = base < g->size ? g->size - base : 0;
    for (size_t i = 0; i < g->tensor_count; i++) {
        Tensor *t = &g->tensors[i];
        if (offsets[i] % alignment)
            return error_set(err, "tensor %s: its offset %llu is no multiple of the alignment %zu", t->source,
                             (unsigned long long)offsets[i], alignment);
        if (offsets[i] > data_bytes || t->bytes > data_bytes - offsets[i])
            return error_set(err, "tensor %s: its bytes lie outside the file's %zu bytes of data: is it cut short?",
                             t->source, data_bytes);
        t->data = g->data + base + offsets[i];
        t->file = g->map;
    }
    if (g->tensor_count) qsort(g->tensors, g->tensor_count, sizeof *g->tensors, by_place);
    for (size_t i = 1; i < g->tensor_count; i++)
        if (g->tensors[i].data < g->tensors[i - 1].data + g->tensors[i - 1].bytes)
            return error_set(err, "tensor %s: its bytes overlap those of %s", g->tensors[i].source,
                             g->tensors[i - 1].source);
    return true;
}

static bool read_tensors(Gguf *g, Cursor *c, uint64_t count, Error *err) {
    int64_t alignment = ALIGNMENT;
    uint64_t *offsets = NULL;
    size_t offset_capacity = 0;
    bool ok = gguf_int(g, "general.alignment", 1, ALIGNMENT_MAX, &alignment, err);
    if (ok && alignment & (alignment - 1))
        ok = error_set(err, "general.alignment is %lld, no power of two", (long long)alignment);
    if (ok && count > TENSORS_MAX)
        ok = error_set(err, "claims %llu tensors, above the limit of %d", (unsigned long long)count, TENSORS_MAX);
    for (uint64_t i = 0; ok && i < count; i++) {
        GgufText name;
        ok = take_name(c, "tensor name", NAME_MAX_BYTES, &name, err) &&
             mem_grow(&g->tensors, g->tensor_count, &g->tensor_capacity, sizeof *g->tensors, err) &&
             mem_grow(&offsets, g->tensor_count, &offset_capacity, sizeof *offsets, err);
        if (!ok) break;
        Tensor *t = &g->tensors[g->tensor_count];
        *t = (Tensor){.source = mem_text(name.data, name.size, err)};
        if (t->source) g->tensor_count++;
        ok = t->source && read_tensor(c, t, &offsets[i], err);
    }
    size_t base = size_align((size_t)(c->at - g->data), (size_t)alignment);
    ok = ok && check_names(g, err) && place_tensors(g, offsets, base, (size_t)alignment, err);
    mem_free(offsets);
    return ok;
}

// ---- the whole

static const char magic[4] = {'G', 'G', 'U', 'F'};

bool gguf_is(const char *path) {
    char start[sizeof magic];
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(start, 1, sizeof start, f);
    fclose(f);
    return n == sizeof start && memcmp(start, magic, sizeof magic) == 0;
}

static bool read_all(Gguf *g, Error *err) {
    Cursor c = {g->data, g->data + g->size};
    uint64_t tensors, values;
    if (g->size < sizeof magic || memcmp(g->data, magic, sizeof magic) != 0)
        return error_set(err, "is not a GGUF file");
    if (!take(&c, sizeof magic, err) || !take_u32(&c, &g->version, err)) return false;
    if ((g->version & 0xffff) == 0 && g->version)
        return error_set(err, "is big-endian, which is not supported; fetch the little-endian file of the model");
    if (g->version != 2 && g->version != 3)
        return error_set(err, "is of GGUF version %u; those supported are 2 and 3", g->version);
    return take_u64(&c, &tensors, err) && take_u64(&c, &values, err) && read_values(g, &c, values, err) &&
           read_tensors(g, &c, tensors, err);
}

bool gguf_read(const void *data, size_t size, FileMap *map, Gguf *g, Error *err) {
    *g = (Gguf){.map = map, .data = data, .size = size};
    if (read_all(g, err)) return true;
    gguf_free(g);
    return false;
}

void gguf_free(Gguf *g) {
    for (size_t i = 0; i < g->tensor_count; i++) mem_free(g->tensors[i].source);
    mem_free(g->values);
    mem_free(g->by_key);
    mem_free(g->tensors);
    file_unmap(g->map);
    *g = (Gguf){0};
}
