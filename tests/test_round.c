// Rounding under a Hessian, on random correlated inputs: every type that has a grid.
#include "core/mem.h"
#include "core/threads.h"
#include "quant/grid.h"
#include "quant/kernels/kernels.h"
#include "quant/lanes_round.h"
#include "quant/quant.h"
#include "quant/round.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 72, COLS = 512, TOKENS = 700, LATENT = 24 };

static float *w, *h, *output, *row_weights; // the layer that all tests round, [ROWS, COLS]
static HessianFactor factor;
static uint64_t seed = 1;

static float uniform(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) / 8388608.0f - 1;
}

static float normal(void) { return uniform() + uniform() + uniform(); } // variance 1

static float *floats(int64_t n) {
    float *p = mem_alloc((size_t)n, sizeof *p, NULL);
    assert_non_null(p);
    return p;
}

// The mean of x x^T over tokens whose n values follow a few hidden ones, some much larger than others.
static float *correlated(int64_t n) {
    float *mix = floats(n * LATENT), *x = floats(n * TOKENS), *mean = floats(n * n);
    for (int64_t i = 0; i < n * LATENT; i++) mix[i] = normal() / 4;
    for (int64_t t = 0; t < TOKENS; t++) {
        float hidden[LATENT];
        for (int k = 0; k < LATENT; k++) hidden[k] = normal();
        for (int64_t i = 0; i < n; i++) {
            float sum = normal() / 2;
            for (int k = 0; k < LATENT; k++) sum += mix[i * LATENT + k] * hidden[k];
            x[t * n + i] = i % 50 == 3 ? sum * 6 : sum;
        }
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)n, TOKENS, 1.0f / TOKENS, x, (int)n, x, (int)n, 0,
                mean, (int)n);
    for (int64_t i = 0; i < n; i++) // a BLAS need not give both triangles the same last bits
        for (int64_t j = 0; j < i; j++) mean[i * n + j] = mean[j * n + i];
    mem_free(mix);
    mem_free(x);
    return mean;
}

static int open_layer(void **state) {
    (void)state;
    openblas_set_num_threads(1);
    h = correlated(COLS);
    output = correlated(ROWS);
    w = floats((int64_t)ROWS * COLS);
    row_weights = floats(ROWS);
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) w[i] = normal() * normal() / 20;
    for (int r = 0; r < ROWS; r++) row_weights[r] = 1 + uniform() / 2;
    Error err;
    return hessian_factor(h, COLS, 0.05, &factor, &err) ? 0 : -1;
}

static int close_layer(void **state) {
    (void)state;
    hessian_factor_free(&factor);
    mem_free(h);
    mem_free(output);
    mem_free(w);
    mem_free(row_weights);
    return 0;
}

static size_t layer_bytes(DType type) {
    size_t bytes = 0;
    assert_true(dtype_row_bytes(type, COLS, &bytes));
    return bytes * ROWS;
}

static uint8_t *rounded(DType type, const RoundStats *stats, RoundOptions options) {
    uint8_t *blocks = mem_alloc(layer_bytes(type), 1, NULL);
    assert_non_null(blocks);
    Error err;
    if (!round_matrix(w, ROWS, COLS, type, &factor, stats, &options, blocks, &err)) fail_msg("%s", err.text);
    return blocks;
}

static float *decoded(DType type, const uint8_t *blocks) {
    float *q = floats((int64_t)ROWS * COLS);
    kernels_get()->to_f32[type](blocks, q, (int64_t)ROWS * COLS);
    return q;
}

// The loss under a Hessian; frees the blocks.
static double loss_of(DType type, uint8_t *blocks, const float *hessian) {
    float *q = decoded(type, blocks);
    double loss = round_loss(w, q, ROWS, COLS, &(RoundStats){.hessian = hessian});
    mem_free(q);
    mem_free(blocks);
    assert_true(isfinite(loss));
    return loss;
}

// tr(GO E H E^T), both damped as they are where it is minimised; frees the blocks.
static double two_sided_loss(DType type, uint8_t *blocks, const HessianFactor *go) {
    float *q = decoded(type, blocks), *eh = floats((int64_t)ROWS * COLS), *geh = floats((int64_t)ROWS * COLS);
    double sum = 0;
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) q[i] -= w[i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, ROWS, COLS, COLS, 1, q, COLS, factor.h, COLS, 0, eh, COLS);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, ROWS, COLS, ROWS, 1, go->h, ROWS, eh, COLS, 0, geh, COLS);
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) sum += (double)q[i] * geh[i];
    mem_free(q);
    mem_free(eh);
    mem_free(geh);
    mem_free(blocks);
    return sum;
}

