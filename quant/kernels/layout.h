// What the block types have in common, so that each set of kernels is three loops and one small decoder a type.
// Every block is groups of 32 weights: one group, or eight in a super-block. Of each group, `codes` (one function a
// type and set) gives the 32 codes in the order of the elements, and `scales` (below, for all sets) their worth:
//     w[i] = d * q[i]            types without a minimum
//     w[i] = d * q[i] + m        types with one
// computed in this order and rounded after each step, as gguf.quants.dequantize does. With a minimum, d * q is exact
// (11 bits of the half, 6 of a packed scale and 5 of a code are fewer than 24), so that a fused step rounds alike.
#ifndef QUANT_LAYOUT_H
#define QUANT_LAYOUT_H

#include "core/dtype.h"
#include "quant/blocks.h"
#include "core/half.h"
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))

// Before a loop over groups: its index becomes a constant, and so do the shifts that depend on it.
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { GROUPS = SUPER / BLOCK };

typedef struct Scales {
    float d[2 * GROUPS]; // of each group, or of each half of a group (Layout.halves)
    float m[GROUPS];     // of each group; not set where the type has no minimum
} Scales;

// clang-format off
// offset: what makes a code unsigned, code + offset in 0 .. 255, where it is not.
//    name    type       struct       groups halves min    scales          offset
#define BLOCK_TYPES(X) \
    X(q8_0,   DT_Q8_0,   BlockQ8_0,   1,     1,     false, scale_first,    128) \
    X(q4_0,   DT_Q4_0,   BlockQ4_0,   1,     1,     false, scale_first,    8)   \
    X(q4_1,   DT_Q4_1,   BlockQ4_1,   1,     1,     true,  scale_minimum,  0)   \
    X(q5_0,   DT_Q5_0,   BlockQ5_0,   1,     1,     false, scale_first,    16)  \
    X(q5_1,   DT_Q5_1,   BlockQ5_1,   1,     1,     true,  scale_minimum,  0)   \
    X(iq4_nl, DT_IQ4_NL, BlockIQ4_NL, 1,     1,     false, scale_first,    128) \
    X(mxfp4,  DT_MXFP4,  BlockMXFP4,  1,     1,     false, scale_e8m0,     16)  \
    X(iq4_xs, DT_IQ4_XS, BlockIQ4_XS, 8,     1,     false, scales_iq4_xs,  128) \
    X(q4_k,   DT_Q4_K,   BlockQ4_K,   8,     1,     true,  scales_packed,  0)   \
    X(q5_k,   DT_Q5_K,   BlockQ5_K,   8,     1,     true,  scales_packed,  0)   \
    X(q6_k,   DT_Q6_K,   BlockQ6_K,   8,     2,     false, scales_q6_k,    32)
// clang-format on

// Defines layout_q8_0 and so on, where Layout is the set's own struct with these fields and `codes` at the end.
#define DEFINE_LAYOUT(name, type, block, groups, halves, min, scales, offset)                                          \
    static const Layout layout_##name = {sizeof(block), groups, halves, min, scales, codes_##name};

#define LAYOUT_FIELDS                                                                                                  \
    int64_t bytes; /* of a block */                                                                                    \
    int groups;    /* of 32 weights in a block */                                                                      \
    int halves;    /* 2 where each half of a group has its own scale */                                                \
    bool min;                                                                                                          \
    void (*scales)(const void *block, Scales *s);

INLINE void scale_first(const void *block, Scales *s) {
    const BlockQ4_0 *b = block; // d comes first in all of these
    s->d[0] = f16_to_f32(b->d);
}

INLINE void scale_minimum(const void *block, Scales *s) {
    const BlockQ4_1 *b = block; // and m second
    s->d[0] = f16_to_f32(b->d);
    s->m[0] = f16_to_f32(b->m);
}

INLINE void scale_e8m0(const void *block, Scales *s) {
    const BlockMXFP4 *b = block;
    // 2^(e - 128), of which the two smallest are below the normal numbers.
    s->d[0] = float_of_bits(b->e < 2 ? UINT32_C(0x00200000) << b->e : (uint32_t)(b->e - 1) << 23);
}

INLINE void scales_iq4_xs(const void *block, Scales *s) {
    const BlockIQ4_XS *b = block;
    float d = f16_to_f32(b->d);
    for (int g = 0; g < GROUPS; g++) {
        int scale = (b->scales_low[g / 2] >> g % 2 * 4 & 15) | (b->scales_high >> 2 * g & 3) << 4;
        s->d[g] = d * (float)(scale - 32);
    }
}

