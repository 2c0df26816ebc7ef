// Plain types and activations with NEON: 4 numbers at a time, what is left over one by one.
#include "quant/kernels/kernels.h"
#include "quant/kernels/layout.h"
#include <arm_neon.h>

// Four numbers of a type, from anywhere.
INLINE float32x4_t load_f32(const void *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
INLINE float32x4_t load_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
INLINE float32x4_t load_bf16(const void *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
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

typedef float32x4_t (*LoadFn)(const void *p);
typedef float (*OneFn)(const void *p);

INLINE void to_f32(int64_t size, LoadFn load, OneFn one, const void *src, float *dst, int64_t n) {
    const uint8_t *from = src;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        vst1q_f32(dst + i, load(from + i * size));
        vst1q_f32(dst + i + 4, load(from + (i + 4) * size));
    }
    for (; i < n; i++) dst[i] = one(from + i * size);
}

INLINE float dot_f32(int64_t size, LoadFn load, OneFn one, const void *row, const float *x, int64_t n) {
    const uint8_t *from = row;
    float32x4_t a = vdupq_n_f32(0), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8_t *at = from + i * size;
        a = vfmaq_f32(a, load(at), vld1q_f32(x + i));
        b = vfmaq_f32(b, load(at + 4 * size), vld1q_f32(x + i + 4));
        c = vfmaq_f32(c, load(at + 8 * size), vld1q_f32(x + i + 8));
        d = vfmaq_f32(d, load(at + 12 * size), vld1q_f32(x + i + 12));
    }
    float sum = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
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
    for (; i + 4 <= n; i += 4) vst1_u8(to + 2 * i, vreinterpret_u8_f16(vcvt_f16_f32(vld1q_f32(src + i))));
    for (; i < n; i++) {
        uint16_t h = f16_from_f32(src[i]);
        memcpy(to + 2 * i, &h, sizeof h);
    }
}

// As bf16_from_f32.
INLINE uint16x4_t four_bf16(float32x4_t f) {
    uint32x4_t bits = vreinterpretq_u32_f32(f), top = vshrq_n_u32(bits, 16);
    uint32x4_t even = vandq_u32(top, vdupq_n_u32(1));
    uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7fff))), 16);
    uint32x4_t number = vceqq_f32(f, f); // false for NaN
    return vmovn_u32(vbslq_u32(number, rounded, vorrq_u32(top, vdupq_n_u32(0x40))));
}

static void from_f32_bf16(const float *src, void *dst, int64_t n) {
    uint8_t *to = dst;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u8(to + 2 * i, vreinterpret_u8_u16(four_bf16(vld1q_f32(src + i))));
    for (; i < n; i++) {
        uint16_t h = bf16_from_f32(src[i]);
        memcpy(to + 2 * i, &h, sizeof h);
    }
}

static void act(const float *src, BlockAct *dst, int64_t n) {
    const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
    for (int64_t block = 0; block < n / BLOCK; block++, src += BLOCK, dst++) {
        uint32x4_t largest = vdupq_n_u32(0);
        for (int i = 0; i < BLOCK; i += 4)
            largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(src + i)), magnitude));
        float inverse;
        dst->d = act_scale(float_of_bits(vmaxvq_u32(largest)), &inverse);
        int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int i = 0; i < BLOCK; i += 8) {
            // To nearest even. Where the inverse is 0, so is every code: the conversion takes NaN to 0.
            int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(src + i), inverse));
            int32x4_t b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(src + i + 4), inverse));
            vst1_s8(dst->q + i, vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))));
            sums[i / (BLOCK / 2)] = vaddq_s32(sums[i / (BLOCK / 2)], vaddq_s32(a, b));
        }
        act_finish(dst, vaddvq_s32(sums[0]), vaddvq_s32(sums[1]));
    }
}

void plain_neon(Kernels *k) {
    k->to_f32[DT_F16] = to_f32_f16;
    k->to_f32[DT_BF16] = to_f32_bf16;
    k->from_f32[DT_F16] = from_f32_f16;
    k->from_f32[DT_BF16] = from_f32_bf16;
    k->dot_f32[DT_F32] = dot_f32_f32;
    k->dot_f32[DT_F16] = dot_f32_f16;
    k->dot_f32[DT_BF16] = dot_f32_bf16;
    k->act = act;
}