static RoundOptions passes(int one_sided, int two_sided) {
    RoundOptions o = round_defaults;
    o.passes = one_sided;
    o.output_passes = two_sided;
    return o;
}

#define EACH_TYPE(type)                                                                                                \
    for (DType type = 0; type < DT_COUNT; type++)                                                                      \
        if (grid_of(type) && quant_function(type))

// ---- the factor

static void factor_inverts(void **state) {
    (void)state;
    enum { N = 300 }; // more than two panels, the last one narrow
    float *small = floats(N * N);
    for (int i = 0; i < N; i++) memcpy(small + i * N, h + i * COLS, N * sizeof *small);
    HessianFactor f;
    assert_true(hessian_factor(small, N, 0.05, &f, NULL));
    assert_int_equal(f.retries, 0);
    assert_float_equal(f.damping, 0.05, 0);
    double diagonal = 0, worst = 0;
    for (int i = 0; i < N; i++) diagonal += f.h[i * N + i] / N;
    assert_float_equal(diagonal, 1.05, 1e-5);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) { // U h U^T = 1, for h^-1 = U^T U
            if (j > i) assert_true(f.inverse[i * N + j] == 0);
        }
    }
    double *uh = mem_alloc(N * N, sizeof *uh, NULL);
    assert_non_null(uh);
    for (int r = 0; r < N; r++)
        for (int j = 0; j < N; j++)
            for (int k = r; k < N; k++) uh[r * N + j] += (double)f.inverse[k * N + r] * f.h[k * N + j];
    for (int r = 0; r < N; r++) {
        for (int s = 0; s < N; s++) {
            double sum = 0;
            for (int k = s; k < N; k++) sum += uh[r * N + k] * f.inverse[k * N + s];
            worst = fmax(worst, fabs(sum - (r == s)));
        }
    }
    assert_true(worst < 1e-4);
    mem_free(uh);
    mem_free(small);
    hessian_factor_free(&f);
}

static void factor_of_odd_input(void **state) {
    (void)state;
    enum { N = 40 };
    float a[N * N] = {0};
    HessianFactor f;
    Error err;
    assert_true(hessian_factor(a, N, 0.05, &f, &err)); // nothing ever passed
    assert_float_equal(f.h[0], 0.05, 1e-7);
    hessian_factor_free(&f);

    for (int i = 0; i < N; i++) a[i * N + i] = (float)(i % 2); // half of the inputs never occurred
    assert_true(hessian_factor(a, N, 0.05, &f, &err));
    assert_int_equal(f.retries, 0);
    hessian_factor_free(&f);

    a[N + 3] = a[3 * N + 1] = 2; // and two are correlated by more than is possible
    assert_true(hessian_factor(a, N, 0.05, &f, &err));
    assert_int_equal(f.retries, 2);
    assert_float_equal(f.damping, 5, 1e-9);
    hessian_factor_free(&f);

    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        a[N + 3] = a[3 * N + 1] = wrong[i];
        assert_false(hessian_factor(a, N, 0.05, &f, &err));
        assert_non_null(strstr(err.text, "not finite"));
        assert_null(f.h);
    }
    a[N + 3] = a[3 * N + 1] = 3e38f;
    assert_false(hessian_factor(a, N, 0.05, &f, &err));
    assert_non_null(strstr(err.text, "not positive definite"));
    a[N + 3] = a[3 * N + 1] = 0;
    a[0] = -1000;
    assert_false(hessian_factor(a, N, 0.05, &f, &err));
    assert_non_null(strstr(err.text, "diagonal"));
}

// ---- losses

static void better_than_importance(void **state) {
    (void)state;
    float importance[COLS];
    for (int j = 0; j < COLS; j++) importance[j] = h[j * COLS + j];
    EACH_TYPE(type) {
        uint8_t *blocks = mem_alloc(layer_bytes(type), 1, NULL);
        assert_non_null(blocks);
        quant_function(type)(w, blocks, ROWS, COLS, importance);
        double plain = loss_of(type, blocks, h), gptq = loss_of(type, rounded(type, NULL, passes(0, 0)), h),
               descent = loss_of(type, rounded(type, NULL, passes(3, 0)), h);
        print_message("%s: importance %.6g, GPTQ %.3f of it, and descent %.3f\n", dtype_name(type), plain, gptq / plain,
                      descent / plain);
        assert_true(gptq < 0.8 * plain);
        assert_true(descent < gptq);
    }
}

