#include "cli/calibration.h"

#include "cli/text_windows.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/memory_available.h"
#include "formats/fingerprint.h"
#include "formats/imatrix.h"
#include "quant/grid.h"
#include "quant/kernels/kernels.h"
#include <string.h>

enum { PREDICT_ROWS = 512 }; // drawn from a weight to predict

size_t calibration_memory(void) {
    enum { MOST = 1 << 30 };
    uint64_t quarter = memory_available() / 4;
    return quarter < MOST ? (size_t)quarter : MOST;
}

bool calibration_asked(const QuantOptions *o) { return o->calib || o->stats; }

// ---- predictions

static double weight_of(const float *row_weights, int64_t row) { return row_weights ? (double)row_weights[row] : 1; }

static double total_weight(const float *row_weights, int64_t rows) {
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += weight_of(row_weights, i);
    return sum;
}

// Rows by systematic sampling in proportion to their weights (Madow 1949), as a small matrix whose rows weigh the same:
// where few rows have most of the weight, as a head's for frequent words, what rows spread evenly say is mere chance.
static bool sample(const Tensor *t, const float *row_weights, int64_t rows, float *w, float *weights, Error *err) {
    int64_t all = tensor_rows(t), cols = tensor_cols(t), row = 0;
    double total = total_weight(row_weights, all), sum = weight_of(row_weights, 0);
    uint8_t *bytes = mem_alloc(tensor_row_bytes(t), 1, err);
    if (!bytes) return false;
    for (int64_t i = 0; i < rows; i++) {
        while (row + 1 < all && sum <= total * ((double)i + 0.5) / (double)rows) {
            row++;
            sum += weight_of(row_weights, row);
        }
        kernels_get()->to_f32[t->type](tensor_read(t, row, 1, bytes), w + i * cols, cols);
        weights[i] = (float)(total / (double)rows);
    }
    mem_free(bytes);
    return true;
}

static bool predict(const Tensor *t, const HessianFactor *factor, StatsTensor *e, float *w, float *weights,
                    int64_t rows, Error *err) {
    const RoundStats s = {e->hessian, weights, NULL};
    bool ok = true;
#pragma omp parallel for schedule(dynamic, 1)
    for (int type = 0; type < DT_COUNT; type++) {
        double loss;
        Error own = {0};
        if (!grid_of((DType)type) || tensor_cols(t) % dtype_info((DType)type)->block) continue;
        if (round_try(w, rows, tensor_cols(t), (DType)type, factor, &s, &loss, &own)) {
            e->loss[type] = loss;
            continue;
        }
#pragma omp critical(predict_error)
        {
            if (ok) *err = own;
            ok = false;
        }
    }
    return ok;
}

bool calibration_predict(void *context, const Tensor *t, StatsTensor *e, Error *err) {
    (void)context;
    if (!e->hessian || t->dims < 2) return true;
    int64_t rows = tensor_rows(t) < PREDICT_ROWS ? tensor_rows(t) : PREDICT_ROWS;
    HessianFactor factor = {0};
    float *w = mem_alloc((size_t)rows, sizeof *w * (size_t)tensor_cols(t), err);
    float *weights = w ? mem_alloc((size_t)rows, sizeof *weights, err) : NULL;
    bool ok = weights && sample(t, e->row_weights, rows, w, weights, err) &&
              hessian_factor(e->hessian, tensor_cols(t), round_defaults.damping, &factor, err) &&
              predict(t, &factor, e, w, weights, rows, err);
    hessian_factor_free(&factor);
    mem_free(w);
    mem_free(weights);
    return ok || error_prefix(err, "tensor %s", t->name);
}

// ---- statistics

static StatsKind kind_of(QuantMethod method) {
    switch (method) {
    case METHOD_IMPORTANCE: return STATS_IMPORTANCE;
    case METHOD_GPTQ: return STATS_HESSIAN;
    default: return STATS_FISHER;
    }
}

// What is there serves what is asked.
static bool check(const Stats *s, const Model *model, const QuantOptions *o, const Windows *w, Error *err) {
    const StatsInfo *info = stats_info(s);
    Hash model_hash;
    if (!model_fingerprint(model, &model_hash, err)) return false;
    if (!hash_is_zero(info->model) && !hash_equal(info->model, model_hash))
        return error_set(err, "%s: holds statistics of another model than %s; capture its own with --calib TEXT",
                         o->stats, model->path);
    if (w && !hash_is_zero(info->text) && !hash_equal(info->text, windows_hash(w)))
        return error_set(err,
                         "%s: holds statistics of another text (%s, %lld windows of %lld) than --calib and "
                         "--calib-windows say; leave --calib out to use them, or name another file to --stats",
                         o->stats, info->text_name[0] ? info->text_name : "unnamed", (long long)info->windows,
                         (long long)info->ctx);
    if (o->method != METHOD_RTN && info->kind < kind_of(o->method))
        return error_set(err,
                         "%s: holds %s statistics, which --method %s cannot do with; give --method %s or capture "
                         "again with --calib TEXT into another file",
                         o->stats, stats_kind_name(info->kind), quant_method_name(o->method),
                         info->kind == STATS_IMPORTANCE ? "importance" : "gptq");
    return true;
}

static Stats *capture_now(const Model *model, const QuantOptions *o, const Windows *w, Error *err) {
    const CaptureOptions options = {
        .kind = kind_of(o->method),
        .path = o->stats,
        .text_name = text_base_name(o->calib),
        .seed = (uint64_t)o->seed,
        .memory = calibration_memory(),
        .output_rows = CAPTURE_OUTPUT_ROWS,
        .finished = calibration_predict,
    };
    return capture(model, w, &options, err);
}

// Ours, or an importance matrix of llama.cpp's.
static Stats *open_there(const Model *model, const char *path, Error *err) {
    return imatrix_is(path) ? imatrix_read(path, model->desc.experts.count, err) : stats_open(path, err);
}

bool calibration_windows(const Model *model, const QuantOptions *o, Windows *windows, Error *err) {
    *windows = (Windows){0};
    if (!o->calib)
        return (o->stats && file_exists(o->stats)) ||
               error_set(err, "%s: is not there; --calib TEXT --stats %s makes it", o->stats, o->stats);
    const TextWindows asked = {
        .path = text_path(o->calib),
        .limit = o->calib_windows ? o->calib_windows : CALIBRATION_WINDOWS,
        .least = CALIBRATION_LEAST,
    };
    return text_windows(model, &asked, windows, err);
}

Stats *calibration_get(const Model *model, QuantOptions *o, const Windows *windows, Error *err) {
    bool there = o->stats && file_exists(o->stats);
    Stats *stats = there ? open_there(model, o->stats, err) : capture_now(model, o, windows, err);
    if (stats && !o->method_given && stats_info(stats)->kind < STATS_FISHER)
        o->method = stats_info(stats)->kind == STATS_IMPORTANCE ? METHOD_IMPORTANCE : METHOD_GPTQ;
    if (stats && there && !check(stats, model, o, windows->count ? windows : NULL, err)) {
        stats_close(stats);
        stats = NULL;
    }
    return stats;
}

Rounding calibration_rounding(const Stats *stats, const QuantOptions *o) {
    Rounding r = {
        .stats = stats,
        .options = round_defaults,
        .ends = round_defaults,
        .importance_only = o->method == METHOD_IMPORTANCE,
        .allow_nonfinite = o->allow_nonfinite,
        .state = o->state,
        .shard = o->shard,
    };
    r.ends.damping = 0.01;
    r.ends.passes = 8;
    return r;
}
