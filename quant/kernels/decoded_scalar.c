// The block types of quant/blocks_decoded.h, without those that index a grid: element by element, each step rounded as
// gguf.quants.dequantize rounds it.
#include "quant/kernels/decoded.h"

// Pairs of bits, 128 elements to 32 bytes: the lowest pairs are the first 32 elements.
static int bit_pair(const uint8_t q[64], int i) { return q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }

static void decode_q8_1(const void *block, float *w) {
    const BlockQ8_1 *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < BLOCK; i++) w[i] = d * b->q[i];
}

static void decode_q8_k(const void *block, float *w) {
    const BlockQ8_K *b = block;
    for (int i = 0; i < SUPER; i++) w[i] = b->d * b->q[i];
}

static void decode_q1_0(const void *block, float *w) {
    const BlockQ1_0 *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < 128; i++) w[i] = b->bits[i / 8] >> i % 8 & 1 ? d : -d;
}

static void decode_q2_k(const void *block, float *w) {
    const BlockQ2_K *b = block;
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int i = 0; i < SUPER; i++) {
        uint8_t scale = b->scales[i / 16];
        float scaled = d * (float)(scale & 15), min = dmin * (float)(scale >> 4);
        w[i] = scaled * (float)bit_pair(b->q, i) - min;
    }
}

static void decode_q3_k(const void *block, float *w) {
    const BlockQ3_K *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < SUPER; i++) {
        int sub = i / 16, low = b->scales[sub % 8] >> sub / 8 * 4 & 15,
            high = b->scales[8 + sub % 4] >> sub / 4 * 2 & 3;
        float scaled = d * (float)((low | high << 4) - 32);
        int third = b->high[i % 32] >> i / 32 & 1;
        w[i] = scaled * (float)(bit_pair(b->q, i) + third * 4 - 4);
    }
}

// The n-th of a byte's digits: the byte is the number over 3^5, as a fraction of 256; n digits are shifted out above.
static float tq1_digit(uint8_t byte, int n) {
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    uint8_t rest = (uint8_t)(byte * powers[n]);
    return (float)((rest * 3 >> 8) - 1);
}

static void decode_tq1_0(const void *block, float *w) {
    const BlockTQ1_0 *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < 160; i++) w[i] = d * tq1_digit(b->q[i % 32], i / 32);
    for (int i = 0; i < 80; i++) w[160 + i] = d * tq1_digit(b->q[32 + i % 16], i / 16);
    for (int i = 0; i < 16; i++) w[240 + i] = d * tq1_digit(b->rest[i % 4], i / 4);
}

static void decode_tq2_0(const void *block, float *w) {
    const BlockTQ2_0 *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < SUPER; i++) w[i] = d * (float)(bit_pair(b->q, i) - 1);
}

// Half of an E4M3 number without its sign: bias 7, no infinity; 0x7f, which would be NaN, counts as 0.
static float half_e4m3(uint8_t x) {
    int exponent = x >> 3 & 15, fraction = x & 7;
    if (x == 0x7f) return 0;
    float step = float_of_bits((uint32_t)((exponent ? exponent : 1) - 7 - 3 - 1 + 127) << 23);
    return step * (float)(exponent ? fraction + 8 : fraction);
}

static void decode_nvfp4(const void *block, float *w) {
    const BlockNVFP4 *b = block;
    for (int i = 0; i < 64; i++) {
        int sub = i / 16, in = i % 16;
        w[i] = half_e4m3(b->scales[sub]) * e2m1_doubled[b->q[sub * 8 + in % 8] >> in / 8 * 4 & 15];
    }
}

// clang-format off
#define TYPES(X) \
    X(q8_1, DT_Q8_1) X(q8_k, DT_Q8_K) X(q1_0, DT_Q1_0) X(q2_k, DT_Q2_K) X(q3_k, DT_Q3_K) \
    X(tq1_0, DT_TQ1_0) X(tq2_0, DT_TQ2_0) X(nvfp4, DT_NVFP4)
// clang-format on

TYPES(DECODED_KERNELS)

void decoded_scalar(Kernels *k) { TYPES(DECODED_ENTER) }
