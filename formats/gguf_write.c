#include "formats/gguf_write.h"

#include "core/mem.h"
#include "core/size.h"
#include <string.h>

// Types of metadata values.
enum { VALUE_U16 = 2, VALUE_U32 = 4, VALUE_I32 = 5, VALUE_F32 = 6, VALUE_BOOL = 7, VALUE_TEXT = 8, VALUE_ARRAY = 9 };

enum { VERSION = 3, HEADER_BYTES = 24 };

struct GgufWriter {
    FileOut *out;
    const Tensor *tensors;
    size_t count, at; // at: the tensor that is being written
    uint64_t came;    // bytes of it
};

// ---- metadata

void gguf_meta_free(GgufMeta *meta) {
    mem_free(meta->data);
    *meta = (GgufMeta){0};
}

static void put(GgufMeta *meta, const void *data, size_t size) {
    size_t need;
    if (meta->failed) return;
    if (!size_add(meta->size, size, &need) || need > SIZE_MAX / 4) {
        meta->failed = true;
        return;
    }
    if (need > meta->capacity) {
        size_t capacity = 2 * need < 4096 ? 4096 : 2 * need;
        uint8_t *grown = mem_alloc(capacity, 1, NULL);
        if (!grown) {
            meta->failed = true;
            return;
        }
        if (meta->size) memcpy(grown, meta->data, meta->size);
        mem_free(meta->data);
        meta->data = grown;
        meta->capacity = capacity;
    }
    if (size) memcpy(meta->data + meta->size, data, size);
    meta->size = need;
}

static void put_number(GgufMeta *meta, uint64_t value, int bytes) {
    uint8_t raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (uint8_t)(value >> 8 * i);
    put(meta, raw, (size_t)bytes);
}

static void put_f32(GgufMeta *meta, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(meta, bits, 4);
}

void gguf_meta_item(GgufMeta *meta, const char *text, size_t size) {
    put_number(meta, size, 8);
    put(meta, text, size);
}

static void begin(GgufMeta *meta, const char *key, uint32_t type) {
    gguf_meta_item(meta, key, strlen(key));
    put_number(meta, type, 4);
    meta->count++;
}

void gguf_meta_pair(GgufMeta *meta, const void *pair, size_t size) {
    put(meta, pair, size);
    meta->count++;
}

void gguf_meta_u16(GgufMeta *meta, const char *key, uint16_t value) {
    begin(meta, key, VALUE_U16);
    put_number(meta, value, 2);
}

void gguf_meta_u32(GgufMeta *meta, const char *key, uint32_t value) {
    begin(meta, key, VALUE_U32);
    put_number(meta, value, 4);
}

void gguf_meta_i32(GgufMeta *meta, const char *key, int32_t value) {
    begin(meta, key, VALUE_I32);
    put_number(meta, (uint32_t)value, 4);
}

void gguf_meta_f32(GgufMeta *meta, const char *key, float value) {
    begin(meta, key, VALUE_F32);
    put_f32(meta, value);
}

void gguf_meta_bool(GgufMeta *meta, const char *key, bool value) {
    begin(meta, key, VALUE_BOOL);
    put_number(meta, value, 1);
}

void gguf_meta_text(GgufMeta *meta, const char *key, const char *text, size_t size) {
    begin(meta, key, VALUE_TEXT);
    gguf_meta_item(meta, text, size);
}

static void begin_array(GgufMeta *meta, const char *key, uint32_t type, size_t count) {
    begin(meta, key, VALUE_ARRAY);
    put_number(meta, type, 4);
    put_number(meta, count, 8);
}

void gguf_meta_i32s(GgufMeta *meta, const char *key, const int32_t *values, size_t count) {
    begin_array(meta, key, VALUE_I32, count);
    for (size_t i = 0; i < count; i++) put_number(meta, (uint32_t)values[i], 4);
}

void gguf_meta_f32s(GgufMeta *meta, const char *key, const float *values, size_t count) {
    begin_array(meta, key, VALUE_F32, count);
    for (size_t i = 0; i < count; i++) put_f32(meta, values[i]);
}

