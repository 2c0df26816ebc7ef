// What the micro-kernels of quant/kernels/gemm_int8.h share: where things lie in a record, and their tables.
#ifndef QUANT_GEMM_INT8_TILE_H
#define QUANT_GEMM_INT8_TILE_H

#include "quant/kernels/gemm_int8.h"
#include "quant/kernels/layout.h"

// Of a type: constant where these functions are inlined.
typedef struct Int8Type {
    Int8Layout layout;
    int halves;
    bool min;
    int offset; // of unsigned codes
    int digits; // of the inputs
    bool small; // codes of 4 bits, -8 .. 7
} Int8Type;

// Whether the dot product of 32 codes with all digits together fits in 32 bits; else the highest digit's is scaled and
// added up by itself. 2 digits: 32 * 128 * 0x7f7f; 3: 32 * 8 * 0x7f7f7f.
INLINE bool int8_at_once(Int8Type t) { return t.digits == 2 || t.small; }

INLINE size_t int8_lane_bytes(void) { return INT8_LANES * sizeof(float); }
INLINE size_t int8_scales_at(Int8Type t) { return INT8_LANES * BLOCK * (t.layout == INT8_WIDE ? sizeof(int16_t) : 1); }
INLINE size_t int8_min_at(Int8Type t) { return int8_scales_at(t) + (size_t)t.halves * int8_lane_bytes(); }
INLINE size_t int8_record(Int8Type t) { return int8_min_at(t) + (t.min ? int8_lane_bytes() : 0); }

// What a set has for every type. It says before how a function is called, TILE_OF(digits, name), and how one is
// defined, DEFINE_TILE(digits, name, halves, min, offset).
#define INT8_DEFINE_TWO(name, type, block, groups, halves, min, scales, offset)                                        \
    DEFINE_TILE(1, name, halves, min, offset)                                                                          \
    DEFINE_TILE(2, name, halves, min, offset)
#define INT8_DEFINE_THREE(name, type, block, groups, halves, min, scales, offset)                                      \
    DEFINE_TILE(1, name, halves, min, offset)                                                                          \
    DEFINE_TILE(2, name, halves, min, offset)                                                                          \
    DEFINE_TILE(3, name, halves, min, offset)
#define INT8_TILE_ONE(name, type, ...)   [type] = TILE_OF(1, name),
#define INT8_TILE_TWO(name, type, ...)   [type] = TILE_OF(2, name),
#define INT8_TILE_THREE(name, type, ...) [type] = TILE_OF(3, name),

INLINE float int8_float(const uint8_t *at) {
    float f;
    memcpy(&f, at, sizeof f);
    return f;
}

// Four activations.
INLINE int32_t int8_four(const int8_t *at) {
    int32_t i;
    memcpy(&i, at, sizeof i);
    return i;
}

// Two, in 16 bits.
INLINE int32_t int8_two_wide(const int16_t *at) {
    int32_t i;
    memcpy(&i, at, sizeof i);
    return i;
}

#endif
