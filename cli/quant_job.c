// Slices are computed in parallel and written in order: one loop over all slices of all tensors, at the end of each an
// ordered section (core/turn.h) that hashes the source, writes the result and gives the source's pages back. While one
// thread writes, the others compute up to SLOTS_AHEAD slices more, so reading, rounding and writing overlap.
#include "cli/quant_job.h"

#include "cli/quant_report.h"
#include "convert/sources.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/threads.h"
#include "core/turn.h"
#include "formats/nib.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "quant/scan.h"
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

enum {
    SLICE = 1 << 17,         // elements: source and result stay in a second-level cache
    STRIP = 1 << 12,         // ... of which so many are in f32 at a time
    SLOTS_AHEAD = 4,         // for each thread, of slices that wait for their turn
    RELEASE_BYTES = 4 << 20, // of the source, given back together: each time interrupts all threads
    RELEASE_BACK = 64 << 10, // pages that earlier ones ended in are given back too
};

// The largest finite f16, and so the largest scale that a block can have.
static const float f16_max = 65504.0f;

typedef struct Slice {
    size_t tensor;
    int64_t row, rows;
} Slice;

typedef struct Slices {
    Slice *items;
    size_t count, capacity;
    int64_t max_strip; // elements
    size_t max_bytes;  // of a result
    size_t max_source; // of a slice whose rows are put together
} Slices;

// What computing a slice came to; settled in order, so that the first error is the first in the file.
typedef struct Outcome {
    const uint8_t *source; // the slice as it was
    const uint8_t *data;   // in its new type
    size_t bytes;
    Scan scan;
    bool overflow;
} Outcome;

// A slice from when it is computed until it is written.
typedef struct Slot {
    uint8_t *result;
    uint8_t *source; // where rows are put together
    Outcome out;
    Error err; // statistics could not be loaded
} Slot;

// What a thread works with.
typedef struct Hand {
    float *values;     // a strip
    StatsTensor stats; // of the tensor that it was at last
} Hand;

// What there is to work with.
typedef struct Bench {
    int threads;
    Hand *hands; // [threads]
    size_t count;
    Slot *slots; // [count]
} Bench;

static size_t rows_bytes(const Tensor *t, DType type, int64_t rows) {
    const DTypeInfo *info = dtype_info(type);
    return (size_t)(rows * tensor_cols(t) / info->block) * info->block_bytes; // fits: tensor_size passed for both types
}

static int64_t strip_rows(int64_t cols) { return cols && cols < STRIP ? STRIP / cols : 1; }

// A tensor without elements still gets one (empty) slice, to be begun and ended.
static bool slices_make(const QuantJob *job, Slices *slices, Error *err) {
    for (size_t i = 0; i < job->model->tensor_count; i++) {
        const Tensor *t = &job->model->tensors[i];
        int64_t rows = tensor_rows(t), cols = tensor_cols(t), step = cols && cols < SLICE ? SLICE / cols : 1;
        int64_t row = 0;
        do {
            Slice s = {.tensor = i, .row = row, .rows = rows - row < step ? rows - row : step};
            if (!mem_grow(&slices->items, slices->count, &slices->capacity, sizeof s, err)) return false;
            slices->items[slices->count++] = s;
            size_t bytes = rows_bytes(t, job->plan[i].type, s.rows);
            if (strip_rows(cols) * cols > slices->max_strip) slices->max_strip = strip_rows(cols) * cols;
            if (bytes > slices->max_bytes) slices->max_bytes = bytes;
            bytes = t->layout ? rows_bytes(t, t->type, s.rows) : 0;
            if (bytes > slices->max_source) slices->max_source = bytes;
            row += s.rows;
        } while (row < rows);
    }
    return true;
}

