// Two-sided rounding, on tr(GO E H E^T). First tile after tile of rows, each under what GO leaves of itself when later
// rows make up for errors (its Schur complement), its errors then carried to them; then coordinate descent on the
// whole.
#include "quant/tile.h"

#include "core/mem.h"
#include <omp.h>
#include <string.h>

typedef struct Output {
    const HessianFactor *factor; // of GO
    int64_t rows, tiles;
    Tile *tile;     // [tiles]
    Scratch *bench; // [threads]
    int threads;
    bool shared;                                                  // threads share what is done for one tile
    float matrix[TILE * TILE], inverse[TILE], upper[TILE * TILE]; // of the tile in turn, as RowSide's
    float *block;   // [tiles][TILE][TILE]: GO or a part of its factor, of all tiles by the one in turn
    float *outside; // [cols][TILE]
} Output;

// m[r][s] = a[(first_r + r) * rows + first_s + s], or of a transposed; rows that are not there: the unit matrix's.
static void part(const float *a, int64_t rows, int64_t first_r, int64_t first_s, bool transposed, float *m) {
    for (int r = 0; r < TILE; r++)
        for (int s = 0; s < TILE; s++) m[r * TILE + s] = first_r + r == first_s + s;
    int64_t first = transposed ? first_s : first_r, second = transposed ? first_r : first_s;
    for (int64_t i = first; i < first + TILE && i < rows; i++) {
        for (int64_t j = second; j < second + TILE && j < rows; j++) {
            int64_t at = transposed ? (j - second) * TILE + i - first : (i - first) * TILE + j - second;
            m[at] = a[i * rows + j];
        }
    }
}

// x = u^-1 for an upper triangular u, in f64.
static void invert_upper(const float *u, double *x) {
    memset(x, 0, TILE * TILE * sizeof *x);
    for (int c = 0; c < TILE; c++) {
        for (int r = c; r >= 0; r--) {
            double sum = r == c;
            for (int k = r + 1; k <= c; k++) sum -= u[r * TILE + k] * x[k * TILE + c];
            x[r * TILE + c] = sum / u[r * TILE + r];
        }
    }
}

// The Schur complement of tile i, (U^T U)^-1 for its own part U of the factor; and how its errors are carried to later
// tiles: U^-1 times their parts, into o->block.
static RowSide schur_side(Output *o, int64_t i) {
    double inverse[TILE * TILE];
    part(o->factor->inverse, o->rows, i * TILE, i * TILE, true, o->upper);
    invert_upper(o->upper, inverse);
    for (int r = 0; r < TILE; r++) {
        for (int s = 0; s < TILE; s++) {
            double sum = 0;
            for (int k = 0; k < TILE; k++) sum += inverse[r * TILE + k] * inverse[s * TILE + k];
            o->matrix[r * TILE + s] = (float)sum;
            if (r == s) o->inverse[r] = (float)(1 / sum);
        }
    }
#pragma omp parallel for schedule(static) if (o->shared)
    for (int64_t later = i + 1; later < o->tiles; later++) {
        float u[TILE * TILE], *out = o->block + later * TILE * TILE;
        part(o->factor->inverse, o->rows, i * TILE, later * TILE, true, u);
        for (int r = 0; r < TILE; r++) {
            double sum[TILE] = {0};
            for (int k = r; k < TILE; k++)
                for (int s = 0; s < TILE; s++) sum[s] += inverse[r * TILE + k] * u[k * TILE + s];
            for (int s = 0; s < TILE; s++) out[r * TILE + s] = (float)sum[s];
        }
    }
    return (RowSide){o->matrix, o->inverse, NULL, o->upper};
}

static void carry(const Solver *s, Output *o, int64_t i, float *error) {
    const int64_t cols = s->factor->cols;
    tile_error(&o->tile[i], s, 0, cols, error);
#pragma omp parallel for schedule(static) if (o->shared)
    for (int64_t later = i + 1; later < o->tiles; later++)
        s->lanes->panel(o->tile[later].target, error, TILE, o->block + later * TILE * TILE, cols, TILE);
}

static void round_tiles(const Solver *s, Output *o, int passes) {
    for (int64_t i = 0; i < o->tiles; i++) {
        Tile *t = &o->tile[i];
        RowSide side = schur_side(o, i);
        gptq_tile(s, t, &side, o->bench);
        descent_start(s, t, o->bench);
        for (int pass = 0; pass < passes && descent_pass(s, t, &side, o->bench); pass++) {
        }
        carry(s, o, i, o->bench->x);
    }
}

