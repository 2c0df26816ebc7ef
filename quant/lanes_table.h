// The quantizers of one instruction set. Each lanes_*.c is compiled for scalar, avx2 and avx512 (core/target.h) and
// fills in its types.
#ifndef QUANT_LANES_TABLE_H
#define QUANT_LANES_TABLE_H

#include "quant/quant.h"

#define LANES_TABLE(target)                                                                                            \
    void lanes_symmetric_##target(QuantizeFn table[DT_COUNT]);    /* q8_0, q4_0, q5_0 */                               \
    void lanes_affine_##target(QuantizeFn table[DT_COUNT]);       /* q4_1, q5_1 */                                     \
    void lanes_levels_##target(QuantizeFn table[DT_COUNT]);       /* iq4_nl */                                         \
    void lanes_mxfp4_##target(QuantizeFn table[DT_COUNT]);        /* mxfp4 */                                          \
    void lanes_super_##target(QuantizeFn table[DT_COUNT]);        /* q4_k, q5_k, q2_k */                               \
    void lanes_super_signed_##target(QuantizeFn table[DT_COUNT]); /* q6_k, q3_k, iq4_xs */

LANES_TABLE(scalar)
#if defined(__x86_64__)
LANES_TABLE(avx2)
LANES_TABLE(avx512)
#endif

#endif
