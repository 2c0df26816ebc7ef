// Plain types and activations with AVX-512: 16 numbers at a time, what is left over under a mask.
#include "quant/kernels/blocks_x86.h"
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"

// The first `left` of 16 lanes, all where there are as many.
INLINE __mmask16 lanes(int64_t left) { return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1); }

// Sixteen numbers of a type, from anywhere; lanes outside the mask are zero and not read.
INLINE __m512 load_f32(__mmask16 m, const void *p) { return _mm512_maskz_loadu_ps(m, p); }
INLINE __m512 load_f16(__mmask16 m, const void *p) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p)); }
INLINE __m512 load_bf16(__mmask16 m, const void *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

typedef __m512 (*LoadFn)(__mmask16 m, const void *p);

INLINE void to_f32(int64_t size, LoadFn load, const void *src, float *dst, int64_t n) {
    const uint8_t *from = src;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        _mm512_storeu_ps(dst + i, load(0xffff, from + i * size));
        _mm512_storeu_ps(dst + i + 16, load(0xffff, from + (i + 16) * size));
    }
    for (; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        _mm512_mask_storeu_ps(dst + i, m, load(m, from + i * size));
    }
}

INLINE float dot_f32(int64_t size, LoadFn load, const void *row, const float *x, int64_t n) {
    const uint8_t *from = row;
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        const uint8_t *at = from + i * size;
        a = _mm512_fmadd_ps(load(0xffff, at), _mm512_loadu_ps(x + i), a);
        b = _mm512_fmadd_ps(load(0xffff, at + 16 * size), _mm512_loadu_ps(x + i + 16), b);
        c = _mm512_fmadd_ps(load(0xffff, at + 32 * size), _mm512_loadu_ps(x + i + 32), c);
        d = _mm512_fmadd_ps(load(0xffff, at + 48 * size), _mm512_loadu_ps(x + i + 48), d);
    }
    for (; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        a = _mm512_fmadd_ps(load(m, from + i * size), _mm512_maskz_loadu_ps(m, x + i), a);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}

static void to_f32_f16(const void *src, float *dst, int64_t n) { to_f32(2, load_f16, src, dst, n); }
static void to_f32_bf16(const void *src, float *dst, int64_t n) { to_f32(2, load_bf16, src, dst, n); }

static float dot_f32_f32(const void *row, const float *x, int64_t n) { return dot_f32(4, load_f32, row, x, n); }
static float dot_f32_f16(const void *row, const float *x, int64_t n) { return dot_f32(2, load_f16, row, x, n); }
static float dot_f32_bf16(const void *row, const float *x, int64_t n) { return dot_f32(2, load_bf16, row, x, n); }

static void from_f32_f16(const float *src, void *dst, int64_t n) {
    uint8_t *to = dst;
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m256i h = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, src + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(to + 2 * i, m, h);
    }
}

// As bf16_from_f32.
INLINE __m256i sixteen_bf16(__m512 f) {
    __m512i bits = _mm512_castps_si512(f), top = _mm512_srli_epi32(bits, 16);
    __m512i even = _mm512_and_si512(top, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(f, f, _CMP_UNORD_Q);
    __m512i h = _mm512_mask_or_epi32(_mm512_srli_epi32(rounded, 16), nan, top, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(h);
}

static void from_f32_bf16(const float *src, void *dst, int64_t n) {
    uint8_t *to = dst;
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        _mm256_mask_storeu_epi16(to + 2 * i, m, sixteen_bf16(_mm512_maskz_loadu_ps(m, src + i)));
    }
}

// The CPU's own conversion takes subnormal numbers for zero; where there are any, the other way is taken.
__attribute__((target("avx512bf16"))) static void from_f32_bf16_native(const float *src, void *dst, int64_t n) {
    enum { SUBNORMAL = 0x20 }; // a class of vfpclassps
    uint8_t *to = dst;
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 f = _mm512_maskz_loadu_ps(m, src + i);
        bool plain = _mm512_fpclass_ps_mask(f, SUBNORMAL) == 0;
        _mm256_mask_storeu_epi16(to + 2 * i, m, plain ? (__m256i)_mm512_cvtneps_pbh(f) : sixteen_bf16(f));
    }
}

