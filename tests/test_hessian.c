// Sums of outer products against plain f64 ones; statistics of layers and of head and embedding against their formulas;
// digits that do not depend on threads.
#include "core/mem.h"
#include "core/threads.h"
#include "eval/gram.h"
#include "eval/hessian.h"
#include "eval/hessian_head.h"
#include "eval/windows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static uint64_t state = 1;

static float noise(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(state >> 40) * 0x1p-23 - 1);
}

static float *noises(int64_t n) {
    Error err = {0};
    float *x = mem_alloc((size_t)n, sizeof *x, &err);
    for (int64_t i = 0; i < n; i++) x[i] = noise();
    return x;
}

// The largest difference of a and the symmetric sum over t of w_t x_t x_t^T / by, in mean diagonals.
static double worst(const float *a, const float *x, const double *w, int64_t n, int64_t cols, double by, bool whole) {
    double most = 0, diagonal = 0;
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = whole ? 0 : i; j < cols; j++) {
            double sum = 0;
            for (int64_t t = 0; t < n; t++) sum += w[t] * (double)x[t * cols + i] * (double)x[t * cols + j];
            most = fmax(most, fabs((double)a[i * cols + j] - sum / by));
            if (i == j) diagonal += sum / by / (double)cols;
        }
    return most / diagonal;
}

static void test_gram(void **unused) {
    (void)unused;
    static const struct {
        int64_t n, cols;
    } shapes[] = {{1, 1}, {3, 5}, {40, 33}, {300, 96}, {257, 200}, {1500, 130}, {64, 1100}, {1030, 31}};
    Gram g = {0};
    double most = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t n = shapes[s].n, cols = shapes[s].cols;
        Error err = {0};
        float *x = noises(n * cols), *weight = noises(n);
        double *w = mem_alloc((size_t)n, sizeof *w, &err);
        for (int weighted = 0; weighted < 2; weighted++) {
            float *h = mem_alloc((size_t)(cols * cols), sizeof *h, &err);
            for (int64_t t = 0; t < n; t++) {
                weight[t] = fabsf(weight[t]);
                w[t] = weighted ? (double)weight[t] : 1;
            }
            // In two chunks.
            int64_t first = n / 3;
            assert_true(gram_add(&g, x, first, cols, weighted ? weight : NULL, h, &err));
            assert_true(gram_add(&g, x + first * cols, n - first, cols, weighted ? weight + first : NULL, h, &err));
            most = fmax(most, worst(h, x, w, n, cols, 1, false));
            gram_finish(h, cols, 0.5F);
            most = fmax(most, worst(h, x, w, n, cols, 2, true));
            mem_free(h);
        }
        mem_free(x);
        mem_free(w);
        mem_free(weight);
    }
    gram_free(&g);
    print_message("sums of outer products: worst difference %.1e mean diagonals\n", most);
    assert_true(most < 2e-6);
}

typedef struct Layer {
    Tensor tensor;
    int64_t rows, cols, n;
    float *w, *x, *g;
} Layer;

static Layer layer_new(const char *name, int64_t rows, int64_t cols, int64_t n) {
    Layer l = {.rows = rows, .cols = cols, .n = n};
    l.w = noises(rows * cols);
    l.x = noises(n * cols);
    l.g = noises(n * rows);
    l.tensor = (Tensor){.name = (char *)(uintptr_t)name, .dims = 2, .shape = {rows, cols}, .data = (uint8_t *)l.w};
    l.tensor.bytes = (size_t)(rows * cols) * sizeof(float);
    return l;
}

static void layer_free(Layer *l) {
    mem_free(l->w);
    mem_free(l->x);
    mem_free(l->g);
}

static StatsTensor observe(const Layer *l, StatsKind kind, int64_t output_rows, double tokens) {
    Error err = {0};
    Hessian h;
    HessianWork work = {0};
    StatsTensor entry;
    assert_true(hessian_open(&h, &l->tensor, kind, output_rows, &err));
    for (int64_t first = 0, n; first < l->n; first += n) {
        n = l->n - first < 100 ? l->n - first : 100;
        LinearSeen seen = {&l->tensor, l->x + first * l->cols, kind == STATS_FISHER ? l->g + first * l->rows : NULL, n,
                           first};
        if (!hessian_add(&h, &seen, &work, &err)) fail_msg("%s", err.text);
    }
    if (!hessian_finish(&h, tokens, &entry, &err)) fail_msg("%s", err.text);
    hessian_close(&h);
    hessian_work_free(&work);
    return entry;
}

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-5 * fabs(b) + 1e-12)) fail_msg("%.9g is not %.9g", a, b);
}

