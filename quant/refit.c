// Scales by least squares: q moves along u times a change of the step (or d), and along v times a change of the offset
// (or dmin). The objective's change is exact, for what is stored after rounding, so that it can only fall.
#include "quant/tile.h"

#include <math.h>
#include <string.h>

// Of one row: slopes and curvatures along u and v, in units of the row's own weight.
typedef struct Slopes {
    double u, v, uu, uv, vv;
} Slopes;

typedef struct Move {
    double u, v, gain; // gain > 0: how far the objective falls
} Move;

static void consider(const Slopes *f, double u, double v, Move *best) {
    double gain = -(u * f->u + v * f->v + 0.5 * (u * u * f->uu + v * v * f->vv) + u * v * f->uv);
    if (gain > best->gain) *best = (Move){u, v, gain};
}

// The best change along u while v is free (or not there), and along v once u is decided.
static double best_u(const Slopes *f, bool has_v) {
    double det = has_v ? f->uu * f->vv - f->uv * f->uv : 0;
    if (det > 1e-6 * f->uu * f->vv) return (f->uv * f->v - f->vv * f->u) / det;
    return f->uu > 0 ? -f->u / f->uu : 0;
}

static double best_v(const Slopes *f, double u) { return f->vv > 0 ? -(f->v + u * f->uv) / f->vv : 0; }

// ---- what a row can change to; each returns the change that was made, gain 0: none

static Move refit_one_level(const Grid *g, const Slopes *f, GridScales *scales) {
    Move best = {0};
    float d = grid_round_scale(g, (float)(scales->d + best_u(f, g->has_min))), offset = -scales->dmin;
    if (!(f->uu > 0) || d == 0) return best;
    double u = (double)d - scales->d;
    if (g->has_min) offset = grid_round_scale(g, (float)(offset + best_v(f, u)));
    consider(f, u, g->has_min ? (double)offset + scales->dmin : 0, &best);
    if (best.gain > 0) {
        scales->d = d;
        if (g->has_min) scales->dmin = -offset;
    }
    return best;
}

static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static Move refit_integers(const Grid *g, const Slopes *f, GridScales *scales, int sub) {
    Move best = {0};
    double d = scales->d, dmin = scales->dmin, s = scales->s[sub], m = scales->m[sub];
    bool has_v = g->has_min && dmin > 0;
    if (d == 0) return best;
    double base = floor(s + best_u(f, has_v) / d), best_s = s, best_m = m;
    for (int i = 0; i < 2; i++) {
        double to_s = clamp(base + i, g->scale_low, g->scale_high), u = d * (to_s - s), to_m = m;
        if (has_v) to_m = clamp(rint(m - best_v(f, u) / dmin), 0, g->scale_high);
        double before = best.gain;
        consider(f, u, -dmin * (to_m - m), &best);
        if (best.gain > before) {
            best_s = to_s;
            best_m = to_m;
        }
    }
    scales->s[sub] = (int8_t)best_s;
    scales->m[sub] = (int8_t)best_m;
    return best;
}

static Move refit_two_level(const Grid *g, const Slopes *f, GridScales *scales) {
    Move best = {0};
    float d = grid_round_scale(g, (float)(scales->d + best_u(f, g->has_min))), dmin = scales->dmin;
    if (!(f->uu > 0) || d == 0) return best;
    double u = (double)d - scales->d;
    if (g->has_min) {
        dmin = grid_round_scale(g, (float)(dmin + best_v(f, u)));
        if (!(dmin >= 0)) dmin = 0;
    }
    consider(f, u, (double)dmin - scales->dmin, &best);
    if (best.gain > 0) {
        scales->d = d;
        scales->dmin = dmin;
    }
    return best;
}

// ---- all rows of a tile

typedef struct Refit {
    const Solver *solver;
    Tile *tile;
    const RowSide *side;
    int64_t col;
    int n;    // columns
    bool top; // a super-block's d and dmin
    float *gamma, *change;
    Scratch *b;
} Refit;

