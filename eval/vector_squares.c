// Compiled once for each target (core/target.h).
#include "eval/vector_squares.h"

#include "core/target.h"
#include "eval/vector_lanes.h"

static float sum(const float *w, const float *x, int64_t n) {
    Floats lanes = {0};
    int64_t i = 0;
    if (w)
        for (; i + LANES <= n; i += LANES) lanes += load(w + i) * (load(x + i) * load(x + i));
    else
        for (; i + LANES <= n; i += LANES) lanes += load(x + i) * load(x + i);
    for (int l = 0; i < n; i++, l++) lanes[l] += (w ? w[i] : 1) * (x[i] * x[i]);
    return sum_lanes(lanes);
}

static void add(float *restrict to, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += x[i] * x[i];
}

static void transpose(const float *restrict x, int64_t x_stride, int64_t n, int64_t cols, const float *restrict scale,
                      float *restrict y, int64_t y_stride) {
    // As many columns as a cache line has, over as many rows as stay in the cache until the line is used up.
    enum { ROWS = 64 };
    for (int64_t t0 = 0; t0 < n; t0 += ROWS) {
        int64_t rows = n - t0 < ROWS ? n - t0 : ROWS;
        for (int64_t c0 = 0; c0 < cols; c0 += LANES)
            for (int64_t c = c0; c < cols && c < c0 + LANES; c++)
                for (int64_t t = t0; t < t0 + rows; t++)
                    y[c * y_stride + t] = x[t * x_stride + c] * (scale ? scale[t] : 1);
    }
}

const VectorSquares TARGET_NAME(vector_squares) = {sum, add, transpose};
