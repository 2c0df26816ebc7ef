// Latent attention's matrix from the narrow layer to keys and values, put together from a pair for each head as GGUF
// has them: [rank, plain], the head's keys' rows transposed, and [values, rank].
#ifndef CORE_HEADS_H
#define CORE_HEADS_H

#include "core/tensor.h"

typedef void HeadsWiden(DType from, const void *src, float *dst, int64_t n);

// [heads * (plain + values), rank], f32: for each head its keys' rows, then its values'. Of the pairs, which must
// outlive it, all keys have one shape and all values another, none has a layout. *owned, one block of core/mem.h, is
// the caller's, as are the result's names.
bool heads_join(const Tensor *const *keys, const Tensor *const *values, int64_t heads, HeadsWiden *widen, Tensor *out,
                void **owned, Error *err);

// The way back: the keys of such a matrix [heads * (plain + values), rank] as [heads, rank, plain], of its type, or f32
// where that is in blocks. Read by one thread at a time. The matrix must outlive it; *owned and *row, two blocks of
// core/mem.h, are the caller's also after a failure, as are the result's names.
bool heads_split_keys(const Tensor *matrix, int64_t heads, int64_t plain, HeadsWiden *widen, Tensor *out, void **owned,
                      void **row, Error *err);

#endif
