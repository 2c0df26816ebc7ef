// Plain types and activations with AVX2, F16C and FMA: 8 numbers at a time, what is left over one by one.
#include "quant/kernels/blocks_x86.h"
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"
#include <immintrin.h>

// Eight numbers of a type, from anywhere.
INLINE __m256 load_f32(const void *p) { return _mm256_loadu_ps(p); }
INLINE __m256 load_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INLINE __m256 load_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}

// One number of a type, from anywhere.
INLINE uint16_t half_at(const void *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
INLINE float one_f32(const void *p) {
    float f;
    memcpy(&f, p, sizeof f);
    return f;
}
INLINE float one_f16(const void *p) { return f16_to_f32(half_at(p)); }
INLINE float one_bf16(const void *p) { return bf16_to_f32(half_at(p)); }

typedef __m256 (*LoadFn)(const void *p);
typedef float (*OneFn)(const void *p);

INLINE void to_f32(int64_t size, LoadFn load, OneFn one, const void *src, float *dst, int64_t n) {
    const uint8_t *from = src;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        _mm256_storeu_ps(dst + i, load(from + i * size));
        _mm256_storeu_ps(dst + i + 8, load(from + (i + 8) * size));
    }
    for (; i < n; i++) dst[i] = one(from + i * size);
}

INLINE float dot_f32(int64_t size, LoadFn load, OneFn one, const void *row, const float *x, int64_t n) {
    const uint8_t *from = row;
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const uint8_t *at = from + i * size;
        a = _mm256_fmadd_ps(load(at), _mm256_loadu_ps(x + i), a);
        b = _mm256_fmadd_ps(load(at + 8 * size), _mm256_loadu_ps(x + i + 8), b);
        c = _mm256_fmadd_ps(load(at + 16 * size), _mm256_loadu_ps(x + i + 16), c);
        d = _mm256_fmadd_ps(load(at + 24 * size), _mm256_loadu_ps(x + i + 24), d);
    }
    for (; i + 8 <= n; i += 8) a = _mm256_fmadd_ps(load(from + i * size), _mm256_loadu_ps(x + i), a);
    a = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    float sum = _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    for (; i < n; i++) sum += one(from + i * size) * x[i];
    return sum;
}

static void to_f32_f16(const void *src, float *dst, int64_t n) { to_f32(2, load_f16, one_f16, src, dst, n); }
static void to_f32_bf16(const void *src, float *dst, int64_t n) { to_f32(2, load_bf16, one_bf16, src, dst, n); }

static float dot_f32_f32(const void *row, const float *x, int64_t n) {
    return dot_f32(4, load_f32, one_f32, row, x, n);
}
static float dot_f32_f16(const void *row, const float *x, int64_t n) {
    return dot_f32(2, load_f16, one_f16, row, x, n);
}
static float dot_f32_bf16(const void *row, const float *x, int64_t n) {
    return dot_f32(2, load_bf16, one_bf16, row, x, n);
}

static void from_f32_f16(const float *src, void *dst, int64_t n) {
    uint8_t *to = dst;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(to + 2 * i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) {
        uint16_t h = f16_from_f32(src[i]);
        memcpy(to + 2 * i, &h, sizeof h);
    }
}

// As bf16_from_f32, in the low halves of eight 32-bit lanes.
INLINE __m256i eight_bf16(__m256 f) {
    __m256i bits = _mm256_castps_si256(f), top = _mm256_srli_epi32(bits, 16);
    __m256i even = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), quiet, nan);
}

static void from_f32_bf16(const float *src, void *dst, int64_t n) {
    uint8_t *to = dst;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i a = eight_bf16(_mm256_loadu_ps(src + i)), b = eight_bf16(_mm256_loadu_ps(src + i + 8));
        // The pack works within each half of 128 bits; the permutation puts its quarters in order.
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((void *)(to + 2 * i), packed);
    }
    for (; i < n; i++) {
        uint16_t h = bf16_from_f32(src[i]);
        memcpy(to + 2 * i, &h, sizeof h);
    }
}

INLINE uint32_t largest_int(__m256i v) {
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1))));
}

static void act(const float *src, BlockAct *dst, int64_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int64_t block = 0; block < n / BLOCK; block++, src += BLOCK, dst++) {
        __m256 x[4];
        __m256i q[4], largest = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            x[i] = _mm256_loadu_ps(src + 8 * i);
            largest = _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(x[i]), magnitude));
        }
        float inverse;
        dst->d = act_scale(float_of_bits(largest_int(largest)), &inverse);
        // Where the inverse is 0, infinities and NaN must not reach the conversion.
        __m256 keep = _mm256_cmp_ps(_mm256_set1_ps(inverse), _mm256_setzero_ps(), _CMP_GT_OQ);
        for (int i = 0; i < 4; i++) {
            __m256 scaled = _mm256_and_ps(keep, _mm256_mul_ps(x[i], _mm256_set1_ps(inverse)));
            q[i] = _mm256_cvtps_epi32(scaled); // to nearest even, the processor's default
        }
        __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); // packs work within 128 bits
        packed = _mm256_permutevar8x32_epi32(packed, order);
        _mm256_storeu_si256((void *)dst->q, packed);
        __m256i sums = half_sums(packed);
        act_finish(dst, _mm256_extract_epi32(sums, 0), _mm256_extract_epi32(sums, 4));
    }
}

void plain_avx2(Kernels *k) {
    k->to_f32[DT_F16] = to_f32_f16;
    k->to_f32[DT_BF16] = to_f32_bf16;
    k->from_f32[DT_F16] = from_f32_f16;
    k->from_f32[DT_BF16] = from_f32_bf16;
    k->dot_f32[DT_F32] = dot_f32_f32;
    k->dot_f32[DT_F16] = dot_f32_f16;
    k->dot_f32[DT_BF16] = dot_f32_bf16;
    k->act = act;
}
