// f32 matrix multiply on AVX2 and FMA: 16 rows by 6 inputs, 12 registers of sums (after BLIS's Haswell kernel).
// OpenBLAS's own is as fast, but the digits of an input depend on its place among the others.
#include "quant/kernels/gemm_f32.h"
#include <immintrin.h>

enum { INPUTS = 6, HALF = GEMM_ROWS / 2 };

INLINE void half_tile(const float *panel, const float *const *x, int64_t cols, float *y, int64_t stride, bool add) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5];
    __m256 sums[2][INPUTS];
    UNROLL
    for (int i = 0; i < INPUTS; i++) sums[0][i] = sums[1][i] = _mm256_setzero_ps();
#define STEP(i)                                                                                                        \
    {                                                                                                                  \
        __m256 in = _mm256_broadcast_ss(x##i + k);                                                                     \
        sums[0][i] = _mm256_fmadd_ps(low, in, sums[0][i]);                                                             \
        sums[1][i] = _mm256_fmadd_ps(high, in, sums[1][i]);                                                            \
    }
#pragma GCC unroll 4
    for (int64_t k = 0; k < cols; k++) {
        __m256 low = _mm256_load_ps(panel + k * GEMM_ROWS), high = _mm256_load_ps(panel + k * GEMM_ROWS + 8);
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
        STEP(4)
        STEP(5)
    }
    UNROLL
    for (int i = 0; i < INPUTS; i++)
        for (int p = 0; p < 2; p++) {
            float *to = y + i * stride + 8 * p;
            _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), sums[p][i]) : sums[p][i]);
        }
}

static void tile(const float *panel, const float *const *x, int64_t cols, float *y, int64_t stride, bool add) {
    half_tile(panel, x, cols, y, stride, add);
    half_tile(panel + HALF, x, cols, y + HALF, stride, add);
}

DEFINE_F32_GEMM(gemm_avx2, "avx2", tile, INPUTS)
