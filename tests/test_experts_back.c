// The way back through experts against differences of the way forward: at what they take and at every matrix, for what
// no family's golden has too (a gated MLP that all tokens share).
#include "core/mem.h"
#include "eval/experts_back.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS = 40, DIM = 12, HIDDEN = 10, SHARED = 14, EXPERTS = 5, MATRICES = 3 * EXPERTS + 5, PANEL = 1 << 20 };

// A layer of random matrices, and all that its two ways need.
typedef struct Case {
    ModelDesc desc;
    Layer layer;
    Mlp experts[EXPERTS];
    Tensor tensors[MATRICES];
    Linear *linears[MATRICES]; // that tensors[i] is of
    double *sums[MATRICES];    // dW
    int count;
    float x[TOKENS * DIM], d[TOKENS * DIM], out[TOKENS * DIM], dx[TOKENS * DIM];
    MlpScratch scratch;
    MlpBack mlp;
    ExpertsBack back;
    Watch watch;
} Case;

static uint64_t state_ = 1;
static Case c_;

static float uniform(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)((double)(state_ >> 11) * 0x1p-53);
}

static float *random_floats(int64_t n, float most) {
    float *x = mem_alloc((size_t)n, sizeof *x, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = uniform(-most, most);
    return x;
}

static void add_linear(Case *c, Linear *linear, int64_t rows, int64_t cols, bool bias) {
    Tensor *t = &c->tensors[c->count];
    *t = (Tensor){.name = (char *)"w", .type = DT_F32, .dims = 2, .shape = {rows, cols}};
    assert_true(tensor_size(t, NULL));
    t->data = (const uint8_t *)random_floats(rows * cols, 1.5f / sqrtf((float)cols));
    *linear = (Linear){.weight = t};
    if (bias) linear->bias = linear->own_bias = random_floats(rows, 0.5f);
    c->sums[c->count] = mem_alloc((size_t)(rows * cols), sizeof(double), NULL);
    assert_non_null(c->sums[c->count]);
    c->linears[c->count++] = linear;
}

static void add_mlp(Case *c, Mlp *mlp, int64_t width, bool bias) {
    if (!c->desc.plain_mlp) add_linear(c, &mlp->gate, width, DIM, bias);
    add_linear(c, &mlp->up, width, DIM, bias);
    add_linear(c, &mlp->down, DIM, width, bias);
}

static bool add_seen(void *context, const LinearSeen *seen, Error *err) {
    Case *c = context;
    double *sum = c->sums[seen->weight - c->tensors];
    int64_t rows = tensor_rows(seen->weight), cols = tensor_cols(seen->weight);
    (void)err;
    for (int64_t t = 0; t < seen->n; t++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < cols; i++)
                sum[r * cols + i] += (double)seen->gradient[t * rows + r] * (double)seen->x[t * cols + i];
    return true;
}

static void case_init(Case *c, const ModelDesc *desc, const Observer *observer) {
    Error err = {0};
    memset(c, 0, sizeof *c);
    c->desc = *desc;
    c->desc.dim = DIM;
    c->desc.experts.count = EXPERTS;
    c->desc.experts.ffn_dim = HIDDEN;
    c->layer.experts = c->experts;
    c->layer.expert_count = EXPERTS;
    add_linear(c, &c->layer.router, EXPERTS, DIM, desc->experts.router_bias);
    for (int i = 0; i < EXPERTS; i++) add_mlp(c, &c->experts[i], HIDDEN, desc->experts.bias);
    if (desc->experts.shared_dim) add_mlp(c, &c->layer.mlp, desc->experts.shared_dim, false);
    if (desc->experts.shared_gate) add_linear(c, &c->layer.shared_gate, 1, DIM, false);
    for (int i = 0; i < TOKENS * DIM; i++) {
        c->x[i] = uniform(-1.5f, 1.5f);
        c->d[i] = uniform(-1, 1);
    }
    c->watch = (Watch){.observer = observer, .err = &err};
    void *panel = mem_alloc(PANEL, 2, NULL);
    assert_non_null(panel);
    assert_true(mlp_scratch_init(&c->scratch, &c->desc, TOKENS, panel, NULL));
    assert_true(mlp_back_init(&c->mlp, &c->desc, TOKENS, &c->scratch, (char *)panel + PANEL, NULL));
    assert_true(experts_back_init(&c->back, &c->desc, TOKENS, &c->mlp, NULL));
    c->mlp.watch = &c->watch;
}

static void case_free(Case *c) {
    for (int i = 0; i < c->count; i++) {
        mem_free((void *)c->tensors[i].data);
        mem_free(c->sums[i]);
        linear_close(c->linears[i]);
    }
    mem_free(c->scratch.panel);
    experts_back_free(&c->back);
    mlp_back_free(&c->mlp);
    mlp_scratch_free(&c->scratch);
}

// sum of d * out, and which experts each token chose.
static double objective(Case *c, int32_t *chosen) {
    double sum = 0;
    assert_true(experts_apply(&c->desc, &c->layer, c->x, TOKENS, c->out, false, true, &c->scratch, NULL));
    for (int i = 0; i < TOKENS * DIM; i++) sum += (double)c->d[i] * (double)c->out[i];
    memcpy(chosen, c->scratch.chosen, (size_t)(TOKENS * c->desc.experts.used) * sizeof *chosen);
    return sum;
}

// Whether the slope of the objective along *at was found to be `found`; false where a token chooses otherwise.
static bool slope_is(Case *c, float *at, double found, const char *where) {
    const float step = 0x1p-7f, kept = *at;
    int32_t low[TOKENS * EXPERTS], high[TOKENS * EXPERTS];
    *at = kept + step;
    double up = objective(c, high);
    *at = kept - step;
    double down = objective(c, low);
    *at = kept;
    if (memcmp(low, high, (size_t)(TOKENS * c->desc.experts.used) * sizeof *low) != 0) return false;
    double slope = (up - down) / (2 * (double)step);
    if (!(fabs(slope - found) < 2e-3 * (1 + fabs(slope)))) fail_msg("%s: slope %g, found %g", where, slope, found);
    return true;
}

static void back_is_the_slope(const char *name, ModelDesc desc) {
    static const Observer observer = {.linear = add_seen, .context = &c_};
    Case *c = &c_;
    int compared = 0, tried = 0;
    char where[100];
    case_init(c, &desc, &observer);
    assert_true(experts_back(&c->desc, &c->layer, c->x, TOKENS, c->d, c->dx, &c->back, NULL));
    for (int i = 0; i < TOKENS * DIM; i += 7, tried++) compared += slope_is(c, &c->x[i], (double)c->dx[i], name);
    for (int m = 0; m < c->count; m++)
        for (int k = 0; k < 5; k++, tried++) {
            int64_t n = tensor_elements(&c->tensors[m]), at = (k * 37 + m) % n;
            snprintf(where, sizeof where, "%s, matrix %d", name, m);
            compared += slope_is(c, (float *)c->tensors[m].data + at, c->sums[m][at], where);
        }
    printf("%-28s %d slopes compared, %d jumps\n", name, compared, tried - compared);
    assert_true(compared > tried / 2);
    case_free(c);
}

// A clamp is where few values reach: a kink has no slope. (The goldens of tests/test_gradients.c have lower ones.)
static void every_kind(void **state) {
    (void)state;
    const Experts softmax = {.used = 2}, gpt_oss = {.used = 3, .bias = true, .router_bias = true, .normalized = true};
    const Experts shared = {.used = 2, .shared_dim = SHARED},
                  gated = {.used = 2, .shared_dim = SHARED, .shared_gate = true, .normalized = true};
    const Experts sigmoid = {.used = 2, .sigmoid = true, .normalized = true, .scale = 2.5, .shared_dim = SHARED};
    back_is_the_slope("softmax", (ModelDesc){.experts = softmax});
    back_is_the_slope("plain MLPs, GELU", (ModelDesc){.experts = softmax, .plain_mlp = true, .activation = ACT_GELU});
    back_is_the_slope("biases, clamped SwiGLU", (ModelDesc){.experts = gpt_oss,
                                                            .activation = ACT_SWIGLU_CLAMPED,
                                                            .activation_limit = 5,
                                                            .activation_slope = 1.702});
    back_is_the_slope("a shared MLP", (ModelDesc){.experts = shared});
    back_is_the_slope("a shared MLP with a gate", (ModelDesc){.experts = gated});
    back_is_the_slope("sigmoid, scaled", (ModelDesc){.experts = sigmoid});
}

// An expert whose bytes are not what the file said.
static void damaged_expert_is_an_error(void **state) {
    (void)state;
    Error err = {0};
    static const Observer nobody = {0};
    case_init(&c_, &(ModelDesc){.experts = {.used = EXPERTS}}, &nobody);
    c_.tensors[4].has_hash = true;
    assert_false(experts_back(&c_.desc, &c_.layer, c_.x, TOKENS, c_.d, c_.dx, &c_.back, &err));
    assert_non_null(strstr(err.text, "tensor w"));
    case_free(&c_);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind), cmocka_unit_test(damaged_expert_is_an_error)};
    return cmocka_run_group_tests_name("experts' way back", tests, NULL, NULL);
}
