// q8_0, q4_0, q5_0 rounded to the nearest codes, as gguf-py rounds (gguf/quants.py), byte for byte. There is no sum to
// keep in order, so that only scales are worked out with a block in each lane; codes are, a block after the other.
#ifndef QUANT_LANES_NEAREST_H
#define QUANT_LANES_NEAREST_H

#include "quant/lanes.h"

enum { BLOCK_PARTS = BLOCK / LANES };

static inline V nearest_part(const float *x, int p) {
    V v;
    memcpy(&v, x + p * LANES, sizeof v);
    return v;
}

// The lanes of m[i] and m[i + n] for i < n, in pairs the larger (or the lesser). Constant counts, so that all stays in
// registers.
static inline void nearest_halve(V *m, int n, bool least) {
    for (int i = 0; i < n; i++) {
        V a = v_mix_low(m[i], m[i + n]), b = v_mix_high(m[i], m[i + n]);
        m[i] = least ? v_min(a, b) : v_max(a, b);
    }
}

// Lane l: the largest (or the least) of the lanes of m[l], which are overwritten. Shuffled as lanes_transpose does.
static inline V nearest_fold(V m[LANES], bool least) {
#if defined(__AVX512F__)
    nearest_halve(m, 8, least);
#endif
#if defined(__AVX2__)
    nearest_halve(m, 4, least);
#endif
    nearest_halve(m, 2, least);
    nearest_halve(m, 1, least);
    return m[0];
}

// The largest magnitude of each of LANES blocks.
static inline V nearest_magnitude(const float *x) {
    V m[LANES];
    for (int l = 0; l < LANES; l++) {
        m[l] = v_abs(nearest_part(x + l * BLOCK, 0));
        for (int p = 1; p < BLOCK_PARTS; p++) m[l] = v_max(m[l], v_abs(nearest_part(x + l * BLOCK, p)));
    }
    return nearest_fold(m, false);
}

static inline float nearest_first(const float *x, float magnitude) {
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) == magnitude) return x[i];
    return x[0];
}

// v_extreme of each of LANES blocks.
static inline V nearest_extreme(const float *x) {
    V most[LANES], least[LANES];
    for (int l = 0; l < LANES; l++) {
        most[l] = least[l] = nearest_part(x + l * BLOCK, 0);
        for (int p = 1; p < BLOCK_PARTS; p++) {
            most[l] = v_max(most[l], nearest_part(x + l * BLOCK, p));
            least[l] = v_min(least[l], nearest_part(x + l * BLOCK, p));
        }
    }
    V high = nearest_fold(most, false), low = nearest_fold(least, true);
    V top = v_select(v_less(high, -low), low, high);
    // Both are as large: the first one's sign.
    for (uint32_t ties = v_mask(v_less_equal(high, -low) & v_less_equal(-low, high)); ties; ties &= ties - 1) {
        int l = __builtin_ctz(ties);
        top[l] = nearest_first(x + l * BLOCK, fabsf(top[l]));
    }
    return top;
}

typedef int8_t NearestBytes __attribute__((vector_size(LANES)));

static inline void nearest_put(void *to, int p, I codes) {
    NearestBytes bytes = __builtin_convertvector(codes, NearestBytes);
    memcpy((uint8_t *)to + p * LANES, &bytes, sizeof bytes);
}

// Scales as they are stored, and what elements are multiplied by.
typedef struct NearestScales {
    I d;
    float inverse[LANES], half[LANES];
} NearestScales;

// Where 1 / d overflows (d below 2^-128), x / d is no number for gguf-py, and its conversion to bytes gives 0: so do
// an inverse and a half of 0.
static inline NearestScales nearest_scales(V d, float half) {
    NearestScales s = {.d = v_f16_bits(d)};
    V inverse = v_inverse(d);
    M usable = v_less(v_abs(inverse), v_all(INFINITY));
    inverse = v_select(usable, inverse, v_all(0));
    V halves = v_select(usable, v_all(half), v_all(0));
    memcpy(s.inverse, &inverse, sizeof inverse);
    memcpy(s.half, &halves, sizeof halves);
    return s;
}

// LANES blocks, of which the first `count` are stored. Halves are rounded away from zero: below 2^22 the next float
// below 0.5 added to a magnitude reaches the next integer exactly where 0.5 is missing to it.
static inline void nearest_q8_0(const float *x, BlockQ8_0 *out, int count) {
    NearestScales s = nearest_scales(nearest_magnitude(x) / 127.0f, 0x1.fffffep-2f);
    for (int l = 0; l < count; l++, x += BLOCK) {
        out[l].d = (uint16_t)s.d[l];
        for (int p = 0; p < BLOCK_PARTS; p++) {
            V t = nearest_part(x, p) * s.inverse[l];
            V half = v_bits((i_bits(t) & INT32_MIN) | i_bits(v_all(0x1.fffffep-2f)));
            nearest_put(out[l].q, p, v_int(t + half));
        }
    }
}

static inline I nearest_code(const float *x, int p, float inverse, float half, float top) {
    return v_int(v_min(nearest_part(x, p) * inverse + half, v_all(top)));
}

static inline void nearest_q4_0(const float *x, BlockQ4_0 *out, int count) {
    NearestScales s = nearest_scales(nearest_extreme(x) / -8.0f, 8.5f);
    for (int l = 0; l < count; l++, x += BLOCK) {
        out[l].d = (uint16_t)s.d[l];
        for (int p = 0; p < BLOCK_PARTS / 2; p++) {
            I low = nearest_code(x, p, s.inverse[l], s.half[l], 15);
            I high = nearest_code(x, p + BLOCK_PARTS / 2, s.inverse[l], s.half[l], 15);
            nearest_put(out[l].q, p, low | high << 4);
        }
    }
}

static inline void nearest_q5_0(const float *x, BlockQ5_0 *out, int count) {
    NearestScales s = nearest_scales(nearest_extreme(x) / -16.0f, 16.5f);
    for (int l = 0; l < count; l++, x += BLOCK) {
        uint32_t fifth = 0;
        out[l].d = (uint16_t)s.d[l];
        for (int p = 0; p < BLOCK_PARTS / 2; p++) {
            I low = nearest_code(x, p, s.inverse[l], s.half[l], 31);
            I high = nearest_code(x, p + BLOCK_PARTS / 2, s.inverse[l], s.half[l], 31);
            nearest_put(out[l].q, p, (low & 15) | (high & 15) << 4);
            fifth |= v_mask(v_less(v_all(15), __builtin_convertvector(low, V))) << p * LANES;
            fifth |= v_mask(v_less(v_all(15), __builtin_convertvector(high, V))) << (p * LANES + 16);
        }
        memcpy(out[l].high, &fifth, sizeof fifth);
    }
}

#endif