// The largest absolute value of a block, in bits.
INLINE uint32_t largest_bits(__m512 a, __m512 b) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i size_a = _mm512_and_si512(_mm512_castps_si512(a), magnitude);
    __m512i size_b = _mm512_and_si512(_mm512_castps_si512(b), magnitude);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(size_a, size_b));
}

// To nearest even, the default. Where the inverse is 0, infinities and NaN must not reach the conversion.
INLINE __m512i codes_of(__m512 x, float inverse) {
    return _mm512_cvtps_epi32(_mm512_maskz_mul_ps(inverse > 0 ? 0xffff : 0, x, _mm512_set1_ps(inverse)));
}

// The lowest byte of each, stored as a block's codes.
INLINE __m256i codes_store(__m512i a, __m512i b, BlockAct *dst) {
    __m256i q = _mm256_set_m128i(_mm512_cvtepi32_epi8(b), _mm512_cvtepi32_epi8(a));
    _mm256_storeu_si256((void *)dst->q, q);
    return q;
}

static void act(const float *src, BlockAct *dst, int64_t n) {
    for (int64_t block = 0; block < n / BLOCK; block++, src += BLOCK, dst++) {
        __m512 a = _mm512_loadu_ps(src), b = _mm512_loadu_ps(src + 16);
        float inverse;
        dst->d = act_scale(float_of_bits(largest_bits(a, b)), &inverse);
        __m256i sums = half_sums(codes_store(codes_of(a, inverse), codes_of(b, inverse), dst));
        act_finish(dst, _mm256_extract_epi32(sums, 0), _mm256_extract_epi32(sums, 4));
    }
}

// digits_less and digits_middle
INLINE __m512i turned(__m512i codes, int count) {
    const __m512i middle = _mm512_set1_epi32(digits_middle(count)), byte = _mm512_set1_epi32(0xff);
    if (count == 2) {
        __mmask16 less = _mm512_cmpeq_epi32_mask(_mm512_and_si512(codes, byte), _mm512_set1_epi32(0x80));
        codes = _mm512_mask_sub_epi32(codes, less, codes, _mm512_set1_epi32(1));
    }
    return _mm512_xor_si512(_mm512_add_epi32(codes, middle), middle);
}

INLINE void digits_of(const float *src, BlockAct *dst, int64_t n, int count) {
    for (int64_t block = 0; block < n / BLOCK; block++, src += BLOCK, dst += count) {
        __m512 a = _mm512_loadu_ps(src), b = _mm512_loadu_ps(src + 16);
        float inverse, exponent, d = digits_scale(largest_bits(a, b), count, &inverse, &exponent);
        __m512i qa = turned(codes_of(a, inverse), count), qb = turned(codes_of(b, inverse), count);
        __m256i low = half_sums(codes_store(qa, qb, &dst[count - 1]));
        for (int k = count - 2; k > 0; k--) {
            qa = _mm512_srli_epi32(qa, 8);
            qb = _mm512_srli_epi32(qb, 8);
            __m256i sums = half_sums(codes_store(qa, qb, &dst[k]));
            low = _mm256_add_epi32(low, _mm256_slli_epi32(sums, 8 * (count - 1 - k)));
        }
        __m256i top = half_sums(codes_store(_mm512_srli_epi32(qa, 8), _mm512_srli_epi32(qb, 8), &dst[0]));
        digits_finish(dst, count, d, exponent, (int32_t[2]){_mm256_extract_epi32(top, 0), _mm256_extract_epi32(top, 4)},
                      (int32_t[2]){_mm256_extract_epi32(low, 0), _mm256_extract_epi32(low, 4)});
    }
}

static void digits(const float *src, BlockAct *dst, int64_t n, int count) {
    if (count == 2)
        digits_of(src, dst, n, 2);
    else
        digits_of(src, dst, n, 3);
}

void plain_avx512(Kernels *k, const Cpu *cpu) {
    k->to_f32[DT_F16] = to_f32_f16;
    k->to_f32[DT_BF16] = to_f32_bf16;
    k->from_f32[DT_F16] = from_f32_f16;
    k->from_f32[DT_BF16] = cpu->bf16 ? from_f32_bf16_native : from_f32_bf16;
    k->dot_f32[DT_F32] = dot_f32_f32;
    k->dot_f32[DT_F16] = dot_f32_f16;
    k->dot_f32[DT_BF16] = dot_f32_bf16;
    k->act = act;
    k->digits = digits;
}
