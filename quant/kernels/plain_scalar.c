// The truth for plain types and for activations: one number at a time, sums in double precision.
#include "core/float8.h"
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"
#include <math.h>

// Elements are copied out byte by byte, as far as C is concerned, since a row may start anywhere.
#define TO_F32(name, Element, value)                                                                                   \
    static void to_f32_##name(const void *src, float *dst, int64_t n) {                                                \
        const uint8_t *at = src;                                                                                       \
        for (int64_t i = 0; i < n; i++, at += sizeof(Element)) {                                                       \
            Element v;                                                                                                 \
            memcpy(&v, at, sizeof v);                                                                                  \
            dst[i] = value;                                                                                            \
        }                                                                                                              \
    }

TO_F32(f16, uint16_t, f16_to_f32(v))
TO_F32(bf16, uint16_t, bf16_to_f32(v))
TO_F32(f64, double, (float)v)
TO_F32(i8, int8_t, (float)v)
TO_F32(i16, int16_t, (float)v)
TO_F32(i32, int32_t, (float)v)
TO_F32(i64, int64_t, (float)v)
TO_F32(u8, uint8_t, (float)v)
TO_F32(bool, uint8_t, v ? 1.0f : 0.0f)
TO_F32(f8_e4m3, uint8_t, e4m3_to_f32(v))
TO_F32(f8_e5m2, uint8_t, e5m2_to_f32(v))
TO_F32(f8_e8m0, uint8_t, e8m0_to_f32(v))

static void to_f32_f32(const void *src, float *dst, int64_t n) {
    if (n) memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void from_f32_f32(const float *src, void *dst, int64_t n) {
    if (n) memcpy(dst, src, (size_t)n * sizeof *src);
}

#define FROM_F32(name)                                                                                                 \
    static void from_f32_##name(const float *src, void *dst, int64_t n) {                                              \
        uint8_t *at = dst;                                                                                             \
        for (int64_t i = 0; i < n; i++, at += sizeof(uint16_t)) {                                                      \
            uint16_t h = name##_from_f32(src[i]);                                                                      \
            memcpy(at, &h, sizeof h);                                                                                  \
        }                                                                                                              \
    }

FROM_F32(f16)
FROM_F32(bf16)

#define DOT_F32(name, Element, value)                                                                                  \
    static float dot_f32_##name(const void *row, const float *x, int64_t n) {                                          \
        const uint8_t *at = row;                                                                                       \
        double sum = 0;                                                                                                \
        for (int64_t i = 0; i < n; i++, at += sizeof(Element)) {                                                       \
            Element v;                                                                                                 \
            memcpy(&v, at, sizeof v);                                                                                  \
            sum += (double)(value)*x[i];                                                                               \
        }                                                                                                              \
        return (float)sum;                                                                                             \
    }

DOT_F32(f32, float, v)
DOT_F32(f16, uint16_t, f16_to_f32(v))
DOT_F32(bf16, uint16_t, bf16_to_f32(v))

// Of a block's absolute values: bits without the sign order as they do, with NaN above infinity.
static uint32_t largest_bits(const float *src) {
    uint32_t largest = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t a = bits_of_float(src[i]) & 0x7fffffff;
        largest = a > largest ? a : largest;
    }
    return largest;
}

static void act(const float *src, BlockAct *dst, int64_t n) {
    for (int64_t b = 0; b < n / BLOCK; b++, src += BLOCK, dst++) {
        float inverse;
        dst->d = act_scale(float_of_bits(largest_bits(src)), &inverse);
        int sums[2] = {0, 0};
        for (int i = 0; i < BLOCK; i++) {
            // Adding 1.5 * 2^23 leaves no room for a fraction, so that the sum is rounded to nearest even.
            float q = inverse > 0 ? (src[i] * inverse + 0x1.8p23f) - 0x1.8p23f : 0;
            dst->q[i] = (int8_t)q;
            sums[i / (BLOCK / 2)] += dst->q[i];
        }
        act_finish(dst, sums[0], sums[1]);
    }
}

static void digits(const float *src, BlockAct *dst, int64_t n, int count) {
    const int32_t middle = digits_middle(count);
    for (int64_t b = 0; b < n / BLOCK; b++, src += BLOCK, dst += count) {
        int32_t top[2] = {0, 0}, low[2] = {0, 0};
        float inverse, exponent, d = digits_scale(largest_bits(src), count, &inverse, &exponent);
        for (int i = 0; i < BLOCK; i++) {
            int32_t code = inverse > 0 ? (int32_t)nearbyintf(src[i] * inverse) : 0;
            code -= digits_less(code, count);
            int32_t turned = (code + middle) ^ middle;
            for (int k = 0; k < count; k++) dst[k].q[i] = (int8_t)(turned >> 8 * (count - 1 - k));
            top[i / (BLOCK / 2)] += dst[0].q[i];
            low[i / (BLOCK / 2)] += code - dst[0].q[i] * (1 << 8 * (count - 1));
        }
        digits_finish(dst, count, d, exponent, top, low);
    }
}

void plain_scalar(Kernels *k) {
    k->to_f32[DT_F32] = to_f32_f32;
    k->to_f32[DT_F16] = to_f32_f16;
    k->to_f32[DT_BF16] = to_f32_bf16;
    k->to_f32[DT_F64] = to_f32_f64;
    k->to_f32[DT_I8] = to_f32_i8;
    k->to_f32[DT_I16] = to_f32_i16;
    k->to_f32[DT_I32] = to_f32_i32;
    k->to_f32[DT_I64] = to_f32_i64;
    k->to_f32[DT_U8] = to_f32_u8;
    k->to_f32[DT_BOOL] = to_f32_bool;
    k->to_f32[DT_F8_E4M3] = to_f32_f8_e4m3;
    k->to_f32[DT_F8_E5M2] = to_f32_f8_e5m2;
    k->to_f32[DT_F8_E8M0] = to_f32_f8_e8m0;
    k->from_f32[DT_F32] = from_f32_f32;
    k->from_f32[DT_F16] = from_f32_f16;
    k->from_f32[DT_BF16] = from_f32_bf16;
    k->dot_f32[DT_F32] = dot_f32_f32;
    k->dot_f32[DT_F16] = dot_f32_f16;
    k->dot_f32[DT_BF16] = dot_f32_bf16;
    k->act = act;
    k->digits = digits;
}
