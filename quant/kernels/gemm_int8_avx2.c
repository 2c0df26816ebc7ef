// AVX2 multiplies unsigned by signed bytes and adds up pairs in 16 bits (maddubs). So many of these sums fit in 16 bits
// one over the other as the codes are small: 8 of 4-bit ones, then one instruction widens all. Codes of 8 bits would
// overflow at once: they, and their inputs, are in 16 bits to begin with. 16 rows by 4 inputs at a time, the sums in
// f32 in the first-level cache.
#include "quant/kernels/gemm_int8_tile.h"
#include <immintrin.h>

enum { TOKENS = 4, EIGHT = 8, PARTS = INT8_LANES / EIGHT };

INLINE __m256i four_of(const BlockAct *x, int k) { return _mm256_set1_epi32(int8_four(x->q + 4 * k)); }
INLINE __m256i load(const uint8_t *at) { return _mm256_loadu_si256((const void *)at); }
INLINE __m256 load_floats(const uint8_t *at) { return _mm256_loadu_ps((const float *)(const void *)at); }

// Keeps the order of additions: GCC would make a tree of them, for which there are not registers enough.
INLINE __m256i in_order(__m256i v) {
    __asm__("" : "+x"(v));
    return v;
}

INLINE __m256i widened(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// The integer sums of half h of a group, or of all of it: 16 rows, whose record starts at w, by the inputs.
typedef void (*DotsFn)(Int8Type t, int depth, const uint8_t *w, const Int8Tile *a, int64_t g, int h,
                       __m256i dots[PARTS][TOKENS]);

// A digit of a group of the first input, and how far it is to that of the next input.
INLINE const BlockAct *digit_of(Int8Type t, const Int8Tile *a, int64_t g, int digit) {
    return a->inputs + g * t.digits + digit;
}
INLINE int64_t step_of(Int8Type t, const Int8Tile *a) { return a->groups * t.digits; }

// What sums start at; with a second digit, it is added to those of the first, which are worth 256 times as much.
INLINE void start(Int8Type t, const Int8Tile *a, int64_t g, int h, int digit, __m256i dots[PARTS][TOKENS]) {
    const BlockAct *x = digit_of(t, a, g, digit);
    UNROLL
    for (int i = 0; i < TOKENS; i++) {
        __m256i from =
            t.offset ? _mm256_set1_epi32(x[i * step_of(t, a)].starts[act_start(t.offset, h)]) : _mm256_setzero_si256();
        UNROLL
        for (int p = 0; p < PARTS; p++)
            dots[p][i] = digit ? _mm256_add_epi32(_mm256_slli_epi32(dots[p][i], 8), from) : from;
    }
}

INLINE void add_narrow_dots(Int8Type t, int depth, const uint8_t *w, const BlockAct *x, int64_t step, int h,
                            __m256i dots[PARTS][TOKENS]) {
    const int steps = 8 / t.halves, first = h * steps, run = depth < steps ? depth : steps;
    UNROLL
    for (int k = first; k < first + steps; k += run) {
        __m256i pairs[PARTS][TOKENS];
        UNROLL
        for (int more = 0; more < run; more++) {
            __m256i codes[PARTS] = {load(w + 64 * (k + more)), load(w + 64 * (k + more) + 32)};
            UNROLL
            for (int i = 0; i < TOKENS; i++) {
                __m256i four = four_of(x + i * step, k + more);
                UNROLL
                for (int p = 0; p < PARTS; p++) {
                    __m256i sums = _mm256_maddubs_epi16(codes[p], four);
                    pairs[p][i] = more ? in_order(_mm256_add_epi16(pairs[p][i], sums)) : sums;
                }
            }
        }
        UNROLL
        for (int i = 0; i < TOKENS; i++) UNROLL
        for (int p = 0; p < PARTS; p++) dots[p][i] = _mm256_add_epi32(dots[p][i], widened(pairs[p][i]));
    }
}

INLINE void narrow_dots(Int8Type t, int depth, const uint8_t *w, const Int8Tile *a, int64_t g, int h,
                        __m256i dots[PARTS][TOKENS]) {
    UNROLL
    for (int digit = 0; digit < t.digits; digit++) {
        start(t, a, g, h, digit, dots);
        add_narrow_dots(t, depth, w, digit_of(t, a, g, digit), step_of(t, a), h, dots);
    }
}

INLINE __m256i sixteen_codes(const BlockAct *x, int half) {
    return _mm256_cvtepi8_epi16(_mm_load_si128((const void *)(x->q + 16 * half)));
}

static void widen(const BlockAct *x, int64_t blocks, int digits, int16_t *wide) {
    for (int64_t b = 0; b < blocks; b++, wide += BLOCK, x += digits)
        for (int half = 0; half < 2; half++) {
            __m256i codes = sixteen_codes(x, half);
            if (digits == 2) codes = _mm256_add_epi16(_mm256_slli_epi16(codes, 8), sixteen_codes(x + 1, half));
            _mm256_store_si256((void *)(wide + 16 * half), codes);
        }
}

INLINE void wide_dots(Int8Type t, int depth, const uint8_t *w, const Int8Tile *a, int64_t g, int h,
                      __m256i dots[PARTS][TOKENS]) {
    (void)depth;
    const int16_t *x = a->wide + g * BLOCK;
    const int steps = 16 / t.halves;
    UNROLL
    for (int i = 0; i < TOKENS; i++) dots[0][i] = dots[1][i] = _mm256_setzero_si256();
#pragma GCC unroll 16
    for (int k = h * steps; k < (h + 1) * steps; k++) {
        __m256i codes[PARTS] = {load(w + 64 * k), load(w + 64 * k + 32)};
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m256i two = _mm256_set1_epi32(int8_two_wide(x + i * a->groups * BLOCK + 2 * k));
            UNROLL
            for (int p = 0; p < PARTS; p++)
                dots[p][i] = in_order(_mm256_add_epi32(dots[p][i], _mm256_madd_epi16(codes[p], two)));
        }
    }
}

