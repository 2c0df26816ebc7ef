// The arithmetic of eval/ piece by piece against plain loops in double precision.
#include "core/mem.h"
#include "eval/attention.h"
#include "eval/head.h"
#include "eval/linear.h"
#include "eval/vector.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state_ = 1;

static float uniform(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)((double)(state_ >> 11) * 0x1p-53);
}

static float *random_floats(int64_t n, float low, float high) {
    float *x = mem_alloc((size_t)n, sizeof *x, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = uniform(low, high);
    return x;
}

static int targets(const VectorMath **out) {
    int n = 0;
    out[n++] = &vector_math_scalar;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) out[n++] = &vector_math_avx2;
    if (__builtin_cpu_supports("avx512bw")) out[n++] = &vector_math_avx512;
#endif
    return n;
}

// exp over its whole range, in units of the last place of the true value.
static void exp_is_accurate(void **state) {
    (void)state;
    const VectorMath *t[3];
    int count = targets(t);
    for (int k = 0; k < count; k++) {
        double worst = 0;
        for (int i = 0; i < 200000; i++) {
            float x = -86.5f + 174.0f * (float)i / 200000, y = x;
            t[k]->exp_sum(&y, 1, 0);
            double want = exp((double)x), ulp = exp2(floor(log2(want)) - 23);
            worst = fmax(worst, fabs((double)y - want) / ulp);
        }
        printf("target %d: exp within %.2f ulp\n", k, worst);
        assert_true(worst < 2);
        float low = -1000, nan = NAN;
        t[k]->exp_sum(&low, 1, 0);
        t[k]->exp_sum(&nan, 1, 0);
        assert_true(low >= 0 && low < 1e-37f && isnan(nan));
    }
}

static double act(int which, double x) {
    switch (which) {
    case 0: return x / (1 + exp(-x));
    case 1: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case 2: return 0.5 * x * (1 + erf(x / sqrt(2)));
    default: return x > 0 ? x : 0;
    }
}

// Every function, every target, every length around the lanes: right, and nothing written past the end.
static void vectors_match_plain_loops(void **state) {
    (void)state;
    const VectorMath *t[3];
    int count = targets(t);
    for (int k = 0; k < count; k++)
        for (int64_t n = 0; n < 70; n++) {
            float *x = random_floats(n + 1, -9, 9), *u = random_floats(n + 1, -2, 2), *y = random_floats(n + 1, 0, 1);
            float guard = x[n];
            double top = -INFINITY, sum = 0, difference = 0, squares = 0;
            for (int64_t i = 0; i < n; i++) {
                top = fmax(top, (double)x[i]);
                sum += exp((double)x[i] - 3);
                difference += (double)y[i] * ((double)x[i] - (double)u[i]);
                squares += (double)x[i] * (double)x[i];
            }
            assert_true((double)t[k]->max(x, n) == top);
            assert_true(fabs((double)t[k]->weighted_difference(y, x, u, n) - difference) < 1e-4);
            memcpy(y, x, sizeof *x * (size_t)(n + 1));
            assert_true(fabs((double)t[k]->exp_sum(y, n, 3) - sum) <= 1e-5 * sum && y[n] == guard);
            void (*const f[])(float *, const float *, int64_t) = {t[k]->silu, t[k]->gelu_tanh, t[k]->gelu, t[k]->relu};
            for (int a = 0; a < 4; a++) {
                memcpy(y, x, sizeof *x * (size_t)(n + 1));
                f[a](y, u, n);
                for (int64_t i = 0; i < n; i++) {
                    double want = act(a, (double)x[i]) * (double)u[i];
                    assert_true(fabs((double)y[i] - want) < 2e-6 * (1 + fabs(want)));
                }
                assert_true(y[n] == guard);
                memcpy(y, x, sizeof *x * (size_t)(n + 1));
                f[a](y, NULL, n);
                for (int64_t i = 0; i < n; i++)
                    assert_true(fabs((double)y[i] - act(a, (double)x[i])) < 2e-6 * (1 + fabs(act(a, (double)x[i]))));
                assert_true(y[n] == guard);
            }
            memcpy(y, x, sizeof *x * (size_t)(n + 1));
            t[k]->swiglu_clamped(y, u, n, 1.3f, 1.5f);
            for (int64_t i = 0; i < n; i++) {
                double g = fmin((double)x[i], 1.5), up = fmax(-1.5, fmin((double)u[i], 1.5));
                assert_true(fabs((double)y[i] - g / (1 + exp(-1.3 * g)) * (up + 1)) < 1e-5);
            }
            assert_true(y[n] == guard);
            memcpy(y, x, sizeof *x * (size_t)(n + 1));
            t[k]->soft_cap(y, n, 5);
            for (int64_t i = 0; i < n; i++) assert_true(fabs((double)y[i] - 5 * tanh((double)x[i] / 5)) < 3e-6);
            assert_true(y[n] == guard);
            double mean = 0, variance = 0;
            for (int64_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
            for (int64_t i = 0; i < n; i++) variance += pow((double)x[i] - mean, 2) / (double)n;
            t[k]->layer_norm(x, u, x, 1e-5f, n, y);
            for (int64_t i = 0; i < n; i++) {
                double want = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)u[i] + (double)x[i];
                assert_true(fabs((double)y[i] - want) < 2e-5);
            }
            assert_true(y[n] == guard);
            t[k]->rms_norm(x, u, 1e-5f, n, y);
            for (int64_t i = 0; i < n; i++) {
                double want = (double)x[i] / sqrt(squares / (double)n + 1e-5) * (double)u[i];
                assert_true(fabs((double)y[i] - want) < 1e-5);
            }
            assert_true(y[n] == guard);
            mem_free(x);
            mem_free(u);
            mem_free(y);
        }
}

