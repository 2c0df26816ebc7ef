// Block types that have no kernels but one that decodes them: GGUF's layouts, little-endian, as in quant/blocks.h. Of
// them q2_k, q3_k, iq4_xs and mxfp4 are made here too (quant/lanes_*.c).
// Specification: ggml-common.h and gguf-py's quants.py (https://github.com/ggml-org/llama.cpp); mxfp4 and nvfp4 hold
// E2M1 numbers under scales of E8M0 and E4M3 (Open Compute's Microscaling Formats 1.0). w is a weight, q a code.
#ifndef QUANT_BLOCKS_DECODED_H
#define QUANT_BLOCKS_DECODED_H

#include "quant/blocks.h"

#pragma pack(push, 1)

typedef struct BlockQ8_1 { // w = d * q
    uint16_t d, sum;
    int8_t q[32];
} BlockQ8_1;

typedef struct BlockQ8_K { // w = d * q
    float d;
    int8_t q[SUPER];
    int16_t sums[16];
} BlockQ8_K;

typedef struct BlockQ1_0 { // w = bit ? d : -d
    uint16_t d;
    uint8_t bits[16];
} BlockQ1_0;

typedef struct BlockQ2_K { // 16 sub-blocks of 16: w = d * (low nibble of scale) * q - dmin * (high nibble)
    uint8_t scales[16];
    uint8_t q[64]; // 128 elements to 32 bytes: the lowest bit pairs the first 32
    uint16_t d, dmin;
} BlockQ2_K;

typedef struct BlockQ3_K { // 16 sub-blocks of 16: w = d * (scale - 32) * (q - 4)
    uint8_t high[32];      // bit s of high[i]: the third bit of element i of the s-th 32
    uint8_t q[64];         // as q2_k's
    uint8_t scales[12];    // low nibbles of 16 in the first 8 bytes, upper bit pairs in the last 4
    uint16_t d;
} BlockQ3_K;

typedef struct BlockTQ1_0 { // w = d * (q - 1); five digits of base 3 to a byte, as a fraction of 256
    uint8_t q[48], rest[4];
    uint16_t d;
} BlockTQ1_0;

typedef struct BlockTQ2_0 { // w = d * (q - 1)
    uint8_t q[64];          // as q2_k's
    uint16_t d;
} BlockTQ2_0;

typedef struct BlockNVFP4 { // 4 sub-blocks of 16: w = scale / 2 * e2m1_doubled[q]
    uint8_t scales[4];      // E4M3, the sign passed over
    uint8_t q[32];          // 16 elements to 8 bytes
} BlockNVFP4;

// The i-types take 4 or 8 elements at a time from a table (quant/kernels/grids.h): w = scale * grid[index][i] * sign.
typedef struct BlockIQ2_XXS { // each 32: four indices of a byte; then four of 7 bits for signs, and the scale's 4
    uint16_t d;
    uint8_t q[64];
} BlockIQ2_XXS;

typedef struct BlockIQ2_XS { // each 8: an index of 9 bits, 7 for signs; scales of 4 bits for each 16
    uint16_t d;
    uint16_t q[32];
    uint8_t scales[8];
} BlockIQ2_XS;

typedef struct BlockIQ2_S { // each 8: an index of 8 + 2 bits, 8 signs
    uint16_t d;
    uint8_t q[32], signs[32], high[8], scales[8];
} BlockIQ2_S;

typedef struct BlockIQ3_XXS { // each 4: an index of a byte; signs and scales as iq2_xxs's
    uint16_t d;
    uint8_t q[64], signs[32];
} BlockIQ3_XXS;

typedef struct BlockIQ3_S { // each 4: an index of 8 + 1 bits; a sign each; scales of 4 bits for each 32
    uint16_t d;
    uint8_t q[64], high[8], signs[32], scales[4];
} BlockIQ3_S;

typedef struct BlockIQ1_S { // each 8: an index of 8 + 3 bits; each 32: a scale of 3 bits and the sign of the shift
    uint16_t d;
    uint8_t q[32];
    uint16_t high[8];
} BlockIQ1_S;

typedef struct BlockIQ1_M { // the same with a shift for each 8 and a scale for each 16; d is in the scales' top nibbles
    uint8_t q[32], high[16];
    uint16_t scales[4];
} BlockIQ1_M;
#pragma pack(pop)

static_assert(sizeof(BlockQ8_1) == 36 && sizeof(BlockQ8_K) == 292 && sizeof(BlockQ1_0) == 18, "GGUF layout");
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110, "GGUF layout");
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66, "GGUF layout");
static_assert(sizeof(BlockNVFP4) == 36, "GGUF layout");
static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82, "GGUF layout");
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110, "GGUF layout");
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56, "GGUF layout");

#endif
