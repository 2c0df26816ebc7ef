// The statistics of one linear layer as they grow, chunk by chunk: importance, Hessian, and with gradients the weights
// of tokens and rows and the outputs' side. formats/STATS.md has the formulas.
#ifndef EVAL_HESSIAN_H
#define EVAL_HESSIAN_H

#include "eval/gram.h"
#include "eval/observe.h"
#include "formats/stats.h"

typedef struct Hessian {
    const Tensor *weight;
    int64_t rows, cols;
    double tokens;
    double *squares;     // [cols]: sums of x_j^2
    float *h;            // [cols, cols], the upper triangle; NULL: importance alone
    float *row_norms;    // [rows]: |W_o|^2, their mean 1; NULL: without gradients
    double *row_squares; // [rows]: sums of g_o^2
    float *output;       // [rows, rows], the upper triangle; NULL: not asked for, or too many rows
} Hessian;

// Memory that all layers share.
typedef struct HessianWork {
    Gram gram;
    float *token_weight; // [n]
    size_t token_capacity;
    // X^T X of the inputs that came last, as other weights may see the same ones (without gradients).
    float *product;
    size_t product_bytes;
    Hash product_of;
    int64_t product_n, product_cols;
} HessianWork;
void hessian_work_free(HessianWork *work);

// The weight must outlive it. output_rows: weights of more rows get no outputs' side; 0: none gets one.
bool hessian_open(Hessian *hessian, const Tensor *weight, StatsKind kind, int64_t output_rows, Error *err);
bool hessian_add(Hessian *hessian, const LinearSeen *seen, HessianWork *work, Error *err);
// Moves what came into an entry (its name is the weight's own, not to be freed): tokens are those of the text. Free
// with hessian_entry_free.
bool hessian_finish(Hessian *hessian, double tokens, StatsTensor *entry, Error *err);
void hessian_close(Hessian *hessian);
void hessian_entry_free(StatsTensor *entry);

// to[j] += sum over t of x[t, j]^2; all threads take part.
void squares_add(double *to, const float *x, int64_t n, int64_t cols);
// mean[j] = sum[j] / count, in memory of its own; NULL with a message. Free with mem_free.
float *mean_of(const double *sum, int64_t n, double count, Error *err);

#endif
