// Filling blocks: f32 rows in, GGUF-compatible blocks out. One table, one entry a type.
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include "core/dtype.h"
#include <stdbool.h>
#include <stdint.h>

// Quantizes n elements (a whole number of blocks) of one row. importance: n non-negative weights of squared error,
// one a column, or NULL for the type's own default. Bytes depend on the input alone: not on CPU, threads or slicing.
typedef void (*QuantizeFn)(const float *x, void *blocks, int64_t n, const float *importance);

// The function for a block type, or for f32/f16/bf16 (plain rounding, importance unused); NULL for others.
QuantizeFn quant_function(DType type);

#endif
