#include "quant/tile.h"

#include "core/mem.h"
#include "quant/scan.h"
#include <math.h>
#include <omp.h>
#include <string.h>

enum { OUTER = 128, SHARE = 64 }; // columns: between carrying changes to all others, and that a thread takes at a time

static Levels levels_of(const Grid *g) {
    Levels l = {.uniform = !g->levels};
    if (l.uniform) {
        l.low = g->low;
        l.high = g->low + (float)(g->codes - 1);
        return l;
    }
    l.low = g->levels[0];
    l.high = g->levels[g->codes - 1];
    for (int i = 0; i < 16; i++) {
        l.level[i] = i < g->codes ? g->levels[i] : l.high;
        l.middle[i] = i + 1 < g->codes ? (g->levels[i] + g->levels[i + 1]) / 2 : INFINITY;
    }
    return l;
}

const RoundLanes *round_lanes_at(CpuLevel level) {
    if (!cpu_has_level(level)) return NULL;
    switch (level) {
#if defined(__x86_64__)
    case CPU_AVX2: return &lanes_round_avx2;
    case CPU_AVX512: return &lanes_round_avx512;
#endif
    default: return &lanes_round_scalar;
    }
}

const RoundLanes *round_lanes(void) { return round_lanes_at(cpu_get()->level); }

bool solver_init(Solver *s, DType type, const HessianFactor *factor, Error *err) {
    *s = (Solver){.grid = grid_of(type), .factor = factor, .lanes = round_lanes()};
    s->levels = levels_of(s->grid);
    s->outer = solver_two_level(s) ? s->grid->block : OUTER;
    int64_t cols = factor->cols;
    s->threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    s->shared = s->threads > 1 && (double)cols * s->outer * TILE >= SHARED_FROM;
    s->weights = mem_alloc((size_t)cols, sizeof *s->weights, err);
    if (!s->weights) return false;
    for (int64_t j = 0; j < cols; j++) {
        double u = factor->inverse[j * cols + j];
        s->weights[j] = (float)(1 / (u * u));
    }
    return true;
}

void solver_free(Solver *s) { mem_free(s->weights); }

void solver_panel(const Solver *s, float *out, const float *a, int64_t ld, const float *d, int64_t n, int64_t m) {
    if (!s->shared) {
        s->lanes->panel(out, a, ld, d, n, m);
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < n; k += SHARE) {
        int64_t count = n - k < SHARE ? n - k : SHARE;
        s->lanes->panel(out + k * TILE, a + k * ld, ld, d, count, m);
    }
}

// `count` floats from *at on.
static float *take(float **at, int64_t count) {
    float *p = *at;
    *at += count;
    return p;
}

bool tile_init(Tile *t, const Solver *s, Error *err) {
    int64_t cols = s->factor->cols, subs = cols / s->grid->sub, blocks = cols / s->grid->block;
    *t = (Tile){0};
    t->memory = mem_alloc((size_t)(3 * cols + 3 * subs), TILE * sizeof(float), err);
    t->scales = t->memory ? mem_alloc((size_t)blocks, TILE * sizeof *t->scales, err) : NULL;
    if (!t->scales) {
        tile_free(t);
        return false;
    }
    float *at = t->memory;
    t->target = take(&at, cols * TILE);
    t->level = take(&at, cols * TILE);
    t->eh = take(&at, cols * TILE);
    t->step = take(&at, subs * TILE);
    t->inverse = take(&at, subs * TILE);
    t->offset = take(&at, subs * TILE);
    return true;
}

void tile_free(Tile *t) {
    mem_free(t->memory);
    mem_free(t->scales);
    *t = (Tile){0};
}

bool tile_load(Tile *t, const Solver *s, const float *w, int64_t rows, int64_t first, Error *err) {
    int64_t cols = s->factor->cols;
    t->rows = (int)(rows - first < TILE ? rows - first : TILE);
    w += first * cols;
    Scan scan = scan_values(w, t->rows * cols);
    if (scan.nonfinite)
        return error_set(err, "row %lld holds a number that is not finite; it cannot be rounded under a Hessian",
                         (long long)(first + scan.first / cols));
    for (int64_t j = 0; j < cols; j++)
        for (int r = 0; r < TILE; r++) t->target[j * TILE + r] = r < t->rows ? w[r * cols + j] : 0;
    return true;
}

TileGrid tile_grid(const Tile *t, const Solver *s, int64_t col) {
    int64_t at = col / s->grid->sub * TILE;
    return (TileGrid){&s->levels, t->step + at, t->inverse + at, t->offset + at};
}

void tile_regrid(Tile *t, const Solver *s, int64_t col, int row) {
    int64_t at = col / s->grid->sub * TILE + row;
    int sub = (int)(col % s->grid->block / s->grid->sub);
    const GridScales *scales = &t->scales[col / s->grid->block * TILE + row];
    float step = grid_step(scales, sub), inverse = 1 / step;
    t->step[at] = step;
    t->inverse[at] = step != 0 && isfinite(inverse) ? inverse : 0;
    t->offset[at] = s->grid->has_min ? grid_offset(scales, sub) : 0;
}

void tile_error(const Tile *t, const Solver *s, int64_t first, int64_t n, float *e) {
    for (int64_t j = first; j < first + n; j++) {
        TileGrid g = tile_grid(t, s, j);
        const float *level = t->level + j * TILE, *target = t->target + j * TILE;
        float *out = e + (j - first) * TILE;
        for (int r = 0; r < TILE; r++) out[r] = (g.step[r] * level[r] + g.offset[r]) - target[r];
    }
}

static uint8_t code_of(const Levels *l, float level) {
    if (l->uniform) return (uint8_t)(level - l->low);
    int code = 0;
    for (int i = 0; i < 16; i++) code += l->middle[i] < level;
    return (uint8_t)code;
}

void tile_pack(const Tile *t, const Solver *s, void *blocks) {
    const Grid *g = s->grid;
    size_t bytes = dtype_info(g->type)->block_bytes;
    int64_t count = s->factor->cols / g->block;
    uint8_t codes[TILE][SUPER];
    for (int64_t b = 0; b < count; b++) {
        const float *level = t->level + b * g->block * TILE;
        for (int i = 0; i < g->block; i++)
            for (int r = 0; r < TILE; r++) codes[r][i] = code_of(&s->levels, level[i * TILE + r]);
        for (int r = 0; r < t->rows; r++)
            grid_pack(g, &t->scales[b * TILE + r], codes[r], (char *)blocks + (size_t)(r * count + b) * bytes);
    }
}

bool scratch_init(Scratch *b, const Solver *s, Error *err) {
    int64_t cols = s->factor->cols, outer = s->outer;
    *b = (Scratch){0};
    b->memory = mem_alloc((size_t)(cols + 7 * outer + s->grid->block), TILE * sizeof(float), err);
    b->fit = b->memory ? mem_alloc(TILE, dtype_info(s->grid->type)->block_bytes, err) : NULL;
    if (!b->fit) {
        scratch_free(b);
        return false;
    }
    float *at = b->memory;
    b->x = take(&at, cols * TILE);
    b->change = take(&at, outer * TILE);
    b->more = take(&at, outer * TILE);
    b->gamma = take(&at, outer * TILE);
    for (int i = 0; i < 2; i++) {
        b->along[i] = take(&at, outer * TILE);
        b->h_along[i] = take(&at, outer * TILE);
    }
    b->rows = take(&at, s->grid->block * TILE);
    return true;
}

void scratch_free(Scratch *b) {
    mem_free(b->memory);
    mem_free(b->fit);
    *b = (Scratch){0};
}
