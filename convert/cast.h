// Tensors' values in another plain type. The arithmetic lives where this room cannot reach (quant/kernels), so it is
// handed in.
#ifndef CONVERT_CAST_H
#define CONVERT_CAST_H

#include "core/tensor.h"

// n elements, whole blocks.
typedef struct CastKernels {
    void (*widen)(DType from, const void *src, float *dst, int64_t n);
    void (*narrow)(DType to, const float *src, void *dst, int64_t n); // to nearest even
} CastKernels;

// Bytes of that many elements, a whole number of blocks.
size_t cast_bytes(DType type, int64_t elements);

// n elements of t, which start at `source` and are its `first` and following, to type `to` in `result`; values: room
// for n floats. A finite value that the new type cannot hold is an error naming the tensor.
bool cast_values(const CastKernels *kernels, const Tensor *t, const void *source, int64_t first, int64_t n, DType to,
                 float *values, void *result, Error *err);

#endif
