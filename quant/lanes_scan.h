// The look at every weight that scan_values takes, one function for each instruction set.
#ifndef QUANT_LANES_SCAN_H
#define QUANT_LANES_SCAN_H

#include "core/target.h"
#include <stdint.h>

// A float's bits without the sign order as its magnitude does; from INFINITE on it is infinite or NaN.
enum { MAGNITUDE = 0x7fffffff, INFINITE = 0x7f800000 };

// The largest magnitude's bits among n floats; 0 for none.
int32_t lanes_largest_magnitude_scalar(const float *x, int64_t n);
#if defined(__x86_64__)
int32_t lanes_largest_magnitude_avx2(const float *x, int64_t n);
int32_t lanes_largest_magnitude_avx512(const float *x, int64_t n);
#endif

#endif
