// What the algorithms that round under a Hessian share (gptq.c, descent.c, refit.c, two_sided.c): tiles of TILE rows,
// transposed, and a thread's scratch. quant/round.h is the way in.
#ifndef QUANT_TILE_H
#define QUANT_TILE_H

#include "quant/grid.h"
#include "quant/lanes_round.h"
#include "quant/round.h"

// Fused operations from which on it pays to wake other threads for them: some 0.2 ms.
#define SHARED_FROM 1e7

// All that a matrix is rounded by.
typedef struct Solver {
    const Grid *grid;
    Levels levels;
    const HessianFactor *factor;
    const RoundLanes *lanes;
    float *weights; // [cols]: 1 / U_jj^2, how much an error in each column costs when later ones make up for it
    int outer;      // columns after which changes are carried to all others: a super-block, or a few blocks
    int threads;    // that may take part
    bool shared;    // threads share the work on one tile
} Solver;

bool solver_init(Solver *s, DType type, const HessianFactor *factor, Error *err);
void solver_free(Solver *s);

static inline bool solver_two_level(const Solver *s) { return s->grid->subs > 1; }

// out rows [from, to) += a * d, as RoundLanes' panel.
void solver_panel(const Solver *s, float *out, const float *a, int64_t ld, const float *d, int64_t n, int64_t m);

// TILE rows of a matrix; rows that are not there are zeros. A weight is step * level + offset.
typedef struct Tile {
    int rows;                       // that are there
    float *target, *level;          // [cols][TILE]
    float *eh;                      // [cols][TILE]: (E H)^T, E = Q - target
    float *step, *inverse, *offset; // [cols / sub][TILE]
    GridScales *scales;             // [cols / block][TILE]
    void *memory;
} Tile;

bool tile_init(Tile *t, const Solver *s, Error *err);
void tile_free(Tile *t);

// Rows first .. first + TILE of w [rows, cols] as target. Fails when one of them is not finite.
bool tile_load(Tile *t, const Solver *s, const float *w, int64_t rows, int64_t first, Error *err);

// The grid of one sub-block, whose first column is col; tile_regrid after its scales in t->scales changed for a row.
TileGrid tile_grid(const Tile *t, const Solver *s, int64_t col);
void tile_regrid(Tile *t, const Solver *s, int64_t col, int row);

// E^T = Q - target of columns [first, first + n): e [n][TILE].
void tile_error(const Tile *t, const Solver *s, int64_t first, int64_t n, float *e);

// The rows' blocks: blocks is that of the tile's first row.
void tile_pack(const Tile *t, const Solver *s, void *blocks);

// A thread's.
typedef struct Scratch {
    float *x;                     // [cols][TILE]
    float *change, *more, *gamma; // [outer][TILE], as the others
    float *along[2], *h_along[2];
    float *rows; // [TILE][block]
    void *fit;   // TILE blocks
    void *memory;
} Scratch;

bool scratch_init(Scratch *b, const Solver *s, Error *err);
void scratch_free(Scratch *b);

// How the rows of a tile interact: GO, or what is left of it when later rows make up for errors.
typedef struct RowSide {
    const float *matrix;  // [TILE][TILE]
    const float *inverse; // [TILE]: of its diagonal
    const float *outside; // [cols][TILE]: what other rows add to the gradient, or NULL
    const float *factor;  // [TILE][TILE]: upper U, by which GPTQ carries errors to later rows
} RowSide;

// Rounds the tile's target: scales, levels. side NULL: rows do not interact.
void gptq_tile(const Solver *s, Tile *t, const RowSide *side, Scratch *b);

// t->eh from scratch.
void descent_start(const Solver *s, Tile *t, Scratch *b);
// One pass over codes and scales; eh is kept current. Returns whether anything changed. The objective never rises.
bool descent_pass(const Solver *s, Tile *t, const RowSide *side, Scratch *b);

// Scales moved to what is best for the codes as they are: of a sub-block (d and dmin of a one-level type, s and m of
// others), and of a super-block (d and dmin). gamma is the gradient at these columns; what q changed by is added to
// change [columns][TILE]. Returns whether anything changed.
bool refit_sub(const Solver *s, Tile *t, int64_t col, const RowSide *side, float *gamma, float *change, Scratch *b);
bool refit_super(const Solver *s, Tile *t, int64_t col, const RowSide *side, float *gamma, float *change, Scratch *b);

bool two_sided(const Solver *s, const float *w, int64_t rows, const RoundStats *stats, const RoundOptions *options,
               void *blocks, Error *err);

#endif
