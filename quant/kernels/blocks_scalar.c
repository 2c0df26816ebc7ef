// The truth for block types: each group's codes written out, then multiplied one by one, sums in double precision.
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"

typedef struct Layout {
    LAYOUT_FIELDS
    void (*codes)(const void *block, int g, int8_t q[BLOCK]); // of group g
} Layout;

static void split_nibbles(const uint8_t *packed, int8_t q[BLOCK]) {
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)(packed[i] & 15);
        q[i + 16] = (int8_t)(packed[i] >> 4);
    }
}

static void codes_q8_0(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ8_0 *b = block;
    (void)g;
    memcpy(q, b->q, BLOCK);
}

static void codes_q4_0(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ4_0 *b = block;
    (void)g;
    split_nibbles(b->q, q);
    for (int i = 0; i < BLOCK; i++) q[i] = (int8_t)(q[i] - 8);
}

static void codes_q4_1(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ4_1 *b = block;
    (void)g;
    split_nibbles(b->q, q);
}

static void codes_q5(const uint8_t high[4], const uint8_t *low, int8_t q[BLOCK]) {
    split_nibbles(low, q);
    for (int i = 0; i < BLOCK; i++) q[i] = (int8_t)(q[i] | (high[i / 8] >> i % 8 & 1) << 4);
}

static void codes_q5_0(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ5_0 *b = block;
    (void)g;
    codes_q5(b->high, b->q, q);
    for (int i = 0; i < BLOCK; i++) q[i] = (int8_t)(q[i] - 16);
}

static void codes_q5_1(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ5_1 *b = block;
    (void)g;
    codes_q5(b->high, b->q, q);
}

static void codes_iq4_nl(const void *block, int g, int8_t q[BLOCK]) {
    const BlockIQ4_NL *b = block;
    (void)g;
    split_nibbles(b->q, q);
    for (int i = 0; i < BLOCK; i++) q[i] = iq4_nl_levels[q[i]];
}

static void codes_mxfp4(const void *block, int g, int8_t q[BLOCK]) {
    const BlockMXFP4 *b = block;
    (void)g;
    split_nibbles(b->q, q);
    for (int i = 0; i < BLOCK; i++) q[i] = e2m1_doubled[q[i]];
}

static void codes_iq4_xs(const void *block, int g, int8_t q[BLOCK]) {
    const BlockIQ4_XS *b = block;
    split_nibbles(b->q + g * 16, q);
    for (int i = 0; i < BLOCK; i++) q[i] = iq4_nl_levels[q[i]];
}

// 64 elements to 32 bytes: low nibbles an even group, high nibbles the odd one after it.
static void codes_q4_k(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ4_K *b = block;
    for (int i = 0; i < BLOCK; i++) q[i] = (int8_t)(b->q[g / 2 * 32 + i] >> g % 2 * 4 & 15);
}

static void codes_q5_k(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ5_K *b = block;
    for (int i = 0; i < BLOCK; i++) {
        int low = b->q[g / 2 * 32 + i] >> g % 2 * 4 & 15, high = b->high[i] >> g & 1;
        q[i] = (int8_t)(low | high << 4);
    }
}

// Each half of the block, 128 elements: 64 bytes of low nibbles, first the low ones of all, then the high ones;
// and 32 bytes of upper bit pairs, the lowest pairs the first group.
static void codes_q6_k(const void *block, int g, int8_t q[BLOCK]) {
    const BlockQ6_K *b = block;
    const uint8_t *low = b->low + g / 4 * 64 + g % 2 * 32, *high = b->high + g / 4 * 32;
    for (int i = 0; i < BLOCK; i++) {
        int code = (low[i] >> g % 4 / 2 * 4 & 15) | (high[i] >> g % 4 * 2 & 3) << 4;
        q[i] = (int8_t)(code - 32);
    }
}

BLOCK_TYPES(DEFINE_LAYOUT)

static void to_f32(const Layout *l, const void *src, float *dst, int64_t n) {
    const uint8_t *block = src, *end = block + n / BLOCK / l->groups * l->bytes;
    for (; block < end; block += l->bytes) {
        Scales s;
        l->scales(block, &s);
        for (int g = 0; g < l->groups; g++, dst += BLOCK) {
            int8_t q[BLOCK];
            l->codes(block, g, q);
            for (int i = 0; i < BLOCK; i++) {
                float d = s.d[(g * BLOCK + i) * l->halves / BLOCK];
                dst[i] = l->min ? d * q[i] + s.m[g] : d * q[i];
            }
        }
    }
}

static float dot_f32(const Layout *l, const void *row, const float *x, int64_t n) {
    const uint8_t *block = row;
    const int64_t block_size = l->groups * BLOCK;
    double sum = 0;
    for (int64_t at = 0; at < n; at += block_size, block += l->bytes) {
        float w[SUPER];
        to_f32(l, block, w, block_size);
        for (int64_t i = 0; i < block_size; i++) sum += (double)w[i] * x[at + i];
    }
    return (float)sum;
}

static void unpack(const Layout *l, const void *src, int64_t n, Unpacked *out) {
    const uint8_t *block = src;
    for (int64_t at = 0; at < n / BLOCK; at += l->groups, block += l->bytes) {
        Scales s;
        l->scales(block, &s);
        for (int g = 0; g < l->groups; g++) {
            l->codes(block, g, out->codes + (at + g) * BLOCK);
            out->d[2 * (at + g)] = s.d[g * l->halves];
            out->d[2 * (at + g) + 1] = s.d[g * l->halves + l->halves - 1];
            if (l->min) out->m[at + g] = s.m[g];
        }
    }
}

#define DEFINE_KERNELS(name, ...)                                                                                      \
    static void to_f32_##name(const void *src, float *dst, int64_t n) { to_f32(&layout_##name, src, dst, n); }         \
    static void unpack_##name(const void *src, int64_t n, Unpacked *out) { unpack(&layout_##name, src, n, out); }      \
    static float dot_f32_##name(const void *row, const float *x, int64_t n) {                                          \
        return dot_f32(&layout_##name, row, x, n);                                                                     \
    }
BLOCK_TYPES(DEFINE_KERNELS)

void blocks_scalar(Kernels *k) {
#define ENTER(name, type, ...)                                                                                         \
    k->to_f32[type] = to_f32_##name;                                                                                   \
    k->unpack[type] = unpack_##name;                                                                                   \
    k->dot_f32[type] = dot_f32_##name;
    BLOCK_TYPES(ENTER)
}
