// f32 matrix multiply on AVX-512: 32 rows by 12 inputs, 24 registers of sums.
#include "quant/kernels/gemm_f32.h"
#include <immintrin.h>

enum { INPUTS = 12 };

static void tile(const float *panel, const float *const *x, int64_t cols, float *y, int64_t stride, bool add) {
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5];
    const float *x6 = x[6], *x7 = x[7], *x8 = x[8], *x9 = x[9], *x10 = x[10], *x11 = x[11];
    __m512 sums[2][INPUTS];
#pragma GCC unroll 12
    for (int i = 0; i < INPUTS; i++) sums[0][i] = sums[1][i] = _mm512_setzero_ps();
#define STEP(i)                                                                                                        \
    {                                                                                                                  \
        __m512 in = _mm512_set1_ps(x##i[k]);                                                                           \
        sums[0][i] = _mm512_fmadd_ps(low, in, sums[0][i]);                                                             \
        sums[1][i] = _mm512_fmadd_ps(high, in, sums[1][i]);                                                            \
    }
    for (int64_t k = 0; k < cols; k++) {
        __m512 low = _mm512_load_ps(panel + k * GEMM_ROWS), high = _mm512_load_ps(panel + k * GEMM_ROWS + 16);
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
        STEP(4)
        STEP(5)
        STEP(6)
        STEP(7)
        STEP(8)
        STEP(9)
        STEP(10)
        STEP(11)
    }
#pragma GCC unroll 12
    for (int i = 0; i < INPUTS; i++)
        for (int p = 0; p < 2; p++) {
            float *to = y + i * stride + 16 * p;
            _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[p][i]) : sums[p][i]);
        }
}

DEFINE_F32_GEMM(gemm_avx512, "avx512", tile, INPUTS)
