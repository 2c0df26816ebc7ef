// Lanes: as many blocks side by side as a vector has floats. A search over scales is a long chain of sums over the
// elements of one block; with block b in lane b all of it is vertical, so every instruction set does the very same
// operations on every block, in the same order, and the results are equal bit for bit whatever the number of lanes.
// (That needs -ffp-contract=off, and it is why nothing here sums across lanes.)
#ifndef QUANT_LANES_H
#define QUANT_LANES_H

#include "core/target.h"
#include "quant/blocks.h"
#include "quant/quant.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 }; // SSE2 and NEON, the bases of their architectures
#endif

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));

static inline V v_all(float x) { return x - (V){0}; } // keeps the sign of zero
static inline I i_all(int32_t x) { return x + (I){0}; }
static inline V v_bits(I x) { return (V)x; }
static inline I i_bits(V x) { return (I)x; }

// Masks, one truth value a lane. v_min(a, b) is a < b ? a : b, so the second argument where one is NaN.
#if defined(__AVX512F__)
typedef __mmask16 M;
static inline M v_less(V a, V b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static inline M v_less_equal(V a, V b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
static inline V v_select(M m, V yes, V no) { return (V)_mm512_mask_blend_ps(m, (__m512)no, (__m512)yes); }
static inline I i_select(M m, I yes, I no) { return (I)_mm512_mask_blend_epi32(m, (__m512i)no, (__m512i)yes); }
static inline V v_min(V a, V b) { return (V)_mm512_min_ps((__m512)a, (__m512)b); }
static inline V v_max(V a, V b) { return (V)_mm512_max_ps((__m512)a, (__m512)b); }
#else
typedef I M;
static inline M v_less(V a, V b) { return (M)(a < b); }
static inline M v_less_equal(V a, V b) { return (M)(a <= b); }
#if defined(__AVX2__)
static inline V v_select(M m, V yes, V no) { return (V)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)m); }
static inline V v_min(V a, V b) { return (V)_mm256_min_ps((__m256)a, (__m256)b); }
static inline V v_max(V a, V b) { return (V)_mm256_max_ps((__m256)a, (__m256)b); }
#else
static inline V v_select(M m, V yes, V no) { return v_bits((i_bits(yes) & m) | (i_bits(no) & ~m)); }
static inline V v_min(V a, V b) { return v_select(v_less(a, b), a, b); }
static inline V v_max(V a, V b) { return v_select(v_less(b, a), a, b); }
#endif
static inline I i_select(M m, I yes, I no) { return (yes & m) | (no & ~m); }
#endif

// Truth values as bits, lane 0's the lowest.
static inline uint32_t v_mask(M m) {
#if defined(__AVX512F__)
    return m;
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)m);
#elif defined(__x86_64__)
    return (uint32_t)_mm_movemask_ps((__m128)m);
#else
    uint32_t bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (uint32_t)(m[i] & 1) << i;
    return bits;
#endif
}

static inline V v_abs(V x) { return v_bits(i_bits(x) & 0x7fffffff); }
static inline V v_clamp(V x, float low, float high) { return v_min(v_max(x, v_all(low)), v_all(high)); } // NaN: low
static inline I v_int(V x) { return __builtin_convertvector(x, I); } // towards zero; |x| < 2^31

// Nearest integer, ties to even, for |x| < 2^22: above 1.5 * 2^23 floats are integers.
static inline V v_round(V x) { return (x + 12582912.0f) - 12582912.0f; }

// 1 / d, and 0 for 0: a block whose scale is 0 gets zero codes.
static inline V v_inverse(V d) { return v_select(v_less(v_all(0), v_abs(d)), 1.0f / d, v_all(0)); }

// f32 to the bits of f16: nearest, ties to even, overflow to infinity; finite or infinite input.
static inline I v_f16_bits(V x) {
    I sign = (i_bits(x) >> 16) & 0x8000;
    V a = v_abs(x);
    // Below 2^-14 f16 counts in steps of 2^-24, which is what 0.5 counts in: the sum's last bits are the result.
    I small = i_bits(a + 0.5f) - i_bits(v_all(0.5f));
    I bits = i_bits(a);
    I normal = ((bits + 0xfff + ((bits >> 13) & 1)) >> 13) - ((127 - 15) << 10);
    I r = i_select(v_less(a, v_all(0x1p-14f)), small, normal);
    return sign | i_select(v_less(a, v_all(65520.0f)), r, i_all(0x7c00));
}

// f32 to the nearest f16, as f32; saturates at f16's largest number, so that a search never makes an infinite scale.
static inline V v_f16(V x) {
    V a = v_min(v_abs(x), v_all(65504.0f));
    V small = (a + 0.5f) - 0.5f;
    I bits = i_bits(a);
    V normal = v_bits((bits + 0xfff + ((bits >> 13) & 1)) & ~0x1fff);
    V r = v_select(v_less(a, v_all(0x1p-14f)), small, normal);
    return v_bits(i_bits(r) | (i_bits(x) & INT32_MIN));
}