static void descent_never_rises(void **state) {
    (void)state;
    EACH_TYPE(type) {
        double before = INFINITY;
        for (int n = 0; n < 6; n++) {
            double loss = loss_of(type, rounded(type, NULL, passes(n, 0)), factor.h);
            assert_true(loss <= before * (1 + 1e-6));
            before = loss;
        }
    }
}

static void two_sided_is_lower(void **state) {
    (void)state;
    HessianFactor go;
    RoundStats stats = {.hessian = h, .output = output};
    assert_true(hessian_factor(output, ROWS, round_defaults.output_damping, &go, NULL));
    EACH_TYPE(type) {
        double alone = two_sided_loss(type, rounded(type, NULL, passes(4, 0)), &go), before = INFINITY;
        for (int n = 0; n < 4; n++) {
            double loss = two_sided_loss(type, rounded(type, &stats, passes(2, n)), &go);
            if (n == 0 || n == 3) print_message("%s: two-sided, %d passes: %.3f\n", dtype_name(type), n, loss / alone);
            assert_true(loss <= before * (1 + 1e-6));
            before = loss;
        }
        assert_true(before < 0.95 * alone);
    }
    hessian_factor_free(&go);
}

static void close_to(double got, double want) { assert_true(fabs(got / want - 1) < 1e-5); }

static void row_weights_count(void **state) {
    (void)state;
    float *q = floats((int64_t)ROWS * COLS);
    memcpy(q, w, (size_t)ROWS * COLS * sizeof *q);
    q[5 * COLS + 7] += 2;
    q[5 * COLS + 8] -= 1;
    const float *a = h + 7 * COLS + 7;
    double want = (4.0 * a[0] - 4.0 * a[1] + a[COLS + 1]) / 2;
    close_to(round_loss(w, q, ROWS, COLS, &(RoundStats){.hessian = h}), want);
    want *= row_weights[5];
    close_to(round_loss(w, q, ROWS, COLS, &(RoundStats){.hessian = h, .row_weights = row_weights}), want);
    mem_free(q);
}

// A layer with more rows than a trial takes.
static void try_predicts(void **state) {
    (void)state;
    enum { MANY = 500 };
    float *big = floats((int64_t)MANY * COLS), *weights = floats(MANY), *q = floats((int64_t)MANY * COLS);
    for (int64_t i = 0; i < (int64_t)MANY * COLS; i++) big[i] = normal() / 20 * (float)(1 + i / COLS % 7);
    for (int r = 0; r < MANY; r++) weights[r] = 1 + uniform() / 2;
    RoundStats stats = {.hessian = h, .row_weights = weights};
    RoundOptions options = passes(1, 0);
    EACH_TYPE(type) {
        Error err;
        double guess = 0;
        size_t bytes = 0;
        assert_true(dtype_row_bytes(type, COLS, &bytes));
        uint8_t *blocks = mem_alloc(MANY, bytes, NULL);
        assert_non_null(blocks);
        assert_true(round_try(big, MANY, COLS, type, &factor, &stats, &guess, &err));
        assert_true(round_matrix(big, MANY, COLS, type, &factor, &stats, &options, blocks, &err));
        kernels_get()->to_f32[type](blocks, q, (int64_t)MANY * COLS);
        double loss = round_loss(big, q, MANY, COLS, &stats);
        assert_true(fabs(guess / loss - 1) < 0.1);
        mem_free(blocks);
    }
    mem_free(big);
    mem_free(weights);
    mem_free(q);
}

// ---- threads, instruction sets, failures

static void same_for_any_threads(void **state) {
    (void)state;
    RoundStats sides[] = {{.hessian = h}, {.hessian = h, .output = output}};
    int before = threads_count();
    EACH_TYPE(type) {
        for (int side = 0; side < 2; side++) {
            threads_set(1);
            uint8_t *want = rounded(type, &sides[side], round_defaults), *got[2];
            for (int threads = 2; threads <= 4; threads += 2) {
                threads_set(threads);
                uint8_t *other = rounded(type, &sides[side], round_defaults);
                assert_memory_equal(want, other, layer_bytes(type));
                mem_free(other);
            }
            bool ok[2];
            RoundOptions options = round_defaults;
            for (int i = 0; i < 2; i++) {
                got[i] = mem_alloc(layer_bytes(type), 1, NULL);
                assert_non_null(got[i]);
            }
#pragma omp parallel for num_threads(2)
            for (int i = 0; i < 2; i++)
                ok[i] = round_matrix(w, ROWS, COLS, type, &factor, &sides[side], &options, got[i], NULL);
            for (int i = 0; i < 2; i++) {
                assert_true(ok[i]);
                assert_memory_equal(want, got[i], layer_bytes(type));
                mem_free(got[i]);
            }
            mem_free(want);
        }
    }
    threads_set(before);
}

