// Types chosen to a budget for a whole model, by statistics and without.
#include "cli/quant_choose.h"
#include "convert/open.h"
#include "core/mem.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static Model *kjv;
static char stats_file[64];

static QuantOptions options_of(uint64_t bytes) {
    QuantOptions o = {.budget = {.kind = BUDGET_SIZE, .text = "?", .bytes = bytes}};
    const DType types[] = {DT_Q8_0, DT_Q5_0, DT_Q4_0, DT_Q6_K, DT_Q4_K};
    o.allowed_count = sizeof types / sizeof *types;
    memcpy(o.allowed, types, sizeof types);
    return o;
}

static uint64_t bytes_of(const Choice *c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < kjv->tensor_count; i++) {
        Tensor out;
        const PlanEntry e = {.type = c->types[i]};
        assert_true(plan_tensor(&kjv->tensors[i], &e, &out, NULL));
        bytes += out.bytes;
    }
    return bytes;
}

static DType type_of(const Choice *c, const char *name) { return c->types[model_tensor(kjv, name) - kjv->tensors]; }

// What the statistics say: of each matrix but the embedding, a loss that falls with the bytes; that of one is so large
// that it must not be rounded at all.
static void stats_write(const char *dear) {
    Error err = {0};
    const StatsInfo info = {.kind = STATS_FISHER, .windows = 3, .ctx = 512, .tokens = 1536};
    StatsWriter *w = stats_create(stats_file, &info, &err);
    assert_non_null(w);
    for (size_t i = 0; i < kjv->tensor_count; i++) {
        const Tensor *t = &kjv->tensors[i];
        if (plan_keeps(t) || strcmp(t->name, "token_embd.weight") == 0) continue;
        StatsTensor entry = {.name = t->name, .rows = tensor_rows(t), .cols = tensor_cols(t), .tokens = 1536};
        float *ones = mem_alloc((size_t)entry.cols, sizeof *ones, &err);
        assert_non_null(ones);
        for (int64_t j = 0; j < entry.cols; j++) ones[j] = 1;
        entry.importance = ones;
        stats_no_losses(entry.loss);
        double scale = strcmp(t->name, dear) == 0 ? 1000 : 1e-3;
        entry.loss[DT_Q8_0] = scale * 0.01;
        entry.loss[DT_Q6_K] = scale * 0.1;
        entry.loss[DT_Q5_0] = scale * 0.3;
        entry.loss[DT_Q4_0] = scale;
        entry.loss[DT_IQ4_NL] = 0; // not allowed: must not be taken
        assert_true(stats_add(w, &entry, &err));
        mem_free(ones);
    }
    Stats *s = stats_commit(w, &err);
    if (!s) fail_msg("%s", err.text);
    stats_close(s);
}

static void without_statistics(void **unused) {
    (void)unused;
    double last = INFINITY;
    for (uint64_t bytes = 560 << 10; bytes < 1660 << 10; bytes += 50021) {
        QuantOptions o = options_of(bytes);
        Choice c;
        Error err = {0};
        if (!choice_make(kjv, &o, NULL, &c, &err)) fail_msg("%s", err.text);
        assert_true(bytes_of(&c) == c.taken);
        assert_true(c.taken <= bytes);
        assert_true(c.loss <= last);
        last = c.loss;
        choice_free(&c);
    }
}

static void with_statistics(void **unused) {
    (void)unused;
    static const char dear[] = "blk.2.attn_k.weight";
    stats_write(dear);
    Error err = {0};
    Stats *s = stats_open(stats_file, &err);
    if (!s) fail_msg("%s", err.text);
    QuantOptions o = options_of(700 << 10);
    Choice c;
    assert_true(choice_make(kjv, &o, s, &c, &err));
    assert_true(type_of(&c, dear) == DT_BF16);
    assert_true(c.guessed == 1); // the embedding
    assert_true(isfinite(c.loss) && c.loss < 1);
    for (size_t i = 0; i < kjv->tensor_count; i++) assert_true(c.types[i] != DT_IQ4_NL);
    choice_free(&c);
    stats_close(s);
    unlink(stats_file);
}

static void refused(const QuantOptions *o, const char *word) {
    Choice c;
    Error err = {0};
    assert_false(choice_make(kjv, o, NULL, &c, &err));
    if (!strstr(err.text, word)) fail_msg("%s", err.text);
    choice_free(&c);
}

static void ranges(void **unused) {
    (void)unused;
    QuantOptions o = options_of(100);
    refused(&o, "below the smallest possible");
    o = options_of(1 << 30);
    refused(&o, "above what it has now");
    o.budget = (Budget){.kind = BUDGET_BITS, .bits = 17};
    refused(&o, "17.000 bits is above what it has now, 16.000 bits");
    o.budget = (Budget){.kind = BUDGET_FIT, .text = "1MiB", .bytes = 1 << 20, .context = 512};
    refused(&o, "without the weights");
}

// What rules name stays theirs and is counted; what no allowed type divides stays as it is.
static void pinned(void **unused) {
    (void)unused;
    QuantOptions o = options_of(1000 << 10);
    o.rules[0] = (PlanRule){"attn_q", DT_F16};
    o.request.rules = o.rules;
    o.request.rule_count = 1;
    o.allow_given = true;
    o.allowed_count = 1;
    o.allowed[0] = DT_Q4_K; // 256 wide: ffn_down alone
    Choice c;
    Error err = {0};
    o.budget.bytes = 1650 << 10;
    if (!choice_make(kjv, &o, NULL, &c, &err)) fail_msg("%s", err.text);
    assert_true(type_of(&c, "blk.0.ffn_down.weight") == DT_Q4_K);
    assert_true(type_of(&c, "blk.0.ffn_up.weight") == DT_BF16);
    choice_free(&c);
}

static void out_of_memory(void **unused) {
    (void)unused;
    QuantOptions o = options_of(1000 << 10);
    size_t n = 1;
    for (bool ok = false; !ok; n += n < 40 ? 1 : 7) { // threads take turns in no fixed order: some failures suffice
        Choice c;
        Error err = {0};
        mem_fail_at(n);
        ok = choice_make(kjv, &o, NULL, &c, &err);
        mem_fail_at(0);
        choice_free(&c);
        assert_true(ok || err.text[0]);
    }
    assert_true(n > 40);
}

int main(void) {
    Error err = {0};
    kjv = model_open("tests/data/kjv", &err);
    if (!kjv) return 1;
    snprintf(stats_file, sizeof stats_file, "/tmp/nibble-choose-%ld.stats", (long)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_statistics),
        cmocka_unit_test(with_statistics),
        cmocka_unit_test(ranges),
        cmocka_unit_test(pinned),
        cmocka_unit_test(out_of_memory),
    };
    int failed = cmocka_run_group_tests_name("types to a budget", tests, NULL, NULL);
    model_free(kjv);
    return failed;
}
