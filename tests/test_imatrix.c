// llama.cpp's importance matrices: written and read back in both forms, read as llama.cpp's own code lays them out,
// experts and fused attention taken apart and put together, lies refused. That llama-quantize takes ours and that
// llama-imatrix gives the same numbers is checked by scripts/check_imatrix.py.
#include "core/mem.h"
#include "formats/imatrix.h"
#include "tests/gguf_build.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>

static char directory[64], gguf[128], dat[128];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(gguf, sizeof gguf, "%s/a.gguf", directory);
    snprintf(dat, sizeof dat, "%s/a.dat", directory);
    return 0;
}

enum { COLS = 3 };

static void add(StatsWriter *w, const char *name, double tokens, float first) {
    Error err = {0};
    float importance[COLS] = {first, first + 1, first / 3};
    StatsTensor t = {
        .name = (char *)(uintptr_t)name, .rows = 4, .cols = COLS, .tokens = tokens, .importance = importance};
    stats_no_losses(t.loss);
    if (!stats_add(w, &t, &err)) fail_msg("%s", err.text);
}

// Experts 0 and 2 of four were chosen.
static Stats *make(void) {
    Error err = {0};
    StatsInfo info = {.text_name = "wiki.txt", .windows = 3, .ctx = 64, .tokens = 192, .experts = 4};
    StatsWriter *w = stats_create(NULL, &info, &err);
    add(w, "token_embd.weight", 192, 0.5F);
    add(w, "blk.1.attn_q.weight", 192, 1);
    add(w, "blk.1.attn_k.weight", 192, 1);
    add(w, "blk.1.attn_v.weight", 192, 1);
    add(w, "blk.0.attn_q.weight", 192, 2);
    add(w, "blk.0.ffn_up.2.weight", 100, 3);
    add(w, "blk.0.ffn_up.0.weight", 92, 4);
    add(w, "blk.0.ffn_gate_inp.weight", 192, 5);
    Stats *s = stats_commit(w, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

static Stats *must_read(const char *path, int64_t experts) {
    Error err = {0};
    assert_true(imatrix_is(path));
    Stats *s = imatrix_read(path, experts, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

static void same(const Stats *a, const Stats *b, const char *name, double tokens) {
    const StatsTensor *x = stats_find(a, name), *y = stats_find(b, name);
    assert_true(x && y);
    assert_int_equal(y->cols, x->cols);
    if (y->tokens != (tokens > 0 ? tokens : x->tokens)) fail_msg("%s: %g tokens", name, y->tokens);
    for (int j = 0; j < COLS; j++) assert_true(fabsf(x->importance[j] - y->importance[j]) <= 1e-6F * x->importance[j]);
}

static void test_round_trips(void **state) {
    (void)state;
    static const char *const names[] = {"token_embd.weight",     "blk.1.attn_q.weight",      "blk.1.attn_k.weight",
                                        "blk.1.attn_v.weight",   "blk.0.attn_q.weight",      "blk.0.ffn_up.2.weight",
                                        "blk.0.ffn_up.0.weight", "blk.0.ffn_gate_inp.weight"};
    Error err = {0};
    Stats *s = make();
    if (!imatrix_write(gguf, s, &err) || !imatrix_write(dat, s, &err)) fail_msg("%s", err.text);
    Stats *back = must_read(gguf, 0);
    assert_int_equal(stats_count(back), 8);
    assert_int_equal(stats_info(back)->experts, 4);
    assert_int_equal(stats_info(back)->windows, 3);
    assert_int_equal(stats_info(back)->ctx, 64);
    assert_string_equal(stats_info(back)->text_name, "wiki.txt");
    for (size_t i = 0; i < 8; i++) same(s, back, names[i], 0);
    stats_close(back);

    // The older form knows calls instead of tokens (of 512), and gives ones for experts that were not chosen.
    back = must_read(dat, 4);
    assert_int_equal(stats_count(back), 10);
    assert_int_equal(stats_info(back)->windows, 3);
    assert_string_equal(stats_info(back)->text_name, "wiki.txt");
    for (size_t i = 0; i < 8; i++) same(s, back, names[i], strstr(names[i], "ffn_up.") ? 2 * 512 : 3 * 512);
    for (int j = 0; j < COLS; j++) assert_true(stats_find(back, "blk.0.ffn_up.3.weight")->importance[j] == 1);
    stats_close(back);
    assert_null(imatrix_read(dat, 0, &err));
    assert_non_null(strstr(err.text, "give the model"));
    assert_null(imatrix_read(dat, 5, &err));
    assert_non_null(strstr(err.text, "5 experts"));
    stats_close(s);
}

// One layer whose attention is fused, as engines name it.
static void build_fused(Build *b, const char *counts, bool also_k) {
    build_words(b, "GGUF 4:3");
    build_number(b, also_k ? 4 : 2, 8);
    build_words(b, "8:1 s:general.type 4:8 s:imatrix");
    build_words(b, "s:blk.0.attn_qkv.weight.counts 4:2 8:1 8:1 4:0 8:0");
    build_words(b, "s:blk.0.attn_qkv.weight.in_sum2 4:2 8:3 8:1 4:0 8:32");
    if (also_k) {
        build_words(b, "s:blk.0.attn_k.weight.counts 4:2 8:1 8:1 4:0 8:64");
        build_words(b, "s:blk.0.attn_k.weight.in_sum2 4:2 8:3 8:1 4:0 8:96");
    }
    float ten = 10, sums[3] = {10, 20, 5}, others[3] = {1, 2, 3};
    build_words(b, counts);
    if (strcmp(counts, "a:32") == 0) build_bytes(b, &ten, 4);
    build_align(b, 32);
    build_bytes(b, sums, sizeof sums);
    if (!also_k) return;
    build_align(b, 32);
    build_bytes(b, &ten, 4);
    build_align(b, 32);
    build_bytes(b, others, sizeof others);
}

static void test_fused(void **state) {
    (void)state;
    static const char *const names[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"};
    for (int also_k = 0; also_k < 2; also_k++) {
        Build b = {0};
        build_fused(&b, "a:32", also_k);
        tiny_put(gguf, b.data, b.size);
        build_free(&b);
        Stats *s = must_read(gguf, 0);
        assert_int_equal(stats_count(s), 3);
        for (int i = 0; i < 3; i++) {
            const StatsTensor *t = stats_find(s, names[i]);
            assert_true(t && t->tokens == 10);
            assert_true(t->importance[1] == (also_k && i == 1 ? 0.2F : 2));
        }
        stats_close(s);
    }
}

static void must_refuse(const char *path, const Build *b, const char *why) {
    Error err = {0};
    tiny_put(path, b->data, b->size);
    Stats *s = imatrix_read(path, 0, &err);
    if (s) fail_msg("passed, where %s was wrong", why);
    if (!strstr(err.text, why) || !strstr(err.text, path)) fail_msg("%s: %s", why, err.text);
}

static void test_lies_gguf(void **state) {
    (void)state;
    static const struct {
        const char *words, *why;
    } lies[] = {
        {"GGUF 4:3 8:0 8:1 s:general.type 4:8 s:imatrix", "no tensors"},
        {"GGUF 4:3 8:0 8:1 s:general.type 4:8 s:model", "no importance matrix"},
        {"GGUF 4:3 8:0 8:1 s:imatrix.chunk_count 4:8 s:3", "chunk_count"},
        {"GGUF 4:3 8:0 8:1 s:imatrix.datasets 4:8 s:x", "datasets"},
        {"GGUF 4:3 8:1 8:0 s:a.weight 4:1 8:1 4:0 8:0 a:32 z:4", "neither"},
        {"GGUF 4:3 8:1 8:0 s:a.weight.counts 4:1 8:1 4:0 8:0 a:32 z:4", "no in_sum2"},
        {"GGUF 4:3 8:1 8:0 s:a.weight.in_sum2 4:1 8:1 4:0 8:0 a:32 z:4", "no counts"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:2 4:1 8:0 s:a.counts 4:1 8:1 4:0 8:32 a:32 z:36", "f32"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:2 4:0 8:0 s:a.counts 4:1 8:2 4:0 8:32 a:32 z:40", "not experts"},
        {"GGUF 4:3 8:2 8:0 s:a_exps.weight.in_sum2 4:1 8:3 4:0 8:0 s:a_exps.weight.counts 4:1 8:2 4:0 8:32 a:32 z:40",
         "3 sums"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:1 4:0 8:0 s:a.counts 4:1 8:1 4:0 8:32 a:32 z:32 4:0x3fc00000",
         "1.5 tokens"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:1 4:0 8:0 s:a.counts 4:1 8:1 4:0 8:32 a:32 z:32 4:0xbf800000",
         "-1 tokens"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:1 4:0 8:0 s:a.counts 4:1 8:1 4:0 8:32 a:32 4:0x7fc00000 z:28 4:0x3f800000",
         "not finite"},
        {"GGUF 4:3 8:2 8:0 s:a.in_sum2 4:1 8:1 4:0 8:0 s:a.counts 4:1 8:1 4:0 8:32 a:32 4:0xbf800000 z:28 4:0x3f800000",
         "not finite"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        Build b = {0};
        build_words(&b, lies[i].words);
        must_refuse(gguf, &b, lies[i].why);
        build_free(&b);
    }
    assert_false(imatrix_is("/nonexistent"));
}

static void test_lies_dat(void **state) {
    (void)state;
    static const struct {
        const char *words, *why;
    } lies[] = {
        {"4:0", "0 entries"},
        {"4:0xffffffff", "-1 entries"},
        {"4:1", "cut short"},
        {"4:1 4:0 4:1 4:1 4:0", "name of 0"},
        {"4:1 4:0x7fffffff a", "name of 2147483647"},
        {"4:1 4:3 ab", "cut short"},
        {"4:1 4:1 z:1 4:1 4:1 4:0", "NUL"},
        {"4:1 4:1 a 4:0xffffffff 4:1 4:0", "-1 calls"},
        {"4:1 4:1 a 4:1 4:0", "0 values"},
        {"4:1 4:1 a 4:1 4:0x7fffffff 4:0", "cut short"},
        {"4:1 4:1 a 4:1 4:1 4:0x7f800000", "not finite"},
        {"4:1 4:1 a 4:1 4:1 4:0 4:0xffffffff", "chunks"},
        {"4:1 4:1 a 4:1 4:1 4:0 4:1 4:9 abc", "cut short"},
        {"4:1 4:1 a 4:1 4:1 4:0 4:1 4:2 abc", "goes on"},
        {"4:2 4:1 a 4:1 4:1 4:0 4:1 a 4:1 4:1 4:0", "twice"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        Build b = {0};
        build_words(&b, lies[i].words);
        must_refuse(dat, &b, lies[i].why);
        build_free(&b);
    }
    // Without what may be at its end, and with 0 calls.
    Build b = {0};
    build_words(&b, "4:1 4:1 a 4:0 4:1 4:0x3f800000");
    tiny_put(dat, b.data, b.size);
    build_free(&b);
    Stats *s = must_read(dat, 0);
    assert_true(stats_find(s, "a")->importance[0] == 1);
    stats_close(s);
}

static void test_cuts(void **state) {
    (void)state;
    Error err = {0};
    Stats *s = make();
    if (!imatrix_write(gguf, s, &err) || !imatrix_write(dat, s, &err)) fail_msg("%s", err.text);
    stats_close(s);
    for (int form = 0; form < 2; form++) {
        const char *path = form ? dat : gguf;
        size_t size;
        uint8_t *data = tiny_get(path, &size);
        for (size_t cut = 0; cut < size; cut++) {
            tiny_put(path, data, cut);
            s = imatrix_read(path, 4, &err);
            // Without its end a .dat is whole; padding at the end of a GGUF says nothing.
            if (s && !(form && cut == size - 4 - 4 - 8) && !(form && cut == size - 4 - 8) &&
                !(!form && cut + 32 > size))
                fail_msg("%s cut at %zu of %zu passed", path, cut, size);
            stats_close(s);
        }
        free(data);
    }
}

static void test_memory(void **state) {
    (void)state;
    Error err = {0};
    for (int form = 0; form < 2; form++) {
        const char *path = form ? dat : gguf;
        Stats *s = make();
        mem_fail_at(0);
        if (!imatrix_write(path, s, &err)) fail_msg("%s", err.text);
        size_t count = mem_fail_at(0);
        unlink(path);
        for (size_t n = 1; n <= count; n++) {
            mem_fail_at(n);
            assert_false(imatrix_write(path, s, &err));
            mem_fail_at(0);
            assert_true(access(path, F_OK) != 0);
        }
        if (!imatrix_write(path, s, &err)) fail_msg("%s", err.text);
        stats_close(s);
        mem_fail_at(0);
        stats_close(imatrix_read(path, 4, &err));
        count = mem_fail_at(0);
        for (size_t n = 1; n <= count; n++) {
            mem_fail_at(n);
            assert_null(imatrix_read(path, 4, &err));
            mem_fail_at(0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_fused), cmocka_unit_test(test_lies_gguf),
        cmocka_unit_test(test_lies_dat),    cmocka_unit_test(test_cuts),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
