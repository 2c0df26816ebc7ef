// The router's way back against differences: every way of scoring and of choosing.
#include "eval/router.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS = 20, COUNT = 8, USED = 3 };

static uint64_t state_ = 1;

static float uniform(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)((double)(state_ >> 11) * 0x1p-53);
}

// sum of at_weights * weights over one token; choice [USED].
static double objective(const Experts *e, const float *correction, const float *logits, const float *at_weights,
                        int32_t *choice) {
    float scores[COUNT], weights[USED];
    double sum = 0;
    memcpy(scores, logits, sizeof scores);
    router_choose(e, correction, scores, 1, choice, weights);
    for (int k = 0; k < USED; k++) sum += (double)at_weights[k] * (double)weights[k];
    return sum;
}

static void back_is_the_slope(const Experts *e, const float *correction) {
    const float step = 0x1p-8f;
    float logits[TOKENS * COUNT], scores[TOKENS * COUNT], weights[TOKENS * USED];
    float at_weights[TOKENS * USED], at_logits[TOKENS * COUNT];
    int32_t chosen[TOKENS * USED], low[USED], high[USED];
    for (int i = 0; i < TOKENS * COUNT; i++) scores[i] = logits[i] = uniform(-2, 2);
    for (int i = 0; i < TOKENS * USED; i++) at_weights[i] = uniform(-1, 1);
    router_choose(e, correction, scores, TOKENS, chosen, weights);
    router_back(e, scores, chosen, weights, at_weights, TOKENS, at_logits);
    int compared = 0;
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < COUNT; i++) {
            float *at = &logits[t * COUNT + i], kept = *at;
            *at = kept + step;
            double up = objective(e, correction, logits + t * COUNT, at_weights + t * USED, high);
            *at = kept - step;
            double down = objective(e, correction, logits + t * COUNT, at_weights + t * USED, low);
            *at = kept;
            // Another choice, or in another order, is a jump.
            if (memcmp(low, chosen + t * USED, sizeof low) != 0 || memcmp(high, low, sizeof low) != 0) continue;
            double slope = (up - down) / (2 * (double)step), found = (double)at_logits[t * COUNT + i];
            assert_true(fabs(slope - found) < 2e-4 * (1 + fabs(slope)));
            compared++;
        }
    assert_true(compared > TOKENS * COUNT / 2);
}

static void every_way(void **state) {
    (void)state;
    float correction[COUNT];
    for (int i = 0; i < COUNT; i++) correction[i] = uniform(-0.2f, 0.2f);
    for (int way = 0; way < 32; way++) {
        Experts e = {.count = COUNT, .used = USED, .sigmoid = way & 1, .normalized = way & 2};
        if (way & 4) e.scale = 2.5;
        if (way & 8) {
            e.groups = 4;
            e.groups_used = 2;
            e.groups_by_two = way & 1;
        }
        back_is_the_slope(&e, way & 16 ? correction : NULL);
    }
}

// Weights that are normalized over one expert are 1 whatever the logits.
static void one_is_always_one(void **state) {
    (void)state;
    Experts e = {.count = 2, .used = 1, .normalized = true};
    float logits[2] = {0.5f, -0.25f}, weight, at_weight = 3, at_logits[2];
    int32_t chosen;
    router_choose(&e, NULL, logits, 1, &chosen, &weight);
    router_back(&e, logits, &chosen, &weight, &at_weight, 1, at_logits);
    assert_float_equal(at_logits[0], 0, 1e-6);
    assert_float_equal(at_logits[1], 0, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_way), cmocka_unit_test(one_is_always_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
