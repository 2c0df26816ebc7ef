// The element-wise part of gathering statistics, vectorized: one source compiled for each instruction set.
#ifndef EVAL_VECTOR_SQUARES_H
#define EVAL_VECTOR_SQUARES_H

#include <stdint.h>

typedef struct VectorSquares {
    float (*sum)(const float *w, const float *x, int64_t n); // sum of w * x^2; w NULL: of x^2
    void (*add)(float *to, const float *x, int64_t n);       // to += x^2
    // Columns of x [n, ...], `cols` of them, as rows: y[c * y_stride + t] = x[t * x_stride + c] * scale[t]; scale NULL:
    // as they are.
    void (*transpose)(const float *x, int64_t x_stride, int64_t n, int64_t cols, const float *scale, float *y,
                      int64_t y_stride);
} VectorSquares;

const VectorSquares *vector_squares(void); // for this CPU, NIBBLE_CPU honoured

#endif
