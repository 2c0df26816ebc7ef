// AVX2 multiplies unsigned by signed bytes and adds up pairs in 16 bits (maddubs). So many of these sums fit in 16 bits
// one over the other as the codes are small: 8 of 4-bit ones, then one instruction widens all. Codes of 8 bits would
// overflow: of them absolute values are multiplied, their signs going to the inputs, and each pair is widened. 8 rows
// by 4 inputs at a time.
#include "quant/kernels/gemm_int8_tile.h"
#include <immintrin.h>

enum { TOKENS = 4, EIGHT = 8 };

INLINE __m256i four_of(const BlockAct *x, int k) { return _mm256_set1_epi32(int8_four(x->q + 4 * k)); }
INLINE __m256i load(const uint8_t *at) { return _mm256_loadu_si256((const void *)at); }
INLINE __m256 load_floats(const uint8_t *at) { return _mm256_loadu_ps((const float *)(const void *)at); }

// Keeps the order of additions: GCC would make a tree of them, for which there are not registers enough.
INLINE __m256i in_order(__m256i v) {
    __asm__("" : "+x"(v));
    return v;
}

INLINE __m256i widened(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

INLINE __m256i start_of(Int8Type t, const BlockAct *x, int h) {
    return _mm256_set1_epi32(x->starts[act_start(t.offset, h)]);
}

// The integer sums of half h of a group, or of all of it: 8 rows, whose part of the record starts at w, by the inputs,
// which are `groups` apart.
INLINE void half_dots(Int8Type t, int depth, const uint8_t *w, const BlockAct *x, int64_t groups, int h,
                      __m256i dots[TOKENS]) {
    const int steps = 8 / t.halves, first = h * steps, run = depth < steps ? depth : steps;
    UNROLL
    for (int i = 0; i < TOKENS; i++) dots[i] = start_of(t, x + i * groups, h);
    if (t.layout == INT8_SIGNED) {
        UNROLL
        for (int k = first; k < first + steps; k++) {
            __m256i codes = load(w + 64 * k), sizes = _mm256_abs_epi8(codes);
            UNROLL
            for (int i = 0; i < TOKENS; i++) {
                __m256i pairs = _mm256_maddubs_epi16(sizes, _mm256_sign_epi8(four_of(x + i * groups, k), codes));
                dots[i] = in_order(_mm256_add_epi32(dots[i], widened(pairs)));
            }
        }
        return;
    }
    UNROLL
    for (int k = first; k < first + steps; k += run) {
        __m256i codes = load(w + 64 * k), pairs[TOKENS];
        UNROLL
        for (int i = 0; i < TOKENS; i++) pairs[i] = _mm256_maddubs_epi16(codes, four_of(x + i * groups, k));
        UNROLL
        for (int more = 1; more < run; more++) {
            codes = load(w + 64 * (k + more));
            UNROLL
            for (int i = 0; i < TOKENS; i++)
                pairs[i] = in_order(
                    _mm256_add_epi16(pairs[i], _mm256_maddubs_epi16(codes, four_of(x + i * groups, k + more))));
        }
        UNROLL
        for (int i = 0; i < TOKENS; i++) dots[i] = _mm256_add_epi32(dots[i], widened(pairs[i]));
    }
}

typedef void (*DotsFn)(Int8Type t, int depth, const uint8_t *w, const BlockAct *x, int64_t groups, int h,
                       __m256i *dots);

// 8 rows by the inputs.
INLINE void strip(Int8Type t, int depth, DotsFn half_dots_of, const Int8Tile *a, const uint8_t *w, float *y) {
    const BlockAct *x = a->inputs;
    const int64_t groups = a->groups;
    __m256 sums[TOKENS];
    UNROLL
    for (int i = 0; i < TOKENS; i++) sums[i] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups; g++, w += int8_record(t), x++) {
        UNROLL
        for (int h = 0; h < t.halves; h++) {
            __m256i dots[TOKENS];
            half_dots_of(t, depth, w, x, groups, h, dots);
            __m256 d = load_floats(w + int8_scales_at() + (size_t)h * int8_lane_bytes());
            UNROLL
            for (int i = 0; i < TOKENS; i++) {
                __m256 by = _mm256_mul_ps(d, _mm256_set1_ps(x[i * groups].d));
                sums[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[i]), by, sums[i]);
            }
        }
        if (!t.min) continue;
        __m256 m = load_floats(w + int8_min_at(t));
        UNROLL
        for (int i = 0; i < TOKENS; i++) sums[i] = _mm256_fmadd_ps(m, _mm256_set1_ps(x[i * groups].sum), sums[i]);
    }
    UNROLL
    for (int i = 0; i < TOKENS; i++) {
        float *to = y + i * a->stride;
        _mm256_storeu_ps(to, a->add ? _mm256_add_ps(_mm256_loadu_ps(to), sums[i]) : sums[i]);
    }
}

