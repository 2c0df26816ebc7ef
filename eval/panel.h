// A panel: some rows of a weight, ready to multiply with many inputs. In f32 arithmetic it is dequantized, and
// multiplied by the CPU's own matrix multiply (quant/kernels/gemm.h) where there is one, by OpenBLAS's sgemm elsewhere.
// In int8 arithmetic quantized weights are repacked (quant/kernels/gemm_int8.h) and others rounded to bf16 where the
// CPU multiplies that; types without integer kernels are as in f32. Where integers are faster than f32 and, with inputs
// of three digits, as exact, weights of such types are multiplied so in f32 arithmetic too.
#ifndef EVAL_PANEL_H
#define EVAL_PANEL_H

#include "core/tensor.h"
#include "quant/kernels/gemm.h"
#include "quant/kernels/gemm_int8.h"

typedef struct Panel {
    const GemmInt8 *int8; // NULL: not in integers
    const Gemm *gemm;     // NULL, and no int8: OpenBLAS
    int digits;           // in integers: of the inputs
    DType type;           // of the weight
    const void *values;   // [rows, cols] in f32, or as they are packed; in the memory given or, if f32, in the file
    int64_t rows, cols;
} Panel;

// The digits of inputs (quant/blocks.h) with which this arithmetic multiplies the weight in integers, 0 where it does
// not. fine: int8 arithmetic, of 16 bits.
int panel_digits(const Tensor *weight, Compute compute, bool fine);

// Bytes of memory, 64-byte aligned, that a panel takes, whatever its type and the arithmetic.
size_t panel_bytes(int64_t rows, int64_t cols);

// Makes rows first .. first + count - 1 of a weight ready, in integers for inputs of so many digits, which are what
// panel_digits says, or 0: not in integers. All threads take part.
Panel panel_load(const Tensor *weight, Compute compute, int digits, int64_t first, int64_t count, void *memory);

// y [n, rows] = x [n, cols] W^T, or with `add` y += that, of a panel that is not in integers; y_stride floats from row
// to row of y. In the calling thread: callers share out the inputs, in blocks whose size does not depend on the number
// of threads, nor then do the digits.
void panel_multiply(const Panel *panel, const float *x, int64_t n, float *y, int64_t y_stride, bool add);

// The same for some rows of a panel in integers, row being a multiple of INT8_ROWS, from inputs rounded to its digits
// (gemm_int8_multiply).
void panel_multiply_acts(const Panel *panel, const BlockAct *x, int64_t n, int64_t row, int64_t rows, float *y,
                         int64_t y_stride, bool add);

// The same weights for the way back: dx [n, cols] = dy [n, rows] W, or with `add` dx += that; dy_stride floats from row
// to row of dy.
size_t panel_back_bytes(int64_t rows, int64_t cols);
Panel panel_load_back(const Tensor *weight, int64_t first, int64_t count, void *memory);
void panel_multiply_back(const Panel *panel, const float *dy, int64_t dy_stride, int64_t n, float *dx, bool add);

#endif
