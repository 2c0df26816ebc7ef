#include "formats/fingerprint.h"

#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE_BYTES = 4 << 20 };

// The hash of a tensor's bytes: rows one after the other, put together where they do not lie so.
static bool tensor_hash(const Tensor *t, Hash *hash, Error *err) {
    *hash = t->hash;
    if (t->has_hash) return true;
    int64_t rows = tensor_rows(t), step = rows;
    size_t row = tensor_row_bytes(t);
    if (row && rows > (int64_t)(SLICE_BYTES / row)) step = row < SLICE_BYTES ? (int64_t)(SLICE_BYTES / row) : 1;
    void *memory = t->layout ? mem_alloc((size_t)step, row, err) : NULL;
    if (t->layout && !memory) return false;
    HashStream *s = hash_stream_new();
    for (int64_t first = 0; s && first < rows; first += step) {
        int64_t count = rows - first < step ? rows - first : step;
        hash_stream_add(s, tensor_read(t, first, count, memory), (size_t)count * row);
        tensor_release(t, first, count);
    }
    mem_free(memory);
    if (!s) return error_set(err, "out of memory");
    *hash = hash_stream_end(s);
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

bool model_fingerprint(const Model *model, Hash *fingerprint, Error *err) {
    const Tensor **sorted = mem_alloc(model->tensor_count, sizeof *sorted, err);
    if (!sorted) return false;
    for (size_t i = 0; i < model->tensor_count; i++) sorted[i] = &model->tensors[i];
    if (model->tensor_count) qsort(sorted, model->tensor_count, sizeof *sorted, by_name);
    HashStream *s = hash_stream_new();
    bool ok = s || error_set(err, "out of memory");
    for (size_t i = 0; ok && i < model->tensor_count; i++) {
        const Tensor *t = sorted[i];
        char shape[96], hex[HASH_HEX], rest[192];
        Hash hash;
        ok = tensor_hash(t, &hash, err);
        if (!ok) break;
        int n = snprintf(rest, sizeof rest, " %s %s %s\n", dtype_name(t->type), tensor_shape_text(t, shape),
                         hash_hex(hash, hex));
        hash_stream_add(s, t->name, strlen(t->name));
        hash_stream_add(s, rest, (size_t)n);
    }
    if (s) *fingerprint = hash_stream_end(s);
    mem_free(sorted);
    return ok;
}
