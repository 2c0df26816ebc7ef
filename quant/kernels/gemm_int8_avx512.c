// AVX512_VNNI: one instruction multiplies 64 unsigned by 64 signed bytes and adds up each four neighbours, so codes are
// unsigned, and sums start below zero by what that adds. 32 rows by 6 inputs: 12 integer sums and 12 in f32.
#include "quant/kernels/gemm_int8_tile.h"
#include <immintrin.h>

#define VNNI __attribute__((target("avx512vnni")))

enum { TOKENS = 6, PANELS = INT8_ROWS / INT8_LANES };

VNNI INLINE void tile(Int8Type t, const Int8Tile *a) {
    const uint8_t *w = a->weights;
    const BlockAct *x = a->inputs;
    const size_t panel = a->panel;
    const int64_t groups = a->groups;
    __m512 sums[PANELS][TOKENS];
    UNROLL
    for (int i = 0; i < TOKENS; i++) UNROLL
    for (int p = 0; p < PANELS; p++) __builtin_prefetch(a->y + i * a->stride + p * INT8_LANES, 1);
    UNROLL
    for (int p = 0; p < PANELS; p++) UNROLL
    for (int i = 0; i < TOKENS; i++) sums[p][i] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups; g++, w += int8_record(t), x++) {
        for (int h = 0; h < t.halves; h++) {
            __m512i dots[PANELS][TOKENS];
            UNROLL
            for (int i = 0; i < TOKENS; i++)
                dots[0][i] = dots[1][i] = _mm512_set1_epi32(x[i * groups].starts[act_start(t.offset, h)]);
            UNROLL
            for (int k = h * 8 / t.halves; k < (h + 1) * 8 / t.halves; k++) {
                __m512i w0 = _mm512_load_si512(w + 64 * k), w1 = _mm512_load_si512(w + panel + 64 * k);
                UNROLL
                for (int i = 0; i < TOKENS; i++) {
                    __m512i four = _mm512_set1_epi32(int8_four(x[i * groups].q + 4 * k));
                    dots[0][i] = _mm512_dpbusd_epi32(dots[0][i], w0, four);
                    dots[1][i] = _mm512_dpbusd_epi32(dots[1][i], w1, four);
                }
            }
            const uint8_t *scales = w + int8_scales_at(t) + (size_t)h * int8_lane_bytes();
            __m512 d0 = _mm512_load_ps(scales), d1 = _mm512_load_ps(scales + panel);
            UNROLL
            for (int i = 0; i < TOKENS; i++) {
                __m512 d = _mm512_set1_ps(x[i * groups].d);
                sums[0][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[0][i]), _mm512_mul_ps(d0, d), sums[0][i]);
                sums[1][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[1][i]), _mm512_mul_ps(d1, d), sums[1][i]);
            }
        }
        if (!t.min) continue;
        __m512 m0 = _mm512_load_ps(w + int8_min_at(t)), m1 = _mm512_load_ps(w + panel + int8_min_at(t));
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m512 sum = _mm512_set1_ps(x[i * groups].sum);
            sums[0][i] = _mm512_fmadd_ps(m0, sum, sums[0][i]);
            sums[1][i] = _mm512_fmadd_ps(m1, sum, sums[1][i]);
        }
    }
    UNROLL
    for (int i = 0; i < TOKENS; i++) UNROLL
    for (int p = 0; p < PANELS; p++) {
        float *y = a->y + i * a->stride + p * INT8_LANES;
        _mm512_storeu_ps(y, a->add ? _mm512_add_ps(_mm512_loadu_ps(y), sums[p][i]) : sums[p][i]);
    }
}

#define DEFINE_TILES(name, type, block, groups, halves, min, scales, offset)                                           \
    VNNI static void tile_##name(const Int8Tile *a) { tile((Int8Type){INT8_UNSIGNED, halves, min, offset}, a); }
BLOCK_TYPES(DEFINE_TILES)

#define TILE(name, type, ...)   [type] = tile_##name,
#define LAYOUT(name, type, ...) [type] = INT8_UNSIGNED,
const GemmInt8 gemm_int8_avx512_vnni = {
    .name = "avx512 vnni", .tokens = TOKENS, .layout = {BLOCK_TYPES(LAYOUT)}, .tile = {BLOCK_TYPES(TILE)}};