// 16 rows by the inputs.
INLINE void strip(Int8Type t, int depth, DotsFn dots_of, const Int8Tile *a, const uint8_t *w, float *y) {
    __m256 sums[PARTS][TOKENS];
    for (int i = 0; i < TOKENS; i++) sums[0][i] = sums[1][i] = _mm256_setzero_ps();
    for (int64_t g = 0; g < a->groups; g++, w += int8_record(t)) {
        const BlockAct *x = digit_of(t, a, g, 0), *last = digit_of(t, a, g, t.digits - 1);
        UNROLL
        for (int h = 0; h < t.halves; h++) {
            __m256i dots[PARTS][TOKENS];
            dots_of(t, depth, w, a, g, h, dots);
            const uint8_t *scales = w + int8_scales_at(t) + (size_t)h * int8_lane_bytes();
            __m256 d0 = load_floats(scales), d1 = load_floats(scales + 32);
            UNROLL
            for (int i = 0; i < TOKENS; i++) {
                __m256 d = _mm256_set1_ps(last[i * step_of(t, a)].d);
                sums[0][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[0][i]), _mm256_mul_ps(d0, d), sums[0][i]);
                sums[1][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[1][i]), _mm256_mul_ps(d1, d), sums[1][i]);
            }
        }
        if (!t.min) continue;
        __m256 m0 = load_floats(w + int8_min_at(t)), m1 = load_floats(w + int8_min_at(t) + 32);
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m256 sum = _mm256_set1_ps(x[i * step_of(t, a)].sum);
            sums[0][i] = _mm256_fmadd_ps(m0, sum, sums[0][i]);
            sums[1][i] = _mm256_fmadd_ps(m1, sum, sums[1][i]);
        }
    }
    for (int i = 0; i < TOKENS; i++)
        for (int p = 0; p < PARTS; p++) {
            float *to = y + i * a->stride + p * EIGHT;
            _mm256_storeu_ps(to, a->add ? _mm256_add_ps(_mm256_loadu_ps(to), sums[p][i]) : sums[p][i]);
        }
}

INLINE void tile(Int8Type t, int depth, DotsFn dots, const Int8Tile *a) {
    for (int r = 0; r < INT8_ROWS; r += INT8_LANES)
        strip(t, depth, dots, a, a->weights + (size_t)(r / INT8_LANES) * a->panel, a->y + r);
}

