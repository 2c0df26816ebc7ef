// Filling blocks: f32 rows in, GGUF-compatible blocks out. One table, one entry a type.
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include "core/cpu.h"
#include "core/dtype.h"
#include <stdbool.h>
#include <stdint.h>

// Quantizes rows x cols elements, row after row without gaps; cols is a whole number of blocks (any number for plain
// types). importance: cols non-negative weights of squared error, one a column, the same for every row, or NULL:
// then q8_0, q4_0, q4_1, q5_0, q5_1 and mxfp4 give the bytes of gguf-py's gguf.quants.quantize, and iq4_nl, iq4_xs and
// the k types search under their own default weights. Bytes depend on the input alone: not on CPU, threads or slicing
// by rows. Many rows a call are faster than one. x should be finite; where it is not, the affected blocks hold
// arbitrary codes.
typedef void (*QuantizeFn)(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance);

// The function for a block type, or for f32/f16/bf16 (plain rounding, importance unused); NULL for others.
QuantizeFn quant_function(DType type);

// The same for one instruction set, for tests and timings; NULL also where this CPU lacks it.
QuantizeFn quant_function_at(CpuLevel level, DType type);

#endif
