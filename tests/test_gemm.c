// Matrix multiply: the CPU's own (skipped where it has none) and panels of weights, against sums in double precision.
#include "core/half.h"
#include "core/mem.h"
#include "eval/panel.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"

#include <cblas.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// Of the sum of |w x|. What a single step of f32 may lose is 2^-24 = 6e-8; a lost third term would show as 2e-6.
static const double TOLERANCE = 3e-7;

static uint64_t state_ = 1;

static float uniform(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)((double)(state_ >> 11) * 0x1p-53);
}

static float *floats(int64_t n) {
    float *x = mem_alloc((size_t)n, sizeof *x, NULL);
    assert_non_null(x);
    return x;
}

static float *random_floats(int64_t n) {
    float *x = floats(n);
    for (int64_t i = 0; i < n; i++) x[i] = uniform(-1, 1);
    return x;
}

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// Every matrix multiply of ours that this CPU can do, those that round to bf16 last.
static int gemms_of_cpu(const Gemm *gemms[5]) {
    int n = 0;
#if defined(__x86_64__)
    const Cpu *cpu = cpu_get();
    if (cpu->level >= CPU_AVX2) gemms[n++] = &gemm_avx2;
    if (cpu->level >= CPU_AVX512) gemms[n++] = &gemm_avx512;
    if (cpu->amx) gemms[n++] = &gemm_amx;
    if (cpu->amx) gemms[n++] = &gemm_bf16_amx;
    if (cpu->bf16) gemms[n++] = &gemm_bf16_avx512;
#endif
    if (!n) {
        print_message("skipped: this CPU has no matrix multiply of ours, or NIBBLE_CPU forbids it\n");
        skip();
    }
    return n;
}

static bool rounds(const Gemm *gemm) { return strstr(gemm->name, "bf16") != NULL; }

// Numbers as the multiply takes them.
static void round_for(const Gemm *gemm, float *x, int64_t n) {
    for (int64_t i = 0; rounds(gemm) && i < n; i++) x[i] = bf16_to_f32(bf16_from_f32(x[i]));
}

static void *pack(const Gemm *gemm, const float *w, int64_t rows, int64_t cols) {
    void *packed = mem_alloc(1, gemm->bytes(rows, cols), NULL);
    assert_non_null(packed);
    for (int64_t r = 0; r < rows; r += GEMM_ROWS)
        for (int64_t c = 0; c < cols; c += GEMM_COLS) {
            GemmPiece piece = {r, min(GEMM_ROWS, rows - r), c, min(GEMM_COLS, cols - c)};
            gemm->pack(w + r * cols + c, cols, piece, rows, cols, packed);
        }
    return packed;
}

// The same from W^T.
static void *pack_turned(const Gemm *gemm, const float *w, int64_t rows, int64_t cols) {
    float *t = floats(rows * cols);
    void *packed = mem_alloc(1, gemm->bytes(rows, cols), NULL);
    assert_non_null(packed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) t[c * rows + r] = w[r * cols + c];
    for (int64_t r = 0; r < rows; r += GEMM_ROWS)
        for (int64_t c = 0; c < cols; c += GEMM_COLS) {
            GemmPiece piece = {r, min(GEMM_ROWS, rows - r), c, min(GEMM_COLS, cols - c)};
            gemm->pack_turned(t + c * rows + r, rows, piece, rows, cols, packed);
        }
    mem_free(t);
    return packed;
}

// The largest error of y [n, stride] against x W^T + before, relative to the sum of |w x|.
static double worst_error(const float *x, const float *w, const float *y, double before, int64_t n, int64_t rows,
                          int64_t cols, int64_t stride) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++) {
            double want = before, size = fabs(before);
            for (int64_t c = 0; c < cols; c++) {
                double product = (double)x[i * cols + c] * (double)w[r * cols + c];
                want += product;
                size += fabs(product);
            }
            worst = fmax(worst, fabs(want - (double)y[i * stride + r]) / size);
        }
    return worst;
}

