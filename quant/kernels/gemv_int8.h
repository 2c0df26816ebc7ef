// Matrix times one vector, y = W x, for generation: weights repacked so that memory is the limit, activations rounded
// to 8 bits. A panel is 16 rows side by side, each of its groups of 32 columns a record of about as many bytes as in
// the file, read from beginning to end:
//     scales   [halves][16 rows], f16 where the type's own are, else f32
//     minimums [16 rows] of the same size, of types that have them
//     codes    of 8 bits: [8][16 rows][4], each plus 128
//              of 4 bits: [4][16 rows][4], fours 0-3 in the low nibbles, 4-7 in the high ones; plus the type's offset,
//              or an index into its levels
//              of 5 bits: besides, [8] masks of 64 bits, bit 4 * row + column the code's fifth
//              of 6 bits: besides, [2][16 rows][4], four pairs of upper bits a byte
// The digits are those of quant/kernels/gemm_int8.h.
#ifndef QUANT_GEMV_INT8_H
#define QUANT_GEMV_INT8_H

#include "core/dtype.h"
#include "quant/blocks.h"
#include <stdbool.h>
#include <stddef.h>

enum { GEMV_ROWS = 16 };

// y [16] = panel x, for `groups` groups of 32 columns.
typedef void (*GemvFn)(const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]);

// Bytes of a panel of `cols` columns; 0 where the type has none.
size_t gemv_panel_bytes(DType type, int64_t cols);

// Packs rows row .. row + 15, fewer at the lower edge, of a weight [rows, cols] that starts at `weight`.
void gemv_pack(DType type, const uint8_t *weight, int64_t row, int64_t rows, int64_t cols, uint8_t *panel);

#endif