// a and b interleaved: a0 b0 a1 b1 ..., the low half of them and the high half.
#if defined(__clang__)
#define V_MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define V_MIX(a, b, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif
#if defined(__AVX512F__)
static inline V v_mix_low(V a, V b) { return V_MIX(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
static inline V v_mix_high(V a, V b) {
    return V_MIX(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif defined(__AVX2__)
static inline V v_mix_low(V a, V b) { return V_MIX(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
static inline V v_mix_high(V a, V b) { return V_MIX(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
static inline V v_mix_low(V a, V b) { return V_MIX(a, b, 0, 4, 1, 5); }
static inline V v_mix_high(V a, V b) { return V_MIX(a, b, 2, 6, 3, 7); }
#endif

// Transposes LANES vectors: log2(LANES) perfect shuffles.
static inline void lanes_transpose(V m[LANES]) {
    for (int step = 1; step < LANES; step *= 2) {
        V t[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            t[2 * i] = v_mix_low(m[i], m[i + LANES / 2]);
            t[2 * i + 1] = v_mix_high(m[i], m[i + LANES / 2]);
        }
        memcpy(m, t, sizeof t);
    }
}

// t[j] lane l = from[l][j], for j < width (a multiple of LANES).
static inline void lanes_load(const float *const from[LANES], int width, V *t) {
    for (int j = 0; j < width; j += LANES) {
        for (int l = 0; l < LANES; l++) memcpy(&t[j + l], from[l] + j, sizeof(V));
        lanes_transpose(t + j);
    }
}

// LANES consecutive blocks of `width` elements out of rows * cols; those past the end read zeros and are not stored.
typedef struct LaneBlocks {
    const float *x[LANES], *importance[LANES]; // importance is set only where the caller gave one
    int count;                                 // blocks that are there
} LaneBlocks;

static const float lanes_zeros[BLOCK];

static inline LaneBlocks lanes_at(const float *x, const float *importance, int64_t first, int64_t blocks, int width,
                                  int64_t row_blocks) {
    LaneBlocks b = {.count = blocks - first < LANES ? (int)(blocks - first) : LANES};
    for (int l = 0; l < LANES; l++) {
        bool there = l < b.count;
        b.x[l] = there ? x + (first + l) * width : lanes_zeros;
        if (importance) b.importance[l] = there ? importance + (first + l) % row_blocks * width : lanes_zeros;
    }
    return b;
}

// w = the importance of LANES blocks; where none of a block's columns counts, all count the same.
static inline void lanes_weights(const float *const importance[LANES], int width, V *w) {
    V total = {0};
    lanes_load(importance, width, w);
    for (int i = 0; i < width; i++) total += w[i];
    M counts = v_less(v_all(0), total);
    for (int i = 0; i < width; i++) w[i] = v_select(counts, w[i], v_all(1));
}

// The weights of squared error where the caller has no importance: 1 + part * x^2 / mean x^2. Plain squared error gives
// the lower divergence, engines' own choices (x^2, |x|) weigh large elements more; a little of it, an eighth or with
// few levels more, is better than theirs by both measures (scripts/check_quant.py).
static inline void lanes_default_weights(const V *x, int width, float part, V *w) {
    V squares = {0};
    for (int i = 0; i < width; i++) squares += x[i] * x[i];
    V inverse = v_inverse(squares / (float)width);
    for (int i = 0; i < width; i++) w[i] = 1.0f + part * v_min(x[i] * x[i] * inverse, v_all((float)width));
}

// The first of the elements largest in magnitude, with its sign.
static inline V v_extreme(const V *x, int width) {
    V top = x[0], size = v_abs(x[0]);
    for (int i = 1; i < width; i++) {
        V a = v_abs(x[i]);
        top = v_select(v_less(size, a), x[i], top);
        size = v_max(a, size);
    }
    return top;
}

// A step that makes the largest of some weights a code is finite, and makes none more than that, where that weight is
// as large as this.
#define TAME 0x1p-100f

// For w = d * c, sums of weighted x * c and c * c: the error is that of all zeros less gain = d (2 xc - d cc). Keeps d
// where its gain is more than the best so far.
static inline void v_keep_better(V xc, V cc, V d, V *best, V *gain) {
    V g = d * (2.0f * xc - d * cc);
    M better = v_less(*gain, g) & v_less(v_all(0), cc);
    *best = v_select(better, d, *best);
    *gain = v_select(better, g, *gain);
}

// Packing codes (integers 0..15, 0..31, one vector an element) into the words that blocks hold.
static inline void lanes_pack_nibbles(const I code[32], I words[4]) { // the low nibble is i, the high one i + 16
    for (int w = 0; w < 4; w++) {
        words[w] = (I){0};
        for (int b = 0; b < 4; b++) {
            int i = 4 * w + b;
            words[w] |= ((code[i] & 15) | (code[i + 16] & 15) << 4) << 8 * b;
        }
    }
}

static inline I lanes_pack_fifth_bits(const I code[32]) {
    I word = {0};
    for (int i = 0; i < 32; i++) word |= (code[i] >> 4 & 1) << i;
    return word;
}

#endif
