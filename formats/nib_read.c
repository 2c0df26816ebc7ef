#include "formats/nib.h"

#include "core/mem.h"
#include "core/size.h"
#include "formats/nib_format.h"
#include <math.h>
#include <string.h>

enum { VERIFY_PIECE = 8 << 20 };

bool nib_is(const char *path) { return container_is(&nib_kind, path); }

// ---- JSON members

static const char *get_name(const cJSON *object, const char *key, Error *err) {
    const char *name = json_text(object, key);
    if (name && *name && strlen(name) <= NIB_NAME_MAX) return name;
    error_set(err, "\"%s\" is missing, empty or longer than %d bytes", key, NIB_NAME_MAX);
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

static bool read_tensor(Model *model, const cJSON *entry, ContainerWalk *w, Error *err) {
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
    if (!read_shape(entry, &t, err) || !container_count(entry, "offset", &offset, err) ||
        !container_count(entry, "bytes", &bytes, err) || !container_hash(entry, &t.hash, err))
        return error_prefix(err, "tensor %s", source);
    t.name = t.source = (char *)(uintptr_t)source; // for messages, until they are copied
    if (!tensor_size(&t, err)) return false;
    if (t.bytes != bytes)
        return error_set(err, "tensor %s: %s %s takes %zu bytes, but the index says %llu", source, type,
                         tensor_shape_text(&t, text), t.bytes, (unsigned long long)bytes);
    if (!container_walk_to(w, "tensor", source, offset, bytes, err)) return false;
    t.data = w->map->data + offset;
    t.name = mem_text(name, strlen(name), err);
    t.source = t.name ? mem_text(source, strlen(source), err) : NULL;
    if (t.source && model_add_tensor(model, &t, err)) return true;
    mem_free(t.name);
    mem_free(t.source);
    return false;
}

static bool read_file(Model *model, const cJSON *entry, ContainerWalk *w, Error *err) {
    uint64_t offset, stored, bytes;
    Hash hash;
    const char *name = get_name(entry, "name", err);
    if (!name) return error_prefix(err, "an embedded file");
    if (strchr(name, '/') || *name == '.') return error_set(err, "embedded file %s: is no plain file name", name);
    uint64_t left = NIB_FILE_MAX;
    for (size_t i = 0; i < model->file_count; i++) left -= model->files[i].size;
    if (model->file_count == NIB_FILES_MAX) return error_set(err, "has more than %d embedded files", NIB_FILES_MAX);
    if (!container_count(entry, "offset", &offset, err) || !container_count(entry, "stored", &stored, err) ||
        !container_count(entry, "bytes", &bytes, err) || !container_hash(entry, &hash, err))
        return error_prefix(err, "embedded file %s", name);
    if (!container_walk_to(w, "embedded file", name, offset, stored, err)) return false;
    const uint8_t *data = w->map->data + offset;
    if (!hash_equal(hash_bytes(data, stored), hash))
        return error_set(err, "embedded file %s: its bytes do not match their XXH3 hash: the file is damaged", name);
    char *raw = container_inflate(data, stored, bytes, left, err);
    if (!raw) return error_prefix(err, "embedded file %s", name);
    if (!model_take_file(model, name, raw, bytes, err)) {
        mem_free(raw);
        return false;
    }
    ModelFile *file = &model->files[model->file_count - 1];
    file->packed = data;
    file->packed_bytes = stored;
    return true;
}

static bool read_list(Model *model, const cJSON *index, const char *key, ContainerWalk *w,
                      bool (*read)(Model *, const cJSON *, ContainerWalk *, Error *), Error *err) {
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
    ContainerWalk w = {.map = model->maps[0], .end = NIB_HEADER_BYTES, .limit = h->index_offset};
    return read_list(model, index, "tensors", &w, read_tensor, err) &&
           read_list(model, index, "files", &w, read_file, err) &&
           container_walk_to(&w, "the", "index", h->index_offset, 0, err) &&
           take_list(index, "recipe", &model->recipe, err) && take_list(index, "sources", &model->sources, err);
}

static bool load(Model *model, Error *err) {
    FileMap *map = file_map(model->path, err);
    if (!map) return false;
    if (!model_add_map(model, map, err)) {
        file_unmap(map);
        return false;
    }
    NibHeader h;
    cJSON *index = container_index(&nib_kind, map, &h, err);
    if (!index) return error_prefix(err, "%s", model->path);
    model->file_bytes = map->size;
    model->identity = h.index_hash;
    model->has_identity = true;
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
