// What block types of quant/blocks_decoded.h need: one function that gives a block's values. Their dot product
// goes through a decoded block; there is none with activations of 8 bits.
#ifndef QUANT_DECODED_H
#define QUANT_DECODED_H

#include "quant/blocks_decoded.h"
#include "core/half.h"
#include "quant/kernels/kernels.h"

typedef void (*DecodeFn)(const void *block, float *w); // one block, into as many floats as it has elements

static inline void decoded_to_f32(DecodeFn decode, DType type, const void *src, float *dst, int64_t n) {
    const DTypeInfo *t = dtype_info(type);
    const uint8_t *block = src;
    for (int64_t at = 0; at < n; at += t->block, block += t->block_bytes) decode(block, dst + at);
}

static inline float decoded_dot(DecodeFn decode, DType type, const void *row, const float *x, int64_t n) {
    const DTypeInfo *t = dtype_info(type);
    const uint8_t *block = row;
    double sum = 0;
    for (int64_t at = 0; at < n; at += t->block, block += t->block_bytes) {
        float w[SUPER];
        decode(block, w);
        for (int64_t i = 0; i < t->block; i++) sum += (double)w[i] * x[at + i];
    }
    return (float)sum;
}

#define DECODED_KERNELS(name, type)                                                                                    \
    static void to_f32_##name(const void *src, float *dst, int64_t n) {                                                \
        decoded_to_f32(decode_##name, type, src, dst, n);                                                              \
    }                                                                                                                  \
    static float dot_f32_##name(const void *row, const float *x, int64_t n) {                                          \
        return decoded_dot(decode_##name, type, row, x, n);                                                            \
    }

#define DECODED_ENTER(name, type)                                                                                      \
    k->to_f32[type] = to_f32_##name;                                                                                   \
    k->dot_f32[type] = dot_f32_##name;

#endif