// To bfloat16's 8 bits, ties to even.
static double bf16(double x) {
    int exponent;
    double mantissa = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

static void round_to_bf16(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)bf16((double)x[i]);
}

static void attention_matches(const Gemm *gemm) {
    const bool rounds = gemm && strstr(gemm->name, "bf16");
    const double tolerance = rounds ? 0x1p-8 : 1e-5;
    // Lengths that cross the blocks of queries and keys; grouped heads; a past.
    const float slopes[] = {0.5f, 0.3f, -0.123f, 1}, sinks[] = {1, -2, 30, 0};
    const AttentionShape shapes[] = {{4, 2, 8, 8, 300, 0, 0, 0.3f, 0, NULL, NULL},
                                     {3, 1, 16, 16, 1, 700, 0, 0.25f, 0, NULL, NULL},
                                     {2, 2, 4, 4, 130, 257, 0, 0.5f, 0, NULL, NULL},
                                     {1, 1, 2, 2, 1, 0, 0, 1, 0, NULL, NULL},
                                     {4, 2, 8, 8, 300, 0, 7, 0.3f, 0, NULL, NULL},
                                     {2, 1, 8, 8, 400, 100, 290, 0.3f, 0, NULL, NULL},
                                     {2, 2, 8, 8, 40, 3, 1, 0.3f, 4, sinks, NULL},
                                     {4, 4, 8, 8, 270, 0, 0, 0.3f, 0, NULL, slopes, 1},
                                     {4, 1, 12, 6, 270, 20, 33, 0.2f, 2, sinks, slopes, 0.75f},
                                     {4, 2, 8, 8, 300, 300, 0, 0.3f, 0, NULL, slopes, 0.125f, true}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        AttentionShape s = shapes[c];
        s.gemm = gemm;
        int64_t d = s.head_dim, dv = s.value_dim, keys = s.past + s.length;
        float *q = random_floats(s.length * s.heads * d, -4, 4), *k = random_floats(keys * s.kv_heads * d, -4, 4);
        float *v = random_floats(keys * s.kv_heads * dv, -1, 1), *out = random_floats(s.length * s.heads * dv, 0, 1);
        float *scratch = random_floats((int64_t)attention_scratch(s.gemm, s.length, d, dv), 0, 1);
        if (rounds) { // what is rounded already is rounded no more; the weights are
            round_to_bf16(q, s.length * s.heads * d);
            round_to_bf16(k, keys * s.kv_heads * d);
            round_to_bf16(v, keys * s.kv_heads * dv);
        }
        double *p = calloc((size_t)keys, sizeof *p);
        for (int64_t h = 0; h < s.heads; h++) {
            attention_head(&s, h, q, k, v, out, scratch);
            int64_t g = h / (s.heads / s.kv_heads);
            for (int64_t i = 0; i < s.length; i++) {
                int64_t last = s.past + i, first = s.window && last + 1 > s.window ? last + 1 - s.window : 0;
                double sum = s.sinks ? exp((double)s.sinks[h]) : 0;
                for (int64_t j = first; j <= last; j++) {
                    double score = 0;
                    for (int64_t e = 0; e < d; e++)
                        score += (double)q[(i * s.heads + h) * d + e] * (double)k[(j * s.kv_heads + g) * d + e];
                    score *= (double)s.scale;
                    if (s.cap != 0) score = (double)s.cap * tanh(score / (double)s.cap);
                    if (s.slopes_bf16)
                        score += (double)s.slope_scale * bf16(bf16((double)s.slopes[h]) * bf16((double)j));
                    else if (s.slopes)
                        score += (double)s.slope_scale * (double)s.slopes[h] * (double)(j - last);
                    sum += p[j] = exp(score);
                }
                for (int64_t e = 0; e < dv; e++) {
                    double want = 0;
                    for (int64_t j = first; j <= last; j++)
                        want += p[j] / sum * (double)v[(j * s.kv_heads + g) * dv + e];
                    assert_true(fabs(want - (double)out[(i * s.heads + h) * dv + e]) < tolerance);
                }
            }
        }
        enum { CUT = 137 };
        if (gemm && s.length > CUT) { // the last queries alone: the same digits
            AttentionShape part = s;
            part.past += CUT;
            part.length -= CUT;
            int64_t width = s.heads * dv, n = part.length * width;
            float *alone = random_floats(n, 0, 1);
            for (int64_t h = 0; h < s.heads; h++) attention_head(&part, h, q + CUT * s.heads * d, k, v, alone, scratch);
            assert_memory_equal(alone, out + CUT * width, sizeof *alone * (size_t)n);
            mem_free(alone);
        }
        float *const owned[] = {q, k, v, out, scratch};
        for (int i = 0; i < 5; i++) mem_free(owned[i]);
        free(p);
    }
}