// Wide enough for threads to share the work on one tile.
static void same_when_shared(void **state) {
    (void)state;
    enum { WIDE = 2560, MANY = 128 };
    float *wide = floats((int64_t)WIDE * WIDE), *some = floats((int64_t)MANY * WIDE), x[WIDE], go[MANY * MANY] = {0};
    for (int t = 0; t < 4; t++) {
        for (int i = 0; i < WIDE; i++) x[i] = normal();
        cblas_sger(CblasRowMajor, WIDE, WIDE, 0.25f, x, 1, x, 1, wide, WIDE);
    }
    for (int i = 0; i < WIDE; i++) wide[(int64_t)i * WIDE + i] += 1;
    for (int i = 0; i < MANY; i++)
        for (int j = 0; j < MANY; j++) go[i * MANY + j] = i == j ? 2 : 1;
    for (int i = 0; i < MANY * WIDE; i++) some[i] = normal();
    int before = threads_count();
    HessianFactor f[2];
    uint8_t *blocks[2];
    size_t bytes = 0;
    assert_true(dtype_row_bytes(DT_Q4_K, WIDE, &bytes));
    RoundStats stats = {.hessian = wide, .output = go};
    RoundOptions options = passes(1, 1);
    for (int i = 0; i < 2; i++) {
        threads_set(1 + 2 * i);
        assert_true(hessian_factor(wide, WIDE, 0.05, &f[i], NULL));
        blocks[i] = mem_alloc(MANY, bytes, NULL);
        assert_non_null(blocks[i]);
        assert_true(round_matrix(some, MANY, WIDE, DT_Q4_K, &f[i], &stats, &options, blocks[i], NULL));
    }
    threads_set(before);
    assert_memory_equal(f[0].inverse, f[1].inverse, (size_t)WIDE * WIDE * sizeof(float));
    assert_memory_equal(blocks[0], blocks[1], MANY * bytes);
    for (int i = 0; i < 2; i++) {
        hessian_factor_free(&f[i]);
        mem_free(blocks[i]);
    }
    mem_free(wide);
    mem_free(some);
}

static void panels_agree(void **state) {
    (void)state;
    enum { N = 40, DEPTH = 100 };
    float *a = floats(N * DEPTH), *d = floats(DEPTH * TILE), *start = floats(N * TILE), *out = floats(N * TILE);
    for (int i = 0; i < N * DEPTH; i++) a[i] = normal();
    for (int i = 0; i < DEPTH * TILE; i++) d[i] = normal();
    for (int i = 0; i < N * TILE; i++) start[i] = normal();
    for (CpuLevel level = 0; level < CPU_LEVELS; level++) {
        const RoundLanes *lanes = round_lanes_at(level);
        if (!lanes) continue;
        memcpy(out, start, N * TILE * sizeof *out);
        lanes->panel(out, a, DEPTH, d, N, DEPTH);
        for (int k = 0; k < N; k++) {
            for (int r = 0; r < TILE; r++) {
                double sum = start[k * TILE + r];
                for (int j = 0; j < DEPTH; j++) sum += (double)a[k * DEPTH + j] * d[j * TILE + r];
                assert_float_equal(out[k * TILE + r], sum, 1e-4);
            }
        }
    }
    mem_free(a);
    mem_free(d);
    mem_free(start);
    mem_free(out);
}

static void refused(void **state) {
    (void)state;
    uint8_t *blocks = mem_alloc(layer_bytes(DT_Q8_0), 1, NULL);
    assert_non_null(blocks);
    RoundStats both = {.hessian = h, .output = output};
    Error err;
    float kept = w[40 * COLS + 3];
    w[40 * COLS + 3] = NAN;
    for (int side = 0; side < 2; side++) {
        assert_false(round_matrix(w, ROWS, COLS, DT_Q4_0, &factor, side ? &both : NULL, &round_defaults, blocks, &err));
        assert_non_null(strstr(err.text, "row 40 "));
    }
    w[40 * COLS + 3] = kept;
    assert_false(round_matrix(w, ROWS, COLS, DT_F16, &factor, NULL, &round_defaults, blocks, &err));
    assert_false(round_matrix(w, ROWS, COLS - 32, DT_Q4_0, &factor, NULL, &round_defaults, blocks, &err));
    output[0] = NAN;
    assert_false(round_matrix(w, ROWS, COLS, DT_Q4_0, &factor, &both, &round_defaults, blocks, &err));
    assert_non_null(strstr(err.text, "outputs"));
    output[0] = 1;
    mem_free(blocks);
}

