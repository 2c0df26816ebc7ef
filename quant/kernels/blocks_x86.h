// What the AVX2 and AVX-512 kernels share: the codes of a group, 32 bytes, fill one 256-bit register.
#ifndef QUANT_BLOCKS_X86_H
#define QUANT_BLOCKS_X86_H

#include "quant/kernels/layout.h"
#include <immintrin.h>

typedef struct Layout {
    LAYOUT_FIELDS
    __m256i (*codes)(const void *block, int g); // of group g, as signed bytes
} Layout;

INLINE __m256i load_32(const void *p) { return _mm256_loadu_si256(p); }

INLINE __m256i nibbles_low(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i nibbles_high(__m256i v) { return nibbles_low(_mm256_srli_epi16(v, 4)); }

// 16 bytes: low nibbles to elements 0-15, high ones to 16-31.
INLINE __m256i split_nibbles(const uint8_t *packed) {
    __m128i v = _mm_loadu_si128((const void *)packed);
    return nibbles_low(_mm256_set_m128i(_mm_srli_epi16(v, 4), v));
}

// 32 bits to 32 bytes, 0 or 16: each byte gets its own byte of the bits, and keeps its bit of that.
INLINE __m256i spread_fifth_bits(const uint8_t high[4]) {
    int32_t bits;
    memcpy(&bits, high, sizeof bits);
    const __m256i byte_of = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of), bit_of);
    return _mm256_and_si256(_mm256_cmpeq_epi8(own, bit_of), _mm256_set1_epi8(16));
}

INLINE __m256i codes_q8_0(const void *block, int g) {
    const BlockQ8_0 *b = block;
    (void)g;
    return load_32(b->q);
}

INLINE __m256i codes_q4_0(const void *block, int g) {
    const BlockQ4_0 *b = block;
    (void)g;
    return _mm256_sub_epi8(split_nibbles(b->q), _mm256_set1_epi8(8));
}

INLINE __m256i codes_q4_1(const void *block, int g) {
    const BlockQ4_1 *b = block;
    (void)g;
    return split_nibbles(b->q);
}

INLINE __m256i codes_q5_0(const void *block, int g) {
    const BlockQ5_0 *b = block;
    (void)g;
    __m256i q = _mm256_or_si256(split_nibbles(b->q), spread_fifth_bits(b->high));
    return _mm256_sub_epi8(q, _mm256_set1_epi8(16));
}

INLINE __m256i codes_q5_1(const void *block, int g) {
    const BlockQ5_1 *b = block;
    (void)g;
    return _mm256_or_si256(split_nibbles(b->q), spread_fifth_bits(b->high));
}

INLINE __m256i look_up(const int8_t levels[16], const uint8_t *packed) {
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)levels));
    return _mm256_shuffle_epi8(table, split_nibbles(packed));
}

INLINE __m256i codes_iq4_nl(const void *block, int g) {
    const BlockIQ4_NL *b = block;
    (void)g;
    return look_up(iq4_nl_levels, b->q);
}

INLINE __m256i codes_mxfp4(const void *block, int g) {
    const BlockMXFP4 *b = block;
    (void)g;
    return look_up(e2m1_doubled, b->q);
}

INLINE __m256i codes_iq4_xs(const void *block, int g) {
    const BlockIQ4_XS *b = block;
    return look_up(iq4_nl_levels, b->q + g * 16);
}

INLINE __m256i codes_q4_k(const void *block, int g) {
    const BlockQ4_K *b = block;
    __m256i pair = load_32(b->q + g / 2 * 32);
    return g % 2 ? nibbles_high(pair) : nibbles_low(pair);
}

// Moves bits `from` and up of every byte to position 4, and keeps those in mask.
INLINE __m256i bits_to_4(__m256i v, int from, int mask) {
    __m256i moved = from <= 4 ? _mm256_slli_epi16(v, 4 - from) : _mm256_srli_epi16(v, from - 4);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)mask));
}

INLINE __m256i codes_q5_k(const void *block, int g) {
    const BlockQ5_K *b = block;
    __m256i pair = load_32(b->q + g / 2 * 32), low = g % 2 ? nibbles_high(pair) : nibbles_low(pair);
    return _mm256_or_si256(low, bits_to_4(load_32(b->high), g, 0x10));
}

INLINE __m256i codes_q6_k(const void *block, int g) {
    const BlockQ6_K *b = block;
    __m256i pair = load_32(b->low + g / 4 * 64 + g % 2 * 32);
    __m256i low = g % 4 / 2 ? nibbles_high(pair) : nibbles_low(pair);
    __m256i high = bits_to_4(load_32(b->high + g / 4 * 32), g % 4 * 2, 0x30);
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
}

BLOCK_TYPES(DEFINE_LAYOUT)

INLINE float sum_lanes(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// The sum of the 16 bytes of each half, in its first lane.
INLINE __m256i half_sums(__m256i q) {
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, q), _mm256_set1_epi16(1));
    fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, _MM_SHUFFLE(2, 3, 0, 1)));
}

#endif