// With OpenBLAS and with each of our matrix multiplies that this CPU uses.
static void attention_matches_definition(void **state) {
    (void)state;
    attention_matches(NULL);
    for (int level = CPU_SCALAR; level < CPU_LEVELS; level++) {
        Kernels k;
        if (!kernels_at((CpuLevel)level, &k)) continue;
        for (int c = 0; c < COMPUTE_COUNT; c++)
            if (k.gemm_passing[c]) attention_matches(k.gemm_passing[c]);
    }
}

static Tensor matrix(DType type, int64_t rows, int64_t cols, const float *values, void **bytes) {
    static char name[] = "w";
    Tensor t = {.name = name, .type = type, .dims = 2, .shape = {rows, cols}};
    assert_true(tensor_size(&t, NULL));
    *bytes = mem_alloc(t.bytes, 1, NULL);
    assert_non_null(*bytes);
    quant_function(type)(values, *bytes, rows, cols, NULL);
    t.data = *bytes;
    return t;
}

// One input (dot products in place) and many (panels and sgemm) agree with each other; f32 agrees with the definition.
static void linear_matches_definition(void **state) {
    (void)state;
    const DType types[] = {DT_F32, DT_BF16, DT_Q8_0, DT_Q4_0};
    enum { ROWS = 37, COLS = 64, N = 300 };
    float *values = random_floats(ROWS * COLS, -1, 1), *x = random_floats(N * COLS, -1, 1),
          *bias = random_floats(ROWS, -1, 1);
    float *many = random_floats(N * ROWS, 0, 1), *one = random_floats(N * ROWS, 0, 1);
    float *panel = mem_alloc(1, linear_panel_bytes(ROWS, COLS) + linear_input_bytes(N, COLS, ACT_DIGITS), NULL),
          *sum = random_floats(N * ROWS, 0, 1);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        void *bytes;
        Tensor t = matrix(types[k], ROWS, COLS, values, &bytes);
        Linear l = {.weight = &t, .bias = bias};
        linear_apply(&l, x, N, many, false, panel);
        for (int64_t i = 0; i < N; i++) linear_apply(&l, x + i * COLS, 1, one + i * ROWS, false, panel);
        memcpy(sum, many, sizeof *sum * N * ROWS);
        linear_apply(&l, x, N, sum, true, panel);
        for (int64_t i = 0; i < N * ROWS; i++) {
            double want = (double)bias[i % ROWS];
            for (int64_t c = 0; c < COLS; c++)
                want += (double)values[i % ROWS * COLS + c] * (double)x[i / ROWS * COLS + c];
            if (types[k] == DT_F32) assert_true(fabs(want - (double)many[i]) < 1e-5);
            assert_true(fabs((double)many[i] - (double)one[i]) < 1e-5);
            assert_true(fabs(2 * (double)many[i] - (double)sum[i]) < 1e-5);
        }
        mem_free(bytes);
    }
    float *const owned[] = {values, x, bias, many, one, panel, sum};
    for (int i = 0; i < 7; i++) mem_free(owned[i]);
}

