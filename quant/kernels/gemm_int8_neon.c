// NEON: 16 bytes, four columns of 4 rows, by the same four of an input, each four products added up: one instruction
// where the CPU has dot products, four without. 16 rows by 4 inputs: 16 integer sums. And the same for one input.
// CPUs with I8MM do twice as much in one instruction: several inputs have a tile, and weights a layout, for that.
#include "quant/kernels/gemm_int8_tile.h"
#include "quant/kernels/gemv_int8_types.h"
#include "quant/kernels/kernels.h"
#include <arm_neon.h>

#if defined(__ARM_FEATURE_DOTPROD)
#define DOTPROD
#elif !defined(__clang__) || __clang_major__ >= 16
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
#define I8MM
#elif defined(__ARM_FEATURE_DOTPROD) && !defined(__clang__) // GCC inlines no function of a target that has more
#define I8MM __attribute__((target("+i8mm")))
#elif !defined(__clang__) || __clang_major__ >= 16
#define I8MM __attribute__((target("arch=armv8.2-a+i8mm")))
#endif

enum { TOKENS = 4, PANELS = INT8_ROWS / INT8_LANES, FOURS = INT8_LANES / 4 };

typedef int32x4_t (*DotFn)(int32x4_t sum, int8x16_t a, int8x16_t b);

