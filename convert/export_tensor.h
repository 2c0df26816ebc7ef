// One tensor of a model on its way out: verified, its rows reordered, its type changed, in pieces.
#ifndef CONVERT_EXPORT_TENSOR_H
#define CONVERT_EXPORT_TENSOR_H

#include "convert/cast.h"

// What becomes of a tensor. out: name (.name for GGUF, .source for safetensors), type, shape, bytes in the new file.
typedef struct ExportItem {
    Tensor out;
    const Tensor *from;  // NULL: made, `values` then holds it (f32)
    const float *values; // not owned
    int64_t rotary;      // rows of a head whose halves are to alternate (rows i and i + rotary/2 become 2i and 2i + 1);
                         // 0: the rows stay where they are
    float plus;          // is added to each value; 0: they stay as they are
    bool rotary_back;    // the other way: rows 2i and 2i + 1 become i and i + rotary/2
} ExportItem;

// The row of a head of n rows that comes to be its r-th.
static inline int64_t export_rotary_row(int64_t r, int64_t n, bool back) {
    return back ? (r < n / 2 ? 2 * r : 2 * (r - n / 2) + 1) : r % 2 * (n / 2) + r / 2;
}

// Whether a tensor of this internal name has rows that rotary positions pair.
bool export_is_rotated(const char *name);

typedef bool ExportSink(void *to, const void *data, size_t size, Error *err);

// Hands the item's bytes to sink(to, ...), a few MiB at a time (or one head's rows, where they are reordered). The
// source's pages are given back and its hash, where it states one, is checked. Counts progress in the source's bytes.
bool export_tensor(const ExportItem *item, const CastKernels *kernels, ExportSink *sink, void *to, Error *err);

#endif
