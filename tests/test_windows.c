// Which tokens are scored, and the statistics and samples made of numbers small enough to work out by hand.
#include "eval/sample.h"
#include "eval/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int32_t ids[23] = {100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
                                112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122};

static void consecutive(void **state) {
    (void)state;
    Windows w;
    Error err = {0};
    assert_true(windows_consecutive(ids, 23, 8, 0, 7, &w, &err));
    assert_int_equal(w.count, 2); // the last 7 ids make no window
    assert_int_equal(w.scored, 6);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(w.items[i].first, 5); // positions 4 .. 6 predict tokens 5 .. 7
        assert_int_equal(w.ids[w.items[i].start], 7);
        assert_int_equal(w.ids[w.items[i].start + 7], 107 + 8 * (int)i);
    }
    windows_free(&w);
    assert_true(windows_consecutive(ids, 23, 8, 1, -1, &w, &err));
    assert_int_equal(w.count, 1);
    assert_int_equal(w.ids[0], 100);
    windows_free(&w);
    assert_false(windows_consecutive(ids, 23, 24, 0, -1, &w, &err));
    assert_non_null(strstr(err.text, "23 tokens"));
}

// Every token but the first is scored once, each in the first window that reaches it.
static void strided(void **state) {
    (void)state;
    for (int64_t ctx = 2; ctx < 30; ctx++)
        for (int64_t stride = 1; stride < ctx; stride++) {
            Windows w;
            Error err = {0};
            int seen[23] = {0};
            assert_true(windows_strided(ids, 23, ctx, stride, 0, &w, &err));
            assert_int_equal(w.scored, 22);
            for (size_t i = 0; i < w.count; i++) {
                assert_true(w.items[i].length <= ctx && w.items[i].first >= 1);
                for (int64_t p = w.items[i].first; p < w.items[i].length; p++)
                    seen[w.ids[w.items[i].start + p] - 100]++;
            }
            assert_int_equal(seen[0], 0);
            for (int i = 1; i < 23; i++) assert_int_equal(seen[i], 1);
            windows_free(&w);
        }
}

static void parsed(void **state) {
    (void)state;
    Windows w;
    Error err = {0};
    assert_true(windows_parse("1 2 3\n\n  4\t5\r\n6 7", "ids", 0, &w, &err));
    assert_int_equal(w.count, 3);
    assert_int_equal(w.scored, 4);
    assert_int_equal(w.longest, 3);
    assert_int_equal(w.ids[w.items[2].start + 1], 7);
    windows_free(&w);
    const char *const bad[] = {"",         "\n \n", "1 x 2\n", "1 -2\n", "1 99999999999999999999\n",
                               "1 2\n3\n", "1,2\n", "1 2.5\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = 0;
        assert_false(windows_parse(bad[i], "ids", 0, &w, &err));
        assert_true(err.text[0] != 0);
    }
}

static void statistics_by_hand(void **state) {
    (void)state;
    // Two windows of 2 and 1 scored tokens.
    Window items[2] = {{0, 3, 1}, {3, 2, 1}};
    Windows w = {.items = items, .count = 2, .scored = 3};
    TokenScore base[3] = {{1, 0, 5}, {2, 0, 6}, {6, 0, 7}}, other[3] = {{1.5, 0.1, 5}, {2.5, 0.4, 9}, {5, 0.2, 7}};
    double nll0[2], nll1[2];
    ModelResult results[2] = {{.scores = base, .window_nll = nll0}, {.scores = other, .window_nll = nll1}};
    Evaluation e = {.results = results, .count = 2, .windows = &w};
    Error err = {0};
    assert_true(statistics_fill(&e, &err));
    assert_true(fabs(results[0].mean_nll - 3) < 1e-12 && fabs(results[0].ppl - exp(3)) < 1e-9);
    assert_true(fabs(nll0[0] - 1.5) < 1e-12 && fabs(nll0[1] - 6) < 1e-12);
    // Deviations of the windows' sums: 3 - 6 = -3 and 6 - 3 = 3; sqrt(18 * 2 / 1) / 3 = 2.
    assert_true(fabs(results[0].ppl_se - 2 * exp(3)) < 1e-9);
    const Divergence *d = &results[1].vs_base;
    assert_true(fabs(d->delta_ln_ppl - 0) < 1e-12);
    // Sums of differences 1 and -1, their deviations the same: sqrt(2 * 2) / 3.
    assert_true(fabs(d->delta_ln_ppl_se - 2.0 / 3) < 1e-12);
    assert_true(fabs(d->kld_mean - 0.7 / 3) < 1e-12 && fabs(d->kld_median - 0.2) < 1e-12 &&
                fabs(d->kld_max - 0.4) < 1e-12);
    assert_true(fabs(d->kld_p99 - (0.2 + 0.98 * 0.2)) < 1e-12);
    assert_true(fabs(d->top1 - 2.0 / 3) < 1e-12);
    double dp = pow(exp(-1.5) - exp(-1), 2) + pow(exp(-2.5) - exp(-2), 2) + pow(exp(-5) - exp(-6), 2);
    assert_true(fabs(d->rms_dp - sqrt(dp / 3)) < 1e-12);
}

static void sampling(void **state) {
    (void)state;
    const float logits[4] = {0, 2, 2, -1}; // e^2 / (2 e^2 + 1 + e^-1) = 0.458 for each of the two in the middle
    Error err = {0};
    Sampler *greedy = sampler_new(4, 0, 1, 1, &err), *a = sampler_new(4, 1, 1, 7, &err),
            *b = sampler_new(4, 1, 1, 7, &err);
    Sampler *nucleus = sampler_new(4, 1, 0.9, 3, &err), *one = sampler_new(4, 1, 0.1, 3, &err);
    int counts[4] = {0};
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(sampler_next(greedy, logits), 1);
        int32_t id = sampler_next(a, logits), kept = sampler_next(nucleus, logits);
        assert_int_equal(id, sampler_next(b, logits));
        assert_true(kept == 1 || kept == 2);
        assert_int_equal(sampler_next(one, logits), 1);
        counts[id]++;
    }
    assert_true(fabs(counts[1] / 20000.0 - 0.4577) < 0.015 && fabs(counts[0] / 20000.0 - 0.0619) < 0.01 &&
                counts[3] > 0);
    Sampler *const all[] = {greedy, a, b, nucleus, one};
    for (int i = 0; i < 5; i++) sampler_free(all[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consecutive),        cmocka_unit_test(strided),  cmocka_unit_test(parsed),
        cmocka_unit_test(statistics_by_hand), cmocka_unit_test(sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
