// A tokenizer.json is somebody's program over the user's text: what it may make of a text, and how long that may take,
// has limits.
#include "core/mem.h"
#include "eval/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

// A tokenizer of four tokens with this member: "KEY": {"type": "Sequence", "LIST": [STEP, STEP, ...]}.
static Tokenizer *make(const char *key, const char *list, const char *step, int count) {
    char json[16384], *at = json;
    Error err = {0};
    at += sprintf(at,
                  "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \" \": 2, \"?\": 3}, \"merges\": "
                  "[], \"unk_token\": \"?\"}, \"%s\": {\"type\": \"Sequence\", \"%s\": [",
                  key, list);
    for (int i = 0; i < count; i++) at += sprintf(at, "%s%s", i ? "," : "", step);
    strcpy(at, "]}}");
    Model *model = model_new("test", &err);
    if (!model || !model_add_file(model, "tokenizer.json", json, strlen(json), &err)) fail_msg("%s", err.text);
    Tokenizer *t = tokenizer_new(model, &err);
    if (!t) fail_msg("%s", err.text);
    model_free(model);
    return t;
}

static void refuses(const Tokenizer *t, const char *text, size_t size, const char *why) {
    Error err = {0};
    Ids ids = {0};
    if (tokenizer_encode(t, text, size, true, &ids, &err)) fail_msg("%zu ids", ids.count);
    if (!strstr(err.text, why)) fail_msg("%s", err.text);
}

// ---- growth

#define DOUBLE "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aa\"}"

static void test_normalizers_that_double(void **state) {
    (void)state;
    Tokenizer *t = make("normalizer", "normalizers", DOUBLE, 60);
    refuses(t, "aaa", 3, "more than 1324 bytes of a text of 3");
    tokenizer_free(t);
}

static void test_pre_tokenizers_that_double(void **state) {
    (void)state;
    static const char step[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}";
    Tokenizer *t = make("pre_tokenizer", "pretokenizers", step, 60);
    refuses(t, "\xC3\xA9", 2, "more than 1224 bytes");
    tokenizer_free(t);
}

static void test_decoders_that_double(void **state) {
    (void)state;
    Tokenizer *t = make("decoder", "decoders", DOUBLE, 60);
    Error err = {0};
    char *text = NULL;
    size_t size;
    int32_t id = 0;
    assert_false(tokenizer_decode(t, &id, 1, false, &text, &size, &err));
    if (!strstr(err.text, "more than 1124 bytes of a text of 1")) fail_msg("%s", err.text);
    tokenizer_free(t);
}

// ---- time

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// At no place of the text too many steps, but millions at each of them; or few steps that look far ahead.
static void test_expressions_without_end(void **state) {
    (void)state;
    static const char *const expressions[] = {"(?:.|.){0,22}c|\\\\S", "a*c|\\\\S"};
    static const size_t sizes[] = {400, 200000};
    for (size_t i = 0; i < 2; i++) {
        char step[200];
        snprintf(step, sizeof step,
                 "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, \"behavior\": \"Isolated\", \"invert\": "
                 "false}",
                 expressions[i]);
        Tokenizer *t = make("pre_tokenizer", "pretokenizers", step, 1);
        char *text = malloc(sizes[i]);
        assert_non_null(text);
        memset(text, 'a', sizes[i]);
        double start = seconds();
        refuses(t, text, sizes[i], "takes seconds for a text");
        assert_true(seconds() - start < 60);
        free(text);
        tokenizer_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalizers_that_double),
        cmocka_unit_test(test_pre_tokenizers_that_double),
        cmocka_unit_test(test_decoders_that_double),
        cmocka_unit_test(test_expressions_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
