// Half precision (IEEE 754 binary16) and bfloat16, one number at a time. Compiled with F16C or for aarch64, f16 takes
// the CPU's own instructions, which round alike: to nearest, ties to even; overflow to infinity; NaN stays NaN.
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <stdint.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

static inline float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float f16_to_f32(uint16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#elif defined(__aarch64__)
    __fp16 f;
    memcpy(&f, &h, sizeof f);
    return f;
#else
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13); // infinity, NaN
    if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    return float_of_bits(sign | bits_of_float((float)fraction * 0x1p-24f)); // zero, subnormal: exact
#endif
}

static inline uint16_t f16_from_f32(float f) {
#if defined(__F16C__)
    return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__aarch64__)
    __fp16 half = (__fp16)f;
    uint16_t h;
    memcpy(&h, &half, sizeof h);
    return h;
#else
    uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000, a = bits & 0x7fffffff;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff)); // NaN, made quiet
    if (a >= 0x47800000) return (uint16_t)(sign | 0x7c00);                    // 65536 and above
    if (a >= 0x38800000) { // 2^-14 and above is a normal half: round the 13 bits away; a carry reaches infinity rightly
        a -= 112u << 23;
        return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1)) >> 13);
    }
    // Below: a float just above 0.5 has the spacing of subnormal halves, 2^-24, so that the sum is rounded as needed.
    return (uint16_t)(sign | (bits_of_float(float_of_bits(a) + 0.5f) - bits_of_float(0.5f)));
#endif
}

static inline float bf16_to_f32(uint16_t h) { return float_of_bits((uint32_t)h << 16); }

static inline uint16_t bf16_from_f32(float f) {
    uint32_t bits = bits_of_float(f);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); // NaN, made quiet
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
