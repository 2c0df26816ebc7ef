// Which type each tensor gets (quant/plan.h), on a small Llama's names with widths that do not all suit 256.
#include "quant/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { EMBED, NORM, Q, DOWN, HEAD, COUNT, TIED = HEAD };

static Tensor tensor(const char *name, const char *source, int dims, int64_t rows, int64_t cols) {
    Tensor t = {.name = (char *)(uintptr_t)name, .source = (char *)(uintptr_t)source, .type = DT_BF16, .dims = dims};
    t.shape[0] = dims == 1 ? cols : rows;
    t.shape[1] = cols;
    return t;
}

static void small_llama(Tensor t[COUNT]) {
    t[EMBED] = tensor("token_embd.weight", "model.embed_tokens.weight", 2, 96, 64);
    t[NORM] = tensor("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", 1, 1, 64);
    t[Q] = tensor("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", 2, 64, 64);
    t[DOWN] = tensor("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", 2, 64, 256);
    t[HEAD] = tensor("output.weight", "lm_head.weight", 2, 96, 64);
}

static const PlanRequest q4_0 = {.type = DT_Q4_0, .embed_type = DT_Q8_0, .output_type = DT_Q8_0};

static void by_kind(void **state) {
    (void)state;
    Tensor t[COUNT], out;
    PlanEntry e[COUNT];
    Error err = {0};
    small_llama(t);
    PlanRequest q = q4_0;
    q.output_type = DT_Q6_K;
    q.has_fallback = true;
    q.fallback = DT_Q5_1;
    assert_true(plan_make(&q, t, COUNT, e, &err));
    assert_int_equal(e[EMBED].type, DT_Q8_0);
    assert_int_equal(e[NORM].type, DT_BF16); // a vector stays
    assert_int_equal(e[Q].type, DT_Q4_0);
    assert_int_equal(e[DOWN].type, DT_Q4_0);
    assert_int_equal(e[HEAD].type, DT_Q5_1); // 64 is no multiple of q6_k's 256
    assert_true(e[HEAD].fell_back);
    assert_int_equal(e[HEAD].asked, DT_Q6_K);
    assert_false(e[EMBED].fell_back || e[NORM].fell_back || e[Q].fell_back || e[DOWN].fell_back);
    assert_true(plan_tensor(&t[Q], &e[Q], &out, &err));
    assert_int_equal(out.bytes, 64 * 2 * 18);
}

static void last_rule_wins(void **state) {
    (void)state;
    Tensor t[COUNT];
    PlanEntry e[COUNT];
    Error err = {0};
    small_llama(t);
    const PlanRule rules[] = {{"blk", DT_Q5_0}, {"down_proj", DT_Q6_K}, {"norm|lm_head", DT_F32}, {"^token", DT_F16}};
    PlanRequest q = q4_0;
    q.rules = rules;
    q.rule_count = 4;
    assert_true(plan_make(&q, t, COUNT, e, &err));
    assert_int_equal(e[Q].type, DT_Q5_0);
    assert_int_equal(e[DOWN].type, DT_Q6_K); // matched by its source name
    assert_int_equal(e[NORM].type, DT_F32);  // a plain type goes to vectors too; "blk"'s block type did not
    assert_int_equal(e[HEAD].type, DT_F32);
    assert_int_equal(e[EMBED].type, DT_F16);
}

// Expects an error that holds each of two texts.
static void refused(const PlanRequest *q, const Tensor *t, size_t count, const char *has, const char *also) {
    PlanEntry e[COUNT];
    Error err = {0};
    assert_false(plan_make(q, t, count, e, &err));
    if (!strstr(err.text, has) || !strstr(err.text, also)) fail_msg("the message was: %s", err.text);
}

static void with_rule(PlanRequest *q, PlanRule *rule, const char *pattern, DType type) {
    *rule = (PlanRule){pattern, type};
    *q = q4_0;
    q->rules = rule;
    q->rule_count = 1;
}

