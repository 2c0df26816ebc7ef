// The way back from core/layout.h: one tensor put together from several, as fused sources have them.
#ifndef CONVERT_COMPOSE_H
#define CONVERT_COMPOSE_H

#include "convert/cast.h"
#include "core/layout.h"

// What one tensor is of the whole; of a transposed whole, which of its columns.
typedef struct Piece {
    const Tensor *tensor; // must outlive the result
    Part part;
} Piece;

// A tensor of so many dimensions (1 or 2) from pieces that make it up exactly: of their type or, where they differ or
// blocks would be transposed, f32. A vector's values are put together at once, a matrix's rows when they are read, by
// one thread at a time. The result's layout or bytes are one block in *owned (core/mem.h) and, of a layout, its inner
// memory in *inner; both are the caller's. Of the result the names are the caller's to set.
bool compose(const Piece *pieces, size_t count, int dims, const CastKernels *kernels, Tensor *out, void **owned,
             void **inner, Error *err);

// Whether a tensor is a transposed whole.
bool compose_is_transposed(const Tensor *t);

// Equal tensors one after the other along a new first dimension: [count, ...]. Likewise.
bool compose_stack(const Tensor *const *tensors, size_t count, const CastKernels *kernels, Tensor *out, void **owned,
                   void **inner, Error *err);

#endif
