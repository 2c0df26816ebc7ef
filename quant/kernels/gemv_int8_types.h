// Where things lie in the records of quant/kernels/gemv_int8.h.
#ifndef QUANT_GEMV_INT8_TYPES_H
#define QUANT_GEMV_INT8_TYPES_H

#include "quant/kernels/gemv_int8.h"
#include "quant/kernels/layout.h"

typedef struct GemvType {
    int bits;             // of a packed code
    const int8_t *levels; // [16], which a code is an index into; or NULL
    int offset;           // what unsigned codes have more than their value
    int halves;
    bool min;
    bool half_scales; // f16
} GemvType;

// clang-format off
//    name    type        bits levels         offset halves min    f16
#define GEMV_TYPES(X) \
    X(q8_0,   DT_Q8_0,    8,   NULL,          128,   1,     false, true)  \
    X(q4_0,   DT_Q4_0,    4,   NULL,          8,     1,     false, true)  \
    X(q4_1,   DT_Q4_1,    4,   NULL,          0,     1,     true,  true)  \
    X(q5_0,   DT_Q5_0,    5,   NULL,          16,    1,     false, true)  \
    X(q5_1,   DT_Q5_1,    5,   NULL,          0,     1,     true,  true)  \
    X(iq4_nl, DT_IQ4_NL,  4,   iq4_nl_levels, 128,   1,     false, true)  \
    X(mxfp4,  DT_MXFP4,   4,   e2m1_doubled,  16,    1,     false, false) \
    X(iq4_xs, DT_IQ4_XS,  4,   iq4_nl_levels, 128,   1,     false, false) \
    X(q4_k,   DT_Q4_K,    4,   NULL,          0,     1,     true,  false) \
    X(q5_k,   DT_Q5_K,    5,   NULL,          0,     1,     true,  false) \
    X(q6_k,   DT_Q6_K,    6,   NULL,          32,    2,     false, false)
// clang-format on

enum { GEMV_PLANE = 4 * GEMV_ROWS }; // bytes of four columns of 8 bits

INLINE size_t gemv_scale_bytes(GemvType t) { return GEMV_ROWS * (t.half_scales ? sizeof(uint16_t) : sizeof(float)); }
INLINE size_t gemv_mins_at(GemvType t) { return (size_t)t.halves * gemv_scale_bytes(t); }
INLINE size_t gemv_codes_at(GemvType t) { return gemv_mins_at(t) + (t.min ? gemv_scale_bytes(t) : 0); }
INLINE size_t gemv_upper_at(GemvType t) { return gemv_codes_at(t) + GEMV_PLANE * (t.bits == 8 ? 8 : 4); }
INLINE size_t gemv_record(GemvType t) {
    return gemv_upper_at(t) + (t.bits == 5 ? GEMV_PLANE : t.bits == 6 ? 2 * GEMV_PLANE : 0);
}

#endif