// GO of tile i, and what all other tiles' errors add to its gradient.
static RowSide whole_side(const Solver *s, Output *o, int64_t i) {
    enum { SHARE = 64 }; // columns that a thread takes at a time
    const int64_t cols = s->factor->cols;
#pragma omp parallel for schedule(static) if (o->shared)
    for (int64_t other = 0; other < o->tiles; other++)
        part(o->factor->h, o->rows, other * TILE, i * TILE, false, o->block + other * TILE * TILE);
    memcpy(o->matrix, o->block + i * TILE * TILE, sizeof o->matrix);
    for (int r = 0; r < TILE; r++) o->inverse[r] = 1 / o->matrix[r * TILE + r];
#pragma omp parallel for schedule(static) if (o->shared)
    for (int64_t k = 0; k < cols; k += SHARE) {
        int64_t count = cols - k < SHARE ? cols - k : SHARE;
        float *out = o->outside + k * TILE;
        memset(out, 0, (size_t)count * TILE * sizeof *out);
        for (int64_t other = 0; other < o->tiles; other++) {
            if (other == i) continue;
            s->lanes->panel(out, o->tile[other].eh + k * TILE, TILE, o->block + other * TILE * TILE, count, TILE);
        }
    }
    return (RowSide){o->matrix, o->inverse, o->outside, NULL};
}

static bool improve(const Solver *s, Output *o, const float *w, int passes, Error *err) {
    Solver alone = *s;
    alone.shared = false;
    for (int64_t i = 0; i < o->tiles; i++)
        if (!tile_load(&o->tile[i], s, w, o->rows, i * TILE, err)) return false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(o->threads)
    for (int64_t i = 0; i < o->tiles; i++) descent_start(&alone, &o->tile[i], &o->bench[omp_get_thread_num()]);
    bool any = true;
    for (int pass = 0; pass < passes && any; pass++) {
        any = false;
        for (int64_t i = 0; i < o->tiles; i++) {
            RowSide side = whole_side(s, o, i);
            if (descent_pass(s, &o->tile[i], &side, o->bench)) any = true;
        }
    }
    return true;
}

static void output_free(Output *o) {
    for (int64_t i = 0; o->tile && i < o->tiles; i++) tile_free(&o->tile[i]);
    for (int i = 0; o->bench && i < o->threads; i++) scratch_free(&o->bench[i]);
    mem_free(o->tile);
    mem_free(o->bench);
    mem_free(o->block);
    mem_free(o->outside);
}

static bool output_init(Output *o, const Solver *s, const HessianFactor *factor, const float *w, int64_t rows,
                        Error *err) {
    *o = (Output){.factor = factor, .rows = rows, .tiles = (rows + TILE - 1) / TILE};
    o->threads = s->threads;
    o->shared = s->threads > 1 && (double)s->factor->cols * (double)rows * TILE >= SHARED_FROM;
    o->tile = mem_alloc((size_t)o->tiles, sizeof *o->tile, err);
    o->bench = o->tile ? mem_alloc((size_t)o->threads, sizeof *o->bench, err) : NULL;
    o->block = o->bench ? mem_alloc((size_t)o->tiles, TILE * TILE * sizeof *o->block, err) : NULL;
    o->outside = o->block ? mem_alloc((size_t)s->factor->cols, TILE * sizeof *o->outside, err) : NULL;
    if (!o->outside) return false;
    for (int i = 0; i < o->threads; i++)
        if (!scratch_init(&o->bench[i], s, err)) return false;
    for (int64_t i = 0; i < o->tiles; i++) {
        if (!tile_init(&o->tile[i], s, err)) return false;
        if (!tile_load(&o->tile[i], s, w, rows, i * TILE, err)) return false;
    }
    return true;
}

bool two_sided(const Solver *s, const float *w, int64_t rows, const RoundStats *stats, const RoundOptions *options,
               void *blocks, Error *err) {
    HessianFactor factor;
    Output o = {0};
    size_t row_bytes;
    if (!dtype_row_bytes(s->grid->type, s->factor->cols, &row_bytes)) return error_set(err, "a row is too long");
    if (!hessian_factor(stats->output, rows, options->output_damping, &factor, err))
        return error_prefix(err, "the outputs' side");
    bool ok = output_init(&o, s, &factor, w, rows, err);
    if (ok) {
        round_tiles(s, &o, options->passes);
        ok = improve(s, &o, w, options->output_passes, err);
    }
#pragma omp parallel for schedule(static) if (ok)
    for (int64_t i = 0; i < o.tiles; i++)
        if (ok) tile_pack(&o.tile[i], s, (char *)blocks + (size_t)i * TILE * row_bytes);
    output_free(&o);
    hessian_factor_free(&factor);
    return ok;
}
