// The inner loops of rounding under a Hessian, one table for each instruction set (lanes_round.c). They work on tiles
// of TILE rows, transposed: [columns][TILE], so that a column's rows are contiguous. Sums are fused where the
// instruction set has that, so digits differ between instruction sets as BLAS's do; they depend on nothing else.
#ifndef QUANT_LANES_ROUND_H
#define QUANT_LANES_ROUND_H

#include "core/cpu.h"
#include "quant/grid.h"

enum { TILE = 32 };

// A grid's levels as the loops want them.
typedef struct Levels {
    bool uniform;                // all whole numbers from low to high
    float low, high;             // the lowest and the highest
    float level[16], middle[16]; // others: rising, repeated to the end; middle[i] is between i and i + 1, or infinite
} Levels;

// The grid of each of a tile's rows in one sub-block.
typedef struct TileGrid {
    const Levels *levels;
    const float *step, *inverse, *offset; // [TILE]; inverse 1 / step, 0 where step is 0
} TileGrid;

typedef struct RoundLanes {
    // out [n][TILE] += a * d for d [m][TILE]: out[k] += sum_j a[k * ld + j] d[j]. n is a multiple of 8.
    void (*panel)(float *out, const float *a, int64_t ld, const float *d, int64_t n, int64_t m);

    // dot[r] = sum_j a[j][r] * b[j][r], j < n
    void (*dot)(const float *a, const float *b, int n, float dot[TILE]);

    // One row has moved by u along a [n][TILE] and by v along b (NULL: not), its own entries there being a + row: all
    // rows' gradients gamma [n][TILE] follow by its weights [TILE] for them.
    void (*follow)(float *gamma, const float *a, float u, const float *b, float v, int n, int row,
                   const float *weights);

    // GPTQ of n columns under one grid: level[j] nearest to x[j], and the error carried to the columns after it in x.
    // lower [n][ld]: U^T at the first of these columns. rows: NULL, or the rows' own U [TILE][TILE], by which errors go
    // to later rows too. push [n][TILE]: what is yet to be carried beyond: x[k] += lower[k][j] * push[j].
    void (*feed)(const TileGrid *grid, int n, const float *lower, int64_t ld, const float *rows, float *x, float *level,
                 float *push);

    // One pass of coordinate descent over n columns: gamma [n][TILE] is the gradient, kept current; change [n][TILE]
    // is added to. h: H at the first of these columns. rows: NULL, or GO [TILE][TILE], by which a row's change shows
    // in others' gradients; its diagonal's inverses in rows_inverse [TILE]. Returns whether anything changed.
    bool (*descend)(const TileGrid *grid, int n, const float *h, int64_t ld, const float *rows,
                    const float *rows_inverse, float *gamma, float *level, float *change);

    // A two-level grid's s and m of each row, as floats, moved to the best of the neighbours for x [n][TILE] with
    // column weights w [n]: d, dmin, s, m [TILE].
    void (*choose)(const Grid *grid, const Levels *levels, int n, const float *x, const float *w, const float *d,
                   const float *dmin, float *s, float *m);
} RoundLanes;

// The table of this CPU, or of one instruction set (NULL where the CPU lacks it).
const RoundLanes *round_lanes(void);
const RoundLanes *round_lanes_at(CpuLevel level);

extern const RoundLanes lanes_round_scalar, lanes_round_avx2, lanes_round_avx512;

#endif
