#include "convert/cast.h"

#include <math.h>
#include <string.h>

size_t cast_bytes(DType type, int64_t elements) {
    const DTypeInfo *info = dtype_info(type);
    return (size_t)(elements / info->block) * info->block_bytes;
}

static bool is_infinite(DType type, const void *data, int64_t i) {
    const uint16_t *half = data;
    switch (type) {
    case DT_F16: return (half[i] & 0x7fff) == 0x7c00;
    case DT_BF16: return (half[i] & 0x7fff) == 0x7f80;
    default: return isinf(((const float *)data)[i]);
    }
}

static bool source_is_finite(DType type, const uint8_t *source, const float *values, int64_t i) {
    double v = values[i];
    if (type == DT_F64) memcpy(&v, source + (size_t)i * sizeof v, sizeof v);
    return isfinite(v);
}

bool cast_values(const CastKernels *kernels, const Tensor *t, const void *source, int64_t first, int64_t n, DType to,
                 float *values, void *result, Error *err) {
    kernels->widen(t->type, source, values, n);
    kernels->narrow(to, values, result, n);
    for (int64_t i = 0; i < n; i++)
        if (is_infinite(to, result, i) && source_is_finite(t->type, source, values, i))
            return error_set(err, "%s: tensor %s: value %lld (%g) is too large for %s; choose bf16 or f32",
                             t->file ? t->file->path : "?", tensor_label(t), (long long)(first + i), (double)values[i],
                             dtype_name(to));
    return true;
}