// Some rows of a slice, that in f32 stay in a first-level cache: looked at, and rounded where nothing has their result.
static void strip_compute(const QuantJob *job, const Slice *s, int64_t row, int64_t rows, bool have,
                          const float *importance, float *values, Slot *slot) {
    const Kernels *kernels = kernels_get();
    const Tensor *t = &job->model->tensors[s->tensor];
    DType type = job->plan[s->tensor].type;
    int64_t cols = tensor_cols(t), n = rows * cols;
    uint8_t *result = slot->result + rows_bytes(t, type, row);
    Outcome *out = &slot->out;

    Scan scan = scan_to_f32(t->type, out->source + rows_bytes(t, t->type, row), values, n);
    if (scan.nonfinite && out->scan.first < 0) out->scan.first = row * cols + scan.first;
    out->scan.nonfinite += scan.nonfinite;
    if (scan.largest > out->scan.largest) out->scan.largest = scan.largest;
    if (type == t->type || (scan.nonfinite && !job->allow_nonfinite)) return;
    if (scan.nonfinite && dtype_is_block(type)) scan_clear_nonfinite(values, n);
    if (!have) quant_function(type)(values, result, rows, cols, importance);
    // Weights of sane size cannot overflow any type; beyond that, see whether what was finite still is.
    if (scan.largest > f16_max) {
        kernels->to_f32[type](result, values, n);
        Scan back = scan_values(values, n);
        out->overflow = out->overflow || back.nonfinite > (dtype_is_block(type) ? 0 : scan.nonfinite);
    }
}

// A tensor that was rounded already has its blocks in `rounded`.
static void slice_compute(const QuantJob *job, const Rounded *rounded, const Slice *s, Hand *hand, Slot *slot) {
    const Tensor *t = &job->model->tensors[s->tensor];
    DType type = job->plan[s->tensor].type;
    const uint8_t *source = tensor_read(t, s->row, s->rows, slot->source);
    const float *importance;
    Outcome *out = &slot->out;
    bool same = type == t->type, ready = rounded && rounded->blocks;

    slot->err.text[0] = 0;
    *out = (Outcome){.source = source, .data = slot->result, .bytes = rows_bytes(t, type, s->rows), .scan.first = -1};
    if (!rounding_importance(job->rounding, t, type, &hand->stats, &importance, &slot->err)) return;
    if (same)
        out->data = source;
    else if (ready)
        memcpy(slot->result, rounded->blocks + rows_bytes(t, type, s->row), out->bytes);
    for (int64_t row = 0, step = strip_rows(tensor_cols(t)); row < s->rows; row += step)
        strip_compute(job, s, row, s->rows - row < step ? s->rows - row : step, same || ready, importance, hand->values,
                      slot);
}

static bool slice_check(const QuantJob *job, const Slice *s, const Outcome *out, Error *err) {
    const Tensor *t = &job->model->tensors[s->tensor];
    DType type = job->plan[s->tensor].type;
    bool refused = out->scan.nonfinite && !job->allow_nonfinite;
    // Strange values in a file that is damaged: the damage is what to tell.
    if ((refused || out->overflow) && !tensor_verify(t, err)) return false;
    if (refused) {
        int64_t at = s->row * tensor_cols(t) + out->scan.first, cols = tensor_cols(t);
        return error_set(err,
                         "%s: tensor %s: has a NaN or infinity at row %lld, column %lld; the checkpoint is broken, or "
                         "give --allow-nonfinite",
                         job->model->path, t->name, (long long)(at / cols), (long long)(at % cols));
    }
    if (out->overflow)
        return error_set(err,
                         "%s: tensor %s: has values up to %g, too large for %s; keep it wider with --only '^%s$=%s'",
                         job->model->path, t->name, (double)out->scan.largest, dtype_name(type), t->name,
                         type == DT_BF16 ? "f32" : "bf16");
    if (type != t->type && dtype_is_block(type)) job->cleared[s->tensor] += out->scan.nonfinite;
    return true;
}

// Writes slices in order: what the ordered part of the loop does.
typedef struct Writer {
    const QuantJob *job;
    NibWriter *nib;
    HashStream *hash; // of the present tensor's source, where the file states one
    size_t kept;      // bytes of that source that were not given back yet
    SourceHash *sources;
} Writer;

static bool tensor_begin(Writer *w, size_t tensor, Error *err) {
    const Tensor *t = &w->job->model->tensors[tensor];
    Tensor like;
    if (!plan_tensor(t, &w->job->plan[tensor], &like, err) || !nib_tensor_begin(w->nib, &like, err)) return false;
    if (!t->has_hash) return true;
    w->hash = hash_stream_new();
    return w->hash ? true : error_set(err, "out of memory");
}

