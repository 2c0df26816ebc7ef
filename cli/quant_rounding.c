#include "cli/quant_rounding.h"

#include "cli/rounded_blocks.h"
#include "core/mem.h"
#include "core/threads.h"
#include "quant/grid.h"
#include "quant/quant.h"
#include "quant/scan.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SLAB = 16 << 20,         // elements of rows that do not interact, rounded at once
    LARGE_BYTES = 256 << 20, // tensors that need more to work with are rounded alone, all threads inside
    BATCH_BYTES = 96 << 20,  // of results
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

bool rounding_applies(const Rounding *r, const Tensor *t, DType type) {
    if (!r || t->dims < 2 || type == t->type || !dtype_is_block(type)) return false;
    const StatsTensor *s = stats_find(r->stats, t->name);
    bool fits = s && (!s->rows || s->rows == tensor_rows(t)) && s->cols == tensor_cols(t); // 0: not known
    return fits && (r->importance_only || grid_of(type));
}

bool rounding_streams(const Rounding *r) { return r && r->importance_only && !r->state; }

bool rounding_importance(const Rounding *r, const Tensor *t, DType type, StatsTensor *kept, const float **importance,
                         Error *err) {
    *importance = NULL;
    if (!rounding_streams(r) || !rounding_applies(r, t, type)) return true;
    if (!kept->name || strcmp(kept->name, t->name) != 0) {
        stats_tensor_free(kept);
        *kept = (StatsTensor){0};
        if (!stats_load_importance(r->stats, t->name, kept, err)) return false;
    }
    *importance = kept->importance;
    return true;
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
    Scan scan = scan_to_f32(t->type, tensor_read(t, first, rows, bytes), w, n);
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

// What the blocks of a tensor are known by: all that they depend on.
static Hash key_of(const Rounding *r, const Model *model, const Tensor *t, DType type) {
    const StatsInfo *s = stats_info(r->stats);
    char text[4096], stats_model[HASH_HEX], stats_text[HASH_HEX], identity[HASH_HEX] = "", data[HASH_HEX] = "";
    if (model->has_identity) hash_hex(model->identity, identity);
    if (t->has_hash) hash_hex(t->hash, data);
    int n = snprintf(text, sizeof text, "%s|%llu|%s|%s|%lld|%lld|%s|%d|%s|%s|%s|%llu|%d|%lld|%lld|%lld|%llu|%d|%d",
                     model->path, (unsigned long long)model->file_bytes, identity, t->name, (long long)tensor_rows(t),
                     (long long)tensor_cols(t), data, (int)type, stats_path(r->stats), hash_hex(s->model, stats_model),
                     hash_hex(s->text, stats_text), (unsigned long long)file_size(stats_path(r->stats)), (int)s->kind,
                     (long long)s->windows, (long long)s->ctx, (long long)s->tokens, (unsigned long long)s->seed,
                     r->importance_only, r->allow_nonfinite);
    return hash_bytes(text, n < (int)sizeof text ? (size_t)n : sizeof text);
}

void rounding_forget(const Rounding *r, const Model *model, const PlanEntry *plan) {
    for (size_t i = 0; r && r->state && i < model->tensor_count; i++)
        if (rounding_applies(r, &model->tensors[i], plan[i].type))
            rounded_remove(r->state, key_of(r, model, &model->tensors[i], plan[i].type));
    if (r && r->state) rmdir(r->state); // where nothing else is in it
}

// Neighbours differ in size as the layers' matrices do, so parts are dealt out without regard to order.
static bool is_ours(const Rounding *r, size_t tensor) {
    uint64_t mixed = (uint64_t)tensor * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return !r->shard.count || (int64_t)(mixed % (uint64_t)r->shard.count) == r->shard.index;
}

static bool round_new(const Rounding *r, const Tensor *t, DType type, Rounded *out, Error *err) {
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

static bool round_tensor(const Rounding *r, const Model *model, size_t tensor, DType type, Rounded *out, Error *err) {
    const Tensor *t = &model->tensors[tensor];
    size_t bytes = result_bytes(t, type);
    if (!r->state) return round_new(r, t, type, out, err);
    Hash key = key_of(r, model, t, type);
    if (rounded_load(r->state, key, bytes, out)) return true;
    return round_new(r, t, type, out, err) && rounded_save(r->state, key, bytes, out, err);
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
        if (atomic_load(&failed) || !rounding_applies(r, t, type) || !is_ours(r, first + i)) continue;
        Error own = {0};
        if (round_tensor(r, model, first + i, type, &rounded[i], &own)) continue;
        atomic_store(&failed, true);
#pragma omp critical(rounding_error)
        if (!first_error.text[0]) first_error = own;
    }
    if (!failed) return true;
    for (size_t i = 0; i < count; i++) mem_free(rounded[i].blocks);
    if (err) *err = first_error;
    return false;
}
