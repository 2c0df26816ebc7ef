#include "eval/hessian.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/vector_squares.h"
#include "quant/kernels/kernels.h"
#include <omp.h>
#include <string.h>

// Fixed, so that the digits do not depend on the number of threads.
enum {
    STRIP = 128, // columns summed in one task
    RUN = 256,   // tokens summed in f32 before they go to f64
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

void hessian_work_free(HessianWork *w) {
    gram_free(&w->gram);
    mem_free(w->token_weight);
    mem_free(w->product);
    *w = (HessianWork){0};
}

void hessian_close(Hessian *h) {
    mem_free(h->squares);
    mem_free(h->h);
    mem_free(h->row_norms);
    mem_free(h->row_squares);
    mem_free(h->output);
    *h = (Hessian){0};
}

void squares_add(double *to, const float *x, int64_t n, int64_t cols) {
    const VectorSquares *math = vector_squares();
#pragma omp parallel for schedule(dynamic)
    for (int64_t col = 0; col < cols; col += STRIP) {
        int64_t width = min(STRIP, cols - col);
        for (int64_t first = 0; first < n; first += RUN) {
            float sums[STRIP] = {0};
            for (int64_t t = first; t < min(n, first + RUN); t++) math->add(sums, x + t * cols + col, width);
            for (int64_t j = 0; j < width; j++) to[col + j] += (double)sums[j];
        }
    }
}

float *mean_of(const double *sum, int64_t n, double count, Error *err) {
    float *mean = mem_alloc((size_t)n, sizeof *mean, err);
    for (int64_t j = 0; mean && j < n; j++) mean[j] = count > 0 ? (float)(sum[j] / count) : 0;
    return mean;
}

// |W_o|^2 over their mean; ones for a weight of zeros.
static bool find_row_norms(Hessian *h, Error *err) {
    const Tensor *w = h->weight;
    const VectorSquares *math = vector_squares();
    ToF32Fn to_f32 = kernels_get()->to_f32[w->type];
    size_t row = (size_t)h->cols * sizeof(float), bytes = tensor_row_bytes(w);
    size_t stride = (row + bytes + 63) / 64 * 64;
    uint8_t *memory = mem_alloc((size_t)threads_count(), stride, err);
    if (!memory) return false;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < h->rows; r++) {
        float *values = (float *)(void *)(memory + (size_t)omp_get_thread_num() * stride);
        to_f32(tensor_read(w, r, 1, (uint8_t *)values + row), values, h->cols);
        h->row_norms[r] = math->sum(NULL, values, h->cols);
    }
    mem_free(memory);
    double sum = 0;
    for (int64_t r = 0; r < h->rows; r++) sum += (double)h->row_norms[r];
    for (int64_t r = 0; r < h->rows; r++)
        h->row_norms[r] = sum > 0 ? (float)((double)h->row_norms[r] * (double)h->rows / sum) : 1;
    return true;
}

bool hessian_open(Hessian *h, const Tensor *weight, StatsKind kind, int64_t output_rows, Error *err) {
    *h = (Hessian){.weight = weight, .rows = tensor_rows(weight), .cols = tensor_cols(weight)};
    size_t rows = (size_t)h->rows, cols = (size_t)h->cols;
    bool ok = (h->squares = mem_alloc(cols, sizeof *h->squares, err)) != NULL;
    if (kind >= STATS_HESSIAN) ok = ok && (h->h = mem_alloc(cols, cols * sizeof *h->h, err));
    if (kind == STATS_FISHER) {
        ok = ok && (h->row_norms = mem_alloc(rows, sizeof *h->row_norms, err)) &&
             (h->row_squares = mem_alloc(rows, sizeof *h->row_squares, err));
        if (h->rows <= output_rows) ok = ok && (h->output = mem_alloc(rows, rows * sizeof *h->output, err));
        ok = ok && find_row_norms(h, err);
    }
    if (ok) return true;
    hessian_close(h);
    return false;
}

// ---- a chunk

