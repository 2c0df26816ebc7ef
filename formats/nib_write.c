#include "formats/nib.h"

#include "core/mem.h"
#include "formats/nib_format.h"
#include "formats/nib_pack.h"
#include <stdio.h>
#include <string.h>

struct NibWriter {
    FileOut *out;
    const Model *model;
    NibPack *pack;  // the model's files, being compressed
    cJSON *tensors; // the index's list, so far
    // the tensor being written
    Tensor tensor; // its texts belong to the caller's
    uint64_t offset, came;
    HashStream *hash; // NULL between tensors
};

static bool no_memory(Error *err) { return error_set(err, "out of memory"); }

static void writer_free(NibWriter *w) {
    if (w->hash) hash_stream_end(w->hash);
    nib_pack_free(w->pack);
    cJSON_Delete(w->tensors);
    mem_free(w);
}

void nib_abort(NibWriter *w) {
    if (!w) return;
    file_out_abort(w->out);
    writer_free(w);
}

// What a reader refuses must not be written.
static bool check_files(const Model *model, Error *err) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->file_count; i++) bytes += model->files[i].size;
    if (model->file_count <= NIB_FILES_MAX && bytes <= NIB_FILE_MAX) return true;
    return error_set(err, "%s: the %zu files beside its tensors have %llu bytes; a .nib keeps at most %d of %d bytes",
                     model->path, model->file_count, (unsigned long long)bytes, NIB_FILES_MAX, NIB_FILE_MAX);
}

NibWriter *nib_create(const char *path, const Model *model, uint64_t expected, Error *err) {
    if (!check_files(model, err)) return NULL;
    NibWriter *w = mem_alloc(1, sizeof *w, err);
    if (!w) return NULL;
    w->model = model;
    w->tensors = cJSON_CreateArray();
    if (!w->tensors)
        no_memory(err);
    else
        w->out = file_out_open(path, expected, err);
    if (w->out && container_begin(w->out, err) && (w->pack = nib_pack_start(model, err))) return w;
    nib_abort(w);
    return NULL;
}

bool nib_tensor_begin(NibWriter *w, const Tensor *like, Error *err) {
    w->tensor = *like;
    w->came = 0;
    if (!tensor_size(&w->tensor, err) || !file_out_pad(w->out, NIB_ALIGN, err)) return false;
    w->offset = file_out_size(w->out);
    w->hash = hash_stream_new();
    return w->hash || no_memory(err);
}

bool nib_tensor_write(NibWriter *w, const void *data, size_t size, Error *err) {
    w->came += size;
    hash_stream_add(w->hash, data, size);
    return file_out_write(w->out, data, size, err);
}

// {"name", "offset", ..., "xxh3"}: what tensors and files have in common. NULL when memory is out.
static cJSON *entry_new(cJSON *list, const char *name, uint64_t offset, uint64_t bytes, Hash hash) {
    char hex[HASH_HEX];
    cJSON *entry = cJSON_CreateObject();
    if (entry && !cJSON_AddItemToArray(list, entry)) {
        cJSON_Delete(entry);
        return NULL;
    }
    return entry && cJSON_AddStringToObject(entry, "name", name) &&
                   cJSON_AddNumberToObject(entry, "offset", (double)offset) &&
                   cJSON_AddNumberToObject(entry, "bytes", (double)bytes) &&
                   cJSON_AddStringToObject(entry, "xxh3", hash_hex(hash, hex))
               ? entry
               : NULL;
}

bool nib_tensor_end(NibWriter *w, Error *err) {
    const Tensor *t = &w->tensor;
    Hash hash = hash_stream_end(w->hash);
    w->hash = NULL;
    if (w->came != t->bytes)
        return error_set(err, "tensor %s: %llu bytes were written where it has %zu", tensor_label(t),
                         (unsigned long long)w->came, t->bytes);
    cJSON *entry = entry_new(w->tensors, t->name, w->offset, t->bytes, hash), *shape = NULL;
    bool ok = entry && cJSON_AddStringToObject(entry, "type", dtype_name(t->type)) &&
              cJSON_AddStringToObject(entry, "source", tensor_label(t)) &&
              (shape = cJSON_AddArrayToObject(entry, "shape"));
    for (int i = 0; ok && i < t->dims; i++) {
        cJSON *n = cJSON_CreateNumber((double)t->shape[i]);
        ok = n && cJSON_AddItemToArray(shape, n);
    }
    return ok || no_memory(err);
}

static bool write_files(NibWriter *w, cJSON *list, Error *err) {
    const NibPacked *packed = nib_pack_wait(w->pack, err);
    for (size_t i = 0; packed && i < w->model->file_count; i++) {
        const ModelFile *f = &w->model->files[i];
        uint64_t offset;
        if (!container_section(w->out, packed[i].data, packed[i].bytes, &offset, err)) return false;
        cJSON *entry = entry_new(list, f->name, offset, f->size, packed[i].hash);
        if (!entry || !cJSON_AddNumberToObject(entry, "stored", (double)packed[i].bytes)) return no_memory(err);
    }
    return packed != NULL;
}

static bool add_copy(cJSON *index, const char *key, const cJSON *list) {
    cJSON *copy = list ? cJSON_Duplicate(list, true) : cJSON_CreateArray();
    if (copy && cJSON_AddItemToObject(index, key, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

static bool finish(NibWriter *w, Error *err) {
    cJSON *index = cJSON_CreateObject(), *files = NULL, *desc = NULL;
    char *text = NULL;
    bool ok = index && cJSON_AddStringToObject(index, "format", "nib");
    if (ok && (desc = model_desc_write(&w->model->desc)) && !cJSON_AddItemToObject(index, "model", desc)) {
        cJSON_Delete(desc);
        desc = NULL;
    }
    ok = ok && desc && cJSON_AddItemToObject(index, "tensors", w->tensors);
    if (ok) w->tensors = NULL; // the index's now
    ok = ok && (files = cJSON_AddArrayToObject(index, "files"));
    ok = ok ? write_files(w, files, err) : no_memory(err);
    if (ok) {
        ok = add_copy(index, "recipe", w->model->recipe) && add_copy(index, "sources", w->model->sources) &&
             (text = cJSON_PrintUnformatted(index));
        ok = ok ? container_end(w->out, &nib_kind, (uint32_t)model_desc_version(desc), text, err) : no_memory(err);
    }
    cJSON_free(text);
    cJSON_Delete(index);
    return ok;
}

bool nib_commit(NibWriter *w, Error *err) {
    if (!finish(w, err)) {
        nib_abort(w);
        return false;
    }
    bool ok = file_out_commit(w->out, err);
    writer_free(w);
    return ok;
}
