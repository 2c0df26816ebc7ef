// Where one file of weights ends and the next begins.
#ifndef CONVERT_EXPORT_SPLIT_H
#define CONVERT_EXPORT_SPLIT_H

#include "core/tensor.h"

enum { EXPORT_FILES_MAX = 9999 };

typedef struct ExportSplit {
    size_t *starts; // [count + 1] first tensor of each file; the last is the number of tensors. Free with mem_free
    size_t count;
} ExportSplit;

// As few files as hold the tensors in their order, each of at most `limit` bytes (0: one file of any size). first_head,
// head: the most bytes that the first file, another one, has besides tensors; cost(t): the most that t adds. A tensor
// that alone is too large is an error.
bool export_split(const Tensor *tensors, size_t count, uint64_t limit, uint64_t first_head, uint64_t head,
                  uint64_t (*cost)(const Tensor *t), ExportSplit *split, Error *err);

#endif