static bool tensor_end(Writer *w, size_t tensor, Error *err) {
    if (w->hash) {
        Hash hash = hash_stream_end(w->hash);
        w->hash = NULL;
        if (!tensor_verify_hash(&w->job->model->tensors[tensor], hash, err)) return false;
    }
    return nib_tensor_end(w->nib, err);
}

// The `bytes` before `end` are done with.
static void source_release(Writer *w, const Tensor *t, const uint8_t *end, size_t bytes, bool last) {
    w->kept += bytes;
    if (w->kept < RELEASE_BYTES && !last) return;
    size_t before = (size_t)(end - t->data) - w->kept;
    if (before > RELEASE_BACK) before = RELEASE_BACK;
    file_release(t->file, end - w->kept - before, w->kept + before);
    w->kept = 0;
}

static bool slice_write(Writer *w, const Slice *s, const Slot *slot, Error *err) {
    const Outcome *out = &slot->out;
    const Tensor *t = &w->job->model->tensors[s->tensor];
    size_t bytes = rows_bytes(t, t->type, s->rows);
    bool last = s->row + s->rows >= tensor_rows(t);
    if (s->row == 0 && !tensor_begin(w, s->tensor, err)) return false;
    if (slot->err.text[0]) return error_set(err, "%s", slot->err.text);
    if (w->hash) hash_stream_add(w->hash, out->source, bytes);
    sources_reach(w->sources, t->file, out->source + bytes);
    if (!slice_check(w->job, s, out, err) || !nib_tensor_write(w->nib, out->data, out->bytes, err)) return false;
    if (t->layout) {
        tensor_release(t, s->row, s->rows);
    } else {
        source_release(w, t, out->source + bytes, bytes, last);
    }
    progress_add(bytes);
    return !last || tensor_end(w, s->tensor, err);
}

static bool bench_make(Bench *bench, const Slices *slices, Error *err) {
    bench->threads = threads_count();
    bench->count = (size_t)bench->threads * (SLOTS_AHEAD + 1);
    bench->hands = mem_alloc((size_t)bench->threads, sizeof *bench->hands, err);
    bench->slots = bench->hands ? mem_alloc(bench->count, sizeof *bench->slots, err) : NULL;
    if (!bench->slots) return false;
    for (int i = 0; i < bench->threads; i++)
        if (!(bench->hands[i].values = mem_alloc((size_t)slices->max_strip, sizeof(float), err))) return false;
    for (size_t i = 0; i < bench->count; i++) {
        Slot *slot = &bench->slots[i];
        if (!(slot->result = mem_alloc(slices->max_bytes, 1, err))) return false;
        if (slices->max_source && !(slot->source = mem_alloc(slices->max_source, 1, err))) return false;
    }
    return true;
}

static void bench_free(Bench *bench) {
    for (int i = 0; bench->hands && i < bench->threads; i++) {
        mem_free(bench->hands[i].values);
        stats_tensor_free(&bench->hands[i].stats);
    }
    for (size_t i = 0; bench->slots && i < bench->count; i++) {
        mem_free(bench->slots[i].result);
        mem_free(bench->slots[i].source);
    }
    mem_free(bench->hands);
    mem_free(bench->slots);
}

// Slices first .. end - 1; rounded[0] is that of the first one's tensor, where there is rounding.
static bool slices_run(Writer *w, const Slices *slices, size_t first, size_t end, const Rounded *rounded,
                       const Bench *bench, Error *err) {
    bool failed = false; // belongs to whose turn it is
    atomic_bool stop = false;
    Turn turn;
    if (!turn_init(&turn, bench->count, err)) {
        turn_destroy(&turn);
        return false;
    }
#pragma omp parallel for schedule(monotonic : dynamic, 1) num_threads(bench->threads)
    for (size_t i = first; i < end; i++) {
        const Slice *s = &slices->items[i];
        const Rounded *ready = rounded ? &rounded[s->tensor - slices->items[first].tensor] : NULL;
        Slot *slot = &bench->slots[(i - first) % bench->count];
        turn_claim(&turn, i - first);
        if (!atomic_load(&stop)) slice_compute(w->job, ready, s, &bench->hands[omp_get_thread_num()], slot);
        if (!turn_leave(&turn, i - first)) continue;
        do {
            slot = &bench->slots[turn.next % bench->count];
            failed = failed || !slice_write(w, &slices->items[first + turn.next], slot, err);
            if (failed) atomic_store(&stop, true);
        } while (turn_pass(&turn));
    }
    turn_destroy(&turn);
    return !failed;
}