// Two products of at most 128 * 127 fit in 16 bits.
INLINE int32x4_t dot_wide(int32x4_t sum, int8x16_t a, int8x16_t b) {
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

INLINE int8x16_t four_of(const void *at) {
    int32_t four;
    memcpy(&four, at, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

INLINE float32x4_t floats_at(const uint8_t *at) { return vld1q_f32((const float *)(const void *)at); }

// ---- several inputs (quant/kernels/gemm_int8.h)

// dots += half h of a group by one digit of the inputs, which are `step` blocks apart.
INLINE void add_dots(Int8Type t, DotFn dot, int32x4_t dots[FOURS][TOKENS], const uint8_t *w, const BlockAct *x,
                     int64_t step, int h) {
    for (int k = h * 8 / t.halves; k < (h + 1) * 8 / t.halves; k++) {
        int8x16_t in[TOKENS];
        UNROLL
        for (int i = 0; i < TOKENS; i++) in[i] = four_of(x[i * step].q + 4 * k);
        UNROLL
        for (int f = 0; f < FOURS; f++) {
            int8x16_t codes = vld1q_s8((const int8_t *)w + 64 * k + 16 * f);
            UNROLL
            for (int i = 0; i < TOKENS; i++) dots[f][i] = dot(dots[f][i], codes, in[i]);
        }
    }
}

INLINE void panel_tile(Int8Type t, DotFn dot, const Int8Tile *a, const uint8_t *w, float *y) {
    const BlockAct *x = a->inputs;
    const int64_t step = a->groups * t.digits;
    float32x4_t sums[FOURS][TOKENS];
    for (int f = 0; f < FOURS; f++)
        for (int i = 0; i < TOKENS; i++) sums[f][i] = vdupq_n_f32(0);
    for (int64_t g = 0; g < a->groups; g++, w += int8_record(t), x += t.digits) {
        for (int h = 0; h < t.halves; h++) {
            int32x4_t dots[FOURS][TOKENS];
            for (int f = 0; f < FOURS; f++)
                for (int i = 0; i < TOKENS; i++) dots[f][i] = vdupq_n_s32(0);
            add_dots(t, dot, dots, w, x, step, h);
            if (t.digits == 2) {
                for (int f = 0; f < FOURS; f++)
                    for (int i = 0; i < TOKENS; i++) dots[f][i] = vshlq_n_s32(dots[f][i], 8);
                add_dots(t, dot, dots, w, x + 1, step, h);
            }
            UNROLL
            for (int f = 0; f < FOURS; f++) {
                float32x4_t d = floats_at(w + int8_scales_at(t) + (size_t)h * int8_lane_bytes() + 16 * f);
                UNROLL
                for (int i = 0; i < TOKENS; i++)
                    sums[f][i] =
                        vfmaq_f32(sums[f][i], vcvtq_f32_s32(dots[f][i]), vmulq_n_f32(d, x[t.digits - 1 + i * step].d));
            }
        }
        for (int f = 0; t.min && f < FOURS; f++) {
            float32x4_t m = floats_at(w + int8_min_at(t) + 16 * f);
            for (int i = 0; i < TOKENS; i++) sums[f][i] = vfmaq_n_f32(sums[f][i], m, x[i * step].sum);
        }
    }
    for (int i = 0; i < TOKENS; i++)
        for (int f = 0; f < FOURS; f++) {
            float *to = y + i * a->stride + 4 * f;
            vst1q_f32(to, a->add ? vaddq_f32(vld1q_f32(to), sums[f][i]) : sums[f][i]);
        }
}

INLINE void tile(Int8Type t, DotFn dot, const Int8Tile *a) {
    for (int p = 0; p < PANELS; p++) panel_tile(t, dot, a, a->weights + (size_t)p * a->panel, a->y + p * INT8_LANES);
}

// ---- several inputs, with I8MM

#if defined(I8MM)
// One instruction takes 8 columns of two inputs and of two rows, and makes {input 0 by row 0, by row 1, input 1 by row
// 0, by row 1}. Sums keep that order until they are stored, and scales are laid out by it, so that nothing is moved in
// between. 8 rows by 6 inputs: 12 integer sums, 12 in f32 and what is multiplied fit in 32 registers.
enum { ROW_PAIRS = 4, STRIP = 2 * ROW_PAIRS, INPUT_PAIRS = 3 };

INLINE float32x4_t of_rows(const uint8_t *at) {
    float32x2_t two = vld1_f32((const float *)(const void *)at);
    return vcombine_f32(two, two);
}

INLINE float32x4_t of_inputs(float first, float second) { return vcombine_f32(vdup_n_f32(first), vdup_n_f32(second)); }

INLINE void store(bool add, float *to, float32x2_t low, float32x2_t high) {
    float32x4_t sum = vcombine_f32(low, high);
    vst1q_f32(to, add ? vaddq_f32(vld1q_f32(to), sum) : sum);
}

I8MM INLINE void add_pair_dots(Int8Type t, int32x4_t dots[ROW_PAIRS][INPUT_PAIRS], const uint8_t *w, int row,
                               const BlockAct *x, int64_t step, int h) {
    // A loop indeed: unrolled, GCC loads so much ahead that sums leave the registers.
    for (int k = h * 4 / t.halves; k < (h + 1) * 4 / t.halves; k++) {
        int8x16_t in[INPUT_PAIRS];
        UNROLL
        for (int i = 0; i < INPUT_PAIRS; i++) {
            const BlockAct *two = x + 2 * i * step;
            in[i] = vcombine_s8(vld1_s8(two->q + 8 * k), vld1_s8(two[step].q + 8 * k));
        }
        UNROLL
        for (int r = 0; r < ROW_PAIRS; r++) {
            int8x16_t codes = vld1q_s8((const int8_t *)w + 128 * k + 8 * row + 16 * r);
            UNROLL
            for (int i = 0; i < INPUT_PAIRS; i++) dots[r][i] = vmmlaq_s32(dots[r][i], in[i], codes);
        }
    }
}

// Rows row .. row + 7 of a panel.
I8MM INLINE void strip_tile(Int8Type t, const Int8Tile *a, const uint8_t *w, int row, float *y) {
    const BlockAct *x = a->inputs;
    const int64_t step = a->groups * t.digits;
    float32x4_t sums[ROW_PAIRS][INPUT_PAIRS];
    UNROLL
    for (int r = 0; r < ROW_PAIRS; r++) UNROLL
    for (int i = 0; i < INPUT_PAIRS; i++) sums[r][i] = vdupq_n_f32(0);
    for (int64_t g = 0; g < a->groups; g++, w += int8_record(t), x += t.digits) {
        UNROLL
        for (int h = 0; h < t.halves; h++) {
            int32x4_t dots[ROW_PAIRS][INPUT_PAIRS];
            UNROLL
            for (int r = 0; r < ROW_PAIRS; r++) UNROLL
            for (int i = 0; i < INPUT_PAIRS; i++) dots[r][i] = vdupq_n_s32(0);
            add_pair_dots(t, dots, w, row, x, step, h);
            if (t.digits == 2) {
                UNROLL
                for (int r = 0; r < ROW_PAIRS; r++) UNROLL
                for (int i = 0; i < INPUT_PAIRS; i++) dots[r][i] = vshlq_n_s32(dots[r][i], 8);
                add_pair_dots(t, dots, w, row, x + 1, step, h);
            }
            const BlockAct *last = x + t.digits - 1;
            const uint8_t *scales = w + int8_scales_at(t) + (size_t)h * int8_lane_bytes() + 4 * row;
            UNROLL
            for (int i = 0; i < INPUT_PAIRS; i++) {
                float32x4_t d = of_inputs(last[2 * i * step].d, last[(2 * i + 1) * step].d);
                UNROLL
                for (int r = 0; r < ROW_PAIRS; r++)
                    sums[r][i] =
                        vfmaq_f32(sums[r][i], vcvtq_f32_s32(dots[r][i]), vmulq_f32(of_rows(scales + 8 * r), d));
            }
        }
        if (!t.min) continue;
        UNROLL
        for (int i = 0; i < INPUT_PAIRS; i++) {
            float32x4_t sum = of_inputs(x[2 * i * step].sum, x[(2 * i + 1) * step].sum);
            UNROLL
            for (int r = 0; r < ROW_PAIRS; r++)
                sums[r][i] = vfmaq_f32(sums[r][i], of_rows(w + int8_min_at(t) + 4 * row + 8 * r), sum);
        }
    }
    UNROLL
    for (int i = 0; i < INPUT_PAIRS; i++) UNROLL
    for (int r = 0; r < ROW_PAIRS; r += 2) {
        float *to = y + 2 * i * a->stride + 2 * r;
        store(a->add, to, vget_low_f32(sums[r][i]), vget_low_f32(sums[r + 1][i]));
        store(a->add, to + a->stride, vget_high_f32(sums[r][i]), vget_high_f32(sums[r + 1][i]));
    }
}

I8MM INLINE void tile_of_pairs(Int8Type t, const Int8Tile *a) {
    for (int r = 0; r < INT8_ROWS; r += STRIP)
        strip_tile(t, a, a->weights + (size_t)(r / INT8_LANES) * a->panel, r % INT8_LANES, a->y + r);
}
#endif

// ---- one input (quant/kernels/gemv_int8.h)

INLINE float32x4_t scales_at(GemvType t, const uint8_t *at, int f) {
    if (t.half_scales) return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)(const void *)at + 4 * f)));
    return floats_at(at + 16 * f);
}

