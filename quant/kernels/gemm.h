// Matrix multiply in f32, y = x W^T, for weights that are packed once and multiplied with many inputs. It is as exact
// as a common sgemm: f32 products, f32 sums, in another order. A CPU without an entry here uses OpenBLAS's sgemm.
#ifndef QUANT_GEMM_H
#define QUANT_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Weights are packed in pieces, so that they need not be whole in f32 anywhere and threads can share the work.
// Every quantized block divides GEMM_COLS.
enum { GEMM_ROWS = 32, GEMM_COLS = 256 };

// Rows row .. row + rows - 1 and columns col .. col + cols - 1 of a matrix, where row is a multiple of GEMM_ROWS and
// col of GEMM_COLS, and the piece is GEMM_ROWS x GEMM_COLS but at the matrix's lower and right edges.
typedef struct GemmPiece {
    int64_t row, rows, col, cols;
} GemmPiece;

typedef struct Gemm {
    const char *name;
    int inputs; // that it multiplies together: whole groups are fastest

    // Bytes that a weight [rows, cols] takes packed; rows, cols > 0.
    size_t (*bytes)(int64_t rows, int64_t cols);

    // Packs one piece of a weight [rows, cols], whose values are w [piece.rows, piece.cols] with `stride` floats from
    // row to row, into its place in `packed`, which is 64-byte aligned. Pieces do not overlap there.
    void (*pack)(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, void *packed);

    // The same from the piece's transpose, w [piece.cols, piece.rows].
    void (*pack_turned)(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, void *packed);

    // y [n, rows] = x [n, cols] W^T, or with `add` y += that; strides are in floats. One thread; others may multiply
    // with the same weights. A row of y depends on its row of x alone, not on n or on the other rows.
    // Where x or W holds NaN or infinity, what they take part in is NaN or infinite.
    void (*multiply)(const float *x, int64_t n, int64_t x_stride, const void *packed, int64_t rows, int64_t cols,
                     float *y, int64_t y_stride, bool add);
} Gemm;

// By level, and for CPUs with Cpu.amx and Cpu.bf16. Those called bf16 round both sides to it: multiplication alone is
// as above.
extern const Gemm gemm_avx2, gemm_avx512, gemm_amx, gemm_bf16_amx, gemm_bf16_avx512;

#endif
