#include "formats/safetensors_write.h"

#include "core/json.h"
#include "core/mem.h"
#include <string.h>

enum { LENGTH_BYTES = 8, ALIGN = 8, HEADER_MAX = 100 * 1000 * 1000 }; // the format's own limit

struct SafeTensorsWriter {
    FileOut *out;
    const Tensor *tensors;
    size_t count, at; // at: the tensor that is being written
    uint64_t came;    // bytes of it
};

static bool add_number(cJSON *list, uint64_t value) {
    cJSON *n = cJSON_CreateNumber((double)value);
    if (n && cJSON_AddItemToArray(list, n)) return true;
    cJSON_Delete(n);
    return false;
}

static bool add_entry(cJSON *header, const Tensor *t, uint64_t begin) {
    cJSON *entry = cJSON_AddObjectToObject(header, t->source);
    bool ok = entry && cJSON_AddStringToObject(entry, "dtype", dtype_info(t->type)->safetensors);
    cJSON *shape = ok ? cJSON_AddArrayToObject(entry, "shape") : NULL;
    ok = shape != NULL;
    for (int d = 0; ok && d < t->dims; d++) ok = add_number(shape, (uint64_t)t->shape[d]);
    cJSON *offsets = ok ? cJSON_AddArrayToObject(entry, "data_offsets") : NULL;
    return offsets && add_number(offsets, begin) && add_number(offsets, begin + t->bytes);
}

// The header's JSON; *data_bytes: of all tensors. NULL with a message. Free with cJSON_free.
static char *header_text(const Tensor *tensors, size_t count, uint64_t *data_bytes, Error *err) {
    cJSON *header = cJSON_CreateObject();
    cJSON *metadata = header ? cJSON_AddObjectToObject(header, "__metadata__") : NULL;
    // transformers wants to know which library's tensors they are; "pt" says row-major, as all of these are.
    bool ok = metadata && cJSON_AddStringToObject(metadata, "format", "pt"), known = true;
    *data_bytes = 0;
    for (size_t i = 0; ok && known && i < count; i++) {
        known = dtype_info(tensors[i].type)->safetensors != NULL;
        if (!known)
            error_set(err, "tensor %s: safetensors has no type %s", tensor_label(&tensors[i]),
                      dtype_name(tensors[i].type));
        else
            ok = add_entry(header, &tensors[i], *data_bytes);
        *data_bytes += tensors[i].bytes;
    }
    char *text = ok && known ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    if (!text && known) error_set(err, "out of memory");
    return text;
}

// Spaces after the header let the data start at a multiple of 8.
static bool write_header(FileOut *out, const char *text, size_t size, Error *err) {
    size_t spaces = (ALIGN - (LENGTH_BYTES + size) % ALIGN) % ALIGN, length = size + spaces;
    uint8_t raw[LENGTH_BYTES];
    if (length > HEADER_MAX)
        return error_set(err, "its header would have %zu bytes, above the format's limit of %d", length, HEADER_MAX);
    for (int i = 0; i < LENGTH_BYTES; i++) raw[i] = (uint8_t)((uint64_t)length >> 8 * i);
    return file_out_write(out, raw, sizeof raw, err) && file_out_write(out, text, size, err) &&
           file_out_write(out, "        ", spaces, err);
}

SafeTensorsWriter *safetensors_create(const char *path, const Tensor *tensors, size_t count, Error *err) {
    uint64_t data_bytes;
    char *text = header_text(tensors, count, &data_bytes, err);
    SafeTensorsWriter *w = text ? mem_alloc(1, sizeof *w, err) : NULL;
    if (w) {
        w->tensors = tensors;
        w->count = count;
        w->out = file_out_open(path, LENGTH_BYTES + strlen(text) + data_bytes, err);
    }
    bool ok = w && w->out && write_header(w->out, text, strlen(text), err);
    cJSON_free(text);
    if (ok) return w;
    safetensors_abort(w);
    return NULL;
}

bool safetensors_write(SafeTensorsWriter *w, const void *data, size_t size, Error *err) {
    w->came += size;
    return file_out_write(w->out, data, size, err);
}

bool safetensors_tensor_end(SafeTensorsWriter *w, Error *err) {
    const Tensor *t = &w->tensors[w->at++];
    uint64_t came = w->came;
    w->came = 0;
    return came == t->bytes || error_set(err, "tensor %s: %llu bytes were written where it has %zu", tensor_label(t),
                                         (unsigned long long)came, t->bytes);
}

bool safetensors_commit(SafeTensorsWriter *w, Error *err) {
    if (w->at != w->count) {
        error_set(err, "%zu of %zu tensors were written", w->at, w->count);
        safetensors_abort(w);
        return false;
    }
    bool ok = file_out_commit(w->out, err);
    mem_free(w);
    return ok;
}

void safetensors_abort(SafeTensorsWriter *w) {
    if (!w) return;
    file_out_abort(w->out);
    mem_free(w);
}
