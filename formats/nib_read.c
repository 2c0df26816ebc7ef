#include "formats/nib.h"

#include "core/mem.h"
#include "core/size.h"
#include "formats/nib_format.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { VERIFY_PIECE = 8 << 20 };

bool nib_is(const char *path) {
    uint8_t start[NIB_MAGIC_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(start, 1, sizeof start, f);
    fclose(f);
    return n == sizeof start && memcmp(start, nib_magic, sizeof start) == 0;
}

// ---- sections: header, tensors, files, index, each at the next multiple of NIB_ALIGN after the one before, zeros
// between

typedef struct Walk {
    const FileMap *map;
    uint64_t end;   // of the section before
    uint64_t limit; // where the index starts
} Walk;

// The next section must be [offset, offset + bytes).
static bool walk_to(Walk *w, const char *what, const char *name, uint64_t offset, uint64_t bytes, Error *err) {
    uint64_t at = size_align(w->end, NIB_ALIGN);
    if (offset % NIB_ALIGN)
        return error_set(err, "%s %s: its offset %llu is misaligned: no multiple of %d", what, name,
                         (unsigned long long)offset, NIB_ALIGN);
    if (offset > w->limit || bytes > w->limit - offset)
        return error_set(err, "%s %s: its bytes lie outside the file's data", what, name);
    if (offset != at)
        return error_set(err, "%s %s: starts at %llu, but %llu is where the section before ends: they %s", what, name,
                         (unsigned long long)offset, (unsigned long long)at, offset < at ? "overlap" : "leave a hole");
    for (uint64_t i = w->end; i < at; i++)
        if (w->map->data[i])
            return error_set(err, "the padding before %s %s is not zero: the file is damaged", what, name);
    w->end = offset + bytes;
    return true;
}

// ---- JSON members

static bool get_count(const cJSON *object, const char *key, uint64_t *value, Error *err) {
    const cJSON *m = json_member(object, key);
    if (!cJSON_IsNumber(m) || !(m->valuedouble >= 0 && m->valuedouble <= 0x1p53) ||
        m->valuedouble != floor(m->valuedouble))
        return error_set(err, "\"%s\" is missing or no whole number", key);
    *value = (uint64_t)m->valuedouble;
    return true;
}

static const char *get_name(const cJSON *object, const char *key, Error *err) {
    const char *name = json_text(object, key);
    if (name && *name && strlen(name) <= NIB_NAME_MAX) return name;
    error_set(err, "\"%s\" is missing, empty or longer than %d bytes", key, NIB_NAME_MAX);
    return NULL;
}

static bool get_hash(const cJSON *object, Hash *hash, Error *err) {
    const char *text = json_text(object, "xxh3");
    return (text && hash_parse(text, hash)) || error_set(err, "\"xxh3\" is missing or not 32 hexadecimal digits");
}

// Inflates exactly `bytes` into exactly `raw_bytes`, with a NUL after them.
static char *inflate_exact(const uint8_t *data, uint64_t bytes, uint64_t raw_bytes, uint64_t limit, Error *err) {
    if (raw_bytes > limit || raw_bytes / NIB_RATIO_MAX > bytes) {
        error_set(err, "claims %llu bytes from %llu compressed ones: more than can be", (unsigned long long)raw_bytes,
                  (unsigned long long)bytes);
        return NULL;
    }
    char *raw = mem_alloc(raw_bytes + 1, 1, err);
    if (!raw) return NULL;
    uLongf got = (uLongf)raw_bytes;
    uLong used = (uLong)bytes;
    // One byte more than is claimed may be written, so that more than is claimed shows.
    got++;
    if (uncompress2((Bytef *)raw, &got, data, &used) == Z_OK && got == raw_bytes && used == bytes) {
        raw[raw_bytes] = 0;
        return raw;
    }
    error_set(err, "its compressed bytes are damaged");
    mem_free(raw);
    return NULL;
}

// ---- the index

static bool read_shape(const cJSON *entry, Tensor *t, Error *err) {
    const cJSON *shape = json_member(entry, "shape"), *v;
    if (!cJSON_IsArray(shape)) return error_set(err, "\"shape\" is missing or not a list");
    cJSON_ArrayForEach(v, shape) {
        if (t->dims == TENSOR_DIMS) return error_set(err, "has more than %d dimensions", TENSOR_DIMS);
        if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= 0x1p53) ||
            v->valuedouble != floor(v->valuedouble))
            return error_set(err, "\"shape\" holds something else than numbers above 0");
        t->shape[t->dims++] = (int64_t)v->valuedouble;
    }
    return true;
}

