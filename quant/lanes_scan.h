// The look at every weight that quant/scan.h takes, one function for each instruction set.
#ifndef QUANT_LANES_SCAN_H
#define QUANT_LANES_SCAN_H

#include "core/target.h"
#include <stdint.h>

// A float's bits without the sign order as its magnitude does; from INFINITE on it is infinite or NaN.
enum { MAGNITUDE = 0x7fffffff, INFINITE = 0x7f800000 };

#define LANES_SCAN(target)                                                                                             \
    /* The largest magnitude's bits among n floats; 0 for none. */                                                     \
    int32_t lanes_largest_magnitude_##target(const float *x, int64_t n);                                               \
    /* The same of n bf16 at any address, which are written to dst as floats. */                                       \
    int32_t lanes_widen_bf16_##target(const void *src, float *dst, int64_t n);

LANES_SCAN(scalar)
#if defined(__x86_64__)
LANES_SCAN(avx2)
LANES_SCAN(avx512)
#endif

#endif
