// U of H^-1 = U^T U without an inverse: taken from the last input to the first, Cholesky's factor of H is upper
// triangular, H = R R^T, and U = R^-1. Both steps run by panels of fixed width, so that digits do not depend on how
// many threads share them.
#include "quant/round.h"

#include "core/mem.h"
#include "core/size.h"
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

// LAPACK, of OpenBLAS. Columns are contiguous; info > 0: not positive definite.
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);

enum { PANEL = 128 };
static const double damping_least = 1e-4, damping_most = 1e4; // where it grows from and to

// The lower Cholesky factor in place, columns contiguous. False when a is not positive definite.
static bool cholesky(double *a, int64_t n) {
    for (int64_t k = 0; k < n; k += PANEL) {
        int width = (int)(n - k < PANEL ? n - k : PANEL), lda = (int)n, info = 0;
        double *corner = a + k * n + k;
        dpotrf_("L", &width, corner, &lda, &info);
        if (info != 0) return false;
        int64_t panels = (n - k - 1) / PANEL; // below the corner
#pragma omp parallel for schedule(dynamic, 1)
        for (int64_t p = 1; p <= panels; p++) {
            int64_t i = k + p * PANEL, rows = n - i < PANEL ? n - i : PANEL;
            cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)rows, width, 1, corner,
                        lda, a + k * n + i, lda);
        }
        // What lies to the right, a panel of columns a turn, from its own corner down.
#pragma omp parallel for schedule(dynamic, 1)
        for (int64_t p = 1; p <= panels; p++) {
            int64_t j = k + p * PANEL, cols = n - j < PANEL ? n - j : PANEL;
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, (int)(n - j), (int)cols, width, -1, a + k * n + j, lda,
                        a + k * n + j, lda, 1, a + j * n + j, lda);
        }
    }
    return true;
}

// Columns first .. first + width of the lower triangular factor's inverse, from row `first` down: x [width][n - first].
static void invert_columns(const double *factor, int64_t n, int64_t first, int64_t width, double *x) {
    int64_t rows = n - first;
    memset(x, 0, (size_t)(rows * width) * sizeof *x);
    for (int64_t c = 0; c < width; c++) x[c * rows + c] = 1;
    cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (int)rows, (int)width, 1,
                factor + first * n + first, (int)n, x, (int)rows);
}

// The factor was that of H from the last input to the first, and so is x; `inverse` has them in their own order.
static void store_columns(const double *x, int64_t n, int64_t first, int64_t width, float *inverse) {
    int64_t rows = n - first;
    for (int64_t c = 0; c < width; c++)
        for (int64_t r = 0; r < rows; r++)
            inverse[(n - 1 - first - c) * n + (n - 1 - first - r)] = (float)x[c * rows + r];
}

static bool invert(const double *factor, int64_t n, float *inverse, Error *err) {
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    double *space = mem_alloc((size_t)threads, (size_t)(n * PANEL) * sizeof *space, err);
    if (!space) return false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t first = 0; first < n; first += PANEL) {
        int64_t width = n - first < PANEL ? n - first : PANEL;
        double *x = space + omp_get_thread_num() * n * PANEL;
        invert_columns(factor, n, first, width, x);
        store_columns(x, n, first, width, inverse);
    }
    mem_free(space);
    return true;
}

// The mean of the diagonal, by which all is divided: 1 where H is all zeros. False when H is no Hessian.
static bool mean_diagonal(const float *h, int64_t n, double *mean, Error *err) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += h[i * n + i];
    bool finite = true, zero = true;
    for (int64_t i = 0; i < n && finite; i++) {
        for (int64_t j = 0; j <= i; j++) {
            finite = finite && isfinite(h[i * n + j]);
            zero = zero && h[i * n + j] == 0;
        }
    }
    if (!finite) return error_set(err, "the Hessian holds numbers that are not finite; calibrate anew");
    *mean = zero ? 1 : sum / (double)n;
    if (!(*mean > 0)) return error_set(err, "the Hessian's diagonal is not positive; calibrate anew");
    return true;
}

// H / mean + damping, both triangles into f->h, and from the last input to the first, one triangle into a.
static void damp(const float *h, double mean, HessianFactor *f, double *a) {
    int64_t n = f->cols;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double v = h[i * n + j] / mean + (i == j ? f->damping : 0);
            f->h[i * n + j] = f->h[j * n + i] = (float)v;
            a[(n - 1 - i) * n + (n - 1 - j)] = v; // i >= j: row n - 1 - j of column n - 1 - i, in the lower triangle
        }
    }
}

bool hessian_factor(const float *h, int64_t cols, double damping, HessianFactor *factor, Error *err) {
    *factor = (HessianFactor){.cols = cols, .damping = damping > 0 ? damping : 0};
    double mean = 1;
    size_t count;
    if (cols < 1 || cols > INT32_MAX || !size_mul((size_t)cols, (size_t)cols, &count))
        return error_set(err, "a Hessian of %lld inputs cannot be factored", (long long)cols);
    if (!mean_diagonal(h, cols, &mean, err)) return false;
    factor->h = mem_alloc(count, sizeof *factor->h, err);
    factor->inverse = factor->h ? mem_alloc(count, sizeof *factor->inverse, err) : NULL;
    double *a = factor->inverse ? mem_alloc(count, sizeof *a, err) : NULL;
    bool ok = a != NULL, done = false;
    while (ok && !done) {
        damp(h, mean, factor, a);
        done = cholesky(a, cols);
        if (done) break;
        factor->retries++;
        factor->damping = factor->damping * 10 > damping_least ? factor->damping * 10 : damping_least;
        if (factor->damping > damping_most)
            ok = error_set(err, "the Hessian is not positive definite, however damped; calibrate anew");
    }
    ok = ok && invert(a, cols, factor->inverse, err);
    mem_free(a);
    if (!ok) hessian_factor_free(factor);
    return ok;
}

void hessian_factor_free(HessianFactor *factor) {
    mem_free(factor->h);
    mem_free(factor->inverse);
    factor->h = factor->inverse = NULL;
}
