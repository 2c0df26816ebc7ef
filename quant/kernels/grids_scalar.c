// The i-types that take 4 or 8 elements at a time from a table.
#include "quant/kernels/decoded.h"
#include "quant/kernels/grids.h"

// Signs of 8 elements: seven are given, and the eighth makes the number of minuses even.
static uint8_t even_signs(uint32_t seven) {
    return (uint8_t)((seven & 127) | (uint32_t)__builtin_parity(seven & 127) << 7);
}

static float sign(uint8_t signs, int i) { return signs >> i & 1 ? -1.0f : 1.0f; }

static uint32_t read_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static const float levels2[4] = {8, 25, 43};
static const float levels3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};

// 8 elements of an index into a table of bit pairs.
static void take_pairs(uint16_t grid, float scale, uint8_t signs, float *w) {
    for (int i = 0; i < 8; i++) w[i] = scale * levels2[grid >> 2 * i & 3] * sign(signs, i);
}

static void decode_iq2_xxs(const void *block, float *w) {
    const BlockIQ2_XXS *b = block;
    float d = f16_to_f32(b->d);
    for (int g = 0; g < SUPER / BLOCK; g++) {
        const uint8_t *index = b->q + 8 * g;
        uint32_t rest = read_u32(index + 4);
        float scale = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++)
            take_pairs(grid_iq2_xxs[index[k]], scale, even_signs(rest >> 7 * k), w + g * BLOCK + k * 8);
    }
}

static float quarter_scale(float d, const uint8_t *scales, int sub) {
    return d * (0.5f + (float)(scales[sub / 2] >> sub % 2 * 4 & 15)) * 0.25f;
}

static void decode_iq2_xs(const void *block, float *w) {
    const BlockIQ2_XS *b = block;
    float d = f16_to_f32(b->d);
    for (int k = 0; k < SUPER / 8; k++) {
        uint16_t q = b->q[k];
        take_pairs(grid_iq2_xs[q & 511], quarter_scale(d, b->scales, k / 2), even_signs(q >> 9), w + k * 8);
    }
}

static void decode_iq2_s(const void *block, float *w) {
    const BlockIQ2_S *b = block;
    float d = f16_to_f32(b->d);
    for (int k = 0; k < SUPER / 8; k++) {
        int index = b->q[k] | (b->high[k / 4] >> k % 4 * 2 & 3) << 8;
        take_pairs(grid_iq2_s[index], quarter_scale(d, b->scales, k / 2), b->signs[k], w + k * 8);
    }
}

static void decode_iq3_xxs(const void *block, float *w) {
    const BlockIQ3_XXS *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < SUPER; i++) {
        uint32_t rest = read_u32(b->signs + i / BLOCK * 4);
        float scale = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        uint8_t signs = even_signs(rest >> 7 * (i % BLOCK / 8));
        w[i] = scale * levels3_xxs[grid_iq3_xxs[b->q[i / 4]] >> i % 4 * 3 & 7] * sign(signs, i % 8);
    }
}

static void decode_iq3_s(const void *block, float *w) {
    const BlockIQ3_S *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < SUPER; i++) {
        int g = i / BLOCK, four = i / 4, index = b->q[four] | (b->high[four / 8] >> four % 8 & 1) << 8;
        float scale = d * (float)(1 + 2 * (b->scales[g / 2] >> g % 2 * 4 & 15));
        float level = (float)(1 + 2 * (grid_iq3_s[index] >> i % 4 * 3 & 7));
        w[i] = scale * level * sign(b->signs[i / 8], i % 8);
    }
}

// 8 elements of -1, 0 or 1, all shifted by an eighth.
static void take_ternary(int index, float scale, bool down, float *w) {
    for (int i = 0; i < 8; i++) {
        float level = (float)((grid_iq1[index] >> 2 * i & 3) - 1);
        w[i] = scale * (level + (down ? -0.125f : 0.125f));
    }
}

static void decode_iq1_s(const void *block, float *w) {
    const BlockIQ1_S *b = block;
    float d = f16_to_f32(b->d);
    for (int k = 0; k < SUPER / 8; k++) {
        int high = b->high[k / 4], index = b->q[k] | (high >> k % 4 * 3 & 7) << 8;
        take_ternary(index, d * (float)(2 * (high >> 12 & 7) + 1), high >> 15, w + k * 8);
    }
}

static void decode_iq1_m(const void *block, float *w) {
    const BlockIQ1_M *b = block;
    uint16_t bits = 0;
    for (int i = 0; i < 4; i++) bits = (uint16_t)(bits | b->scales[i] >> 12 << 4 * i);
    float d = f16_to_f32(bits);
    for (int k = 0; k < SUPER / 8; k++) {
        int sub = k / 2, high = b->high[sub] >> k % 2 * 4, index = b->q[k] | (high & 7) << 8;
        int scale = 2 * (b->scales[sub / 4] >> sub % 4 * 3 & 7) + 1;
        take_ternary(index, d * (float)scale, high & 8, w + k * 8);
    }
}

// clang-format off
#define TYPES(X) \
    X(iq1_s, DT_IQ1_S) X(iq1_m, DT_IQ1_M) X(iq2_xxs, DT_IQ2_XXS) X(iq2_xs, DT_IQ2_XS) X(iq2_s, DT_IQ2_S) \
    X(iq3_xxs, DT_IQ3_XXS) X(iq3_s, DT_IQ3_S)
// clang-format on

TYPES(DECODED_KERNELS)

void grids_scalar(Kernels *k) { TYPES(DECODED_ENTER) }