static bool read_tensor(Model *model, const cJSON *entry, Walk *w, Error *err) {
    char text[96];
    Tensor t = {.file = w->map, .has_hash = true};
    uint64_t offset, bytes;
    const char *name = get_name(entry, "name", err);
    if (!name) return error_prefix(err, "a tensor");
    const char *source = json_text(entry, "source"), *type = json_text(entry, "type");
    if (!source || !*source) source = name;
    if (!type || !dtype_from_name(type, &t.type))
        return error_set(err, "tensor %s: its type \"%.40s\" is not known to this version of nibble", source,
                         type ? type : "");
    if (!read_shape(entry, &t, err) || !get_count(entry, "offset", &offset, err) ||
        !get_count(entry, "bytes", &bytes, err) || !get_hash(entry, &t.hash, err))
        return error_prefix(err, "tensor %s", source);
    t.name = t.source = (char *)(uintptr_t)source; // for messages, until they are copied
    if (!tensor_size(&t, err)) return false;
    if (t.bytes != bytes)
        return error_set(err, "tensor %s: %s %s takes %zu bytes, but the index says %llu", source, type,
                         tensor_shape_text(&t, text), t.bytes, (unsigned long long)bytes);
    if (!walk_to(w, "tensor", source, offset, bytes, err)) return false;
    t.data = w->map->data + offset;
    t.name = mem_text(name, strlen(name), err);
    t.source = t.name ? mem_text(source, strlen(source), err) : NULL;
    if (t.source && model_add_tensor(model, &t, err)) return true;
    mem_free(t.name);
    mem_free(t.source);
    return false;
}

static bool read_file(Model *model, const cJSON *entry, Walk *w, Error *err) {
    uint64_t offset, stored, bytes;
    Hash hash;
    const char *name = get_name(entry, "name", err);
    if (!name) return error_prefix(err, "an embedded file");
    if (strchr(name, '/') || *name == '.') return error_set(err, "embedded file %s: is no plain file name", name);
    uint64_t left = NIB_FILE_MAX;
    for (size_t i = 0; i < model->file_count; i++) left -= model->files[i].size;
    if (model->file_count == NIB_FILES_MAX) return error_set(err, "has more than %d embedded files", NIB_FILES_MAX);
    if (!get_count(entry, "offset", &offset, err) || !get_count(entry, "stored", &stored, err) ||
        !get_count(entry, "bytes", &bytes, err) || !get_hash(entry, &hash, err))
        return error_prefix(err, "embedded file %s", name);
    if (!walk_to(w, "embedded file", name, offset, stored, err)) return false;
    const uint8_t *data = w->map->data + offset;
    if (!hash_equal(hash_bytes(data, stored), hash))
        return error_set(err, "embedded file %s: its bytes do not match their XXH3 hash: the file is damaged", name);
    char *raw = inflate_exact(data, stored, bytes, left, err);
    if (!raw) return error_prefix(err, "embedded file %s", name);
    bool ok = model_add_file(model, name, raw, bytes, err);
    mem_free(raw);
    if (!ok) return false;
    ModelFile *file = &model->files[model->file_count - 1];
    file->packed = data;
    file->packed_bytes = stored;
    return true;
}

static bool read_list(Model *model, const cJSON *index, const char *key, Walk *w,
                      bool (*read)(Model *, const cJSON *, Walk *, Error *), Error *err) {
    const cJSON *list = json_member(index, key), *entry;
    if (!cJSON_IsArray(list)) return error_set(err, "the index: \"%s\" is missing or not a list", key);
    cJSON_ArrayForEach(entry, list) if (!read(model, entry, w, err)) return false;
    return true;
}

// Takes a list of objects out of the index, to be kept.
static bool take_list(cJSON *index, const char *key, cJSON **out, Error *err) {
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(index, key), *entry;
    cJSON_Delete(*out);
    *out = list;
    if (!cJSON_IsArray(list)) return error_set(err, "the index: \"%s\" is missing or not a list", key);
    cJSON_ArrayForEach(entry, list) if (!cJSON_IsObject(entry)) {
        return error_set(err, "the index: \"%s\" holds something else than objects", key);
    }
    return true;
}

