#include "core/tensor.h"

#include "core/size.h"
#include <stdio.h>

bool tensor_size(Tensor *t, Error *err) {
    char text[96];
    size_t rows = 1, row, total;
    if (t->dims < 0 || t->dims > TENSOR_DIMS)
        return error_set(err, "tensor %s: has %d dimensions", tensor_label(t), t->dims);
    for (int i = 0; i < t->dims; i++)
        if (t->shape[i] < 0) return error_set(err, "tensor %s: has a negative dimension", tensor_label(t));
    bool fits = true;
    for (int i = 0; i + 1 < t->dims; i++) fits = fits && size_mul(rows, (size_t)t->shape[i], &rows);
    int64_t cols = tensor_cols(t);
    if (fits && cols % dtype_info(t->type)->block)
        return error_set(err, "tensor %s: its width %lld is no multiple of %s's block of %d", tensor_label(t),
                         (long long)cols, dtype_name(t->type), dtype_info(t->type)->block);
    size_t elements;
    fits = fits && size_mul(rows, (size_t)cols, &elements) && elements <= INT64_MAX / 16 &&
           dtype_row_bytes(t->type, cols, &row) && size_mul(rows, row, &total) && total <= INT64_MAX;
    if (!fits) return error_set(err, "tensor %s: its shape %s overflows", tensor_label(t), tensor_shape_text(t, text));
    t->bytes = total;
    return true;
}

const uint8_t *tensor_read(const Tensor *t, int64_t first, int64_t count, void *memory) {
    if (!t->layout) return t->data + (size_t)first * tensor_row_bytes(t);
    t->layout->read(t->layout, first, count, memory);
    return memory;
}

void tensor_prefetch(const Tensor *t) {
    if (!t->layout) file_prefetch(t->file, t->data, t->bytes);
}

void tensor_release(const Tensor *t, int64_t first, int64_t count) {
    size_t row = tensor_row_bytes(t);
    if (!t->layout)
        file_release(t->file, t->data + (size_t)first * row, (size_t)count * row);
    else if (t->layout->release)
        t->layout->release(t->layout, first, count);
}

const char *tensor_shape_text(const Tensor *t, char buf[96]) {
    size_t n = (size_t)snprintf(buf, 96, "[");
    for (int i = 0; i < t->dims && n < 80; i++)
        n += (size_t)snprintf(buf + n, 96 - n, i ? ", %lld" : "%lld", (long long)t->shape[i]);
    snprintf(buf + n, 96 - n, "]");
    return buf;
}

bool tensor_verify(const Tensor *t, Error *err) {
    return !t->has_hash || tensor_verify_hash(t, hash_bytes(t->data, t->bytes), err);
}

bool tensor_verify_hash(const Tensor *t, Hash found, Error *err) {
    if (!t->has_hash || hash_equal(found, t->hash)) return true;
    return error_set(
        err, "%s: tensor %s: its bytes do not match their XXH3 hash: the file is damaged; make or fetch it again",
        t->file ? t->file->path : "?", tensor_label(t));
}
