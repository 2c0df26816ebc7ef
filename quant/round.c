#include "quant/round.h"

#include "core/mem.h"
#include "core/size.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "quant/tile.h"
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

const RoundOptions round_defaults = {.damping = 0.05, .output_damping = 0.3, .passes = 2, .output_passes = 2};

enum { TRY_ROWS = 4 * TILE, LOSS_ROWS = 64 };

static int threads_here(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

// ---- rows that do not interact: tile by tile, each thread its own

typedef struct Bench {
    Tile tile;
    Scratch scratch;
    Error err; // of the first of its tiles that failed
    bool failed;
} Bench;

static void round_tile(const Solver *s, Bench *b, const float *w, int64_t rows, int64_t first, int passes, char *out) {
    if (!tile_load(&b->tile, s, w, rows, first, &b->err)) {
        b->failed = true;
        return;
    }
    gptq_tile(s, &b->tile, NULL, &b->scratch);
    if (passes > 0) descent_start(s, &b->tile, &b->scratch);
    for (int pass = 0; pass < passes && descent_pass(s, &b->tile, NULL, &b->scratch); pass++) {
    }
    tile_pack(&b->tile, s, out);
}

static bool one_sided(const Solver *s, const float *w, int64_t rows, int passes, char *blocks, size_t row_bytes,
                      Error *err) {
    int threads = s->threads;
    int64_t tiles = (rows + TILE - 1) / TILE;
    if (threads > tiles) threads = (int)tiles;
    Bench *bench = mem_alloc((size_t)threads, sizeof *bench, err);
    if (!bench) return false;
    bool ok = true;
    for (int i = 0; i < threads && ok; i++)
        ok = tile_init(&bench[i].tile, s, err) && scratch_init(&bench[i].scratch, s, err);
    if (ok) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
        for (int64_t i = 0; i < tiles; i++) {
            Bench *b = &bench[omp_get_thread_num()];
            if (!b->failed) round_tile(s, b, w, rows, i * TILE, passes, blocks + (size_t)i * TILE * row_bytes);
        }
    }
    for (int i = 0; i < threads; i++) {
        if (ok && bench[i].failed) ok = error_set(err, "%s", bench[i].err.text);
        tile_free(&bench[i].tile);
        scratch_free(&bench[i].scratch);
    }
    mem_free(bench);
    return ok;
}

bool round_matrix(const float *w, int64_t rows, int64_t cols, DType type, const HessianFactor *factor,
                  const RoundStats *stats, const RoundOptions *options, void *blocks, Error *err) {
    const Grid *grid = grid_of(type);
    size_t row_bytes;
    if (!grid || !quant_function(type))
        return error_set(err, "%s: codes of this type cannot be chosen one by one", dtype_name(type));
    if (rows < 1 || cols != factor->cols || cols % grid->block != 0 || !dtype_row_bytes(type, cols, &row_bytes))
        return error_set(err, "%s: %lld rows of %lld do not fit its blocks or the Hessian of %lld inputs",
                         dtype_name(type), (long long)rows, (long long)cols, (long long)factor->cols);
    Solver s;
    if (!solver_init(&s, type, factor, err)) return false;
    bool ok;
    if (stats && stats->output) {
        ok = two_sided(&s, w, rows, stats, options, blocks, err);
    } else {
        s.shared = false;
        ok = one_sided(&s, w, rows, options->passes, blocks, row_bytes, err);
    }
    solver_free(&s);
    return ok;
}

// ---- what it costs

// Of `count` rows, with room for 2 * count * cols floats.
static double loss_of_rows(const float *w, const float *q, int64_t count, int64_t cols, const float *h,
                           const float *weights, float *room) {
    float *e = room, *eh = room + count * cols;
    for (int64_t i = 0; i < count * cols; i++) e[i] = q[i] - w[i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)cols, (int)cols, 1, e, (int)cols, h,
                (int)cols, 0, eh, (int)cols);
    double loss = 0;
    for (int64_t r = 0; r < count; r++) {
        double sum = 0;
        for (int64_t j = r * cols; j < (r + 1) * cols; j++) sum += (double)e[j] * eh[j];
        loss += (weights ? weights[r] : 1) * sum;
    }
    return loss / 2;
}

double round_loss(const float *w, const float *q, int64_t rows, int64_t cols, const RoundStats *stats) {
    int threads = threads_here();
    int64_t parts = (rows + LOSS_ROWS - 1) / LOSS_ROWS, each = cols * 2 * LOSS_ROWS;
    double *loss = mem_alloc((size_t)parts, sizeof *loss, NULL), sum = 0;
    float *room = loss ? mem_alloc((size_t)threads, (size_t)each * sizeof *room, NULL) : NULL;
    if (!room) {
        mem_free(loss);
        return NAN;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < parts; i++) {
        int64_t first = i * LOSS_ROWS, count = rows - first < LOSS_ROWS ? rows - first : LOSS_ROWS;
        loss[i] =
            loss_of_rows(w + first * cols, q + first * cols, count, cols, stats->hessian,
                         stats->row_weights ? stats->row_weights + first : NULL, room + omp_get_thread_num() * each);
    }
    for (int64_t i = 0; i < parts; i++) sum += loss[i];
    mem_free(loss);
    mem_free(room);
    return sum;
}

static double squares(const float *w, int64_t cols, const float *row_weights, int64_t row) {
    double sum = 0;
    for (int64_t j = 0; j < cols; j++) sum += (double)w[row * cols + j] * w[row * cols + j];
    return row_weights ? row_weights[row] * sum : sum;
}

bool round_try(const float *w, int64_t rows, int64_t cols, DType type, const HessianFactor *factor,
               const RoundStats *stats, double *loss, Error *err) {
    int64_t count = rows < TRY_ROWS ? rows : TRY_ROWS;
    size_t row_bytes;
    if (rows < 1 || !dtype_row_bytes(type, cols, &row_bytes))
        return error_set(err, "%s: cannot be tried on rows of %lld", dtype_name(type), (long long)cols);
    float *sample = mem_alloc((size_t)count, (size_t)(2 * cols + 1) * sizeof *sample, err);
    char *blocks = sample ? mem_alloc((size_t)count, row_bytes, err) : NULL;
    if (!blocks) {
        mem_free(sample);
        return false;
    }
    float *q = sample + count * cols, *weights = q + count * cols;
    double taken = 0, all = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (2 * i + 1) * rows / (2 * count);
        memcpy(sample + i * cols, w + row * cols, (size_t)cols * sizeof *sample);
        weights[i] = stats->row_weights ? stats->row_weights[row] : 1;
        taken += squares(w, cols, stats->row_weights, row);
    }
    for (int64_t r = 0; r < rows; r++) all += squares(w, cols, stats->row_weights, r);

    RoundOptions options = round_defaults;
    options.passes = 1;
    bool ok = round_matrix(sample, count, cols, type, factor, NULL, &options, blocks, err);
    if (ok) {
        RoundStats side = {.hessian = stats->hessian, .row_weights = weights};
        kernels_get()->to_f32[type](blocks, q, count * cols);
        // The sample stands for all rows by their weighted squares.
        *loss = round_loss(sample, q, count, cols, &side) * (taken > 0 ? all / taken : (double)rows / (double)count);
    }
    mem_free(blocks);
    mem_free(sample);
    return ok;
}