// Three models of different width over a vocabulary that is no multiple of the tile.
static void head_matches_definition(void **state) {
    (void)state;
    enum { MODELS = 3, VOCAB = 2500, POSITIONS = 150 };
    const int64_t dims[MODELS] = {24, 24, 40};
    HeadInput in[MODELS];
    Head heads[MODELS];
    Tensor weights[MODELS];
    void *bytes[MODELS];
    int32_t right[POSITIONS];
    double(*logits)[POSITIONS][VOCAB] = malloc(sizeof(double[MODELS][POSITIONS][VOCAB]));
    for (int i = 0; i < POSITIONS; i++) right[i] = (int32_t)uniform(0, VOCAB - 1);
    for (int k = 0; k < MODELS; k++) {
        float *values = random_floats(VOCAB * dims[k], -2, 2), *hidden = random_floats(POSITIONS * dims[k], -2, 2);
        weights[k] = matrix(DT_F32, VOCAB, dims[k], values, &bytes[k]);
        heads[k] = (Head){.output = {.weight = &weights[k]}};
        in[k] = (HeadInput){&heads[k], hidden, calloc(POSITIONS, sizeof(TokenScore))};
        for (int64_t i = 0; i < POSITIONS; i++)
            for (int64_t v = 0; v < VOCAB; v++) {
                double z = 0;
                for (int64_t d = 0; d < dims[k]; d++)
                    z += (double)values[v * dims[k] + d] * (double)hidden[i * dims[k] + d];
                logits[k][i][v] = z;
            }
        mem_free(values);
    }
    Error err = {0};
    assert_true(head_score(in, MODELS, POSITIONS, right, &err));
    for (int i = 0; i < POSITIONS; i++) {
        double log_z[MODELS];
        for (int k = 0; k < MODELS; k++) {
            double top = -INFINITY, sum = 0, kld = 0;
            int best = 0;
            for (int v = 0; v < VOCAB; v++) {
                if (logits[k][i][v] > top) best = v;
                top = fmax(top, logits[k][i][v]);
            }
            for (int v = 0; v < VOCAB; v++) sum += exp(logits[k][i][v] - top);
            log_z[k] = top + log(sum);
            for (int v = 0; v < VOCAB; v++) {
                double log_p0 = logits[0][i][v] - log_z[0];
                kld += exp(log_p0) * (log_p0 - (logits[k][i][v] - log_z[k]));
            }
            assert_int_equal(in[k].scores[i].top, best);
            assert_true(fabs(in[k].scores[i].nll - (log_z[k] - logits[k][i][right[i]])) < 1e-4);
            assert_true(fabs(in[k].scores[i].kld - kld) < 1e-4);
        }
    }
    ((float *)(uintptr_t)in[1].hidden)[5] = NAN; // one bad value is said, and by whom
    assert_false(head_score(in, MODELS, POSITIONS, right, &err));
    assert_non_null(strstr(err.text, "model 2"));
    for (int k = 0; k < MODELS; k++) {
        mem_free((void *)(uintptr_t)in[k].hidden);
        mem_free(bytes[k]);
        free(in[k].scores);
    }
    free(logits);
}

