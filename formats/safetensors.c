#include "formats/safetensors.h"

#include "core/json.h"
#include "core/mem.h"
#include "core/size.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 8,
    HEADER_MAX = 100 * 1000 * 1000, // the format's own limit
    VALUES_MAX = 1000 * 1000, // JSON values in a header: some 100,000 tensors; bounds the memory that parsing takes
};

static uint64_t read_u64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

// A number that is whole, not negative and exact in a double.
static bool whole(const cJSON *v, int64_t *out) {
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 0x1p53) ||
        v->valuedouble != floor(v->valuedouble))
        return false;
    *out = (int64_t)v->valuedouble;
    return true;
}

static bool read_shape(const cJSON *shape, Tensor *t, Error *err) {
    if (!cJSON_IsArray(shape)) return error_set(err, "tensor %s: \"shape\" is missing or not a list", t->source);
    const cJSON *v;
    cJSON_ArrayForEach(v, shape) {
        if (t->dims == TENSOR_DIMS)
            return error_set(err, "tensor %s: has more than %d dimensions", t->source, TENSOR_DIMS);
        if (!whole(v, &t->shape[t->dims++]))
            return error_set(err, "tensor %s: \"shape\" holds something else than whole numbers", t->source);
    }
    return true;
}

static bool read_type(const cJSON *entry, Tensor *t, Error *err) {
    const char *name = json_text(entry, "dtype");
    if (!name) return error_set(err, "tensor %s: \"dtype\" is missing or not text", t->source);
    if (dtype_from_safetensors(name, &t->type)) return true;
    return error_set(
        err,
        "tensor %s: its dtype \"%.40s\" is not supported; those supported are F32, F16, BF16, F64, I8, I16, "
        "I32, I64, U8, BOOL, F8_E4M3, F8_E5M2, F8_E8M0",
        t->source, name);
}

// One member of the header: everything about the tensor but its place among the others.
static bool read_entry(const cJSON *entry, const FileMap *map, size_t data_start, Tensor *t, Error *err) {
    if (!cJSON_IsObject(entry)) return error_set(err, "tensor %s: its entry is not an object", t->source);
    if (cJSON_GetArraySize(entry) != 3 || !json_member(entry, "dtype") || !json_member(entry, "shape") ||
        !json_member(entry, "data_offsets"))
        return error_set(err, "tensor %s: its entry must have dtype, shape and data_offsets, once each", t->source);
    if (!read_type(entry, t, err) || !read_shape(json_member(entry, "shape"), t, err)) return false;

    char text[96];
    const cJSON *offsets = json_member(entry, "data_offsets");
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole(offsets->child, &begin) ||
        !whole(offsets->child->next, &end) || begin > end)
        return error_set(err, "tensor %s: \"data_offsets\" must be two whole numbers in order", t->source);
    size_t data_bytes = map->size - data_start;
    if ((uint64_t)end > data_bytes)
        return error_set(
            err, "tensor %s: its bytes %lld to %lld lie outside the file's %zu bytes of data: is the file cut short?",
            t->source, (long long)begin, (long long)end, data_bytes);
    if (!tensor_size(t, err)) return false;
    if (t->bytes != (uint64_t)(end - begin))
        return error_set(err, "tensor %s: %s %s takes %zu bytes, but its offsets span %lld", t->source,
                         dtype_info(t->type)->safetensors, tensor_shape_text(t, text), t->bytes,
                         (long long)(end - begin));
    t->data = map->data + data_start + begin;
    t->file = map;
    return true;
}

static bool check_metadata(const cJSON *metadata, Error *err) {
    if (!cJSON_IsObject(metadata)) return error_set(err, "\"__metadata__\" is not an object");
    const cJSON *m;
    cJSON_ArrayForEach(m, metadata) if (!cJSON_IsString(m)) {
        return error_set(err, "\"__metadata__\": \"%.100s\" is not text", m->string);
    }
    return true;
}

static int by_place(const void *a, const void *b) {
    const Tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; // an empty one comes before its neighbour
    return strcmp(x->source, y->source);
}

static bool check_cover(const TensorFile *st, size_t data_start, Error *err) {
    const uint8_t *at = st->map->data + data_start, *end = st->map->data + st->map->size;
    for (size_t i = 0; i < st->count; i++) {
        const Tensor *t = &st->tensors[i];
        if (t->data < at)
            return error_set(err, "tensor %s: its bytes overlap those of %s", t->source, st->tensors[i - 1].source);
        if (t->data > at)
            return error_set(err, "tensor %s: %td bytes before it belong to no tensor", t->source, t->data - at);
        at = t->data + t->bytes;
    }
    return at == end || error_set(err, "the last %td bytes belong to no tensor", end - at);
}

static bool read_header(TensorFile *st, Error *err) {
    const FileMap *map = st->map;
    if (map->size < LENGTH_BYTES) return error_set(err, "is too short (%zu bytes) to be a safetensors file", map->size);
    uint64_t length = read_u64(map->data);
    if (length > HEADER_MAX)
        return error_set(err, "its header claims %llu bytes, above the format's limit of %d: not a safetensors file?",
                         (unsigned long long)length, HEADER_MAX);
    if (length > map->size - LENGTH_BYTES)
        return error_set(err, "its header claims %llu bytes, but the file has %zu: is the file cut short?",
                         (unsigned long long)length, map->size);
    const char *text = (const char *)map->data + LENGTH_BYTES;
    if (!json_bounded(text, length, VALUES_MAX, err)) return false;
    size_t data_start = LENGTH_BYTES + (size_t)length;

    cJSON *header = json_parse(text, length, err);
    JsonIndex *index = NULL;
    bool ok = header != NULL;
    if (ok && !cJSON_IsObject(header)) ok = error_set(err, "its header is not a JSON object");
    if (ok) ok = (index = json_index_new(header, err)) != NULL; // for the duplicates that it finds
    if (ok) ok = (st->tensors = mem_alloc((size_t)cJSON_GetArraySize(header), sizeof *st->tensors, err)) != NULL;
    for (const cJSON *m = ok ? header->child : NULL; ok && m; m = m->next) {
        if (strcmp(m->string, "__metadata__") == 0) {
            ok = check_metadata(m, err);
            continue;
        }
        Tensor *t = &st->tensors[st->count];
        t->source = mem_text(m->string, strlen(m->string), err);
        if (!t->source)
            ok = false;
        else
            st->count++;
        ok = ok && read_entry(m, map, data_start, t, err);
    }
    if (ok) {
        qsort(st->tensors, st->count, sizeof *st->tensors, by_place);
        ok = check_cover(st, data_start, err) && tensor_file_index(st, err);
    }
    mem_free(index);
    cJSON_Delete(header);
    return ok;
}

TensorFile *safetensors_open(const char *path, Error *err) {
    TensorFile *st = mem_alloc(1, sizeof *st, err);
    if (!st) return NULL;
    st->map = file_map(path, err);
    if (st->map && !read_header(st, err))
        error_prefix(err, "%s", path);
    else if (st->map)
        return st;
    tensor_file_close(st);
    return NULL;
}