static void rules_refused(void **state) {
    (void)state;
    Tensor t[COUNT];
    PlanRequest q;
    PlanRule rule;
    small_llama(t);
    with_rule(&q, &rule, "blk.7", DT_Q8_0);
    refused(&q, t, COUNT, "--only blk.7=q8_0", "matches no tensor");
    with_rule(&q, &rule, "norm", DT_Q8_0);
    refused(&q, t, COUNT, "only vectors", "blk.0.attn_norm.weight [64]");
    with_rule(&q, &rule, "(attn", DT_Q8_0);
    refused(&q, t, COUNT, "not a regular expression", "at character 5");
    with_rule(&q, &rule, "(([a-z._0-9]+)+)+[0-9]$", DT_Q8_0); // backtracks for ages: PCRE2's limit ends it
    refused(&q, t, COUNT, "--only", "simpler expression");
}

static void widths_refused(void **state) {
    (void)state;
    Tensor t[COUNT];
    small_llama(t);
    PlanRequest q = q4_0;
    q.type = DT_Q4_K;
    refused(&q, t, COUNT, "1 tensor: blk.0.attn_q.weight [64, 64]", "--fallback q5_0");
    q.embed_type = q.output_type = DT_Q4_K;
    refused(&q, t, COUNT, "3 tensors: token_embd.weight [96, 64], blk.0.attn_q.weight", "--fallback");
    q.has_fallback = true;
    q.fallback = DT_Q6_K;
    refused(&q, t, COUNT, "--fallback q6_k", "either: token_embd.weight");
    t[Q].shape[1] = 72; // nothing in blocks suits it
    q = q4_0;
    refused(&q, t, COUNT, "q4_0 has blocks of 32", "--fallback f16");
}

static void tied_head(void **state) {
    (void)state;
    Tensor t[COUNT];
    PlanEntry e[COUNT];
    Error err = {0};
    small_llama(t);
    PlanRequest q = q4_0;
    q.output_asked = true;
    assert_true(plan_make(&q, t, TIED, e, &err)); // both q8_0
    q.output_type = DT_Q5_0;
    refused(&q, t, TIED, "--output-type q5_0", "tied");
    assert_true(plan_make(&q, t, COUNT, e, &err));
}

static void requantizing(void **state) {
    (void)state;
    Tensor t[COUNT];
    PlanEntry e[COUNT];
    Error err = {0};
    small_llama(t);
    t[EMBED].type = DT_Q8_0;
    PlanRequest q = q4_0;
    assert_true(plan_make(&q, t, COUNT, e, &err)); // the embedding stays q8_0: a copy
    t[Q].type = DT_Q8_0;
    refused(&q, t, COUNT, "1 tensor is already quantized (q8_0: blk.0.attn_q.weight", "--requantize");
    q.requantize = true;
    assert_true(plan_make(&q, t, COUNT, e, &err));
    assert_int_equal(e[Q].type, DT_Q4_0);
}

static void many_are_counted(void **state) {
    (void)state;
    Tensor t[COUNT] = {0};
    char names[COUNT][32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "blk.%d.attn_q.weight", i);
        t[i] = tensor(names[i], NULL, 2, 64, 64);
    }
    PlanRequest q = q4_0;
    q.type = DT_Q4_K;
    refused(&q, t, COUNT, "5 tensors: blk.0", "blk.2.attn_q.weight [64, 64] and 2 more");
}

// Routers and learned positions decide much and are small: they stay, unless a rule names them.
static void what_is_kept(void **state) {
    (void)state;
    Tensor t[] = {tensor("blk.0.ffn_gate_inp.weight", NULL, 2, 8, 64), tensor("position_embd.weight", NULL, 2, 32, 64),
                  tensor("blk.0.ffn_gate.3.weight", NULL, 2, 32, 64)};
    PlanRule rule = {"gate_inp", DT_Q8_0};
    PlanRequest q = {.type = DT_Q4_0, .embed_type = DT_Q4_0, .output_type = DT_Q4_0};
    PlanEntry e[3];
    Error err = {0};
    assert_true(plan_make(&q, t, 3, e, &err));
    assert_int_equal(e[0].type, DT_BF16);
    assert_int_equal(e[1].type, DT_BF16);
    assert_int_equal(e[2].type, DT_Q4_0);
    q.rules = &rule;
    q.rule_count = 1;
    assert_true(plan_make(&q, t, 3, e, &err));
    assert_int_equal(e[0].type, DT_Q8_0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept),  cmocka_unit_test(by_kind),          cmocka_unit_test(last_rule_wins),
        cmocka_unit_test(rules_refused), cmocka_unit_test(widths_refused),   cmocka_unit_test(tied_head),
        cmocka_unit_test(requantizing),  cmocka_unit_test(many_are_counted),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