// Four columns of 4 rows, as they are worth.
INLINE int8x16_t gemv_codes(GemvType t, const uint8_t *record, int8x16_t levels, int four, int f) {
    const uint8_t *codes = record + gemv_codes_at(t) + 16 * f, *upper = record + gemv_upper_at(t);
    if (t.bits == 8) return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + four * GEMV_PLANE), vdupq_n_u8(128)));
    uint8x16_t q = vld1q_u8(codes + four % 4 * GEMV_PLANE);
    q = four >= 4 ? vshrq_n_u8(q, 4) : vandq_u8(q, vdupq_n_u8(15));
    if (t.levels) return vqtbl1q_s8(levels, q);
    if (t.bits == 5) {
        const uint8x8_t bit_of = vcreate_u8(0x8040201008040201);
        const uint8_t *bits = upper + four * 8 + 2 * f;
        uint8x16_t set = vcombine_u8(vtst_u8(vdup_n_u8(bits[0]), bit_of), vtst_u8(vdup_n_u8(bits[1]), bit_of));
        q = vorrq_u8(q, vandq_u8(set, vdupq_n_u8(16)));
    }
    if (t.bits == 6) {
        uint8x16_t pairs = vld1q_u8(upper + four / 4 * GEMV_PLANE + 16 * f);
        pairs = vshlq_u8(pairs, vdupq_n_s8((int8_t)(4 - four % 4 * 2)));
        q = vorrq_u8(q, vandq_u8(pairs, vdupq_n_u8(0x30)));
    }
    return vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8((int8_t)t.offset));
}

