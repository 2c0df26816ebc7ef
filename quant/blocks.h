// The blocks, as they lie in memory and in files: GGUF's layouts, little-endian.
// Specification: ggml-common.h and gguf-py's quants.py (https://github.com/ggml-org/llama.cpp). w is a weight, q a
// code.
#ifndef QUANT_BLOCKS_H
#define QUANT_BLOCKS_H

#include <assert.h>
#include <stdint.h>

enum { BLOCK = 32, SUPER = 256 }; // elements of a block, and of a k-type's super-block

#pragma pack(push, 1) // a row may start at any byte of a file, so that no field is known to be aligned

typedef struct BlockQ8_0 { // w = d * q
    uint16_t d;            // f16, as everywhere here
    int8_t q[32];
} BlockQ8_0;

typedef struct BlockQ4_0 { // w = d * (q - 8); element i in the low nibble of q[i], i + 16 in the high one
    uint16_t d;
    uint8_t q[16];
} BlockQ4_0;

typedef struct BlockQ4_1 { // w = d * q + m
    uint16_t d, m;
    uint8_t q[16];
} BlockQ4_1;

typedef struct BlockQ5_0 { // w = d * (q - 16); bit i of high (little-endian) is the fifth bit of element i
    uint16_t d;
    uint8_t high[4];
    uint8_t q[16];
} BlockQ5_0;

typedef struct BlockQ5_1 { // w = d * q + m
    uint16_t d, m;
    uint8_t high[4];
    uint8_t q[16];
} BlockQ5_1;

typedef struct BlockIQ4_NL { // w = d * iq4_nl_levels[q]
    uint16_t d;
    uint8_t q[16];
} BlockIQ4_NL;

static const int8_t iq4_nl_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

typedef struct BlockQ4_K { // 8 sub-blocks of 32: w = d * scale * q - dmin * min
    uint16_t d, dmin;
    uint8_t scales[12]; // 6-bit scales and mins, packed as ggml's get_scale_min_k4 unpacks them
    uint8_t q[128];     // 64 elements to 32 bytes: low nibbles the first 32, high nibbles the second
} BlockQ4_K;

typedef struct BlockQ5_K {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32]; // bit s of high[i]: the fifth bit of element i of sub-block s
    uint8_t q[128];
} BlockQ5_K;

typedef struct BlockQ6_K { // 16 sub-blocks of 16: w = d * scale * (q - 32)
    uint8_t low[128], high[64];
    int8_t scales[16];
    uint16_t d;
} BlockQ6_K;

typedef struct BlockIQ4_XS { // 8 sub-blocks of 32: w = d * (scale - 32) * iq4_nl_levels[q]
    uint16_t d, scales_high; // bit pairs
    uint8_t scales_low[4];   // nibbles
    uint8_t q[128];          // 32 elements to 16 bytes
} BlockIQ4_XS;

typedef struct BlockMXFP4 { // w = 2^(e - 128) * e2m1_doubled[q]; e2m1 is a sign, two bits of exponent, one of fraction
    uint8_t e;
    uint8_t q[16];
} BlockMXFP4;

// E2M1's values, doubled to be whole. There is no -0 among them.
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
#pragma pack(pop)

// Activations rounded to 8 bits, for integer dot products with any of the above; never in a file. Or to more: as 2 or 3
// digits to the base 256, each of which is one of these, the highest first. Then x is the sum of all d * q; the scales
// are powers of two, each 256 times the next one's. What is said of sums and starts of the lower digits is said once,
// in the last of them.
typedef struct BlockAct {
    float d;           // x = d * q
    float sum;         // of x as rounded, for types with a minimum: of all digits in the highest, 0 in the last
    int32_t starts[5]; // what a dot product starts at, by act_start (quant/kernels/layout.h)
    float exponent;    // of several digits: d = 2^exponent
    int8_t q[32];      // -127 .. 127: never -128, whose negative has no code, but for the lower digits of three
} BlockAct;            // of 64 bytes, a line of the CPU's caches

enum { ACT_DIGITS = 3 }; // at most

static_assert(sizeof(BlockAct) == 64, "a line");
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20, "GGUF layout");
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockIQ4_NL) == 18, "GGUF layout");
static_assert(sizeof(BlockIQ4_XS) == 136 && sizeof(BlockMXFP4) == 17, "GGUF layout");
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210, "GGUF layout");

#endif