// A batch of tensors is rounded whole, then written as all others are, batch by batch.
static bool batches_run(Writer *w, const Slices *slices, const Bench *bench, Error *err) {
    const QuantJob *job = w->job;
    size_t count = job->model->tensor_count;
    Rounded *rounded = mem_alloc(count, sizeof *rounded, err);
    bool ok = rounded != NULL;
    for (size_t tensor = 0, slice = 0; ok && tensor < count;) {
        size_t batch = rounding_batch(job->rounding, job->model, job->plan, tensor), end = slice;
        while (end < slices->count && slices->items[end].tensor < tensor + batch) end++;
        ok = rounding_run(job->rounding, job->model, job->plan, tensor, batch, rounded, err);
        if (!ok) break;
        ok = slices_run(w, slices, slice, end, rounded, bench, err);
        for (size_t i = 0; i < batch; i++) {
            job->retries[tensor + i] = rounded[i].retries;
            mem_free(rounded[i].blocks);
        }
        tensor += batch;
        slice = end;
    }
    mem_free(rounded);
    return ok;
}

static bool write_tensors(Writer *w, Error *err) {
    Slices slices = {0};
    Bench bench = {0};
    bool ok = slices_make(w->job, &slices, err) && bench_make(&bench, &slices, err);
    if (ok && w->job->rounding && !rounding_streams(w->job->rounding))
        ok = batches_run(w, &slices, &bench, err);
    else if (ok)
        ok = slices_run(w, &slices, 0, slices.count, NULL, &bench, err);
    if (w->hash) hash_stream_end(w->hash); // of a tensor that was not finished
    bench_free(&bench);
    mem_free(slices.items);
    return ok;
}

// A part of the tensors is rounded, and kept where the run that writes the output will find it.
static bool shard_run(const QuantJob *job, Error *err) {
    size_t count = job->model->tensor_count;
    Rounded *rounded = mem_alloc(count, sizeof *rounded, err);
    bool ok = rounded != NULL;
    for (size_t tensor = 0; ok && tensor < count;) {
        size_t batch = rounding_batch(job->rounding, job->model, job->plan, tensor);
        ok = rounding_run(job->rounding, job->model, job->plan, tensor, batch, rounded, err);
        for (size_t i = 0; ok && i < batch; i++) {
            mem_free(rounded[i].blocks);
            progress_add(job->model->tensors[tensor + i].bytes);
        }
        tensor += batch;
    }
    mem_free(rounded);
    return ok;
}

static bool planned_bytes(const QuantJob *job, uint64_t *bytes, Error *err) {
    *bytes = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) {
        Tensor out;
        if (!plan_tensor(&job->model->tensors[i], &job->plan[i], &out, err)) return false;
        *bytes += out.bytes;
    }
    return true;
}

bool quant_job_run(const QuantJob *job, Error *err) {
    Writer w = {.job = job};
    uint64_t expected;
    if (job->rounding && job->rounding->shard.count) {
        progress_start("rounding", model_tensor_bytes(job->model), PROGRESS_BYTES);
        bool done = shard_run(job, err);
        progress_end();
        return done;
    }
    if (!planned_bytes(job, &expected, err) || !(w.sources = sources_begin(job->model, err))) return false;
    w.nib = nib_create(job->output, job->model, expected, err);
    if (!w.nib) {
        sources_abort(w.sources);
        return false;
    }
    progress_start("quantizing", model_tensor_bytes(job->model), PROGRESS_BYTES);
    bool ok = write_tensors(&w, err);
    progress_end();
    if (ok)
        ok = sources_end(w.sources, job->model, err) && recipe_add(job->model, quant_report_step(job), err);
    else
        sources_abort(w.sources);
    if (ok) {
        ok = nib_commit(w.nib, err);
        if (ok) rounding_forget(job->rounding, job->model, job->plan);
        return ok;
    }
    nib_abort(w.nib);
    return false;
}
