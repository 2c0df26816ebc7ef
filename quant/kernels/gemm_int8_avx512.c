// AVX512_VNNI: one instruction multiplies 64 unsigned by 64 signed bytes and adds up each four neighbours, so codes are
// unsigned, and sums start below zero by what that adds. 32 rows by 6 inputs: 12 integer sums and 12 in f32.
#include "quant/kernels/gemm_int8_tile.h"
#include <immintrin.h>

#define VNNI __attribute__((target("avx512vnni")))

enum { TOKENS = 6, PANELS = INT8_ROWS / INT8_LANES };

// One step of what a tile does ends before the next begins: GCC would load ahead until sums leave the registers.
#define STEP_ENDS __asm__ volatile("" ::: "memory")

// dots += codes by one digit of the inputs: half h of a group; x are `step` blocks apart.
VNNI INLINE void add_dots(Int8Type t, __m512i dots[PANELS][TOKENS], const uint8_t *w, size_t panel, const BlockAct *x,
                          int64_t step, int h) {
    UNROLL
    for (int k = h * 8 / t.halves; k < (h + 1) * 8 / t.halves; k++) {
        __m512i w0 = _mm512_load_si512(w + 64 * k), w1 = _mm512_load_si512(w + panel + 64 * k);
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m512i four = _mm512_set1_epi32(int8_four(x[i * step].q + 4 * k));
            dots[0][i] = _mm512_dpbusd_epi32(dots[0][i], w0, four);
            dots[1][i] = _mm512_dpbusd_epi32(dots[1][i], w1, four);
        }
    }
    STEP_ENDS;
}

// dots += what unsigned codes make them start below zero by.
VNNI INLINE void add_starts(Int8Type t, __m512i dots[PANELS][TOKENS], const BlockAct *x, int64_t step, int h) {
    STEP_ENDS;
    UNROLL
    for (int i = 0; i < TOKENS; i++) {
        __m512i start =
            t.offset ? _mm512_set1_epi32(x[i * step].starts[act_start(t.offset, h)]) : _mm512_setzero_si512();
        UNROLL
        for (int p = 0; p < PANELS; p++) dots[p][i] = _mm512_add_epi32(dots[p][i], start);
    }
}

// sums += dots * d * the inputs' scales. Where those are powers of two, their exponents are added, which other units do
// than multiply.
VNNI INLINE void add_scaled(Int8Type t, __m512 sums[PANELS][TOKENS], __m512i dots[PANELS][TOKENS],
                            const uint8_t *scales, size_t panel, const BlockAct *x, int64_t step) {
    const __m512 d[PANELS] = {_mm512_load_ps(scales), _mm512_load_ps(scales + panel)};
    UNROLL
    for (int i = 0; i < TOKENS; i++) {
        __m512 by = _mm512_set1_ps(t.digits > 1 ? x[i * step].exponent : x[i * step].d);
        UNROLL
        for (int p = 0; p < PANELS; p++) {
            __m512 scale = t.digits > 1 ? _mm512_scalef_ps(d[p], by) : _mm512_mul_ps(d[p], by);
            sums[p][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[p][i]), scale, sums[p][i]);
        }
    }
}

VNNI INLINE void shift(__m512i dots[PANELS][TOKENS]) {
    UNROLL
    for (int p = 0; p < PANELS; p++) UNROLL
    for (int i = 0; i < TOKENS; i++) dots[p][i] = _mm512_slli_epi32(dots[p][i], 8);
}

VNNI INLINE void clear(__m512i dots[PANELS][TOKENS]) {
    UNROLL
    for (int p = 0; p < PANELS; p++) UNROLL
    for (int i = 0; i < TOKENS; i++) dots[p][i] = _mm512_setzero_si512();
}

VNNI INLINE void tile(Int8Type t, const Int8Tile *a) {
    const uint8_t *w = a->weights;
    const BlockAct *x = a->inputs;
    const size_t panel = a->panel;
    const int64_t groups = a->groups, step = groups * t.digits;
    const int last = t.digits - 1;
    __m512 sums[PANELS][TOKENS];
    UNROLL
    for (int i = 0; i < TOKENS; i++) UNROLL
    for (int p = 0; p < PANELS; p++) __builtin_prefetch(a->y + i * a->stride + p * INT8_LANES, 1);
    UNROLL
    for (int p = 0; p < PANELS; p++) UNROLL
    for (int i = 0; i < TOKENS; i++) sums[p][i] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups; g++, w += int8_record(t), x += t.digits) {
        for (int h = 0; h < t.halves; h++) {
            const uint8_t *scales = w + int8_scales_at(t) + (size_t)h * int8_lane_bytes();
            __m512i dots[PANELS][TOKENS];
            clear(dots);
            UNROLL
            for (int k = 0; k <= last; k++) {
                if (k == 1 && !int8_at_once(t)) {
                    add_scaled(t, sums, dots, scales, panel, x, step);
                    clear(dots);
                } else if (k > 0) {
                    shift(dots);
                }
                if (k == 0 || k == last) add_starts(t, dots, x + k, step, h);
                add_dots(t, dots, w, panel, x + k, step, h);
            }
            add_scaled(t, sums, dots, scales, panel, x + last, step);
        }
        if (!t.min) continue;
        __m512 m0 = _mm512_load_ps(w + int8_min_at(t)), m1 = _mm512_load_ps(w + panel + int8_min_at(t));
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m512 sum = _mm512_set1_ps(x[i * step].sum);
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

#define TILE_OF(digits, name) tile##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    VNNI static void TILE_OF(digits, name)(const Int8Tile *a) {                                                        \
        tile((Int8Type){INT8_UNSIGNED, halves, min, offset, digits, offset == 8}, a);                                  \
    }
BLOCK_TYPES(INT8_DEFINE_THREE)

// Where a scale has but 16 weights, three digits are no faster than f32.
#define TILE_THREE(name, type, block, groups, halves, ...) [type] = halves == 1 ? TILE_OF(3, name) : NULL,
#define LAYOUT(name, type, ...)                            [type] = INT8_UNSIGNED,
const GemmInt8 gemm_int8_avx512_vnni = {
    .name = "avx512 vnni",
    .tokens = TOKENS,
    .layout = {BLOCK_TYPES(LAYOUT)},
    .tile = {[1] = {BLOCK_TYPES(INT8_TILE_ONE)}, [2] = {BLOCK_TYPES(INT8_TILE_TWO)}, [3] = {BLOCK_TYPES(TILE_THREE)}},
};