// The 8 scales and 8 minimums of 6 bits in 12 bytes: the low six bits of bytes 0-3 and 4-7 are the first four of each;
// bytes 8-11 hold the low four bits of the others, whose top two are the top two of bytes 0-7.
INLINE void scales_packed(const void *block, Scales *s) {
    const BlockQ4_K *b = block; // q5_k starts alike
    uint32_t w[3], scales[2], mins[2];
    memcpy(w, b->scales, sizeof w);
    scales[0] = w[0] & 0x3f3f3f3f;
    scales[1] = (w[2] & 0x0f0f0f0f) | (w[0] >> 2 & 0x30303030);
    mins[0] = w[1] & 0x3f3f3f3f;
    mins[1] = (w[2] >> 4 & 0x0f0f0f0f) | (w[1] >> 2 & 0x30303030);
    uint8_t scale[GROUPS], min[GROUPS];
    memcpy(scale, scales, sizeof scale);
    memcpy(min, mins, sizeof min);
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int g = 0; g < GROUPS; g++) {
        s->d[g] = d * (float)scale[g];
        s->m[g] = -(dmin * (float)min[g]);
    }
}

INLINE void scales_q6_k(const void *block, Scales *s) {
    const BlockQ6_K *b = block;
    float d = f16_to_f32(b->d);
    for (int h = 0; h < 2 * GROUPS; h++) s->d[h] = d * (float)b->scales[h];
}

// The scale by which a block of 32 activations is rounded, from the largest of their absolute values: returns d and
// sets *inverse, by which to multiply them; where that is 0, all codes are. So it is for a block so small that the
// inverse would overflow, and for one that holds an infinity or NaN: its d is NaN, and so is any dot product with it.
INLINE float act_scale(float largest, float *inverse) {
    bool usable = largest >= 0x1p-119f && largest <= 0x1.fffffep127f;
    *inverse = usable ? 127.0f / largest : 0;
    return usable ? largest / 127.0f : largest < 1 ? 0 : largest - largest;
}

// Unsigned codes make a dot product larger by offset * (sum of q), which it therefore starts below zero by. Where that
// is in BlockAct.starts, offset not being 0; half: of a group, for types with two scales in one (whose offset is 32).
INLINE int act_start(int offset, int half) { return offset == 8 ? 0 : offset == 16 ? 1 : offset == 128 ? 2 : 3 + half; }

// What follows from d and the sums of either half's q.
INLINE void act_finish(BlockAct *a, int32_t first, int32_t second) {
    int32_t all = first + second;
    a->sum = a->d * (float)all;
    a->starts[act_start(8, 0)] = -8 * all;
    a->starts[act_start(16, 0)] = -16 * all;
    a->starts[act_start(128, 0)] = -128 * all;
    a->starts[act_start(32, 0)] = -32 * first;
    a->starts[act_start(32, 1)] = -32 * second;
    a->exponent = 0;
}

// The same scale for rounding to 2 or 3 digits, from the bits of the largest absolute value: a power of two, so that
// numbers lose what is below it, and nothing else. All codes are 0 where *inverse is.
INLINE float digits_scale(uint32_t largest, int digits, float *inverse, float *exponent) {
    // The largest code is 127 in each digit: 0x7f7f or 0x7f7f7f. A number above that takes one power more.
    const uint32_t above = digits == 2 ? 0x0101ff : 0x010101, bits = digits == 2 ? 14 : 22;
    const uint32_t power = (largest + above) >> 23;
    const bool finite = largest < 0x7f800000, usable = finite && power > bits;
    *inverse = usable ? float_of_bits((254 + bits - power) << 23) : 0;
    *exponent = usable ? (float)power - 127 - (float)bits : finite ? 0 : float_of_bits(0x7fc00000);
    return usable ? float_of_bits((power - bits) << 23) : finite ? 0 : *exponent;
}

// Codes are to the nearest, but for those of two digits whose lower one would be -128: by one less.
INLINE bool digits_less(int32_t code, int digits) { return digits == 2 && (code & 0xff) == 0x80; }

// A code plus this, byte by byte exclusive-or this: its digits, as signed bytes, the lowest first.
INLINE int32_t digits_middle(int digits) { return digits == 2 ? 0x8080 : 0x808080; }

// What follows from the scale and the sums of either half's digits: of the highest, and of the others together.
INLINE void digits_finish(BlockAct *a, int digits, float d, float exponent, const int32_t top[2],
                          const int32_t low[2]) {
    static const int32_t none[2] = {0, 0};
    const int32_t all = (top[0] + top[1]) * (1 << 8 * (digits - 1)) + low[0] + low[1];
    for (int k = 0; k < digits; k++) {
        const int32_t *sums = k == 0 ? top : k == digits - 1 ? low : none;
        a[k].d = d * (float)(1 << 8 * (digits - 1 - k));
        act_finish(&a[k], sums[0], sums[1]);
        a[k].exponent = exponent + (float)(8 * (digits - 1 - k));
        a[k].sum = k == 0 ? d * (float)all : 0;
    }
}

#endif
