// What convert/ is lent to change plain types with: it may not know quant/.
#ifndef CLI_CAST_KERNELS_H
#define CLI_CAST_KERNELS_H

#include "convert/cast.h"

#define cast_kernels ((CastKernels){cast_widen, cast_narrow})

void cast_widen(DType from, const void *src, float *dst, int64_t n);
void cast_narrow(DType to, const float *src, void *dst, int64_t n);

#endif