void gguf_meta_texts(GgufMeta *meta, const char *key, size_t count) { begin_array(meta, key, VALUE_TEXT, count); }

// ---- the file

static uint64_t aligned(uint64_t n) { return (n + GGUF_WRITE_ALIGN - 1) / GGUF_WRITE_ALIGN * GGUF_WRITE_ALIGN; }

static uint64_t info_bytes(const Tensor *t) { return 8 + strlen(t->name) + 4 + 8 * (uint64_t)t->dims + 4 + 8; }

uint64_t gguf_file_bytes(const GgufMeta *meta, const Tensor *tensors, size_t count) {
    uint64_t head = HEADER_BYTES + meta->size, data = 0;
    for (size_t i = 0; i < count; i++) {
        head += info_bytes(&tensors[i]);
        data += aligned(tensors[i].bytes);
    }
    return aligned(head) + data;
}

static bool check_tensor(const Tensor *t, Error *err) {
    if (strlen(t->name) > GGUF_NAME_MAX)
        return error_set(err, "tensor %s: engines take names of at most %d bytes", tensor_label(t), GGUF_NAME_MAX);
    return dtype_info(t->type)->ggml >= 0 ||
           error_set(err, "tensor %s: GGUF has no type %s", tensor_label(t), dtype_name(t->type));
}

// The tensors' names, shapes (innermost dimension first), types and places.
static bool put_infos(GgufMeta *head, const Tensor *tensors, size_t count, Error *err) {
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = &tensors[i];
        if (!check_tensor(t, err)) return false;
        gguf_meta_item(head, t->name, strlen(t->name));
        put_number(head, (uint32_t)t->dims, 4);
        for (int d = t->dims - 1; d >= 0; d--) put_number(head, (uint64_t)t->shape[d], 8);
        put_number(head, (uint32_t)dtype_info(t->type)->ggml, 4);
        put_number(head, offset, 8);
        offset += aligned(t->bytes);
    }
    return true;
}

static bool write_head(FileOut *out, const GgufMeta *meta, const Tensor *tensors, size_t count, Error *err) {
    GgufMeta head = {0};
    put(&head, "GGUF", 4);
    put_number(&head, VERSION, 4);
    put_number(&head, count, 8);
    put_number(&head, meta->count, 8);
    put(&head, meta->data, meta->size);
    bool ok = put_infos(&head, tensors, count, err);
    if (ok && (head.failed || meta->failed)) ok = error_set(err, "out of memory");
    ok = ok && file_out_write(out, head.data, head.size, err) && file_out_pad(out, GGUF_WRITE_ALIGN, err);
    gguf_meta_free(&head);
    return ok;
}

GgufWriter *gguf_create(const char *path, const GgufMeta *meta, const Tensor *tensors, size_t count, Error *err) {
    GgufWriter *w = mem_alloc(1, sizeof *w, err);
    if (!w) return NULL;
    w->tensors = tensors;
    w->count = count;
    w->out = file_out_open(path, gguf_file_bytes(meta, tensors, count), err);
    if (w->out && write_head(w->out, meta, tensors, count, err)) return w;
    gguf_abort(w);
    return NULL;
}

bool gguf_write(GgufWriter *w, const void *data, size_t size, Error *err) {
    w->came += size;
    return file_out_write(w->out, data, size, err);
}

bool gguf_tensor_end(GgufWriter *w, Error *err) {
    const Tensor *t = &w->tensors[w->at++];
    if (w->came != t->bytes)
        return error_set(err, "tensor %s: %llu bytes were written where it has %zu", tensor_label(t),
                         (unsigned long long)w->came, t->bytes);
    w->came = 0;
    return file_out_pad(w->out, GGUF_WRITE_ALIGN, err);
}

bool gguf_commit(GgufWriter *w, Error *err) {
    if (w->at != w->count) {
        error_set(err, "%zu of %zu tensors were written", w->at, w->count);
        gguf_abort(w);
        return false;
    }
    bool ok = file_out_commit(w->out, err);
    mem_free(w);
    return ok;
}

void gguf_abort(GgufWriter *w) {
    if (!w) return;
    file_out_abort(w->out);
    mem_free(w);
}