// The layout and how many sums fit in 16 bits: pairs of products of at most 127 * (code + offset).
// clang-format off
#define AVX2_TYPES(X) \
    X(q8_0, INT8_WIDE,     0) X(iq4_nl, INT8_WIDE, 0)     X(iq4_xs, INT8_WIDE, 0) \
    X(q4_0, INT8_UNSIGNED, 8) X(q4_1,   INT8_UNSIGNED, 8) X(q4_k,   INT8_UNSIGNED, 8) \
    X(q5_0, INT8_UNSIGNED, 4) X(q5_1,   INT8_UNSIGNED, 4) X(q5_k,   INT8_UNSIGNED, 4) \
    X(q6_k, INT8_UNSIGNED, 2) X(mxfp4,  INT8_UNSIGNED, 4)
// clang-format on
enum {
#define ENUM(name, layout, depth) layout_of_##name = layout, depth_of_##name = depth,
    AVX2_TYPES(ENUM)
};

#define TILE_OF(digits, name) tile##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    static void TILE_OF(digits, name)(const Int8Tile *a) {                                                             \
        const Int8Layout layout = (Int8Layout)layout_of_##name;                                                        \
        if (layout == INT8_WIDE)                                                                                       \
            tile((Int8Type){layout, halves, min, 0, digits, false}, 0, wide_dots, a);                                  \
        else                                                                                                           \
            tile((Int8Type){layout, halves, min, offset, digits, false}, depth_of_##name, narrow_dots, a);             \
    }
BLOCK_TYPES(INT8_DEFINE_TWO)

#define LAYOUT(name, type, ...) [type] = (Int8Layout)layout_of_##name,
const GemmInt8 gemm_int8_avx2 = {
    .name = "avx2",
    .tokens = TOKENS,
    .layout = {BLOCK_TYPES(LAYOUT)},
    .tile = {[1] = {BLOCK_TYPES(INT8_TILE_ONE)}, [2] = {BLOCK_TYPES(INT8_TILE_TWO)}},
    .widen = widen,
};
#undef TILE_OF
#undef DEFINE_TILE

// ---- AVX_VNNI: VNNI's instruction on 256 bits, for CPUs that have it without AVX-512.

#define AVX_VNNI __attribute__((target("avxvnni")))

AVX_VNNI INLINE void add_vnni_dots(Int8Type t, const uint8_t *w, const BlockAct *x, int64_t step, int h,
                                   __m256i dots[PARTS][TOKENS]) {
    UNROLL
    for (int k = h * 8 / t.halves; k < (h + 1) * 8 / t.halves; k++) {
        __m256i codes[PARTS] = {load(w + 64 * k), load(w + 64 * k + 32)};
        UNROLL
        for (int i = 0; i < TOKENS; i++) {
            __m256i four = four_of(x + i * step, k);
            UNROLL
            for (int p = 0; p < PARTS; p++) dots[p][i] = _mm256_dpbusd_avx_epi32(dots[p][i], codes[p], four);
        }
    }
}

AVX_VNNI INLINE void vnni_dots(Int8Type t, int depth, const uint8_t *w, const Int8Tile *a, int64_t g, int h,
                               __m256i dots[PARTS][TOKENS]) {
    (void)depth;
    UNROLL
    for (int digit = 0; digit < t.digits; digit++) {
        start(t, a, g, h, digit, dots);
        add_vnni_dots(t, w, digit_of(t, a, g, digit), step_of(t, a), h, dots);
    }
}

#define TILE_OF(digits, name) vnni##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    AVX_VNNI static void TILE_OF(digits, name)(const Int8Tile *a) {                                                    \
        tile((Int8Type){INT8_UNSIGNED, halves, min, offset, digits, false}, 0, vnni_dots, a);                          \
    }
BLOCK_TYPES(INT8_DEFINE_TWO)

#define LAYOUT_VNNI(name, type, ...) [type] = INT8_UNSIGNED,
const GemmInt8 gemm_int8_avx_vnni = {
    .name = "avx vnni",
    .tokens = TOKENS,
    .layout = {BLOCK_TYPES(LAYOUT_VNNI)},
    .tile = {[1] = {BLOCK_TYPES(INT8_TILE_ONE)}, [2] = {BLOCK_TYPES(INT8_TILE_TWO)}},
};
