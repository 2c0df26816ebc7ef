// Numbers of eight bits and of four, as matrices are stored in: OCP's 8-bit floating point (OFP8) and the scales and
// elements of its microscaling formats. Every value is exact in a float.
#ifndef CORE_FLOAT8_H
#define CORE_FLOAT8_H

#include "core/half.h"

// E4M3: a sign, four bits of exponent, three of fraction. No infinities; 0x7f and 0xff are NaN; the largest is 448.
static inline float e4m3_to_f32(uint8_t v) {
    uint32_t sign = (uint32_t)(v & 0x80) << 24, exponent = v >> 3 & 15, fraction = v & 7;
    if ((v & 0x7f) == 0x7f) return float_of_bits(sign | 0x7fc00000);
    if (exponent) return float_of_bits(sign | (exponent + 120) << 23 | fraction << 20);
    return float_of_bits(sign | bits_of_float((float)fraction * 0x1p-9f)); // zero, subnormal
}

// E5M2: the upper half of a binary16.
static inline float e5m2_to_f32(uint8_t v) { return f16_to_f32((uint16_t)(v << 8)); }

// E8M0: a power of two, 2^(v - 127); 255 is NaN.
static inline float e8m0_to_f32(uint8_t v) {
    if (v == 255) return float_of_bits(0x7fc00000);
    return float_of_bits(v ? (uint32_t)v << 23 : 0x00400000);
}

// E2M1, four bits: a sign, two of exponent, one of fraction.
static inline float e2m1_to_f32(uint8_t v) {
    static const float levels[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    return levels[v & 15];
}

#endif