// Interleaved pairs turn as the same numbers do in halves, bit for bit, on every target.
static void pairs_turn_alike(void **state) {
    (void)state;
    const VectorMath *t[3];
    int count = targets(t);
    for (int k = 0; k < count; k++)
        for (int64_t half = 1; half < 40; half++) {
            float *cosine = random_floats(half, -1, 1), *sine = random_floats(half, -1, 1);
            float *halves = random_floats(2 * half, -3, 3), *pairs = random_floats(2 * half, 0, 0);
            for (int64_t i = 0; i < 2 * half; i++) pairs[i % half * 2 + i / half] = halves[i];
            vector_math_scalar.rotate(halves, cosine, sine, half);
            t[k]->rotate_pairs(pairs, cosine, sine, half);
            for (int64_t i = 0; i < 2 * half; i++) assert_true(pairs[i % half * 2 + i / half] == halves[i]);
            float *const owned[] = {cosine, sine, halves, pairs};
            for (int i = 0; i < 4; i++) mem_free(owned[i]);
        }
}

// int8 arithmetic: several layers at once are each alone; single inputs with repacked weights are many; with inputs of
// 8 bits near the definition, with 16 bits nearer.
static void integers_match_definition(void **state) {
    (void)state;
    static const DType types[] = {DT_Q8_0, DT_Q4_1, DT_Q6_K};
    enum { ROWS = 77, COLS = 512, N = 131, USES = 3 };
    float *values = random_floats(ROWS * COLS, -1, 1), *x = random_floats(N * COLS, -1, 1);
    float *bias = random_floats(ROWS, -1, 1), *w = random_floats(ROWS * COLS, 0, 0);
    float *alone = random_floats(N * ROWS, 0, 1), *together = random_floats(USES * N * ROWS, 0, 1);
    float *memory = mem_alloc(1, linear_panel_bytes(ROWS, COLS) + linear_input_bytes(N, COLS, ACT_DIGITS), NULL);
    for (int fine = 0; fine < 2; fine++) {
        Tensor t[USES];
        Linear l[USES];
        LinearUse uses[USES];
        void *bytes[USES];
        for (int u = 0; u < USES; u++) {
            t[u] = matrix(types[u], ROWS, COLS, values, &bytes[u]);
            l[u] = (Linear){.weight = &t[u], .bias = u ? bias : NULL, .compute = COMPUTE_INT8, .fine = fine};
            uses[u] = (LinearUse){&l[u], together + u * N * ROWS, false};
        }
        linear_apply_all(uses, USES, x, N, memory);
        for (int u = 0; u < USES; u++) {
            const float *y = uses[u].y;
            linear_apply(&l[u], x, N, alone, false, memory);
            assert_memory_equal(alone, y, sizeof *y * N * ROWS);
            double worst = 0;
            kernels_get()->to_f32[types[u]](bytes[u], w, ROWS * COLS);
            for (int64_t i = 0; i < N * ROWS; i++) {
                double want = u ? (double)bias[i % ROWS] : 0;
                for (int64_t c = 0; c < COLS; c++)
                    want += (double)w[i % ROWS * COLS + c] * (double)x[i / ROWS * COLS + c];
                worst = fmax(worst, fabs(want - (double)y[i]));
            }
            printf("%s, inputs of %d bits: off by at most %.2g\n", dtype_name(types[u]), fine ? 16 : 8, worst);
            assert_true(worst < (fine ? 1e-3 : 0.3) && worst > (fine ? 0 : 1e-3));
            assert_true(linear_repack(&l[u], NULL));
        }
        for (int64_t i = 0; i < N; i++) {
            for (int u = 0; u < USES; u++) uses[u].y = alone + u * ROWS;
            linear_apply_all(uses, USES, x + i * COLS, 1, memory);
            for (int64_t r = 0; r < USES * ROWS; r++)
                assert_true(fabsf(alone[r] - together[(r / ROWS * N + i) * ROWS + r % ROWS]) < (fine ? 1e-5f : 1e-7f));
        }
        for (int u = 0; u < USES; u++) {
            mem_free(l[u].panels);
            mem_free(bytes[u]);
        }
    }
    float *const owned[] = {values, x, bias, w, alone, together, memory};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
}