INLINE void tile(Int8Type t, int depth, DotsFn dots, const Int8Tile *a) {
    for (int r = 0; r < INT8_ROWS; r += EIGHT)
        strip(t, depth, dots, a, a->weights + (size_t)(r / INT8_LANES) * a->panel + r % INT8_LANES * 4, a->y + r);
}

// The layout and how many sums fit in 16 bits: pairs of products of at most 127 * (code + offset).
// clang-format off
#define AVX2_TYPES(X) \
    X(q8_0, INT8_SIGNED, 0)   X(iq4_nl, INT8_SIGNED, 0)   X(iq4_xs, INT8_SIGNED, 0) \
    X(q4_0, INT8_UNSIGNED, 8) X(q4_1,   INT8_UNSIGNED, 8) X(q4_k,   INT8_UNSIGNED, 8) \
    X(q5_0, INT8_UNSIGNED, 4) X(q5_1,   INT8_UNSIGNED, 4) X(q5_k,   INT8_UNSIGNED, 4) \
    X(q6_k, INT8_UNSIGNED, 2) X(mxfp4,  INT8_UNSIGNED, 4)
// clang-format on
enum {
#define ENUM(name, layout, depth) layout_of_##name = layout, depth_of_##name = depth,
    AVX2_TYPES(ENUM)
};

#define DEFINE_TILES(name, type, block, groups, halves, min, scales, offset)                                           \
    static void tile_##name(const Int8Tile *a) {                                                                       \
        const Int8Layout layout = (Int8Layout)layout_of_##name;                                                        \
        tile((Int8Type){layout, halves, min, layout == INT8_UNSIGNED ? offset : 0}, depth_of_##name, half_dots, a);    \
    }
BLOCK_TYPES(DEFINE_TILES)

#define TILE(name, type, ...)   [type] = tile_##name,
#define LAYOUT(name, type, ...) [type] = (Int8Layout)layout_of_##name,
const GemmInt8 gemm_int8_avx2 = {
    .name = "avx2", .tokens = TOKENS, .layout = {BLOCK_TYPES(LAYOUT)}, .tile = {BLOCK_TYPES(TILE)}};

// ---- AVX_VNNI: VNNI's instruction on 256 bits, for CPUs that have it without AVX-512.

#define AVX_VNNI __attribute__((target("avxvnni")))

AVX_VNNI INLINE void vnni_dots(Int8Type t, int depth, const uint8_t *w, const BlockAct *x, int64_t groups, int h,
                               __m256i dots[TOKENS]) {
    (void)depth;
    UNROLL
    for (int i = 0; i < TOKENS; i++) dots[i] = start_of(t, x + i * groups, h);
    UNROLL
    for (int k = h * 8 / t.halves; k < (h + 1) * 8 / t.halves; k++) {
        __m256i codes = load(w + 64 * k);
        UNROLL
        for (int i = 0; i < TOKENS; i++) dots[i] = _mm256_dpbusd_avx_epi32(dots[i], codes, four_of(x + i * groups, k));
    }
}

#define DEFINE_VNNI(name, type, block, groups, halves, min, scales, offset)                                            \
    AVX_VNNI static void tile_vnni_##name(const Int8Tile *a) {                                                         \
        tile((Int8Type){INT8_UNSIGNED, halves, min, offset}, 0, vnni_dots, a);                                         \
    }
BLOCK_TYPES(DEFINE_VNNI)

#define TILE_VNNI(name, type, ...)   [type] = tile_vnni_##name,
#define LAYOUT_VNNI(name, type, ...) [type] = INT8_UNSIGNED,
const GemmInt8 gemm_int8_avx_vnni = {
    .name = "avx vnni", .tokens = TOKENS, .layout = {BLOCK_TYPES(LAYOUT_VNNI)}, .tile = {BLOCK_TYPES(TILE_VNNI)}};
