// AVX512_VNNI: 16 rows are the 16 lanes, so nothing is added up across a register. Codes are unsigned, and sums start
// at what their offset will add too much.
#include "quant/kernels/gemv_int8_types.h"
#include "quant/kernels/kernels.h"
#include <immintrin.h>

#define VNNI __attribute__((target("avx512vnni")))

INLINE __m512 scales_at(GemvType t, const uint8_t *at) {
    if (t.half_scales) return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at));
    return _mm512_loadu_ps(at);
}

// Four columns of all rows.
INLINE __m512i four_codes(GemvType t, const uint8_t *record, __m512i levels, int four) {
    const uint8_t *codes = record + gemv_codes_at(t), *upper = record + gemv_upper_at(t);
    if (t.bits == 8) return _mm512_loadu_si512(codes + four * GEMV_PLANE);
    __m512i q = _mm512_loadu_si512(codes + four % 4 * GEMV_PLANE);
    if (four >= 4) q = _mm512_srli_epi16(q, 4);
    q = _mm512_and_si512(q, _mm512_set1_epi8(15));
    if (t.levels) return _mm512_shuffle_epi8(levels, q);
    if (t.bits == 5) {
        uint64_t mask;
        memcpy(&mask, upper + four * 8, sizeof mask);
        q = _mm512_mask_add_epi8(q, mask, q, _mm512_set1_epi8(16));
    }
    if (t.bits == 6) {
        __m512i pairs = _mm512_loadu_si512(upper + four / 4 * GEMV_PLANE);
        int from = four % 4 * 2;
        pairs =
            from <= 4 ? _mm512_slli_epi16(pairs, (unsigned)(4 - from)) : _mm512_srli_epi16(pairs, (unsigned)(from - 4));
        q = _mm512_or_si512(q, _mm512_and_si512(pairs, _mm512_set1_epi8(0x30)));
    }
    return q;
}

VNNI INLINE void panel_times(GemvType t, const uint8_t *panel, int64_t groups, const BlockAct *x, float *y) {
    __m512 sum = _mm512_setzero_ps();
    __m512i levels = _mm512_setzero_si512();
    if (t.levels)
        levels = _mm512_add_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)t.levels)),
                                 _mm512_set1_epi8((char)t.offset));
    for (int64_t g = 0; g < groups; g++, panel += gemv_record(t)) {
        UNROLL
        for (int h = 0; h < t.halves; h++) {
            __m512i dots = t.offset ? _mm512_set1_epi32(x[g].starts[act_start(t.offset, h)]) : _mm512_setzero_si512();
            UNROLL
            for (int four = h * 8 / t.halves; four < (h + 1) * 8 / t.halves; four++) {
                int32_t q;
                memcpy(&q, x[g].q + 4 * four, sizeof q);
                dots = _mm512_dpbusd_epi32(dots, four_codes(t, panel, levels, four), _mm512_set1_epi32(q));
            }
            __m512 d = scales_at(t, panel + (size_t)h * gemv_scale_bytes(t));
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(d, _mm512_set1_ps(x[g].d)), sum);
        }
        if (t.min) sum = _mm512_fmadd_ps(scales_at(t, panel + gemv_mins_at(t)), _mm512_set1_ps(x[g].sum), sum);
    }
    _mm512_storeu_ps(y, sum);
}

#define DEFINE(name, type, ...)                                                                                        \
    VNNI static void gemv_##name(const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]) {        \
        panel_times((GemvType){__VA_ARGS__}, panel, groups, x, y);                                                     \
    }
GEMV_TYPES(DEFINE)

void gemv_avx512_vnni(Kernels *k) {
#define ENTER(name, type, ...) k->gemv[type] = gemv_##name;
    GEMV_TYPES(ENTER)
}