static void gated(const void *context, float *gate, const float *up, int64_t n) {
    (void)context;
    vector_math()->silu(gate, up, n);
}

// What is rounded between two layers and the third is the same to the last bit when it is done a few rows at a time.
static void pairs_match_layers(void **state) {
    (void)state;
    enum { ROWS = 224, COLS = 512, OUT = 40, MOST = 131 };
    float *values = random_floats(ROWS * COLS, -1, 1), *x = random_floats(MOST * COLS, -1, 1);
    float *bias = random_floats(ROWS, -1, 1), *gate = random_floats(MOST * ROWS, 0, 0);
    float *up = random_floats(MOST * ROWS, 0, 0), *want = random_floats(MOST * OUT, 0, 1);
    float *got = random_floats(MOST * OUT, 0, 1);
    void *memory = mem_alloc(1, linear_panel_bytes(ROWS, COLS) + linear_input_bytes(MOST, COLS, ACT_DIGITS), NULL),
         *bytes[3];
    BlockAct *between = mem_alloc(1, linear_input_bytes(MOST, ROWS, ACT_DIGITS), NULL);
    assert_true(memory && between);
    Tensor t[3] = {matrix(DT_Q4_1, ROWS, COLS, values, &bytes[0]), matrix(DT_Q8_0, ROWS, COLS, values, &bytes[1]),
                   matrix(DT_Q4_0, OUT, ROWS, values, &bytes[2])};
    Linear l[3];
    for (Compute compute = 0; compute < COMPUTE_COUNT; compute++) {
        if (compute == COMPUTE_F32 && !kernels_get()->exact) continue; // not in integers
        for (int i = 0; i < 3; i++) l[i] = (Linear){.weight = &t[i], .bias = i == 1 ? NULL : bias, .compute = compute};
        assert_true(linear_pair_can(&l[0], &l[1], &l[2], INT8_TOKENS_MOST));
        for (int64_t n = INT8_TOKENS_MOST; n <= MOST; n += 23) {
            linear_apply_all((LinearUse[]){{&l[0], gate, false}, {&l[1], up, false}}, 2, x, n, memory);
            vector_math()->silu(gate, up, n * ROWS);
            linear_apply(&l[2], gate, n, want, false, memory);
            linear_pair(&(LinearPair){&l[0], &l[1], gated, NULL}, x, n, between, memory);
            linear_apply_acts(&l[2], between, n, got, false, memory);
            assert_memory_equal(got, want, sizeof *got * (size_t)n * OUT);
        }
    }
    void *const owned[] = {values, x, bias, gate, up, want, got, memory, between, bytes[0], bytes[1], bytes[2]};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_turn_alike),          cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(vectors_match_plain_loops), cmocka_unit_test(attention_matches_definition),
        cmocka_unit_test(integers_match_definition), cmocka_unit_test(linear_matches_definition),
        cmocka_unit_test(head_matches_definition),   cmocka_unit_test(pairs_match_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
