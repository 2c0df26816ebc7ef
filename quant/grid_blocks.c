#include "quant/grid_blocks.h"

#include "core/half.h"
#include "quant/blocks_decoded.h"

// ---- what types share

static float half(uint16_t h) { return f16_to_f32(h); }
static uint16_t to_half(float f) { return f16_from_f32(f); }

static void one_scale(GridScales *scales, uint16_t d) {
    scales->d = half(d);
    scales->s[0] = 1;
}

// The block's m is added, dmin is subtracted.
static void one_minimum(GridScales *scales, uint16_t d, uint16_t m) {
    one_scale(scales, d);
    scales->dmin = -half(m);
    scales->m[0] = 1;
}

// 32 codes of 4 bits: element i in the low nibble of q[i], i + 16 in the high one.
static void nibbles_get(const uint8_t q[16], uint8_t codes[BLOCK]) {
    for (int i = 0; i < 16; i++) {
        codes[i] = q[i] & 15;
        codes[i + 16] = q[i] >> 4;
    }
}

static void nibbles_put(const uint8_t codes[BLOCK], uint8_t q[16]) {
    for (int i = 0; i < 16; i++) q[i] = (uint8_t)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

static void fifth_get(const uint8_t high[4], uint8_t codes[BLOCK]) {
    for (int i = 0; i < BLOCK; i++) codes[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
}

static void fifth_put(const uint8_t codes[BLOCK], uint8_t high[4]) {
    for (int k = 0; k < 4; k++) {
        high[k] = 0;
        for (int i = 0; i < 8; i++) high[k] |= (uint8_t)((codes[8 * k + i] >> 4 & 1) << i);
    }
}

// ---- blocks of 32

static void unpack_q8_0(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ8_0 *b = block;
    one_scale(scales, b->d);
    for (int i = 0; i < BLOCK; i++) codes[i] = (uint8_t)(b->q[i] < -127 ? 0 : b->q[i] + 127); // none makes -128
}

static void pack_q8_0(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ8_0 *b = block;
    b->d = to_half(scales->d);
    for (int i = 0; i < BLOCK; i++) b->q[i] = (int8_t)(codes[i] - 127);
}

static void unpack_q4_0(const void *block, GridScales *scales, uint8_t *codes) { // iq4_nl too
    const BlockQ4_0 *b = block;
    one_scale(scales, b->d);
    nibbles_get(b->q, codes);
}

static void pack_q4_0(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ4_0 *b = block;
    b->d = to_half(scales->d);
    nibbles_put(codes, b->q);
}

static void unpack_q4_1(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ4_1 *b = block;
    one_minimum(scales, b->d, b->m);
    nibbles_get(b->q, codes);
}

static void pack_q4_1(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ4_1 *b = block;
    b->d = to_half(scales->d);
    b->m = to_half(-scales->dmin);
    nibbles_put(codes, b->q);
}

static void unpack_q5_0(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ5_0 *b = block;
    one_scale(scales, b->d);
    nibbles_get(b->q, codes);
    fifth_get(b->high, codes);
}

static void pack_q5_0(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ5_0 *b = block;
    b->d = to_half(scales->d);
    fifth_put(codes, b->high);
    nibbles_put(codes, b->q);
}

static void unpack_q5_1(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ5_1 *b = block;
    one_minimum(scales, b->d, b->m);
    nibbles_get(b->q, codes);
    fifth_get(b->high, codes);
}

static void pack_q5_1(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ5_1 *b = block;
    b->d = to_half(scales->d);
    b->m = to_half(-scales->dmin);
    fifth_put(codes, b->high);
    nibbles_put(codes, b->q);
}

// A block's 0 to 7 are 0 and the levels above it, 8 to 15 their negatives; a grid's codes rise with the levels and
// zero, of which a block has two, is 7.
static void unpack_mxfp4(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockMXFP4 *b = block;
    scales->d = float_of_bits(b->e < 2 ? UINT32_C(0x00200000) << b->e : (uint32_t)(b->e - 1) << 23); // 2^(e - 128)
    scales->s[0] = 1;
    nibbles_get(b->q, codes);
    for (int i = 0; i < BLOCK; i++) codes[i] = (uint8_t)(codes[i] < 8 ? 7 + codes[i] : 15 - codes[i]);
}

static void pack_mxfp4(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockMXFP4 *b = block;
    uint32_t bits = bits_of_float(scales->d);
    b->e = (uint8_t)(bits >= 0x00800000 ? (bits >> 23) + 1 : bits >> 22);
    uint8_t q[BLOCK];
    for (int i = 0; i < BLOCK; i++) q[i] = (uint8_t)(codes[i] >= 7 ? codes[i] - 7 : 15 - codes[i]);
    nibbles_put(q, b->q);
}

static const GridBlocks types[DT_COUNT] = {
    [DT_Q8_0] = {unpack_q8_0, pack_q8_0},    [DT_Q4_0] = {unpack_q4_0, pack_q4_0},
    [DT_IQ4_NL] = {unpack_q4_0, pack_q4_0},  [DT_Q4_1] = {unpack_q4_1, pack_q4_1},
    [DT_Q5_0] = {unpack_q5_0, pack_q5_0},    [DT_Q5_1] = {unpack_q5_1, pack_q5_1},
    [DT_MXFP4] = {unpack_mxfp4, pack_mxfp4},
};

const GridBlocks *grid_blocks_of(DType type) { return &types[type]; }
