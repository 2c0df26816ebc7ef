// A linear layer whose weight lies in a file in any type: y = W x + b in f32, weights dequantized a panel at a time.
#ifndef EVAL_LINEAR_H
#define EVAL_LINEAR_H

#include "core/tensor.h"

typedef struct Linear {
    const Tensor *weight; // [rows, cols], rows = outputs
    const float *bias;    // [rows], or NULL
} Linear;

enum { LINEAR_PANEL_BYTES = 8 << 20 }; // aimed at: a panel has whole groups of rows, at least one

// Bytes of memory, 64-byte aligned, that linear_apply needs for a weight of this shape, a panel at a time.
size_t linear_panel_bytes(int64_t rows, int64_t cols);

// y [n, rows] = x [n, cols] W^T + b; with `add`, y += that. The digits do not depend on the number of threads.
void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, void *memory);

#endif
