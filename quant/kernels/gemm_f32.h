// What the f32 matrix multiplies of AVX2 and AVX-512 share: packed weights are panels of GEMM_ROWS rows, [cols][rows];
// inputs are read where they lie; a tile of results stays in registers over all columns, so each is one chain of fused
// steps in the order of the columns, the same on both.
#ifndef QUANT_GEMM_F32_H
#define QUANT_GEMM_F32_H

#include "quant/kernels/gemm.h"
#include "quant/kernels/layout.h"
#include <stdalign.h>
#include <string.h>

enum { F32_INPUTS_MOST = 12 };

// y [inputs, GEMM_ROWS] (+)= x [inputs] times a panel; rows of y `stride` floats apart.
typedef void (*F32TileFn)(const float *panel, const float *const *x, int64_t cols, float *y, int64_t stride, bool add);

INLINE int64_t f32_panels(int64_t rows) { return (rows + GEMM_ROWS - 1) / GEMM_ROWS; }

INLINE size_t f32_bytes(int64_t rows, int64_t cols) {
    return (size_t)(f32_panels(rows) * GEMM_ROWS * cols) * sizeof(float);
}

INLINE void f32_pack(const float *w, int64_t stride, GemmPiece piece, int64_t cols, void *packed) {
    float *to = (float *)packed + (piece.row * cols + piece.col * GEMM_ROWS);
    for (int64_t r = 0; r < GEMM_ROWS; r++)
        for (int64_t c = 0; c < piece.cols; c++) to[c * GEMM_ROWS + r] = r < piece.rows ? w[r * stride + c] : 0;
}

INLINE void f32_pack_turned(const float *w, int64_t stride, GemmPiece piece, int64_t cols, void *packed) {
    float *to = (float *)packed + (piece.row * cols + piece.col * GEMM_ROWS);
    for (int64_t c = 0; c < piece.cols; c++, to += GEMM_ROWS) {
        if (piece.rows == GEMM_ROWS)
            memcpy(to, w + c * stride, GEMM_ROWS * sizeof *to);
        else
            for (int64_t r = 0; r < GEMM_ROWS; r++) to[r] = r < piece.rows ? w[c * stride + r] : 0;
    }
}

INLINE void f32_multiply(F32TileFn tile, int inputs, const float *x, int64_t n, int64_t x_stride, const void *packed,
                         int64_t rows, int64_t cols, float *y, int64_t y_stride, bool add) {
    for (int64_t r = 0; r < rows; r += GEMM_ROWS)
        for (int64_t i = 0; i < n; i += inputs) {
            const float *panel = (const float *)packed + r * cols, *in[F32_INPUTS_MOST];
            const int64_t there = n - i < inputs ? n - i : inputs, lanes = rows - r < GEMM_ROWS ? rows - r : GEMM_ROWS;
            for (int k = 0; k < inputs; k++) in[k] = x + (i + (k < there ? k : 0)) * x_stride;
            float *out = y + i * y_stride + r;
            if (there == inputs && lanes == GEMM_ROWS) {
                tile(panel, in, cols, out, y_stride, add);
                continue;
            }
            alignas(64) float whole[F32_INPUTS_MOST * GEMM_ROWS];
            tile(panel, in, cols, whole, GEMM_ROWS, false);
            for (int64_t k = 0; k < there; k++)
                for (int64_t l = 0; l < lanes; l++) {
                    float *to = out + k * y_stride + l;
                    *to = add ? *to + whole[k * GEMM_ROWS + l] : whole[k * GEMM_ROWS + l];
                }
        }
}

#define DEFINE_F32_GEMM(symbol, label, tile, inputs)                                                                   \
    static size_t bytes(int64_t rows, int64_t cols) { return f32_bytes(rows, cols); }                                  \
    static void pack(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, void *packed) {      \
        (void)rows;                                                                                                    \
        f32_pack(w, stride, piece, cols, packed);                                                                      \
    }                                                                                                                  \
    static void pack_turned(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols,               \
                            void *packed) {                                                                            \
        (void)rows;                                                                                                    \
        f32_pack_turned(w, stride, piece, cols, packed);                                                               \
    }                                                                                                                  \
    static void multiply(const float *x, int64_t n, int64_t x_stride, const void *packed, int64_t rows, int64_t cols,  \
                         float *y, int64_t y_stride, bool add) {                                                       \
        f32_multiply(tile, inputs, x, n, x_stride, packed, rows, cols, y, y_stride, add);                              \
    }                                                                                                                  \
    const Gemm symbol = {label, inputs, bytes, pack, pack_turned, multiply};

#endif
