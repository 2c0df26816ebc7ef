#include "cli/cast_kernels.h"

#include "quant/kernels/kernels.h"

void cast_widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
void cast_narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
