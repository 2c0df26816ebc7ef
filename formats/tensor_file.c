#include "formats/tensor_file.h"

#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->source, (*(const Tensor *const *)b)->source);
}

bool tensor_file_index(TensorFile *file, Error *err) {
    file->by_name = mem_alloc(file->count, sizeof *file->by_name, err);
    if (!file->by_name) return false;
    for (size_t i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (by_name(&file->by_name[i - 1], &file->by_name[i]) == 0)
            return error_set(err, "tensor %s: is there twice", file->by_name[i]->source);
    return true;
}

void tensor_file_close(TensorFile *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) mem_free(file->tensors[i].source);
    for (size_t i = 0; i < file->buffer_count; i++) mem_free(file->buffers[i]);
    mem_free(file->tensors);
    mem_free(file->by_name);
    mem_free(file->buffers);
    file_unmap(file->map);
    mem_free(file);
}

const Tensor *tensor_file_find(const TensorFile *file, const char *source) {
    Tensor key = {.source = (char *)(uintptr_t)source};
    const Tensor *wanted = &key;
    const Tensor **found = bsearch(&wanted, file->by_name, file->count, sizeof *file->by_name, by_name);
    return found ? *found : NULL;
}
