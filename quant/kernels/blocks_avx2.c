// Block types with AVX2, F16C and FMA: a group's 32 codes in one register, widened to four of 8 floats.
#include "quant/kernels/blocks_x86.h"
#include "quant/kernels/kernels.h"

// Weights 8 * part .. 8 * part + 7 of a group, the scalar twin's to the last bit (layout.h: why FMA is allowed).
INLINE __m256 eight_weights(const Layout *l, const Scales *s, int g, __m256i codes, int part) {
    __m128i half = part / 2 ? _mm256_extracti128_si256(codes, 1) : _mm256_castsi256_si128(codes);
    if (part % 2) half = _mm_srli_si128(half, 8);
    __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(half));
    __m256 d = _mm256_set1_ps(s->d[g * l->halves + part * l->halves / 4]);
    return l->min ? _mm256_fmadd_ps(q, d, _mm256_set1_ps(s->m[g])) : _mm256_mul_ps(q, d);
}

INLINE void to_f32(const Layout *l, const void *src, float *dst, int64_t n) {
    const uint8_t *block = src, *end = block + n / BLOCK / l->groups * l->bytes;
    for (; block < end; block += l->bytes, dst += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            __m256i codes = l->codes(block, g);
            float *to = dst + g * BLOCK;
            _mm256_storeu_ps(to, eight_weights(l, &s, g, codes, 0));
            _mm256_storeu_ps(to + 8, eight_weights(l, &s, g, codes, 1));
            _mm256_storeu_ps(to + 16, eight_weights(l, &s, g, codes, 2));
            _mm256_storeu_ps(to + 24, eight_weights(l, &s, g, codes, 3));
        }
    }
}

INLINE float dot_f32(const Layout *l, const void *row, const float *x, int64_t n) {
    const uint8_t *block = row, *end = block + n / BLOCK / l->groups * l->bytes;
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    for (; block < end; block += l->bytes, x += l->groups * BLOCK) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            __m256i codes = l->codes(block, g);
            const float *with = x + g * BLOCK;
            a = _mm256_fmadd_ps(eight_weights(l, &s, g, codes, 0), _mm256_loadu_ps(with), a);
            b = _mm256_fmadd_ps(eight_weights(l, &s, g, codes, 1), _mm256_loadu_ps(with + 8), b);
            c = _mm256_fmadd_ps(eight_weights(l, &s, g, codes, 2), _mm256_loadu_ps(with + 16), c);
            d = _mm256_fmadd_ps(eight_weights(l, &s, g, codes, 3), _mm256_loadu_ps(with + 24), d);
        }
    }
    return sum_lanes(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
}

INLINE void unpack(const Layout *l, const void *src, int64_t n, Unpacked *out) {
    const uint8_t *block = src;
    for (int64_t at = 0; at < n / BLOCK; at += l->groups, block += l->bytes) {
        Scales s;
        l->scales(block, &s);
        UNROLL
        for (int g = 0; g < l->groups; g++) {
            _mm256_storeu_si256((void *)(out->codes + (at + g) * BLOCK), l->codes(block, g));
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

void blocks_avx2(Kernels *k) {
#define ENTER(name, type, ...)                                                                                         \
    k->to_f32[type] = to_f32_##name;                                                                                   \
    k->unpack[type] = unpack_##name;                                                                                   \
    k->dot_f32[type] = dot_f32_##name;
    BLOCK_TYPES(ENTER)
}
