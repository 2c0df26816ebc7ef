// Matrix multiply of quantized weights with activations rounded to 8 bits, y = x W^T: integer dot products of 32
// codes by 32, or 16 by 16 where a scale has but 16 weights, each times both scales, summed in f32. Activations of 2
// or 3 digits (quant/blocks.h) are multiplied digit by digit, the sums of integers shifted together before they are
// scaled: with 3, which is to 2^-23 of a block's largest, results are as near as those of f32 arithmetic, for
// weights' codes are exact and sums are rounded once in 32 columns. Built as BLIS builds its own (Van Zee & van de
// Geijn, ACM TOMS 41(3), 2015): weights are packed once into panels of INT8_ROWS rows, inputs into the CPU's cache,
// and a micro-kernel makes INT8_ROWS results of a few inputs in registers.
//
// Every set gives the same digits: the integer sums are exact, and each result adds up in one order, of the columns,
// with fused multiplications. tests/check_kernels.c holds each set to the scalar one bit for bit, and that to the sum.
#ifndef QUANT_GEMM_INT8_H
#define QUANT_GEMM_INT8_H

#include "core/dtype.h"
#include "quant/blocks.h"
#include <stdbool.h>
#include <stddef.h>

enum { INT8_ROWS = 32, INT8_LANES = 16, INT8_TOKENS_MOST = 16 };

// How a type's codes are packed.
typedef enum Int8Layout {
    INT8_SIGNED,
    INT8_UNSIGNED, // plus the type's offset, where it has one (BLOCK_TYPES in layout.h); sums then start below zero
    INT8_EIGHTS,   // signed, 8 columns of a row together
    INT8_WIDE,     // signed, in 16 bits, and so are the inputs
} Int8Layout;

// Packed weights: panels of INT8_LANES rows, in each a record for every group of 32 columns:
//     codes   [8][16 rows][4] bytes, [4][16 rows][8] with INT8_EIGHTS, [16][16 rows][2] of 16 bits with INT8_WIDE
//     scales  [halves][16 rows] f32
//     minimum [16 rows] f32, of types that have one

typedef struct Int8Tile {
    const uint8_t *weights; // two panels, `panel` bytes apart
    size_t panel;
    int64_t groups;
    const BlockAct *inputs; // as many as the kernel's `tokens`, each of `groups` times the digits, one after the other
    const int16_t *wide;    // with INT8_WIDE: the inputs' codes, 32 of each block, both digits together
    float *y;               // [tokens, INT8_ROWS], `stride` floats from row to row
    int64_t stride;
    bool add; // y += the result
} Int8Tile;

typedef void (*Int8TileFn)(const Int8Tile *tile);

typedef struct GemmInt8 {
    const char *name;
    int tokens; // of a tile; at most INT8_TOKENS_MOST
    Int8Layout layout[DT_COUNT];
    Int8TileFn tile[ACT_DIGITS + 1][DT_COUNT]; // by the digits of inputs, from 1; NULL: there is none
    // One or two digits into 16 bits, where a layout is INT8_WIDE.
    void (*widen)(const BlockAct *x, int64_t blocks, int digits, int16_t *wide);
} GemmInt8;

// Whether weights of this type and width can be multiplied with inputs of so many digits: up to 32768 columns.
bool gemm_int8_can(const GemmInt8 *gemm, DType type, int64_t cols, int digits);

// Bytes of a packed weight of any type, 64-byte aligned; rows, cols > 0, cols a multiple of 32.
size_t gemm_int8_bytes(int64_t rows, int64_t cols);

// Packs rows row .. row + INT8_ROWS - 1, fewer at the lower edge, of a weight [rows, cols] that starts at `weight` into
// their place in `packed`. row is a multiple of INT8_ROWS.
void gemm_int8_pack(const GemmInt8 *gemm, DType type, const uint8_t *weight, int64_t row, int64_t rows, int64_t cols,
                    void *packed);

// Rounds x [n], n a multiple of 32: to 8 bits or to 2 or 3 digits, so many blocks for every 32.
void gemm_int8_round(const float *x, int64_t n, int digits, BlockAct *acts);

// y [n, rows] = x [n, cols] W^T, or with `add` y += that, for rows row .. row + rows - 1 of a packed weight, row being
// a multiple of INT8_ROWS; y_stride is in floats. `x` is rounded already: cols / 32 * digits blocks a token, and
// readable for INT8_TOKENS_MOST - 1 tokens beyond n, whatever stands there. One thread; others may multiply with the
// same. A row of y depends on its row of x alone. Where a block of x holds NaN or infinity, so do all results of that
// row.
void gemm_int8_multiply(const GemmInt8 *gemm, DType type, int digits, const BlockAct *x, int64_t n, const void *packed,
                        int64_t row, int64_t rows, int64_t cols, float *y, int64_t y_stride, bool add);

extern const GemmInt8 gemm_int8_scalar;
#if defined(__x86_64__)
extern const GemmInt8 gemm_int8_avx2, gemm_int8_avx_vnni, gemm_int8_avx512_vnni;
#endif

#endif