static void zeros_stay_zeros(void **state) {
    (void)state;
    float *zeros = floats((int64_t)ROWS * COLS), *q = floats((int64_t)ROWS * COLS);
    RoundStats both = {.hessian = h, .output = output};
    EACH_TYPE(type) {
        uint8_t *blocks = mem_alloc(layer_bytes(type), 1, NULL);
        assert_non_null(blocks);
        assert_true(round_matrix(zeros, ROWS, COLS, type, &factor, &both, &round_defaults, blocks, NULL));
        kernels_get()->to_f32[type](blocks, q, (int64_t)ROWS * COLS);
        for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) assert_true(fabsf(q[i]) < 1e-30f);
        mem_free(blocks);
    }
    mem_free(zeros);
    mem_free(q);
}

// Weights and a Hessian of all magnitudes: any codes will do, none may be out of bounds.
static void extremes(void **state) {
    (void)state;
    static const float ends[] = {1e33f, -1e33f, 1e-40f, 0, 1, -65504, 1e20f, -1e-20f};
    float *odd = floats((int64_t)ROWS * COLS), *q = floats((int64_t)ROWS * COLS), *diagonal = floats(COLS * COLS);
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) odd[i] = ends[(i * 5 + i / COLS + i / 40) % 8];
    for (int j = 0; j < COLS; j++) diagonal[j * COLS + j] = fabsf(ends[j % 8]) * 1e5f;
    RoundStats both = {.hessian = diagonal, .output = output};
    HessianFactor f;
    assert_true(hessian_factor(diagonal, COLS, 0, &f, NULL));
    assert_true(f.retries > 0);
    EACH_TYPE(type) {
        for (int side = 0; side < 2; side++) {
            uint8_t *blocks = mem_alloc(layer_bytes(type), 1, NULL);
            assert_non_null(blocks);
            Error err;
            assert_true(round_matrix(odd, ROWS, COLS, type, &f, side ? &both : NULL, &round_defaults, blocks, &err));
            kernels_get()->to_f32[type](blocks, q, (int64_t)ROWS * COLS);
            for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) assert_true(isfinite(q[i]));
            mem_free(blocks);
        }
    }
    hessian_factor_free(&f);
    mem_free(odd);
    mem_free(q);
    mem_free(diagonal);
}

static void out_of_memory(void **state) {
    (void)state;
    uint8_t *blocks = mem_alloc(layer_bytes(DT_Q4_0), 1, NULL);
    assert_non_null(blocks);
    RoundStats both = {.hessian = h, .output = output};
    for (int side = 0; side < 2; side++) {
        for (size_t n = 1;; n++) {
            Error err = {{0}};
            mem_fail_at(n);
            bool ok = round_matrix(w, ROWS, COLS, DT_Q4_0, &factor, side ? &both : NULL, &round_defaults, blocks, &err);
            size_t made = mem_fail_at(0);
            if (ok) {
                assert_true(made < n);
                break;
            }
            assert_non_null(strstr(err.text, "memory"));
        }
    }
    for (size_t n = 1;; n++) {
        HessianFactor f;
        mem_fail_at(n);
        bool ok = hessian_factor(h, COLS, 0.05, &f, NULL);
        mem_fail_at(0);
        if (ok) {
            hessian_factor_free(&f);
            break;
        }
        assert_null(f.h);
    }
    mem_free(blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factor_inverts),         cmocka_unit_test(factor_of_odd_input),
        cmocka_unit_test(panels_agree),           cmocka_unit_test(row_weights_count),
        cmocka_unit_test(better_than_importance), cmocka_unit_test(descent_never_rises),
        cmocka_unit_test(two_sided_is_lower),     cmocka_unit_test(try_predicts),
        cmocka_unit_test(same_for_any_threads),   cmocka_unit_test(refused),
        cmocka_unit_test(zeros_stay_zeros),       cmocka_unit_test(out_of_memory),
        cmocka_unit_test(same_when_shared),       cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, open_layer, close_layer);
}
