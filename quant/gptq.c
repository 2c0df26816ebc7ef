// GPTQ: columns in their order, each rounded, its error made up for by those that come after it. A block's scales are
// searched when its first column is reached, on values as they are by then.
#include "quant/tile.h"

#include <string.h>

// The scales of a whole block from its current values.
static void fit_block(const Solver *s, Tile *t, int64_t col, Scratch *b) {
    int block = s->grid->block;
    for (int j = 0; j < block; j++)
        for (int r = 0; r < TILE; r++) b->rows[r * block + j] = b->x[(col + j) * TILE + r];
    grid_fit(s->grid, b->rows, TILE, s->weights + col, t->scales + col / block * TILE, b->fit);
}

// s and m of a sub-block of a two-level type, whose values have changed since its block was fitted.
static void choose_sub(const Solver *s, Tile *t, int64_t col, const Scratch *b) {
    const Grid *g = s->grid;
    GridScales *scales = t->scales + col / g->block * TILE;
    int sub = (int)(col % g->block / g->sub);
    float d[TILE], dmin[TILE], step[TILE], min[TILE];
    for (int r = 0; r < TILE; r++) {
        d[r] = scales[r].d;
        dmin[r] = g->has_min ? scales[r].dmin : 0;
        step[r] = scales[r].s[sub];
        min[r] = g->has_min ? scales[r].m[sub] : 0;
    }
    s->lanes->choose(g, &s->levels, g->sub, b->x + col * TILE, s->weights + col, d, dmin, step, min);
    for (int r = 0; r < TILE; r++) {
        scales[r].s[sub] = (int8_t)step[r];
        if (g->has_min) scales[r].m[sub] = (int8_t)min[r];
    }
}

void gptq_tile(const Solver *s, Tile *t, const RowSide *side, Scratch *b) {
    const int sub = s->grid->sub;
    const int64_t cols = s->factor->cols;
    const float *lower = s->factor->inverse;
    memcpy(b->x, t->target, (size_t)cols * TILE * sizeof *b->x);
    for (int64_t first = 0; first < cols; first += s->outer) {
        int64_t end = first + s->outer < cols ? first + s->outer : cols;
        for (int64_t col = first; col < end; col += sub) {
            if (col % s->grid->block == 0) fit_block(s, t, col, b);
            if (solver_two_level(s)) choose_sub(s, t, col, b);
            for (int r = 0; r < TILE; r++) tile_regrid(t, s, col, r);

            TileGrid grid = tile_grid(t, s, col);
            float *push = b->change + (col - first) * TILE;
            int64_t next = col + sub;
            s->lanes->feed(&grid, sub, lower + col * cols + col, cols, side ? side->factor : NULL, b->x + col * TILE,
                           t->level + col * TILE, push);
            s->lanes->panel(b->x + next * TILE, lower + next * cols + col, cols, push, end - next, sub);
        }
        solver_panel(s, b->x + end * TILE, lower + end * cols + first, cols, b->change, cols - end, end - first);
    }
}
