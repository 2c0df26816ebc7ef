// NEON with dot products: one instruction multiplies 16 signed bytes by one of four fours, and adds up each four
// neighbours. 16 rows by 4 inputs: 16 integer sums; those in f32 are kept in memory.
#include "quant/kernels/gemm_int8_tile.h"
#include "quant/kernels/kernels.h"
#include <arm_neon.h>

#if defined(__ARM_FEATURE_DOTPROD)
#define DOTPROD
#elif !defined(__clang__) || __clang_major__ >= 16
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

#if defined(DOTPROD)
enum { TOKENS = 4, PANELS = INT8_ROWS / INT8_LANES, FOURS = INT8_LANES / 4 };

// Four columns of 16 rows by lane `lane` of each input's 16 codes.
#define STEP(k, lane)                                                                                                  \
    for (int f = 0; f < FOURS; f++) {                                                                                  \
        int8x16_t codes = vld1q_s8((const int8_t *)w + 64 * (k) + 16 * f);                                             \
        UNROLL
for (int i = 0; i < TOKENS; i++) dots[f][i] = vdotq_laneq_s32(dots[f][i], codes, q[i], lane);
}

DOTPROD INLINE void tile(Int8Type t, const Int8Tile *a) {
    for (int p = 0; p < PANELS; p++) {
        const uint8_t *w = a->weights + (size_t)p * a->panel, *x = a->inputs;
        float32x4_t sums[FOURS][TOKENS];
        UNROLL
        for (int f = 0; f < FOURS; f++) UNROLL
        for (int i = 0; i < TOKENS; i++) sums[f][i] = vdupq_n_f32(0);
        for (int64_t g = 0; g < a->groups; g++, w += int8_record(t), x += int8_input_record(t)) {
            int32x4_t dots[FOURS][TOKENS];
            for (int half = 0; half < 2; half++) {
                int8x16_t q[TOKENS];
                UNROLL
                for (int i = 0; i < TOKENS; i++)
                    q[i] = vld1q_s8((const int8_t *)x + (size_t)i * a->input + INT8_INPUT_HEAD + 16 * half);
                if (half == 0 || t.halves == 2) UNROLL
                for (int f = 0; f < FOURS; f++) UNROLL
                for (int i = 0; i < TOKENS; i++) dots[f][i] = vdupq_n_s32(0);
                STEP(4 * half, 0)
                STEP(4 * half + 1, 1)
                STEP(4 * half + 2, 2)
                STEP(4 * half + 3, 3)
                if (half == 0 && t.halves == 1) continue;
                const size_t scale = int8_scales_at(t) + (size_t)(t.halves == 2 ? half : 0) * int8_lane_bytes();
                UNROLL
                for (int f = 0; f < FOURS; f++) {
                    float32x4_t d = vld1q_f32((const float *)(const void *)(w + scale) + 4 * f);
                    UNROLL
                    for (int i = 0; i < TOKENS; i++)
                        sums[f][i] = vfmaq_f32(sums[f][i], vcvtq_f32_s32(dots[f][i]),
                                               vmulq_n_f32(d, int8_float(x + (size_t)i * a->input)));
                }
            }
            UNROLL
            for (int f = 0; t.min && f < FOURS; f++) {
                float32x4_t m = vld1q_f32((const float *)(const void *)(w + int8_min_at(t)) + 4 * f);
                UNROLL
                for (int i = 0; i < TOKENS; i++)
                    sums[f][i] = vfmaq_n_f32(sums[f][i], m, int8_float(x + (size_t)i * a->input + sizeof(float)));
            }
        }
        UNROLL
        for (int i = 0; i < TOKENS; i++) UNROLL
        for (int f = 0; f < FOURS; f++) {
            float *y = a->y + i * a->stride + p * INT8_LANES + 4 * f;
            vst1q_f32(y, a->add ? vaddq_f32(vld1q_f32(y), sums[f][i]) : sums[f][i]);
        }
    }
}

#define DEFINE_TILES(name, type, block, groups, halves, min, ...)                                                      \
    DOTPROD static void tile_##name(const Int8Tile *a) { tile((Int8Type){INT8_SIGNED, halves, min}, a); }
BLOCK_TYPES(DEFINE_TILES)

#define TILE(name, type, ...) [type] = tile_##name,
static const GemmInt8 gemm = {.name = "neon dotprod", .tokens = TOKENS, .tile = {BLOCK_TYPES(TILE)}};

void gemm_int8_neon(Kernels *k, const Cpu *cpu) {
    if (cpu->dotprod) k->int8 = &gemm;
}
#else
void gemm_int8_neon(Kernels *k, const Cpu *cpu) {
    (void)k;
    (void)cpu;
}
#endif
