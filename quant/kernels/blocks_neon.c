// Block types with NEON: a group's 32 codes in two registers of 16 bytes, widened to eight of 4 floats.
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"
#include <arm_neon.h>

typedef struct Layout {
    LAYOUT_FIELDS
    int8x16x2_t (*codes)(const void *block, int g); // of group g
} Layout;

INLINE uint8x16_t low_nibbles(uint8x16_t v) { return vandq_u8(v, vdupq_n_u8(15)); }
INLINE uint8x16_t high_nibbles(uint8x16_t v) { return vshrq_n_u8(v, 4); }

// 16 bytes: low nibbles to elements 0-15, high ones to 16-31.
INLINE uint8x16x2_t split_nibbles(const uint8_t *packed) {
    uint8x16_t v = vld1q_u8(packed);
    return (uint8x16x2_t){{low_nibbles(v), high_nibbles(v)}};
}

// Codes less an offset, as signed bytes.
INLINE int8x16x2_t less(uint8x16x2_t q, int offset) {
    int8x16_t by = vdupq_n_s8((int8_t)offset);
    return (int8x16x2_t){{vsubq_s8(vreinterpretq_s8_u8(q.val[0]), by), vsubq_s8(vreinterpretq_s8_u8(q.val[1]), by)}};
}

// Two bytes of bits to 16 bytes, 0 or 16.
INLINE uint8x16_t spread_fifth_bits(const uint8_t high[2]) {
    const uint8x8_t bit_of = vcreate_u8(0x8040201008040201);
    uint8x16_t set = vcombine_u8(vtst_u8(vdup_n_u8(high[0]), bit_of), vtst_u8(vdup_n_u8(high[1]), bit_of));
    return vandq_u8(set, vdupq_n_u8(16));
}

INLINE uint8x16x2_t codes_q5(const uint8_t high[4], const uint8_t *low) {
    uint8x16x2_t q = split_nibbles(low);
    q.val[0] = vorrq_u8(q.val[0], spread_fifth_bits(high));
    q.val[1] = vorrq_u8(q.val[1], spread_fifth_bits(high + 2));
    return q;
}

INLINE int8x16x2_t codes_q8_0(const void *block, int g) {
    const BlockQ8_0 *b = block;
    (void)g;
    return (int8x16x2_t){{vld1q_s8(b->q), vld1q_s8(b->q + 16)}};
}

INLINE int8x16x2_t codes_q4_0(const void *block, int g) {
    const BlockQ4_0 *b = block;
    (void)g;
    return less(split_nibbles(b->q), 8);
}

INLINE int8x16x2_t codes_q4_1(const void *block, int g) {
    const BlockQ4_1 *b = block;
    (void)g;
    return less(split_nibbles(b->q), 0);
}

INLINE int8x16x2_t codes_q5_0(const void *block, int g) {
    const BlockQ5_0 *b = block;
    (void)g;
    return less(codes_q5(b->high, b->q), 16);
}

INLINE int8x16x2_t codes_q5_1(const void *block, int g) {
    const BlockQ5_1 *b = block;
    (void)g;
    return less(codes_q5(b->high, b->q), 0);
}

INLINE int8x16x2_t look_up(const int8_t levels[16], const uint8_t *packed) {
    uint8x16x2_t q = split_nibbles(packed);
    int8x16_t table = vld1q_s8(levels);
    return (int8x16x2_t){{vqtbl1q_s8(table, q.val[0]), vqtbl1q_s8(table, q.val[1])}};
}

INLINE int8x16x2_t codes_iq4_nl(const void *block, int g) {
    const BlockIQ4_NL *b = block;
    (void)g;
    return look_up(iq4_nl_levels, b->q);
}

INLINE int8x16x2_t codes_mxfp4(const void *block, int g) {
    const BlockMXFP4 *b = block;
    (void)g;
    return look_up(e2m1_doubled, b->q);
}

INLINE int8x16x2_t codes_iq4_xs(const void *block, int g) {
    const BlockIQ4_XS *b = block;
    return look_up(iq4_nl_levels, b->q + g * 16);
}

// The nibbles of 32 bytes: the low ones of all, or the high ones.
INLINE uint8x16x2_t take_nibbles(const uint8_t *packed, bool high) {
    uint8x16_t a = vld1q_u8(packed), b = vld1q_u8(packed + 16);
    if (high) return (uint8x16x2_t){{high_nibbles(a), high_nibbles(b)}};
    return (uint8x16x2_t){{low_nibbles(a), low_nibbles(b)}};
}