static void test_layer(void **unused) {
    (void)unused;
    Layer l = layer_new("blk.0.attn_q.weight", 37, 65, 270);
    double tokens = 300, ones[270], s[270], energy[270], r[37] = {0}, norm[37], mean_norm = 0, mean_r = 0;
    for (int64_t o = 0; o < 37; o++) {
        norm[o] = 0;
        for (int64_t j = 0; j < 65; j++) norm[o] += pow((double)l.w[o * 65 + j], 2);
        mean_norm += norm[o] / 37;
    }
    for (int64_t t = 0; t < 270; t++) {
        ones[t] = 1;
        s[t] = energy[t] = 0;
        for (int64_t o = 0; o < 37; o++) {
            double g2 = pow((double)l.g[t * 37 + o], 2);
            s[t] += norm[o] / mean_norm * g2 / 37;
            r[o] += g2;
        }
        for (int64_t j = 0; j < 65; j++) energy[t] += pow((double)l.x[t * 65 + j], 2) / 65;
    }
    for (int64_t o = 0; o < 37; o++) mean_r += norm[o] / mean_norm * r[o] / 37;

    StatsTensor e = observe(&l, STATS_IMPORTANCE, 0, tokens);
    assert_null(e.hessian);
    assert_true(e.tokens == 270);
    for (int64_t j = 0; j < 65; j++) {
        double sum = 0;
        for (int64_t t = 0; t < 270; t++) sum += pow((double)l.x[t * 65 + j], 2);
        near((double)e.importance[j], sum / 270);
    }
    hessian_entry_free(&e);

    e = observe(&l, STATS_HESSIAN, 1000, tokens);
    assert_true(worst(e.hessian, l.x, ones, 270, 65, tokens, true) < 2e-6);
    assert_true(e.has_hessian && !e.row_weights && !e.output);
    hessian_entry_free(&e);

    e = observe(&l, STATS_FISHER, 37, tokens);
    assert_true(worst(e.hessian, l.x, s, 270, 65, tokens, true) < 2e-6);
    assert_true(worst(e.output, l.g, energy, 270, 37, tokens, true) < 2e-6);
    for (int64_t o = 0; o < 37; o++) near((double)e.row_weights[o], r[o] / mean_r);
    hessian_entry_free(&e);
    e = observe(&l, STATS_FISHER, 36, tokens);
    assert_true(e.row_weights && !e.output);
    hessian_entry_free(&e);
    layer_free(&l);
}

// Weights that see the same inputs, and ones that see others at the same place.
static void test_shared_inputs(void **unused) {
    (void)unused;
    Error err = {0};
    enum { N = 50, COLS = 20 };
    double ones[N];
    for (int t = 0; t < N; t++) ones[t] = 1;
    Layer a = layer_new("a", 4, COLS, N), b = layer_new("b", 6, COLS, N);
    Hessian h[3];
    HessianWork work = {0};
    for (int i = 0; i < 3; i++)
        assert_true(hessian_open(&h[i], i == 1 ? &b.tensor : &a.tensor, STATS_HESSIAN, 0, &err));
    float *buffer = noises(N * COLS), *first = noises(N * COLS);
    memcpy(first, buffer, N * COLS * sizeof *first);
    LinearSeen seen = {&a.tensor, buffer, NULL, N, 0};
    assert_true(hessian_add(&h[0], &seen, &work, &err) && hessian_add(&h[1], &seen, &work, &err));
    buffer[7] = 3;
    assert_true(hessian_add(&h[2], &seen, &work, &err));
    for (int i = 0; i < 3; i++) {
        StatsTensor e;
        assert_true(hessian_finish(&h[i], N, &e, &err));
        assert_true(worst(e.hessian, i < 2 ? first : buffer, ones, N, COLS, N, true) < 2e-6);
        hessian_entry_free(&e);
        hessian_close(&h[i]);
    }
    hessian_work_free(&work);
    mem_free(buffer);
    mem_free(first);
    layer_free(&a);
    layer_free(&b);
}

static void test_threads(void **unused) {
    (void)unused;
    Layer l = layer_new("blk.0.ffn_down.weight", 150, 330, 700);
    StatsTensor one, many;
    threads_set(1);
    one = observe(&l, STATS_FISHER, 1000, 700);
    for (int n = 2; n < 5; n++) {
        threads_set(n);
        many = observe(&l, STATS_FISHER, 1000, 700);
        assert_memory_equal(one.importance, many.importance, 330 * sizeof(float));
        assert_memory_equal(one.hessian, many.hessian, 330 * 330 * sizeof(float));
        assert_memory_equal(one.row_weights, many.row_weights, 150 * sizeof(float));
        assert_memory_equal(one.output, many.output, 150 * 150 * sizeof(float));
        hessian_entry_free(&many);
    }
    threads_set(0);
    hessian_entry_free(&one);
    layer_free(&l);
}

