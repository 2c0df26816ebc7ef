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

// ---- super-blocks

static void two_scales(GridScales *scales, uint16_t d, uint16_t dmin) {
    scales->d = half(d);
    scales->dmin = half(dmin);
}

// 8 scales and 8 minimums of 6 bits: four of each with all their bits in place, the other four in nibbles with their
// top bits in the first four's.
static void six_bits_get(const uint8_t packed[12], GridScales *scales) {
    for (int j = 0; j < 4; j++) {
        scales->s[j] = (int8_t)(packed[j] & 63);
        scales->m[j] = (int8_t)(packed[j + 4] & 63);
        scales->s[j + 4] = (int8_t)((packed[j + 8] & 15) | packed[j] >> 6 << 4);
        scales->m[j + 4] = (int8_t)(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
    }
}

static void six_bits_put(const GridScales *scales, uint8_t packed[12]) {
    for (int j = 0; j < 4; j++) {
        int s0 = scales->s[j], m0 = scales->m[j], s4 = scales->s[j + 4], m4 = scales->m[j + 4];
        packed[j] = (uint8_t)(s0 | s4 >> 4 << 6);
        packed[j + 4] = (uint8_t)(m0 | m4 >> 4 << 6);
        packed[j + 8] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
}

// Eight bytes at a time; what is shifted into a neighbour is masked off.
static uint64_t bytes_get(const uint8_t *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static void bytes_put(uint64_t w, uint8_t *p) { memcpy(p, &w, sizeof w); }

static uint64_t each_byte(uint8_t mask) { return mask * UINT64_C(0x0101010101010101); }

// 64 elements to 32 bytes: low nibbles the first 32, high nibbles the second. With `run` 64, as q6_k has it: 128 to 64.
static void runs_get(const uint8_t q[128], int run, uint8_t codes[SUPER]) {
    const uint64_t mask = each_byte(15);
    for (int at = 0; at < 128; at += 8) {
        uint64_t w = bytes_get(q + at);
        uint8_t *c = codes + at / run * 2 * run + at % run;
        bytes_put(w & mask, c);
        bytes_put(w >> 4 & mask, c + run);
    }
}

static void runs_put(const uint8_t codes[SUPER], int run, uint8_t q[128]) {
    const uint64_t mask = each_byte(15);
    for (int at = 0; at < 128; at += 8) {
        const uint8_t *c = codes + at / run * 2 * run + at % run;
        bytes_put((bytes_get(c) & mask) | (bytes_get(c + run) & mask) << 4, q + at);
    }
}

// The two bits at `place` of 128 elements in 32 bytes: the lowest pair is the first 32's. They are added to the codes.
static void pairs_get(const uint8_t q[64], int place, uint8_t codes[SUPER]) {
    const uint64_t mask = each_byte(3);
    for (int at = 0; at < 64; at += 8) {
        uint64_t w = bytes_get(q + at);
        uint8_t *c = codes + at / 32 * 128 + at % 32;
        for (int k = 0; k < 4; k++) bytes_put(bytes_get(c + 32 * k) | (w >> 2 * k & mask) << place, c + 32 * k);
    }
}

static void pairs_put(const uint8_t codes[SUPER], int place, uint8_t q[64]) {
    const uint64_t mask = each_byte(3);
    for (int at = 0; at < 64; at += 8) {
        const uint8_t *c = codes + at / 32 * 128 + at % 32;
        uint64_t w = 0;
        for (int k = 0; k < 4; k++) w |= (bytes_get(c + 32 * k) >> place & mask) << 2 * k;
        bytes_put(w, q + at);
    }
}

// Bit s of high[i] is the bit at `place` of element i of the s-th 32. It is added to the codes.
static void bit_get(const uint8_t high[32], int place, uint8_t codes[SUPER]) {
    const uint64_t mask = each_byte(1);
    for (int at = 0; at < SUPER; at += 8) {
        uint64_t w = bytes_get(high + at % 32) >> at / 32 & mask;
        bytes_put(bytes_get(codes + at) | w << place, codes + at);
    }
}

static void bit_put(const uint8_t codes[SUPER], int place, uint8_t high[32]) {
    const uint64_t mask = each_byte(1);
    for (int i = 0; i < 32; i += 8) {
        uint64_t w = 0;
        for (int s = 0; s < 8; s++) w |= (bytes_get(codes + 32 * s + i) >> place & mask) << s;
        bytes_put(w, high + i);
    }
}

static void unpack_q4_k(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ4_K *b = block;
    two_scales(scales, b->d, b->dmin);
    six_bits_get(b->scales, scales);
    runs_get(b->q, 32, codes);
}

static void pack_q4_k(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ4_K *b = block;
    b->d = to_half(scales->d);
    b->dmin = to_half(scales->dmin);
    six_bits_put(scales, b->scales);
    runs_put(codes, 32, b->q);
}

static void unpack_q5_k(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ5_K *b = block;
    two_scales(scales, b->d, b->dmin);
    six_bits_get(b->scales, scales);
    runs_get(b->q, 32, codes);
    bit_get(b->high, 4, codes);
}

static void pack_q5_k(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ5_K *b = block;
    b->d = to_half(scales->d);
    b->dmin = to_half(scales->dmin);
    six_bits_put(scales, b->scales);
    bit_put(codes, 4, b->high);
    runs_put(codes, 32, b->q);
}

static void unpack_q6_k(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ6_K *b = block;
    scales->d = half(b->d);
    memcpy(scales->s, b->scales, sizeof b->scales);
    runs_get(b->low, 64, codes);
    pairs_get(b->high, 4, codes);
}

static void pack_q6_k(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ6_K *b = block;
    b->d = to_half(scales->d);
    memcpy(b->scales, scales->s, sizeof b->scales);
    runs_put(codes, 64, b->low);
    pairs_put(codes, 4, b->high);
}

static void unpack_iq4_xs(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockIQ4_XS *b = block;
    scales->d = half(b->d);
    for (int j = 0; j < 8; j++) {
        int low = b->scales_low[j / 2] >> j % 2 * 4 & 15, high = b->scales_high >> 2 * j & 3;
        scales->s[j] = (int8_t)((low | high << 4) - 32);
        nibbles_get(b->q + 16 * j, codes + BLOCK * j);
    }
}

static void pack_iq4_xs(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockIQ4_XS *b = block;
    b->d = to_half(scales->d);
    b->scales_high = 0;
    memset(b->scales_low, 0, sizeof b->scales_low);
    for (int j = 0; j < 8; j++) {
        int s = scales->s[j] + 32;
        b->scales_low[j / 2] |= (uint8_t)((s & 15) << j % 2 * 4);
        b->scales_high |= (uint16_t)(s >> 4 << 2 * j);
        nibbles_put(codes + BLOCK * j, b->q + 16 * j);
    }
}

static void unpack_q3_k(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ3_K *b = block;
    scales->d = half(b->d);
    for (int j = 0; j < 16; j++) {
        int low = b->scales[j % 8] >> j / 8 * 4 & 15, high = b->scales[8 + j % 4] >> j / 4 * 2 & 3;
        scales->s[j] = (int8_t)((low | high << 4) - 32);
    }
    memset(codes, 0, SUPER);
    pairs_get(b->q, 0, codes);
    bit_get(b->high, 2, codes);
}

static void pack_q3_k(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ3_K *b = block;
    b->d = to_half(scales->d);
    memset(b->scales, 0, sizeof b->scales);
    for (int j = 0; j < 16; j++) {
        int s = scales->s[j] + 32;
        b->scales[j % 8] |= (uint8_t)((s & 15) << j / 8 * 4);
        b->scales[8 + j % 4] |= (uint8_t)(s >> 4 << j / 4 * 2);
    }
    bit_put(codes, 2, b->high);
    pairs_put(codes, 0, b->q);
}

static void unpack_q2_k(const void *block, GridScales *scales, uint8_t *codes) {
    const BlockQ2_K *b = block;
    two_scales(scales, b->d, b->dmin);
    for (int j = 0; j < 16; j++) {
        scales->s[j] = b->scales[j] & 15;
        scales->m[j] = b->scales[j] >> 4;
    }
    memset(codes, 0, SUPER);
    pairs_get(b->q, 0, codes);
}

static void pack_q2_k(const GridScales *scales, const uint8_t *codes, void *block) {
    BlockQ2_K *b = block;
    b->d = to_half(scales->d);
    b->dmin = to_half(scales->dmin);
    for (int j = 0; j < 16; j++) b->scales[j] = (uint8_t)(scales->s[j] | scales->m[j] << 4);
    pairs_put(codes, 0, b->q);
}

static const GridBlocks types[DT_COUNT] = {
    [DT_Q8_0] = {unpack_q8_0, pack_q8_0},       [DT_Q4_0] = {unpack_q4_0, pack_q4_0},
    [DT_IQ4_NL] = {unpack_q4_0, pack_q4_0},     [DT_Q4_1] = {unpack_q4_1, pack_q4_1},
    [DT_Q5_0] = {unpack_q5_0, pack_q5_0},       [DT_Q5_1] = {unpack_q5_1, pack_q5_1},
    [DT_MXFP4] = {unpack_mxfp4, pack_mxfp4},    [DT_Q4_K] = {unpack_q4_k, pack_q4_k},
    [DT_Q5_K] = {unpack_q5_k, pack_q5_k},       [DT_Q6_K] = {unpack_q6_k, pack_q6_k},
    [DT_IQ4_XS] = {unpack_iq4_xs, pack_iq4_xs}, [DT_Q3_K] = {unpack_q3_k, pack_q3_k},
    [DT_Q2_K] = {unpack_q2_k, pack_q2_k},
};

const GridBlocks *grid_blocks_of(DType type) { return &types[type]; }