static bool read_index(Model *model, cJSON *index, const NibHeader *h, Error *err) {
    const char *format = json_text(index, "format");
    if (!format || strcmp(format, "nib") != 0) return error_set(err, "the index: \"format\" is not \"nib\"");
    if (!model_desc_read(json_member(index, "model"), &model->desc, err)) return error_prefix(err, "the index");
    Walk w = {.map = model->maps[0], .end = NIB_HEADER_BYTES, .limit = h->index_offset};
    return read_list(model, index, "tensors", &w, read_tensor, err) &&
           read_list(model, index, "files", &w, read_file, err) &&
           walk_to(&w, "the", "index", h->index_offset, 0, err) && take_list(index, "recipe", &model->recipe, err) &&
           take_list(index, "sources", &model->sources, err);
}

// ---- the header

static bool check_header(const FileMap *map, NibHeader *h, Error *err) {
    if (map->size < NIB_HEADER_BYTES)
        return error_set(err, "is too short (%zu bytes) to be a .nib file: is it cut short?", map->size);
    switch (nib_header_read(map->data, h)) {
    case NIB_HEADER_FOREIGN: return error_set(err, "is not a .nib file");
    case NIB_HEADER_DAMAGED: return error_set(err, "its header is damaged; make or fetch the file again");
    case NIB_HEADER_GOOD: break;
    }
    if (h->version < 1 || h->version > NIB_VERSION || h->flags)
        return error_set(err, "is of .nib version %u with flags %#x; this nibble reads versions 1 to %d: update it",
                         h->version, h->flags, NIB_VERSION);
    if (h->file_bytes != map->size)
        return error_set(err, "should have %llu bytes but has %zu: is it cut short?", (unsigned long long)h->file_bytes,
                         map->size);
    if (h->index_offset % NIB_ALIGN || h->index_offset < NIB_HEADER_BYTES || h->index_offset > map->size ||
        h->index_bytes != map->size - h->index_offset)
        return error_set(err, "its header places the index outside the file");
    if (!hash_equal(hash_bytes(map->data + h->index_offset, h->index_bytes), h->index_hash))
        return error_set(err, "its index is damaged; make or fetch the file again");
    return true;
}

static bool load(Model *model, Error *err) {
    FileMap *map = file_map(model->path, err);
    if (!map) return false;
    if (!model_add_map(model, map, err)) {
        file_unmap(map);
        return false;
    }
    NibHeader h;
    if (!check_header(map, &h, err)) return error_prefix(err, "%s", model->path);
    model->file_bytes = map->size;
    model->identity = h.index_hash;
    model->has_identity = true;
    char *text = inflate_exact(map->data + h.index_offset, h.index_bytes, h.index_raw_bytes, NIB_INDEX_MAX, err);
    cJSON *index = NULL;
    if (text && json_bounded(text, h.index_raw_bytes, NIB_INDEX_VALUES, err))
        index = json_parse(text, h.index_raw_bytes, err);
    mem_free(text);
    if (!index) return error_prefix(err, "%s: the index", model->path);
    bool ok = read_index(model, index, &h, err);
    cJSON_Delete(index);
    if (!ok) return error_prefix(err, "%s", model->path);
    return model_check(model, err);
}

Model *nib_open(const char *path, Error *err) {
    Model *model = model_new(path, err);
    if (!model || load(model, err)) return model;
    model_free(model);
    return NULL;
}

// As tensor_verify, in pieces whose pages are given back.
static bool verify_tensor(const Tensor *t, Error *err) {
    HashStream *s = hash_stream_new();
    if (!s) return error_set(err, "out of memory");
    for (size_t at = 0; at < t->bytes; at += VERIFY_PIECE) {
        size_t n = t->bytes - at < VERIFY_PIECE ? t->bytes - at : VERIFY_PIECE;
        hash_stream_add(s, t->data + at, n);
        file_release(t->file, t->data + at, n);
    }
    return tensor_verify_hash(t, hash_stream_end(s), err);
}

bool nib_verify(const char *path, Error *err) {
    Model *model = nib_open(path, err);
    bool ok = model != NULL;
    for (size_t i = 0; ok && i < model->tensor_count; i++) ok = verify_tensor(&model->tensors[i], err);
    model_free(model);
    return ok;
}