static Move refit_row(const Refit *f, const Slopes *slopes, int row) {
    const Grid *g = f->solver->grid;
    GridScales *scales = &f->tile->scales[f->col / g->block * TILE + row];
    if (g->subs == 1) return refit_one_level(g, slopes, scales);
    if (f->top) return refit_two_level(g, slopes, scales);
    return refit_integers(g, slopes, scales, (int)(f->col % g->block / g->sub));
}

static float dot_row(const float *a, const float *b, int n, int row) {
    float sum = 0;
    for (int j = 0; j < n; j++) sum += a[j * TILE + row] * b[j * TILE + row];
    return sum;
}

// Row `row` has moved: its change, and what that does to the gradients of all.
static void apply(const Refit *f, Move move, int row) {
    const Solver *s = f->solver;
    const Grid *g = s->grid;
    const Scratch *b = f->b;
    const float u = (float)move.u, v = (float)move.v;
    for (int j = 0; j < f->n; j++) {
        int at = j * TILE + row;
        f->change[at] += u * b->along[0][at] + (g->has_min ? v * b->along[1][at] : 0);
    }
    if (f->side) {
        const float *h_v = g->has_min ? b->h_along[1] : NULL;
        s->lanes->follow(f->gamma, b->h_along[0], u, h_v, v, f->n, row, f->side->matrix + row * TILE);
    }
    for (int64_t col = f->col; col < f->col + f->n; col += g->sub) tile_regrid(f->tile, s, col, row);
}

// b->along are u and v.
static bool refit(const Refit *f) {
    const Solver *s = f->solver;
    const Scratch *b = f->b;
    const int64_t cols = s->factor->cols;
    const bool has_v = s->grid->has_min;
    const float *h = s->factor->h + f->col * cols + f->col;
    float u[TILE], v[TILE] = {0}, uu[TILE], uv[TILE] = {0}, vv[TILE] = {0};
    for (int i = 0; i < 1 + has_v; i++) {
        memset(b->h_along[i], 0, (size_t)f->n * TILE * sizeof(float));
        s->lanes->panel(b->h_along[i], h, cols, b->along[i], f->n, f->n);
    }
    s->lanes->dot(b->along[0], f->gamma, f->n, u);
    s->lanes->dot(b->along[0], b->h_along[0], f->n, uu);
    if (has_v) {
        s->lanes->dot(b->along[1], f->gamma, f->n, v);
        s->lanes->dot(b->along[1], b->h_along[0], f->n, uv);
        s->lanes->dot(b->along[1], b->h_along[1], f->n, vv);
    }
    bool any = false;
    for (int r = 0; r < f->tile->rows; r++) {
        Slopes slopes = {u[r], v[r], uu[r], uv[r], vv[r]};
        if (f->side) { // earlier rows have moved
            double scale = f->side->inverse[r];
            slopes.u = scale * dot_row(b->along[0], f->gamma, f->n, r);
            if (has_v) slopes.v = scale * dot_row(b->along[1], f->gamma, f->n, r);
        }
        Move move = refit_row(f, &slopes, r);
        if (!(move.gain > 0)) continue;
        any = true;
        apply(f, move, r);
    }
    return any;
}

bool refit_sub(const Solver *s, Tile *t, int64_t col, const RowSide *side, float *gamma, float *change, Scratch *b) {
    const int n = s->grid->sub;
    memcpy(b->along[0], t->level + col * TILE, (size_t)n * TILE * sizeof(float));
    for (int i = 0; s->grid->has_min && i < n * TILE; i++) b->along[1][i] = 1;
    return refit(&(Refit){s, t, side, col, n, false, gamma, change, b});
}

bool refit_super(const Solver *s, Tile *t, int64_t col, const RowSide *side, float *gamma, float *change, Scratch *b) {
    const Grid *g = s->grid;
    const GridScales *scales = t->scales + col / g->block * TILE;
    for (int j = 0; j < g->block; j++) {
        for (int r = 0; r < TILE; r++) {
            b->along[0][j * TILE + r] = (float)scales[r].s[j / g->sub] * t->level[(col + j) * TILE + r];
            b->along[1][j * TILE + r] = -(float)scales[r].m[j / g->sub];
        }
    }
    return refit(&(Refit){s, t, side, col, g->block, true, gamma, change, b});
}