// Shapes around tiles, groups and blocks; weights of 8, 16 and 24 bits; nothing is written beside the rows.
static void gemm_matches_definition(const Gemm *gemm) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {16, 16, 32},  {32, 32, 128}, {5, 47, 31},
                                        {33, 65, 33}, {70, 33, 257}, {40, 96, 576}, {64, 100, 1037}};
    enum { MARGIN = 3 };
    for (int bits = 8; bits <= 24; bits += 8) {
        double ours = 0, blas = 0;
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            int64_t n = shapes[k][0], rows = shapes[k][1], cols = shapes[k][2], stride = rows + MARGIN;
            float *x = random_floats(n * cols), *w = random_floats(rows * cols), *y = floats(n * stride);
            for (int64_t i = 0; i < rows * cols; i++) w[i] = ldexpf(roundf(ldexpf(w[i], bits)), -bits);
            round_for(gemm, w, rows * cols);
            round_for(gemm, x, n * cols);
            void *packed = pack(gemm, w, rows, cols);
            for (int64_t i = 0; i < n * stride; i++) y[i] = 7;
            gemm->multiply(x, n, cols, packed, rows, cols, y, stride, false);
            ours = fmax(ours, worst_error(x, w, y, 0, n, rows, cols, stride));
            for (int64_t i = 0; i < n * stride; i++)
                if (i % stride >= rows) assert_true(y[i] == 7);
            for (int64_t i = 0; i < n * stride; i++) y[i] = 0.5f;
            void *turned = pack_turned(gemm, w, rows, cols);
            gemm->multiply(x, n, cols, turned, rows, cols, y, stride, true);
            mem_free(turned);
            assert_true(worst_error(x, w, y, 0.5, n, rows, cols, stride) < TOLERANCE);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)rows, (int)cols, 1, x, (int)cols, w,
                        (int)cols, 0, y, (int)stride);
            blas = fmax(blas, worst_error(x, w, y, 0, n, rows, cols, stride));
            mem_free(packed);
            mem_free(x);
            mem_free(w);
            mem_free(y);
        }
        print_message("%s, weights of %2d bits: error within %.1e of the sum of |w x|, OpenBLAS's %.1e\n", gemm->name,
                      bits, ours, blas);
        assert_true(ours < TOLERANCE);
    }
}

static void multiply_matches_definition(void **state) {
    (void)state;
    const Gemm *gemms[5];
    int n = gemms_of_cpu(gemms);
    for (int g = 0; g < n; g++) gemm_matches_definition(gemms[g]);
}

// The same digits for an input wherever it stands and whatever stands beside it.
static void gemm_rows_do_not_depend(const Gemm *gemm) {
    enum { N = 75, ROWS = 70, COLS = 300 };
    float *x = random_floats(N * COLS), *w = random_floats(ROWS * COLS), *all = floats(N * ROWS), one[ROWS];
    void *packed = pack(gemm, w, ROWS, COLS);
    gemm->multiply(x, N, COLS, packed, ROWS, COLS, all, ROWS, false);
    for (int64_t i = 0; i < N; i++) {
        gemm->multiply(x + i * COLS, 1, COLS, packed, ROWS, COLS, one, ROWS, false);
        assert_memory_equal(one, all + i * ROWS, sizeof one);
    }
    mem_free(packed);
    mem_free(x);
    mem_free(w);
    mem_free(all);
}

static void rows_do_not_depend_on_others(void **state) {
    (void)state;
    const Gemm *gemms[5];
    int n = gemms_of_cpu(gemms);
    for (int g = 0; g < n; g++) gemm_rows_do_not_depend(gemms[g]);
}

