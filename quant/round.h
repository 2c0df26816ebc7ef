// Rounding a matrix into blocks so that its outputs change least: GPTQ (arXiv:2210.17323), then coordinate descent over
// codes and scales, under a Hessian of the layer's loss; with the output side's too, two-sided.
// Rows are weight rows (outputs), columns inputs. E = Q - W.
#ifndef QUANT_ROUND_H
#define QUANT_ROUND_H

#include "core/dtype.h"
#include "core/error.h"

// What is known of a linear layer's loss, 1/2 sum over rows r of row_weights[r] * e_r H e_r^T a token.
typedef struct RoundStats {
    const float *hessian;     // H [cols, cols], symmetric
    const float *row_weights; // [rows], or NULL: ones
    const float *output;      // GO [rows, rows], symmetric, or NULL: rows do not interact
} RoundStats;

typedef struct RoundOptions {
    double damping;        // of H, in mean diagonals
    double output_damping; // of GO
    int passes;            // of coordinate descent
    int output_passes;     // of two-sided coordinate descent, where there is GO
} RoundOptions;

extern const RoundOptions round_defaults; // 0.05, 0.3, 2, 2

// H ready for use: damped and factored, once for all types and trials of a layer.
typedef struct HessianFactor {
    int64_t cols;
    float *h;       // [cols, cols]: H / (its mean diagonal) + damping
    float *inverse; // U^T [cols, cols], lower triangular: h^-1 = U^T U
    double damping; // what it took, in mean diagonals
    int retries;    // how often damping had to grow, for H was not positive definite
} HessianFactor;

// Cholesky in f64. Inputs that never occurred (zeros on the diagonal) are fine, also all of them. Fails when memory is
// out or when H is not finite; retries with ten times the damping where H is not positive definite.
bool hessian_factor(const float *h, int64_t cols, double damping, HessianFactor *factor, Error *err);
void hessian_factor_free(HessianFactor *factor);

// Rounds w [rows, cols] into blocks of the type (grid_of(type) is there and its block divides cols).
// The bytes do not depend on the number of threads; all threads take part unless the caller is in a parallel region.
bool round_matrix(const float *w, int64_t rows, int64_t cols, DType type, const HessianFactor *factor,
                  const RoundStats *stats, const RoundOptions *options, void *blocks, Error *err);

// 1/2 sum_r row_weights[r] e_r H e_r^T with the undamped H: the predicted divergence, in nats a token. q [rows, cols]:
// the rounded weights. NAN when memory is out.
double round_loss(const float *w, const float *q, int64_t rows, int64_t cols, const RoundStats *stats);

// The same for every type tried, from a sample of the rows, spread evenly (as fast as it gets; for choosing types).
bool round_try(const float *w, int64_t rows, int64_t cols, DType type, const HessianFactor *factor,
               const RoundStats *stats, double *loss, Error *err);

#endif
