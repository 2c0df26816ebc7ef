// AVX2: 16 rows are two registers of 8. Small unsigned codes are multiplied as they are, two pairs of products fitting
// in 16 bits; those of 8 bits by their absolute values, the signs going to the activations.
#include "quant/kernels/blocks_x86.h"
#include "quant/kernels/gemv_int8_types.h"
#include "quant/kernels/kernels.h"

INLINE __m256 scales_at(GemvType t, const uint8_t *at, int e) {
    if (t.half_scales) return _mm256_cvtph_ps(_mm_loadu_si128((const void *)(at + 16 * e)));
    return _mm256_loadu_ps((const float *)(const void *)(at + 32 * e));
}

INLINE bool is_signed(GemvType t) { return t.offset == 128; }

// Four columns of 8 rows: unsigned, or signed where is_signed.
INLINE __m256i four_codes(GemvType t, const uint8_t *record, __m256i levels, int four, int e) {
    const uint8_t *codes = record + gemv_codes_at(t) + 32 * e, *upper = record + gemv_upper_at(t);
    if (t.bits == 8) return _mm256_xor_si256(load_32(codes + four * GEMV_PLANE), _mm256_set1_epi8((char)128));
    __m256i q = load_32(codes + four % 4 * GEMV_PLANE);
    q = four >= 4 ? nibbles_high(q) : nibbles_low(q);
    if (t.levels) return _mm256_shuffle_epi8(levels, q);
    if (t.bits == 5) q = _mm256_or_si256(q, spread_fifth_bits(upper + four * 8 + 4 * e));
    if (t.bits == 6)
        q = _mm256_or_si256(q, bits_to_4(load_32(upper + four / 4 * GEMV_PLANE + 32 * e), four % 4 * 2, 0x30));
    return q;
}

INLINE __m256i pairs_of(GemvType t, __m256i w, __m256i q) {
    return is_signed(t) ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w)) : _mm256_maddubs_epi16(w, q);
}

INLINE __m256i widened(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

INLINE __m256i four_activations(const BlockAct *x, int four) {
    int32_t q;
    memcpy(&q, x->q + 4 * four, sizeof q);
    return _mm256_set1_epi32(q);
}

INLINE void panel_times(GemvType t, const uint8_t *panel, int64_t groups, const BlockAct *x, float *y) {
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256i levels = _mm256_setzero_si256();
    if (t.levels)
        levels = _mm256_add_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)t.levels)),
                                 _mm256_set1_epi8((char)(is_signed(t) ? 0 : t.offset)));
    for (int64_t g = 0; g < groups; g++, panel += gemv_record(t)) {
        UNROLL
        for (int e = 0; e < 2; e++) {
            UNROLL
            for (int h = 0; h < t.halves; h++) {
                __m256i dots = _mm256_setzero_si256();
                if (!is_signed(t) && t.offset) dots = _mm256_set1_epi32(x[g].starts[act_start(t.offset, h)]);
                UNROLL
                for (int four = h * 8 / t.halves; four < (h + 1) * 8 / t.halves; four += 2) {
                    __m256i a = pairs_of(t, four_codes(t, panel, levels, four, e), four_activations(&x[g], four));
                    __m256i b =
                        pairs_of(t, four_codes(t, panel, levels, four + 1, e), four_activations(&x[g], four + 1));
                    __m256i both =
                        is_signed(t) ? _mm256_add_epi32(widened(a), widened(b)) : widened(_mm256_add_epi16(a, b));
                    dots = _mm256_add_epi32(dots, both);
                }
                __m256 d = scales_at(t, panel + (size_t)h * gemv_scale_bytes(t), e);
                sums[e] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_mul_ps(d, _mm256_set1_ps(x[g].d)), sums[e]);
            }
            if (t.min)
                sums[e] = _mm256_fmadd_ps(scales_at(t, panel + gemv_mins_at(t), e), _mm256_set1_ps(x[g].sum), sums[e]);
        }
    }
    _mm256_storeu_ps(y, sums[0]);
    _mm256_storeu_ps(y + 8, sums[1]);
}

#define DEFINE(name, type, ...)                                                                                        \
    static void gemv_##name(const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]) {             \
        panel_times((GemvType){__VA_ARGS__}, panel, groups, x, y);                                                     \
    }
GEMV_TYPES(DEFINE)

void gemv_avx2(Kernels *k) {
#define ENTER(name, type, ...) k->gemv[type] = gemv_##name;
    GEMV_TYPES(ENTER)
}