// NaN and infinity come out of every result that they go into, and of no other.
static void gemm_keeps_nonfinite(const Gemm *gemm) {
    enum { N = 40, ROWS = 40, COLS = 160, INPUT = 37, OUTPUT = 3 };
    float *x = random_floats(N * COLS), *w = random_floats(ROWS * COLS), *y = floats(N * ROWS);
    uint32_t all_ones = 0x7fffffff; // a NaN that would overflow if it were rounded as a number is
    float bad[] = {INFINITY, -INFINITY, NAN, -NAN, 0};
    memcpy(&bad[4], &all_ones, sizeof all_ones);
    for (int k = 0; k < 5; k++)
        for (int in_weight = 0; in_weight < 2; in_weight++) {
            float *at = in_weight ? &w[OUTPUT * COLS + 150] : &x[INPUT * COLS + 150], kept = *at;
            *at = bad[k];
            void *packed = pack(gemm, w, ROWS, COLS);
            gemm->multiply(x, N, COLS, packed, ROWS, COLS, y, ROWS, false);
            for (int64_t i = 0; i < N; i++)
                for (int64_t r = 0; r < ROWS; r++)
                    assert_int_equal(!isfinite(y[i * ROWS + r]), in_weight ? r == OUTPUT : i == INPUT);
            mem_free(packed);
            *at = kept;
        }
    mem_free(x);
    mem_free(w);
    mem_free(y);
}

static void nonfinite_is_not_lost(void **state) {
    (void)state;
    const Gemm *gemms[5];
    int n = gemms_of_cpu(gemms);
    for (int g = 0; g < n; g++) gemm_keeps_nonfinite(gemms[g]);
}

// A panel from the middle of a weight of any type.
static void panels_match_definition(void **state) {
    (void)state;
    static const DType types[] = {DT_F32, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q6_K};
    enum { ROWS = 150, FIRST = 41, COUNT = 67, COLS = 768, N = 50 };
    float *values = random_floats(ROWS * COLS), *x = random_floats(N * COLS), *y = floats(N * COUNT);
    void *memory = mem_alloc(1, panel_bytes(COUNT, COLS), NULL);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        static char name[] = "w";
        Tensor t = {.name = name, .type = types[k], .dims = 2, .shape = {ROWS, COLS}};
        assert_true(tensor_size(&t, NULL));
        uint8_t *bytes = mem_alloc(t.bytes, 1, NULL);
        assert_non_null(bytes);
        quant_function(t.type)(values, bytes, ROWS, COLS, NULL);
        t.data = bytes;
        float *w = floats(ROWS * COLS); // what the bytes mean
        kernels_get()->to_f32[t.type](bytes, w, ROWS * COLS);
        {
            Panel panel = panel_load(&t, COMPUTE_F32, 0, FIRST, COUNT, memory);
            assert_true(panel.gemm == kernels_get()->gemm);
            panel_multiply(&panel, x, N, y, COUNT, false);
            assert_true(worst_error(x, w + FIRST * COLS, y, 0, N, COUNT, COLS, COUNT) < TOLERANCE);
            for (int64_t i = 0; i < N * COUNT; i++) y[i] = 0.5f;
            panel_multiply(&panel, x, N, y, COUNT, true);
            assert_true(worst_error(x, w + FIRST * COLS, y, 0.5, N, COUNT, COLS, COUNT) < TOLERANCE);
        }
        mem_free(w);
        mem_free(bytes);
    }
    mem_free(values);
    mem_free(x);
    mem_free(y);
    mem_free(memory);
}

// Wider than inputs of 16 bits stay in a cache for, as the largest models' last layers are: many at once are each
// alone.
static void wide_inputs_come_in_parts(void **state) {
    (void)state;
    enum { N = 37, ROWS = 32, COLS = 28672, SPARE = INT8_TOKENS_MOST };
    const GemmInt8 *gemm = kernels_get()->int8;
    assert_true(gemm_int8_can(gemm, DT_Q8_0, COLS, 1));
    float *w = random_floats(ROWS * COLS), *x = random_floats(N * COLS), *y = floats(N * ROWS),
          *want = floats(N * ROWS);
    uint8_t *bytes = mem_alloc(ROWS, COLS / 32 * 34, NULL);
    void *packed = mem_alloc(1, gemm_int8_bytes(ROWS, COLS), NULL);
    BlockAct *acts = mem_alloc((N + SPARE) * (COLS / BLOCK), sizeof *acts, NULL);
    assert_true(bytes && packed && acts);
    quant_function(DT_Q8_0)(w, bytes, ROWS, COLS, NULL);
    gemm_int8_pack(gemm, DT_Q8_0, bytes, 0, ROWS, COLS, packed);
    gemm_int8_round(x, N * COLS, 1, acts);
    gemm_int8_multiply(gemm, DT_Q8_0, 1, acts, N, packed, 0, ROWS, COLS, want, ROWS, false);
    for (int64_t i = 0; i < N; i++)
        gemm_int8_multiply(gemm, DT_Q8_0, 1, acts + i * (COLS / BLOCK), 1, packed, 0, ROWS, COLS, y + i * ROWS, ROWS,
                           false);
    assert_memory_equal(y, want, sizeof *y * N * ROWS);
    void *const owned[] = {w, x, y, want, bytes, packed, acts};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
}

