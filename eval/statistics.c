#include "eval/statistics.h"

#include "core/mem.h"
#include <math.h>
#include <stdlib.h>

typedef struct Estimate {
    double mean, se;
} Estimate;

// The mean over all scored tokens and its standard error over windows, since tokens inside a window are not
// independent: a ratio estimate, so that windows may differ in length. sums[w] is the window's sum over its scored
// tokens.
static Estimate estimate(const Windows *w, const double *sums) {
    Estimate e = {0};
    for (size_t i = 0; i < w->count; i++) e.mean += sums[i];
    e.mean /= (double)w->scored;
    double squares = 0, n = (double)w->count;
    for (size_t i = 0; i < w->count; i++) {
        double d = sums[i] - e.mean * (double)(w->items[i].length - w->items[i].first);
        squares += d * d;
    }
    e.se = w->count > 1 ? sqrt(squares * n / (n - 1)) / (double)w->scored : 0;
    return e;
}

typedef double (*TokenValue)(const TokenScore *score, const TokenScore *base);

static double value_nll(const TokenScore *s, const TokenScore *base) { return (void)base, s->nll; }
static double value_delta(const TokenScore *s, const TokenScore *base) { return s->nll - base->nll; }
static double value_kld(const TokenScore *s, const TokenScore *base) { return (void)base, s->kld; }
static double value_same(const TokenScore *s, const TokenScore *base) { return s->top == base->top; }
static double value_dp2(const TokenScore *s, const TokenScore *base) {
    double d = exp(-s->nll) - exp(-base->nll);
    return d * d;
}

static Estimate estimate_of(const Windows *w, TokenValue value, const TokenScore *s, const TokenScore *base,
                            double *sums) {
    for (size_t i = 0, at = 0; i < w->count; i++) {
        sums[i] = 0;
        for (int64_t p = w->items[i].first; p < w->items[i].length; p++, at++) sums[i] += value(&s[at], &base[at]);
    }
    return estimate(w, sums);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Linear interpolation between order statistics, as numpy's default.
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static Divergence divergence(const Windows *w, const TokenScore *s, const TokenScore *base, double *sums,
                             double *sorted) {
    Estimate delta = estimate_of(w, value_delta, s, base, sums), kld = estimate_of(w, value_kld, s, base, sums);
    for (int64_t i = 0; i < w->scored; i++) sorted[i] = s[i].kld;
    qsort(sorted, (size_t)w->scored, sizeof *sorted, ascending);
    return (Divergence){
        .delta_ln_ppl = delta.mean,
        .delta_ln_ppl_se = delta.se,
        .kld_mean = kld.mean,
        .kld_se = kld.se,
        .kld_median = quantile(sorted, w->scored, 0.5),
        .kld_p99 = quantile(sorted, w->scored, 0.99),
        .kld_p999 = quantile(sorted, w->scored, 0.999),
        .kld_max = sorted[w->scored - 1],
        .top1 = estimate_of(w, value_same, s, base, sums).mean,
        .rms_dp = sqrt(estimate_of(w, value_dp2, s, base, sums).mean),
    };
}

bool statistics_fill(Evaluation *e, Error *err) {
    const Windows *w = e->windows;
    double *sums = mem_alloc(w->count, sizeof *sums, err), *sorted = mem_alloc((size_t)w->scored, sizeof *sorted, err);
    for (int k = 0; sums && sorted && k < e->count; k++) {
        ModelResult *r = &e->results[k];
        const TokenScore *base = e->results[0].scores;
        Estimate nll = estimate_of(w, value_nll, r->scores, base, sums);
        for (size_t i = 0; i < w->count; i++)
            r->window_nll[i] = sums[i] / (double)(w->items[i].length - w->items[i].first);
        r->mean_nll = nll.mean;
        r->ppl = exp(nll.mean);
        r->ppl_se = r->ppl * nll.se;
        if (k) r->vs_base = divergence(w, r->scores, base, sums, sorted);
    }
    bool ok = sums && sorted;
    mem_free(sums);
    mem_free(sorted);
    return ok;
}