// Moves bits `from` and up of 32 bytes to position 4, keeps those in mask, and puts them over q.
INLINE uint8x16x2_t add_high_bits(uint8x16x2_t q, const uint8_t *high, int from, int mask) {
    int8x16_t by = vdupq_n_s8((int8_t)(4 - from)); // negative shifts go right
    uint8x16_t keep = vdupq_n_u8((uint8_t)mask);
    for (int i = 0; i < 2; i++) q.val[i] = vorrq_u8(q.val[i], vandq_u8(vshlq_u8(vld1q_u8(high + 16 * i), by), keep));
    return q;
}

INLINE int8x16x2_t codes_q4_k(const void *block, int g) {
    const BlockQ4_K *b = block;
    return less(take_nibbles(b->q + g / 2 * 32, g % 2), 0);
}

INLINE int8x16x2_t codes_q5_k(const void *block, int g) {
    const BlockQ5_K *b = block;
    return less(add_high_bits(take_nibbles(b->q + g / 2 * 32, g % 2), b->high, g, 0x10), 0);
}

INLINE int8x16x2_t codes_q6_k(const void *block, int g) {
    const BlockQ6_K *b = block;
    uint8x16x2_t low = take_nibbles(b->low + g / 4 * 64 + g % 2 * 32, g % 4 / 2);
    return less(add_high_bits(low, b->high + g / 4 * 32, g % 4 * 2, 0x30), 32);
}

BLOCK_TYPES(DEFINE_LAYOUT)

// Weights 4 * part .. 4 * part + 3 of half a group, the scalar twin's to the last bit (layout.h: why FMA is allowed).
INLINE float32x4_t four_weights(const Layout *l, const Scales *s, int g, int8x16x2_t codes, int half, int part) {
    int16x8_t wide = part / 2 ? vmovl_high_s8(codes.val[half]) : vmovl_s8(vget_low_s8(codes.val[half]));
    float32x4_t q = vcvtq_f32_s32(part % 2 ? vmovl_high_s16(wide) : vmovl_s16(vget_low_s16(wide)));
    float d = s->d[g * l->halves + half * (l->halves - 1)];
    return l->min ? vfmaq_n_f32(vdupq_n_f32(s->m[g]), q, d) : vmulq_n_f32(q, d);
}

INLINE void to_f32(const Layout *l, const void *src, float *dst, int64_t n) {
    const uint8_t *block = src, *end = block + n / BLOCK / l->groups * l->bytes;
    for (; block < end; block += l->bytes, dst += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            int8x16x2_t codes = l->codes(block, g);
            UNROLL
            for (int part = 0; part < 8; part++)
                vst1q_f32(dst + g * BLOCK + 4 * part, four_weights(l, &s, g, codes, part / 4, part % 4));
        }
    }
}

INLINE float dot_f32(const Layout *l, const void *row, const float *x, int64_t n) {
    const uint8_t *block = row, *end = block + n / BLOCK / l->groups * l->bytes;
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (; block < end; block += l->bytes, x += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            int8x16x2_t codes = l->codes(block, g);
            UNROLL
            for (int part = 0; part < 8; part++) {
                float32x4_t w = four_weights(l, &s, g, codes, part / 4, part % 4);
                sums[part % 4] = vfmaq_f32(sums[part % 4], w, vld1q_f32(x + g * BLOCK + 4 * part));
            }
        }
    }
    return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
}

INLINE void unpack(const Layout *l, const void *src, int64_t n, Unpacked *out) {
    const uint8_t *block = src;
    for (int64_t at = 0; at < n / BLOCK; at += l->groups, block += l->bytes) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            int8x16x2_t codes = l->codes(block, g);
            vst1q_s8(out->codes + (at + g) * BLOCK, codes.val[0]);
            vst1q_s8(out->codes + (at + g) * BLOCK + 16, codes.val[1]);
            out->d[2 * (at + g)] = s.d[g * l->halves];
            out->d[2 * (at + g) + 1] = s.d[g * l->halves + l->halves - 1];
            if (l->min) out->m[at + g] = s.m[g];
        }
    }
}

#define DEFINE_KERNELS(name, ...)                                                                                      \
    static void to_f32_##name(const void *src, float *dst, int64_t n) { to_f32(&layout_##name, src, dst, n); }         \
    static void unpack_##name(const void *src, int64_t n, Unpacked *out) { unpack(&layout_##name, src, n, out); }      \
    static float dot_f32_##name(const void *row, const float *x, int64_t n) {                                          \
        return dot_f32(&layout_##name, row, x, n);                                                                     \
    }
BLOCK_TYPES(DEFINE_KERNELS)

void blocks_neon(Kernels *k) {
#define ENTER(name, type, ...)                                                                                         \
    k->to_f32[type] = to_f32_##name;                                                                                   \
    k->unpack[type] = unpack_##name;                                                                                   \
    k->dot_f32[type] = dot_f32_##name;
    BLOCK_TYPES(ENTER)
}