// Root of the mean square of errors, against sums in double precision.
static double mean_error(const float *x, const float *w, const float *y, int64_t n, int64_t rows, int64_t cols) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++) {
            double want = 0;
            for (int64_t c = 0; c < cols; c++) want += (double)x[i * cols + c] * (double)w[r * cols + c];
            squares += (want - (double)y[i * rows + r]) * (want - (double)y[i * rows + r]);
        }
    return sqrt(squares / (double)(n * rows));
}

// Quantized weights by inputs of three digits, which f32 arithmetic uses where it is faster, are nearer to the exact
// result than OpenBLAS's sgemm is; and as near where a few inputs are a thousand times as large as the others.
static void digits_are_as_exact_as_f32(void **state) {
    (void)state;
    enum { N = 24, ROWS = 96, COLS = 1536 };
    static const DType types[] = {DT_Q8_0, DT_Q4_0, DT_Q4_K, DT_Q6_K};
    const GemmInt8 *sets[] = {&gemm_int8_scalar, kernels_get()->int8};
    float *values = random_floats(ROWS * COLS), *x = random_floats(N * COLS), *w = floats(ROWS * COLS);
    float *y = floats(N * ROWS);
    uint8_t *bytes = mem_alloc(ROWS * COLS, 2, NULL);
    void *packed = mem_alloc(1, gemm_int8_bytes(ROWS, COLS), NULL);
    BlockAct *acts = mem_alloc((N + INT8_TOKENS_MOST) * (COLS / BLOCK) * 3, sizeof *acts, NULL);
    assert_true(bytes && packed && acts);
    for (int outliers = 0; outliers < 2; outliers++) {
        for (int64_t i = 0; outliers && i < N * COLS; i += 97) x[i] *= 1000;
        gemm_int8_round(x, (int64_t)N * COLS, 3, acts);
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            quant_function(types[k])(values, bytes, ROWS, COLS, NULL);
            kernels_get()->to_f32[types[k]](bytes, w, ROWS * COLS);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, ROWS, COLS, 1, x, COLS, w, COLS, 0, y, ROWS);
            double theirs = mean_error(x, w, y, N, ROWS, COLS);
            for (int s = 0; s < 2; s++) {
                if (!sets[s]->tile[3][types[k]]) continue;
                for (int64_t r = 0; r < ROWS; r += INT8_ROWS)
                    gemm_int8_pack(sets[s], types[k], bytes, r, ROWS, COLS, packed);
                gemm_int8_multiply(sets[s], types[k], 3, acts, N, packed, 0, ROWS, COLS, y, ROWS, false);
                double ours = mean_error(x, w, y, N, ROWS, COLS);
                printf("%s%s, %s: error %.3g, sgemm's %.3g\n", dtype_name(types[k]), outliers ? " with outliers" : "",
                       sets[s]->name, ours, theirs);
                assert_true(ours <= theirs * (outliers ? 1.25 : 1));
            }
        }
    }
    void *const owned[] = {values, x, w, y, bytes, packed, acts};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiply_matches_definition), cmocka_unit_test(rows_do_not_depend_on_others),
        cmocka_unit_test(nonfinite_is_not_lost),       cmocka_unit_test(panels_match_definition),
        cmocka_unit_test(wide_inputs_come_in_parts),   cmocka_unit_test(digits_are_as_exact_as_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