// A head of 30 rows and the embedding, tied or not, over 2 chunks; against 1/2 sum over rows of rho e H e^T in f64.
static void check_head(bool tied) {
    enum { VOCAB = 30, WIDTH = 12, N = 80 };
    Error err = {0};
    Layer head = layer_new("token_embd.weight", VOCAB, WIDTH, N),
          embedding = layer_new("token_embd.weight", VOCAB, WIDTH, N);
    if (!tied) head.tensor.name = (char *)(uintptr_t) "output.weight";
    float *g = noises(N * WIDTH), *spread = noises(N);
    double rows[2][VOCAB] = {{0}}, pi[VOCAB], f[VOCAB] = {0}, a[N], ones[N], sum = 0;
    int32_t ids[N];
    for (int t = 0; t < N; t++) {
        a[t] = 6.25 * (double)(spread[t] = fabsf(spread[t]));
        ones[t] = 1;
        ids[t] = (7 * t * t + t) % VOCAB;
    }
    for (int v = 0; v < VOCAB; v++) {
        rows[0][v] = fabs((double)noise());
        rows[1][v] = fabs((double)noise());
        sum += pi[v] = rows[0][v] + rows[1][v];
    }
    for (int v = 0; v < VOCAB; v++) pi[v] /= sum;

    HessianHead hh;
    HessianWork work = {0};
    hessian_head_init(&hh, STATS_FISHER, 2.5);
    for (int part = 0; part < 2; part++) {
        int first = part ? 33 : 0, n = part ? N - 33 : 33;
        HeadSeen seen = {&head.tensor, head.x + first * WIDTH, spread + first, rows[part], n, first};
        EmbeddingSeen below = {&embedding.tensor, ids + first, g + first * WIDTH, n, first};
        assert_true(hessian_head_add(&hh, &seen, &work, &err));
        assert_true(hessian_embedding_add(&hh, &below, &work, &err));
    }
    StatsTensor e[2];
    int count;
    assert_true(hessian_head_finish(&hh, N, e, &count, &err));
    assert_int_equal(count, tied ? 1 : 2);
    double of_head = 0, of_embedding = 0;
    for (int t = 0; t < N; t++)
        for (int j = 0; j < WIDTH; j++) {
            of_head += a[t] * pow((double)head.x[t * WIDTH + j], 2);
            of_embedding += pow((double)g[t * WIDTH + j], 2);
            f[ids[t]] += pow((double)g[t * WIDTH + j], 2);
        }
    for (int v = 0; v < VOCAB; v++) f[v] /= of_embedding;
    if (tied) {
        for (int v = 0; v < VOCAB; v++)
            near((double)e[0].row_weights[v], (pi[v] * of_head + f[v] * of_embedding) / (of_head + of_embedding));
        for (int i = 0; i < WIDTH; i++)
            for (int j = 0; j < WIDTH; j++) {
                double h = 0;
                for (int t = 0; t < N; t++)
                    h += (a[t] * (double)head.x[t * WIDTH + i] * (double)head.x[t * WIDTH + j] +
                          (double)g[t * WIDTH + i] * (double)g[t * WIDTH + j]) /
                         N;
                assert_true(fabs((double)e[0].hessian[i * WIDTH + j] - h) < 1e-5);
            }
    } else {
        assert_string_equal(e[0].name, "output.weight");
        assert_string_equal(e[1].name, "token_embd.weight");
        assert_true(worst(e[0].hessian, head.x, a, N, WIDTH, N, true) < 2e-6);
        assert_true(worst(e[1].hessian, g, ones, N, WIDTH, N, true) < 2e-6);
        for (int v = 0; v < VOCAB; v++) {
            near((double)e[0].row_weights[v], pi[v]);
            near((double)e[1].row_weights[v], f[v]);
        }
    }
    for (int i = 0; i < count; i++) hessian_entry_free(&e[i]);
    hessian_head_close(&hh);
    hessian_work_free(&work);
    mem_free(g);
    mem_free(spread);
    layer_free(&head);
    layer_free(&embedding);
}

static void test_head(void **unused) {
    (void)unused;
    check_head(true);
    check_head(false);
}

static void test_windows_hash(void **unused) {
    (void)unused;
    Error err = {0};
    Windows a, b, c, d;
    assert_true(windows_parse("1 2 3\n4 5\n", "a", 0, &a, &err) && windows_parse("1 2 3\n4 5\n", "b", 0, &b, &err));
    assert_true(windows_parse("1 2\n3 4 5\n", "c", 0, &c, &err) && windows_parse("1 2 3\n4 6\n", "d", 0, &d, &err));
    assert_true(hash_equal(windows_hash(&a), windows_hash(&b)));
    assert_false(hash_equal(windows_hash(&a), windows_hash(&c)));
    assert_false(hash_equal(windows_hash(&a), windows_hash(&d)));
    windows_free(&a);
    windows_free(&b);
    windows_free(&c);
    windows_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gram),    cmocka_unit_test(test_layer), cmocka_unit_test(test_shared_inputs),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_head),  cmocka_unit_test(test_windows_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
