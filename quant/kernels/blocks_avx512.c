// Block types with AVX-512: a group's 32 codes widened to two registers of 16 floats.
#include "quant/kernels/blocks_x86.h"
#include "quant/kernels/kernels.h"

// Weights 16 * half .. 16 * half + 15 of a group, the scalar twin's to the last bit (layout.h: why FMA is allowed).
INLINE __m512 sixteen_weights(const Layout *l, const Scales *s, int g, __m256i codes, int half) {
    __m128i part = half ? _mm256_extracti128_si256(codes, 1) : _mm256_castsi256_si128(codes);
    __m512 q = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(part));
    __m512 d = _mm512_set1_ps(s->d[g * l->halves + half * (l->halves - 1)]);
    return l->min ? _mm512_fmadd_ps(q, d, _mm512_set1_ps(s->m[g])) : _mm512_mul_ps(q, d);
}

INLINE void to_f32(const Layout *l, const void *src, float *dst, int64_t n) {
    const uint8_t *block = src, *end = block + n / BLOCK / l->groups * l->bytes;
    for (; block < end; block += l->bytes, dst += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            __m256i codes = l->codes(block, g);
            _mm512_storeu_ps(dst + g * BLOCK, sixteen_weights(l, &s, g, codes, 0));
            _mm512_storeu_ps(dst + g * BLOCK + 16, sixteen_weights(l, &s, g, codes, 1));
        }
    }
}

// Four chains of additions, so that one need not wait for another: two halves, of even and odd groups.
INLINE float dot_f32(const Layout *l, const void *row, const float *x, int64_t n) {
    const uint8_t *block = row, *end = block + n / BLOCK / l->groups * l->bytes;
    __m512 low[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, high[2] = {low[0], low[1]};
    for (; block < end; block += l->bytes, x += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            __m256i codes = l->codes(block, g);
            const float *with = x + g * BLOCK;
            int i = g % 2;
            low[i] = _mm512_fmadd_ps(sixteen_weights(l, &s, g, codes, 0), _mm512_loadu_ps(with), low[i]);
            high[i] = _mm512_fmadd_ps(sixteen_weights(l, &s, g, codes, 1), _mm512_loadu_ps(with + 16), high[i]);
        }
        if (l->groups % 2) { // the next block's first group takes the other chains
            __m512 first_low = low[0], first_high = high[0];
            low[0] = low[1];
            high[0] = high[1];
            low[1] = first_low;
            high[1] = first_high;
        }
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(low[0], low[1]), _mm512_add_ps(high[0], high[1])));
}

#define DEFINE_KERNELS(name, ...)                                                                                      \
    static void to_f32_##name(const void *src, float *dst, int64_t n) { to_f32(&layout_##name, src, dst, n); }         \
    static float dot_f32_##name(const void *row, const float *x, int64_t n) {                                          \
        return dot_f32(&layout_##name, row, x, n);                                                                     \
    }
BLOCK_TYPES(DEFINE_KERNELS)

void blocks_avx512(Kernels *k) {
#define ENTER(name, type, ...)                                                                                         \
    k->to_f32[type] = to_f32_##name;                                                                                   \
    k->dot_f32[type] = dot_f32_##name;
    BLOCK_TYPES(ENTER)
}