INLINE void panel_times(GemvType t, DotFn dot, const uint8_t *panel, int64_t groups, const BlockAct *x, float *y) {
    float32x4_t sums[FOURS] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    int8x16_t levels = t.levels ? vld1q_s8(t.levels) : vdupq_n_s8(0);
    for (int64_t g = 0; g < groups; g++, panel += gemv_record(t)) {
        UNROLL
        for (int f = 0; f < FOURS; f++) {
            UNROLL
            for (int h = 0; h < t.halves; h++) {
                int32x4_t dots = vdupq_n_s32(0);
                UNROLL
                for (int four = h * 8 / t.halves; four < (h + 1) * 8 / t.halves; four++)
                    dots = dot(dots, gemv_codes(t, panel, levels, four, f), four_of(x[g].q + 4 * four));
                float32x4_t d = scales_at(t, panel + (size_t)h * gemv_scale_bytes(t), f);
                sums[f] = vfmaq_f32(sums[f], vcvtq_f32_s32(dots), vmulq_n_f32(d, x[g].d));
            }
            if (t.min) sums[f] = vfmaq_n_f32(sums[f], scales_at(t, panel + gemv_mins_at(t), f), x[g].sum);
        }
    }
    for (int f = 0; f < FOURS; f++) vst1q_f32(y + 4 * f, sums[f]);
}

// ---- the tables

#define TILES                                                                                                          \
    {                                                                                                                  \
        [1] = {BLOCK_TYPES(INT8_TILE_ONE)}, [2] = { BLOCK_TYPES(INT8_TILE_TWO) }                                       \
    }

#define TILE_OF(digits, name) wide##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    static void TILE_OF(digits, name)(const Int8Tile *a) {                                                             \
        tile((Int8Type){INT8_SIGNED, halves, min, 0, digits, false}, dot_wide, a);                                     \
    }
#define DEFINE_GEMV_WIDE(name, type, ...)                                                                              \
    static void gemv_wide_##name(const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]) {        \
        panel_times((GemvType){__VA_ARGS__}, dot_wide, panel, groups, x, y);                                           \
    }
BLOCK_TYPES(INT8_DEFINE_TWO)
GEMV_TYPES(DEFINE_GEMV_WIDE)

static const GemmInt8 wide = {.name = "neon", .tokens = TOKENS, .tile = TILES};
#undef TILE_OF
#undef DEFINE_TILE

#if defined(DOTPROD)
DOTPROD INLINE int32x4_t dot_sdot(int32x4_t sum, int8x16_t a, int8x16_t b) { return vdotq_s32(sum, a, b); }

#define TILE_OF(digits, name) sdot##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    DOTPROD static void TILE_OF(digits, name)(const Int8Tile *a) {                                                     \
        tile((Int8Type){INT8_SIGNED, halves, min, 0, digits, false}, dot_sdot, a);                                     \
    }
#define DEFINE_GEMV_SDOT(name, type, ...)                                                                              \
    DOTPROD static void gemv_sdot_##name(const uint8_t *panel, int64_t groups, const BlockAct *x,                      \
                                         float y[GEMV_ROWS]) {                                                         \
        panel_times((GemvType){__VA_ARGS__}, dot_sdot, panel, groups, x, y);                                           \
    }
BLOCK_TYPES(INT8_DEFINE_TWO)
GEMV_TYPES(DEFINE_GEMV_SDOT)

static const GemmInt8 sdot = {.name = "neon dotprod", .tokens = TOKENS, .tile = TILES};
#undef TILE_OF
#undef DEFINE_TILE
#endif

#if defined(I8MM)
#define TILE_OF(digits, name) smmla##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    I8MM static void TILE_OF(digits, name)(const Int8Tile *a) {                                                        \
        tile_of_pairs((Int8Type){INT8_EIGHTS, halves, min, 0, digits, false}, a);                                      \
    }
BLOCK_TYPES(INT8_DEFINE_TWO)

#define LAYOUT(name, type, ...) [type] = INT8_EIGHTS,
static const GemmInt8 smmla = {
    .name = "neon i8mm", .tokens = 2 * INPUT_PAIRS, .layout = {BLOCK_TYPES(LAYOUT)}, .tile = TILES};
#undef TILE_OF
#undef DEFINE_TILE
#endif

void gemm_int8_neon(Kernels *k, const Cpu *cpu) {
    (void)cpu; // unused where the compiler has neither
#define ENTER_WIDE(name, type, ...) k->gemv[type] = gemv_wide_##name;
    GEMV_TYPES(ENTER_WIDE)
    k->int8 = &wide;
#if defined(DOTPROD)
#define ENTER_SDOT(name, type, ...) k->gemv[type] = gemv_sdot_##name;
    if (cpu->dotprod) {
        GEMV_TYPES(ENTER_SDOT)
        k->int8 = &sdot;
    }
#endif
#if defined(I8MM)
    if (cpu->i8mm) k->int8 = &smmla;
#endif
}