// h += X^T X. Weights that see the same inputs come one after another: the product is made once and kept.
static bool add_product(Hessian *h, const LinearSeen *s, HessianWork *w, Error *err) {
    size_t bytes = (size_t)h->cols * (size_t)h->cols * sizeof(float);
    Hash of = hash_bytes(s->x, (size_t)(s->n * h->cols) * sizeof *s->x);
    if (w->product_n != s->n || w->product_cols != h->cols || !hash_equal(of, w->product_of)) {
        w->product_n = 0;
        if (w->product_bytes < bytes) {
            mem_free(w->product);
            w->product_bytes = 0;
            w->product = mem_alloc(bytes, 1, err);
            if (!w->product) return false;
            w->product_bytes = bytes;
        }
        memset(w->product, 0, bytes);
        if (!gram_add(&w->gram, s->x, s->n, h->cols, NULL, w->product, err)) return false;
        w->product_of = of;
        w->product_n = s->n;
        w->product_cols = h->cols;
    }
    gram_sum(h->h, w->product, h->cols);
    return true;
}

static bool token_room(HessianWork *w, int64_t n, Error *err) {
    if ((size_t)n <= w->token_capacity) return true;
    mem_free(w->token_weight);
    w->token_capacity = 0;
    w->token_weight = mem_alloc((size_t)n, sizeof *w->token_weight, err);
    if (w->token_weight) w->token_capacity = (size_t)n;
    return w->token_weight != NULL;
}

// weight[t] = mean over j of by[j] * x[t, j]^2; by NULL: ones.
static void token_means(const float *by, const float *x, int64_t n, int64_t cols, float *weight) {
    const VectorSquares *math = vector_squares();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) weight[t] = math->sum(by, x + t * cols, cols) / (float)cols;
}

static bool add_weighted(Hessian *h, const LinearSeen *s, HessianWork *w, Error *err) {
    if (!s->gradient) return error_set(err, "tensor %s: there are no gradients of it", tensor_label(h->weight));
    if (!token_room(w, s->n, err)) return false;
    squares_add(h->row_squares, s->gradient, s->n, h->rows);
    token_means(h->row_norms, s->gradient, s->n, h->rows, w->token_weight);
    if (!gram_add(&w->gram, s->x, s->n, h->cols, w->token_weight, h->h, err)) return false;
    if (!h->output) return true;
    token_means(NULL, s->x, s->n, h->cols, w->token_weight);
    return gram_add(&w->gram, s->gradient, s->n, h->rows, w->token_weight, h->output, err);
}

bool hessian_add(Hessian *h, const LinearSeen *s, HessianWork *w, Error *err) {
    if (s->n == 0) return true;
    h->tokens += (double)s->n;
    squares_add(h->squares, s->x, s->n, h->cols);
    if (!h->h) return true;
    return h->row_norms ? add_weighted(h, s, w, err) : add_product(h, s, w, err);
}

// ---- the end

// rho_o = R_o / mean_o(w_o R_o); ones where no gradient came.
static float *row_weights(const Hessian *h, Error *err) {
    float *rho = mem_alloc((size_t)h->rows, sizeof *rho, err);
    double mean = 0;
    for (int64_t r = 0; r < h->rows; r++) mean += (double)h->row_norms[r] * h->row_squares[r] / (double)h->rows;
    for (int64_t r = 0; rho && r < h->rows; r++) rho[r] = mean > 0 ? (float)(h->row_squares[r] / mean) : 1;
    return rho;
}

bool hessian_finish(Hessian *h, double tokens, StatsTensor *e, Error *err) {
    *e = (StatsTensor){.name = h->weight->name, .rows = h->rows, .cols = h->cols, .tokens = h->tokens};
    stats_no_losses(e->loss);
    e->importance = mean_of(h->squares, h->cols, h->tokens, err);
    if (!e->importance) return false;
    if (h->row_norms && !(e->row_weights = row_weights(h, err))) {
        hessian_entry_free(e);
        return false;
    }
    float by = (float)(1 / tokens);
    if (h->h) gram_finish(h->h, h->cols, by);
    if (h->output) gram_finish(h->output, h->rows, by);
    e->hessian = h->h;
    e->output = h->output;
    e->has_hessian = h->h;
    e->has_output = h->output;
    h->h = h->output = NULL;
    return true;
}

void hessian_entry_free(StatsTensor *e) {
    e->name = NULL;
    stats_tensor_free(e);
}
