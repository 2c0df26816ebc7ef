// A panel: some rows of a weight, dequantized and ready to multiply with many inputs, by the CPU's own matrix multiply
// (quant/kernels/gemm.h) where there is one, by OpenBLAS's sgemm elsewhere. Arithmetic is f32 in both.
#ifndef EVAL_PANEL_H
#define EVAL_PANEL_H

#include "core/tensor.h"
#include "quant/kernels/gemm.h"

typedef struct Panel {
    const Gemm *gemm;   // NULL: OpenBLAS
    const void *values; // [rows, cols] in f32, or as `gemm` packs them; in the memory given or, if f32, in the file
    int64_t rows, cols;
} Panel;

// Bytes of memory, 64-byte aligned, that a panel takes.
size_t panel_bytes(int64_t rows, int64_t cols);

// Makes rows first .. first + count - 1 of a weight ready for n inputs; all threads take part.
Panel panel_load(const Tensor *weight, int64_t first, int64_t count, int64_t n, void *memory);

// y [n, rows] = x [n, cols] W^T, or with `add` y += that; y_stride floats from row to row of y. In the calling thread:
// callers share out the inputs, in blocks whose size does not depend on the number of threads, nor then do the digits.
void panel_multiply(const Panel *panel, const float *x, int64_t n, float *y, int64_t y_stride, bool add);

// The same weights for the way back: dx [n, cols] = dy [n, rows] W, or with `add` dx += that; dy_stride floats from row
// to row of dy.
size_t panel_back_bytes(int64_t rows, int64_t cols);
Panel panel_load_back(const Tensor *weight, int64_t first, int64_t count, int64_t n, void *memory);
void panel_multiply_back(const Panel *panel, const float *dy, int64_t dy_stride, int64_t n, float *dx, bool add);

#endif
