#include "cli/quant_rounding.h"

#include "core/mem.h"
#include "core/threads.h"
#include "quant/grid.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "quant/scan.h"
#include <stdatomic.h>

enum {
    SLAB = 16 << 20,         // elements of rows that do not interact, rounded at once
    LARGE_BYTES = 256 << 20, // tensors that need more to work with are rounded alone, all threads inside
    BATCH_BYTES = 96 << 20,  // of results
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

bool rounding_applies(const Rounding *r, const Tensor *t, DType type) {
    if (!r || t->dims < 2 || type == t->type || !dtype_is_block(type)) return false;
    const StatsTensor *s = stats_find(r->stats, t->name);
    return s && s->rows == tensor_rows(t) && s->cols == tensor_cols(t) && (r->importance_only || grid_of(type));
}

// About what rounding it takes: values, their errors, and the matrices of either side with their factors.
static double work_bytes(const Rounding *r, const Tensor *t) {
    double rows = (double)tensor_rows(t), cols = (double)tensor_cols(t);
    bool output = stats_find(r->stats, t->name)->has_output;
    double matrix = output || rows * cols < SLAB ? rows * cols : SLAB;
    return 4 * 4 * matrix + 20 * cols * cols + (output ? 20 * rows * rows : 0);
}

static size_t result_bytes(const Tensor *t, DType type) {
    Tensor out = *t;
    out.type = type;
    return tensor_size(&out, NULL) ? out.bytes : 0; // it passed before (quant/plan.h)
}

size_t rounding_batch(const Rounding *r, const Model *model, const PlanEntry *plan, size_t first) {
    size_t n = 0, bytes = 0;
    for (; first + n < model->tensor_count; n++) {
        const Tensor *t = &model->tensors[first + n];
        DType type = plan[first + n].type;
        if (!rounding_applies(r, t, type)) continue;
        bool large = work_bytes(r, t) > LARGE_BYTES;
        bytes += result_bytes(t, type);
        if (n && (large || bytes > BATCH_BYTES)) break;
        if (large) return n + 1;
    }
    return n;
}

// Rows first .. first + rows - 1 in f32; false where they hold NaN or infinity and may not: who writes them says so.
static bool load(const Rounding *r, const Tensor *t, int64_t first, int64_t rows, uint8_t *bytes, float *w,
                 int64_t *cleared) {
    int64_t n = rows * tensor_cols(t);
    kernels_get()->to_f32[t->type](tensor_read(t, first, rows, bytes), w, n);
    Scan scan = scan_values(w, n);
    if (!scan.nonfinite) return true;
    if (!r->allow_nonfinite) return false;
    scan_clear_nonfinite(w, n);
    *cleared += scan.nonfinite;
    return true;
}

typedef struct Work {
    StatsTensor stats;
    HessianFactor factor;
    float *w;
    uint8_t *source;
} Work;

static void work_free(Work *work) {
    stats_tensor_free(&work->stats);
    hessian_factor_free(&work->factor);
    mem_free(work->w);
    mem_free(work->source);
}

static bool is_end(const Tensor *t) { return t->name[0] != 'b'; } // not of a block: embedding, head

static bool round_slabs(const Rounding *r, const Tensor *t, DType type, Work *work, Rounded *out, Error *err) {
    const RoundOptions *options = is_end(t) ? &r->ends : &r->options;
    int64_t rows = tensor_rows(t), cols = tensor_cols(t), slab = work->stats.output ? rows : min(rows, SLAB / cols + 1);
    size_t row_bytes = result_bytes(t, type) / (size_t)rows;
    work->w = mem_alloc((size_t)slab, sizeof(float) * (size_t)cols, err);
    if (t->layout) work->source = mem_alloc((size_t)slab, tensor_row_bytes(t), err);
    if (!work->w || (t->layout && !work->source)) return false;
    for (int64_t first = 0; first < rows; first += slab) {
        int64_t n = min(slab, rows - first);
        uint8_t *to = out->blocks + (size_t)first * row_bytes;
        if (!load(r, t, first, n, work->source, work->w, &out->cleared)) return true;
        RoundStats s = {work->stats.hessian, work->stats.row_weights, work->stats.output};
        if (s.row_weights) s.row_weights += first;
        if (r->importance_only)
            quant_function(type)(work->w, to, n, cols, work->stats.importance);
        else if (!round_matrix(work->w, n, cols, type, &work->factor, &s, options, to, err))
            return false;
    }
    return true;
}

static bool round_tensor(const Rounding *r, const Tensor *t, DType type, Rounded *out, Error *err) {
    Work work = {0};
    const RoundOptions *options = is_end(t) ? &r->ends : &r->options;
    bool ok =
        (out->blocks = mem_alloc(result_bytes(t, type), 1, err)) && stats_load(r->stats, t->name, &work.stats, err);
    if (ok && !r->importance_only)
        ok = hessian_factor(work.stats.hessian, tensor_cols(t), options->damping, &work.factor, err) ||
             error_prefix(err, "%s: tensor %s", stats_path(r->stats), t->name);
    ok = ok && round_slabs(r, t, type, &work, out, err);
    out->retries = work.factor.retries;
    work_free(&work);
    return ok;
}

bool rounding_run(const Rounding *r, const Model *model, const PlanEntry *plan, size_t first, size_t count,
                  Rounded *rounded, Error *err) {
    Error first_error = {0};
    atomic_bool failed = false;
    bool alone = count == 1;
    for (size_t i = 0; i < count; i++) rounded[i] = (Rounded){0};
#pragma omp parallel for schedule(dynamic) if (!alone)
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = &model->tensors[first + i];
        DType type = plan[first + i].type;
        if (atomic_load(&failed) || !rounding_applies(r, t, type)) continue;
        Error own = {0};
        if (round_tensor(r, t, type, &rounded[i], &own)) continue;
        atomic_store(&failed, true);
#pragma omp critical(rounding_error)
        if (!first_error.text[0]) first_error = own;
    }
    if (!failed) return true;
    for (size_t i = 0; i < count; i++) mem_free(rounded[i].blocks);
    if (err) *err = first_error;
    return false;
}
