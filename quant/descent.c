// Coordinate descent on tr(S E H E^T) over codes and scales, S being the rows' side (1 where there is none). Gradients
// come from E H, which is kept current: inside an outer block after each sub-block, elsewhere after the outer block.
#include "quant/tile.h"

#include <string.h>

void descent_start(const Solver *s, Tile *t, Scratch *b) {
    int64_t cols = s->factor->cols;
    memset(t->eh, 0, (size_t)cols * TILE * sizeof *t->eh);
    for (int64_t first = 0; first < cols; first += s->outer) {
        int64_t width = first + s->outer < cols ? s->outer : cols - first;
        tile_error(t, s, first, width, b->change);
        solver_panel(s, t->eh, s->factor->h + first, cols, b->change, cols, width);
    }
}

// The gradient of n columns over that of one row alone: gamma = E H S.
static void gradient(const Solver *s, const Tile *t, const RowSide *side, int64_t col, int64_t n, float *gamma) {
    size_t bytes = (size_t)n * TILE * sizeof *gamma;
    const float *eh = t->eh + col * TILE;
    if (!side) {
        memcpy(gamma, eh, bytes);
        return;
    }
    if (side->outside)
        memcpy(gamma, side->outside + col * TILE, bytes);
    else
        memset(gamma, 0, bytes);
    s->lanes->panel(gamma, eh, TILE, side->matrix, n, TILE);
}

// One outer block; returns whether anything changed, b->change being by how much.
static bool descend_outer(const Solver *s, Tile *t, const RowSide *side, int64_t first, int64_t width, Scratch *b) {
    const int sub = s->grid->sub;
    const int64_t cols = s->factor->cols;
    const float *h = s->factor->h + first * cols; // of the rows of this outer block
    float *eh = t->eh + first * TILE;
    bool any = false;
    memset(b->change, 0, (size_t)width * TILE * sizeof *b->change);
    for (int64_t at = 0; at < width; at += sub) {
        int64_t col = first + at;
        float *change = b->change + at * TILE;
        TileGrid grid = tile_grid(t, s, col);
        gradient(s, t, side, col, sub, b->gamma);
        bool codes = s->lanes->descend(&grid, sub, h + at * cols + col, cols, side ? side->matrix : NULL,
                                       side ? side->inverse : NULL, b->gamma, t->level + col * TILE, change);
        bool scales = refit_sub(s, t, col, side, b->gamma, change, b);
        if (!codes && !scales) continue;
        any = true;
        s->lanes->panel(eh, h + col, cols, change, width, sub);
    }
    if (!solver_two_level(s)) return any;
    gradient(s, t, side, first, width, b->gamma);
    memset(b->more, 0, (size_t)width * TILE * sizeof *b->more);
    if (!refit_super(s, t, first, side, b->gamma, b->more, b)) return any;
    s->lanes->panel(eh, h + first, cols, b->more, width, width);
    for (int64_t i = 0; i < width * TILE; i++) b->change[i] += b->more[i];
    return true;
}

bool descent_pass(const Solver *s, Tile *t, const RowSide *side, Scratch *b) {
    const int64_t cols = s->factor->cols;
    const float *h = s->factor->h;
    bool any = false;
    for (int64_t first = 0; first < cols; first += s->outer) {
        int64_t end = first + s->outer < cols ? first + s->outer : cols;
        if (!descend_outer(s, t, side, first, end - first, b)) continue;
        any = true;
        solver_panel(s, t->eh, h + first, cols, b->change, first, end - first);
        solver_panel(s, t->eh + end * TILE, h + end * cols + first, cols, b->change, cols - end, end - first);
    }
    return any;
}
