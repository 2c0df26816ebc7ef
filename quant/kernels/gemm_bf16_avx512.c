// AVX512_BF16: one instruction multiplies 16 pairs of weights by a pair of activations, both rounded to bf16, and adds
// both products to f32 sums (Intel's manual, VDPBF16PS: without FMA, numbers below 2^-126 are zeros). Packed weights
// are panels of 32 rows: [cols / 2][32 rows] pairs. Inputs wait, rounded, in the cache. 32 rows by 12 inputs: 24 sums.
#include "quant/kernels/gemm.h"
#include "quant/kernels/layout.h"
#include "quant/kernels/scratch.h"
#include <immintrin.h>
#include <stdalign.h>

#define BF16 __attribute__((target("avx512bf16")))

enum {
    INPUTS = 12,
    PAIR_BYTES = GEMM_ROWS * 4, // of one pair of columns
    INPUT_BYTES = 1 << 20,      // of rounded inputs at a time
    DEPTH = 1536,               // columns taken together, at most
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t round_up(int64_t a, int64_t to) { return (a + to - 1) / to * to; }

static size_t packed_bytes(int64_t rows, int64_t cols) {
    return (size_t)(round_up(rows, GEMM_ROWS) * round_up(cols, 32)) * sizeof(uint16_t);
}

static size_t panel_bytes(int64_t cols) { return (size_t)(GEMM_ROWS * round_up(cols, 32)) * sizeof(uint16_t); }

// 32 columns of a row; zeros from `left` columns on.
BF16 INLINE __m512i rounded(const float *x, int64_t left) {
    __mmask32 there = left >= 32 ? 0xffffffff : (__mmask32)((1u << left) - 1);
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)there, x);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), x + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

BF16 static void pack(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, void *packed) {
    (void)rows;
    uint8_t *at =
        (uint8_t *)packed + (size_t)(piece.row / GEMM_ROWS) * panel_bytes(cols) + (size_t)(piece.col / 2) * PAIR_BYTES;
    for (int64_t c = 0; c < piece.cols; c += 32)
        for (int64_t r = 0; r < GEMM_ROWS; r++) {
            alignas(64) uint32_t pairs[16];
            _mm512_store_si512(pairs,
                               r < piece.rows ? rounded(w + r * stride + c, piece.cols - c) : _mm512_setzero_si512());
            for (int i = 0; i < 16; i++)
                memcpy(at + (size_t)(c / 2 + i) * PAIR_BYTES + (size_t)r * 4, &pairs[i], sizeof pairs[i]);
        }
}

INLINE __m512i interleaved(__m256i a, __m256i b) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
}

// Pairs of columns are pairs of rows of w.
BF16 static void pack_turned(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols,
                             void *packed) {
    (void)rows;
    uint8_t *at =
        (uint8_t *)packed + (size_t)(piece.row / GEMM_ROWS) * panel_bytes(cols) + (size_t)(piece.col / 2) * PAIR_BYTES;
    for (int64_t c = 0; c < round_up(piece.cols, 32); c += 2, at += PAIR_BYTES) {
        const __m512i none = _mm512_setzero_si512();
        const __m512i a = c < piece.cols ? rounded(w + c * stride, piece.rows) : none;
        const __m512i b = c + 1 < piece.cols ? rounded(w + (c + 1) * stride, piece.rows) : none;
        _mm512_store_si512(at, interleaved(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b)));
        _mm512_store_si512(at + 64, interleaved(_mm512_extracti64x4_epi64(a, 1), _mm512_extracti64x4_epi64(b, 1)));
    }
}

// y [INPUTS, 32] = x W^T over `pairs` pairs of columns; x has `stride` bytes from input to input.
BF16 static void tile(const uint8_t *w, const uint8_t *x, size_t stride, int64_t pairs, float *y, int64_t y_stride,
                      bool add) {
    __m512 sums[2][INPUTS];
#pragma GCC unroll 12
    for (int i = 0; i < INPUTS; i++) sums[0][i] = sums[1][i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < pairs; k++, w += PAIR_BYTES, x += 4) {
        __m512bh low = (__m512bh)_mm512_load_si512(w), high = (__m512bh)_mm512_load_si512(w + 64);
#pragma GCC unroll 12
        for (int i = 0; i < INPUTS; i++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)i * stride, sizeof pair);
            __m512bh two = (__m512bh)_mm512_set1_epi32(pair);
            sums[0][i] = _mm512_dpbf16_ps(sums[0][i], low, two);
            sums[1][i] = _mm512_dpbf16_ps(sums[1][i], high, two);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < INPUTS; i++)
        for (int p = 0; p < 2; p++) {
            float *to = y + i * y_stride + 16 * p;
            _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sums[p][i]) : sums[p][i]);
        }
}

static void edge(const uint8_t *w, const uint8_t *x, size_t stride, int64_t pairs, float *y, int64_t y_stride, bool add,
                 int64_t n, int64_t rows) {
    alignas(64) float whole[INPUTS * GEMM_ROWS];
    tile(w, x, stride, pairs, whole, GEMM_ROWS, false);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++) {
            float *to = y + i * y_stride + r;
            *to = add ? *to + whole[i * GEMM_ROWS + r] : whole[i * GEMM_ROWS + r];
        }
}

BF16 static void multiply(const float *x, int64_t n, int64_t x_stride, const void *packed, int64_t rows, int64_t cols,
                          float *y, int64_t y_stride, bool add) {
    uint8_t *inputs = scratch_get(SCRATCH_BF16, INPUT_BYTES);
    const int64_t parts = (cols + DEPTH - 1) / DEPTH, deep = round_up((cols + parts - 1) / parts, 32);
    for (int64_t c = 0; c < cols; c += deep, add = true) {
        const int64_t depth = min(deep, cols - c), wide = round_up(depth, 32);
        const size_t stride = (size_t)wide * sizeof(uint16_t);
        const int64_t most = INPUT_BYTES / (int64_t)stride / INPUTS * INPUTS;
        for (int64_t first = 0; first < n; first += most) {
            int64_t count = min(most, n - first);
            for (int64_t i = 0; i < round_up(count, INPUTS); i++)
                for (int64_t k = 0; k < wide; k += 32)
                    _mm512_store_si512(inputs + (size_t)i * stride + (size_t)k * 2,
                                       i < count ? rounded(x + (first + i) * x_stride + c + k, depth - k)
                                                 : _mm512_setzero_si512());
            for (int64_t r = 0; r < rows; r += GEMM_ROWS)
                for (int64_t i = 0; i < count; i += INPUTS) {
                    const uint8_t *w = (const uint8_t *)packed + (size_t)(r / GEMM_ROWS) * panel_bytes(cols) +
                                       (size_t)(c / 2) * PAIR_BYTES;
                    const uint8_t *in = inputs + (size_t)i * stride;
                    float *to = y + (first + i) * y_stride + r;
                    if (count - i >= INPUTS && rows - r >= GEMM_ROWS)
                        tile(w, in, stride, wide / 2, to, y_stride, add);
                    else
                        edge(w, in, stride, wide / 2, to, y_stride, add, min(INPUTS, count - i),
                             min(GEMM_ROWS, rows - r));
                }
        }
    }
}

const Gemm gemm_bf16_avx512 = {"avx512 bf16", INPUTS, packed_bytes, pack, pack_turned, multiply};
