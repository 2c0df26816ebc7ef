#include "eval/router.h"

#include <math.h>
#include <string.h>

static void softmax(float *x, int64_t n) {
    float top = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; i++) sum += x[i] = expf(x[i] - top);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
}

// The index of the largest; takes it out by making it -infinity.
static int64_t take_best(float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    x[best] = -INFINITY;
    return best;
}

static float group_score(const Experts *e, const float *x, int64_t n) {
    float best = -INFINITY, second = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] > best) {
            second = best;
            best = x[i];
        } else if (x[i] > second) {
            second = x[i];
        }
    }
    return e->groups_by_two ? best + second : best;
}

// Experts outside the best groups are out.
static void keep_groups(const Experts *e, float *ranks) {
    float scores[EXPERTS_MAX];
    bool kept[EXPERTS_MAX] = {false};
    int64_t size = e->count / e->groups;
    for (int64_t g = 0; g < e->groups; g++) scores[g] = group_score(e, ranks + g * size, size);
    for (int64_t g = 0; g < e->groups_used; g++) kept[take_best(scores, e->groups)] = true;
    for (int64_t i = 0; i < e->count; i++)
        if (!kept[i / size]) ranks[i] = -INFINITY;
}

void router_choose(const Experts *e, const float *correction, float *logits, int64_t n, int32_t *chosen,
                   float *weights) {
    float ranks[EXPERTS_MAX];
    for (int64_t t = 0; t < n; t++) {
        float *scores = logits + t * e->count, *w = weights + t * e->used, sum = 0;
        if (e->sigmoid)
            for (int64_t i = 0; i < e->count; i++) scores[i] = 1 / (1 + expf(-scores[i]));
        else
            softmax(scores, e->count);
        for (int64_t i = 0; i < e->count; i++) ranks[i] = scores[i] + (correction ? correction[i] : 0);
        if (e->groups) keep_groups(e, ranks);
        for (int64_t k = 0; k < e->used; k++) {
            int64_t best = take_best(ranks, e->count);
            chosen[t * e->used + k] = (int32_t)best;
            sum += w[k] = scores[best];
        }
        float by = e->scale != 0 ? (float)e->scale : 1;
        if (e->normalized) by /= sum + (e->sigmoid ? 1e-20f : 0);
        for (int64_t k = 0; k < e->used; k++) w[k] *= by;
    }
}

// Of one token. A weight is w_k = by * s_k, s the scores, by the scale and, where normalized, 1 / the sum of those
// chosen. at_logits becomes the gradient at the scores, then at the logits.
static void token_back(const Experts *e, const float *scores, const int32_t *chosen, const float *weights,
                       const float *at_weights, float *at_logits) {
    float scale = e->scale != 0 ? (float)e->scale : 1, by = scale, common = 0;
    memset(at_logits, 0, (size_t)e->count * sizeof *at_logits);
    if (e->normalized) {
        float sum = e->sigmoid ? 1e-20f : 0;
        for (int64_t k = 0; k < e->used; k++) {
            sum += scores[chosen[k]];
            common += at_weights[k] * weights[k] / scale;
        }
        by /= sum;
    }
    for (int64_t k = 0; k < e->used; k++) at_logits[chosen[k]] = by * (at_weights[k] - common);
    if (e->sigmoid) {
        for (int64_t i = 0; i < e->count; i++) at_logits[i] *= scores[i] * (1 - scores[i]);
        return;
    }
    float mean = 0;
    for (int64_t k = 0; k < e->used; k++) mean += at_logits[chosen[k]] * scores[chosen[k]];
    for (int64_t i = 0; i < e->count; i++) at_logits[i] = scores[i] * (at_logits[i] - mean);
}

void router_back(const Experts *e, const float *scores, const int32_t *chosen, const float *weights,
                 const float *at_weights, int64_t n, float *at_logits) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++)
        token_back(e, scores + t * e->count, chosen + t * e->used, weights + t * e->used, at_weights + t * e->used,
                   at_logits + t * e->count);
}

void router_sort(const Experts *e, const int32_t *chosen, int64_t n, int32_t *order, int64_t *starts) {
    int64_t total = n * e->used;
    memset(starts, 0, (size_t)(e->count + 1) * sizeof *starts);
    for (int64_t i = 0; i < total; i++) starts[chosen[i] + 1]++;
    for (int64_t k = 0; k < e->count; k++) starts[k + 1] += starts[k];
    for (int64_t i = 0; i < total; i++) order[starts[chosen[i]]++] = (int32_t)i; // starts[k] becomes the end of k
    for (int64_t k = e->count; k > 0; k--) starts[k] = starts[k - 1];
    starts[0] = 0;
}
