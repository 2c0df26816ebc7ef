// Tokenizers against what the `tokenizers` library made of the same files and texts
// (scripts/make_tokenizer_goldens.py), against hostile files, long runs, and memory that runs out.
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/expression.h"
#include "eval/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "tests/data/"

// A model that consists of a tokenizer.json only.
static Tokenizer *tokenizer_of(const char *json, size_t size, Error *err) {
    ModelFile file = {.name = (char *)(uintptr_t) "tokenizer.json", .data = (uint8_t *)(uintptr_t)json, .size = size};
    Model model = {.path = (char *)(uintptr_t) "test", .files = &file, .file_count = 1};
    return tokenizer_new(&model, err);
}

static char *must_read(const char *path, size_t *size) {
    Error err = {0};
    char *text = file_read(path, 1 << 24, size, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

static Tokenizer *must_open(const char *name) {
    char path[128];
    size_t size;
    Error err = {0};
    snprintf(path, sizeof path, DATA "tokenizers/%s.json", name);
    char *json = must_read(path, &size);
    Tokenizer *t = tokenizer_of(json, size, &err);
    if (!t) fail_msg("%s", err.text);
    mem_free(json);
    return t;
}

static cJSON *must_parse(const char *path) {
    Error err = {0};
    cJSON *json = json_read(path, 1 << 24, &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

// ---- the library's ids

// The ids at `from` are those of the array; returns how many.
static size_t same_ids(const cJSON *expected, const Ids *ids, size_t from, const char *what) {
    size_t i = 0;
    const cJSON *id;
    cJSON_ArrayForEach(id, expected) {
        if (from + i >= ids->count || ids->ids[from + i] != id->valueint)
            fail_msg("%s: id %zu is %d, not %d", what, from + i, from + i < ids->count ? ids->ids[from + i] : -1,
                     id->valueint);
        i++;
    }
    return i;
}

static void check_decoded(const Tokenizer *t, const Ids *ids, bool keep_special, const cJSON *expected,
                          const char *what) {
    Error err = {0};
    char *text;
    size_t size;
    if (!tokenizer_decode(t, ids->ids, ids->count, keep_special, &text, &size, &err))
        fail_msg("%s: %s", what, err.text);
    if (size != strlen(expected->valuestring) || memcmp(text, expected->valuestring, size) != 0)
        fail_msg("%s: decodes to something else", what);
    mem_free(text);
}

static void check_golden(const char *name) {
    char path[128];
    size_t size;
    Error err = {0};
    Ids ids;
    Tokenizer *t = must_open(name);
    snprintf(path, sizeof path, DATA "tokenizers/%s.golden.json", name);
    cJSON *golden = must_parse(path);

    char *text = must_read(DATA "unicode.txt", &size);
    assert_true(tokenizer_encode(t, text, size, true, &ids, &err));
    size_t at = same_ids(json_member(golden, "prefix"), &ids, 0, name);
    assert_int_equal(tokenizer_bos(t), at ? ids.ids[0] : -1);
    at += same_ids(json_member(golden, "unicode"), &ids, at, name);
    at += same_ids(json_member(golden, "suffix"), &ids, at, name);
    assert_int_equal(at, ids.count);
    check_decoded(t, &ids, false, json_member(golden, "decoded"), name);
    check_decoded(t, &ids, true, json_member(golden, "decoded_special"), name);
    ids_free(&ids);
    mem_free(text);

    text = must_read(DATA "invalid-utf8.txt", &size);
    assert_true(tokenizer_encode(t, text, size, false, &ids, &err));
    assert_int_equal(same_ids(json_member(golden, "invalid"), &ids, 0, name), ids.count);
    ids_free(&ids);
    mem_free(text);

    text = must_read(DATA "newer.txt", &size);
    assert_true(tokenizer_encode(t, text, size, false, &ids, &err));
    assert_int_equal(same_ids(json_member(golden, "newer"), &ids, 0, name), ids.count);
    ids_free(&ids);
    mem_free(text);
    cJSON_Delete(golden);
    tokenizer_free(t);
}

static void test_byte_level(void **state) {
    (void)state;
    check_golden("llama3");
}
static void test_byte_fallback(void **state) {
    (void)state;
    check_golden("llama2");
}
static void test_mixed_steps(void **state) {
    (void)state;
    check_golden("mixed");
}
static void test_unigram(void **state) {
    (void)state;
    check_golden("unigram");
    check_golden("unigram-bytes");
}

// ---- expressions

static void check_expression(ExpressionScratch *scratch, const cJSON *c) {
    const char *pattern = json_text(c, "pattern"), *text = json_text(c, "text");
    const cJSON *match = json_member(c, "matches")->child, *between = json_member(c, "between")->child;
    Error err = {0};
    Expression *e = expression_new(pattern, strlen(pattern), &err);
    if (!e) fail_msg("%s", err.text);
    size_t start, end, done = 0, size = strlen(text);
    ExpressionWalk walk = expression_walk(e, scratch, text, size);
    for (bool more = true; more; done = end) {
        ExpressionResult result = expression_next(&walk, &start, &end, &err);
        if (result == EXPRESSION_FAILED) fail_msg("%s", err.text);
        more = result == EXPRESSION_FOUND;
        if (!more) start = end = size;
        if (start > done) {
            if (!between || strlen(between->valuestring) != start - done ||
                memcmp(between->valuestring, text + done, start - done) != 0)
                fail_msg("%s: between is \"%.*s\"", pattern, (int)(start - done), text + done);
            between = between->next;
        }
        if (end > start) {
            if (!match || strlen(match->valuestring) != end - start ||
                memcmp(match->valuestring, text + start, end - start) != 0)
                fail_msg("%s: matches \"%.*s\"", pattern, (int)(end - start), text + start);
            match = match->next;
        }
    }
    if (match || between) fail_msg("%s: matches too little", pattern);
    expression_free(e);
}

static void test_expressions(void **state) {
    (void)state;
    Error err = {0};
    ExpressionScratch *scratch = expression_scratch_new(&err);
    cJSON *cases = must_parse(DATA "tokenizers/expressions.json"), *c;
    assert_true(cJSON_GetArraySize(cases) > 30);
    cJSON_ArrayForEach(c, cases) check_expression(scratch, c);
    cJSON_Delete(cases);
    expression_scratch_free(scratch);
}

static void test_expression_refusals(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"(a", "parenthesis"},    {"a)", "too many"},         {"[a", "not closed"},
        {"[a&&b]", "&&"},         {"[a[^b]]", "negated"},     {"(?x)a", "(?x"},
        {"a(?i)b", "options"},    {"(*FAIL)", "(*"},          {"\\Qa", "\\Q"},
        {"[\\W]", "complement"},  {"\\p{Nonsense}", "p{"},    {"\\xE9", "\\x"},
        {"*a", "quantifier"},     {"a\\", "backslash"},       {"\\u12", "\\u"},
        {"[[:what:]]", "[:what"}, {"(?<=a+)b", "lookbehind"}, {"\\g<1>", "\\g"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        Expression *e = expression_new(cases[i][0], strlen(cases[i][0]), &err);
        if (e || !strstr(err.text, cases[i][1]) || !strstr(err.text, cases[i][0]))
            fail_msg("%s: \"%s\" does not say %s", cases[i][0], err.text, cases[i][1]);
    }
}

// An expression that backtracks without end is an error, soon.
static void test_expression_limit(void **state) {
    (void)state;
    Error err = {0};
    char text[64];
    memset(text, 'a', sizeof text);
    ExpressionScratch *scratch = expression_scratch_new(&err);
    Expression *e = expression_new("(a|aa)+[bc]", 11, &err);
    size_t start, end;
    ExpressionWalk walk = expression_walk(e, scratch, text, sizeof text);
    assert_int_equal(expression_next(&walk, &start, &end, &err), EXPRESSION_FAILED);
    assert_non_null(strstr(err.text, "limit"));
    expression_free(e);
    expression_scratch_free(scratch);
}

// ---- hostile files

// What is put in the place of @ in a file that is fine without it, and what the message must say.
typedef struct Hostile {
    const char *model, *rest, *message;
} Hostile;

#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define MODEL "\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"]"
#define TOKEN(id, content)                                                                                             \
    "{\"id\":" id ",\"content\":\"" content                                                                            \
    "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":true}"

static const Hostile hostile[] = {
    {"\"merges\":[]", "", "\"vocab\" is missing"},
    {"\"type\":\"BPE\"," VOCAB, "", "\"merges\" is missing"},
    {"\"type\":\"WordPiece\"", "", "\"WordPiece\" is not supported"},
    {"\"vocab\":{}", "", "no \"type\""},
    {"\"type\":\"BPE\",\"vocab\":{},\"merges\":[]", "", "\"vocab\" is empty"},
    {"\"type\":\"BPE\",\"vocab\":[],\"merges\":[]", "", "\"vocab\" is missing or not an object"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]", "", "id -1 is not a whole number"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":0.5},\"merges\":[]", "", "id 0.5"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":1e30},\"merges\":[]", "", "id 1e+30"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":10000001},\"merges\":[]", "", "id 1e+07"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"},\"merges\":[]", "", "not a number"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]", "", "id 0 is given to two tokens"},
    {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]", "", "\"a\" is there twice"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a c\"]", "", "\"merges\": entry 0: \"c\" is not in the vocabulary"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\",[\"b\",\"a\"]]", "", "entry 1: \"b\" and \"a\" together"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[\"ab\"]", "", "not two texts"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b c\"]", "", "not two texts"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[[\"a\"]]", "", "neither a string nor an array of two"},
    {"\"type\":\"BPE\"," VOCAB ",\"merges\":[7]", "", "neither a string nor an array of two"},
    {MODEL ",\"dropout\":0.1", "", "\"dropout\""},
    {MODEL ",\"byte_fallback\":1", "", "\"byte_fallback\" is neither true nor false"},
    {MODEL ",\"end_of_word_suffix\":\"</w>\"", "", "\"end_of_word_suffix\" is not supported"},
    {MODEL ",\"unk_token\":3", "", "\"unk_token\""},
    {MODEL, ",\"version\":\"2.0\"", "version \"2.0\""},
    {MODEL, ",\"added_tokens\":{}", "\"added_tokens\" is not an array"},
    {MODEL, ",\"added_tokens\":[{}]", "added token 0: has no \"id\""},
    {MODEL, ",\"added_tokens\":[{\"id\":3,\"content\":\"x\"}]", "has no \"single_word\""},
    {MODEL, ",\"added_tokens\":[" TOKEN("-3", "x") "]", "id -3"},
    {MODEL, ",\"added_tokens\":[" TOKEN("9", "x") "]", "has id 9, but its place in the vocabulary is 3"},
    {MODEL, ",\"added_tokens\":[" TOKEN("1", "a") "]", "has id 1, but its place in the vocabulary is 0"},
    {MODEL, ",\"added_tokens\":[" TOKEN("0", "a") "," TOKEN("0", "a") "]", "0 is there twice"},
    {MODEL, ",\"normalizer\":{\"type\":\"Nmt\"}", "normalizer Nmt: \"Nmt\" is not supported"},
    {MODEL, ",\"normalizer\":7", "not an object with a \"type\""},
    {MODEL, ",\"normalizer\":{\"type\":\"Sequence\"}", "has no \"normalizers\""},
    {MODEL, ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}", "parenthesis"},
    {MODEL, ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}", "is empty"},
    {MODEL, ",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}", "\"BertPreTokenizer\" is not supported"},
    {MODEL,
     ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\"},\"behavior\":\"Isolated\",\"invert\":false}",
     "expression \"[\""},
    {MODEL,
     ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},\"behavior\":\"Odd\",\"invert\":false}",
     "behavior \"Odd\""},
    {MODEL, ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false}", "\"pattern\""},
    {MODEL, ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"xy\"}", "not one character"},
    {MODEL, ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"x\",\"prepend_scheme\":\"no\"}", "\"no\""},
    {MODEL, ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", "\"add_prefix_space\" is missing"},
    {MODEL, ",\"decoder\":{\"type\":\"WordPiece\"}", "decoder WordPiece"},
    {MODEL, ",\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", "\"start\" is -1"},
    {MODEL, ",\"post_processor\":{\"type\":\"BertProcessing\"}", "post_processor BertProcessing"},
    {MODEL, ",\"post_processor\":{\"type\":\"TemplateProcessing\"}", "\"single\" is missing"},
    {MODEL, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}",
     "sequence A"},
    {MODEL, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}", "leaves out the sequence"},
    {MODEL, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}",
     "no ids for \"x\""},
};

static void test_hostile(void **state) {
    (void)state;
    char json[1024];
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        Error err = {0};
        int size = snprintf(json, sizeof json, "{\"model\":{%s}%s}", hostile[i].model, hostile[i].rest);
        assert_true(size > 0 && (size_t)size < sizeof json);
        Tokenizer *t = tokenizer_of(json, (size_t)size, &err);
        if (t) fail_msg("%s: is accepted", json);
        if (strncmp(err.text, "test: tokenizer.json: ", 22) != 0 || !strstr(err.text, hostile[i].message) ||
            strchr(err.text, '\n'))
            fail_msg("%s: says \"%s\", not \"%s\"", json, err.text, hostile[i].message);
    }
}

static void refuses_bytes(const char *bytes, size_t size, const char *message) {
    Error err = {0};
    assert_null(tokenizer_of(bytes, size, &err));
    if (!strstr(err.text, message)) fail_msg("says \"%s\", not \"%s\"", err.text, message);
}

static void test_broken_files(void **state) {
    (void)state;
    static const char good[] = "{\"model\":{" MODEL "}}";
    Error err = {0};
    Tokenizer *t = tokenizer_of(good, sizeof good - 1, &err);
    assert_non_null(t);
    tokenizer_free(t);
    for (size_t size = 0; size < sizeof good - 1; size++) refuses_bytes(good, size, "JSON");
    refuses_bytes("[]", 2, "not a JSON object");
    refuses_bytes("\xFF", 1, "not UTF-8 at byte 0");

    // Sequences inside of sequences, and brackets without end.
    char deep[4096] = "{\"model\":{" MODEL "},\"normalizer\":";
    for (int i = 0; i < 20; i++) strcat(deep, "{\"type\":\"Sequence\",\"normalizers\":[");
    strcat(deep, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 20; i++) strcat(deep, "]}");
    strcat(deep, "}");
    refuses_bytes(deep, strlen(deep), "nested deeper");
    char brackets[3000];
    memset(brackets, '[', sizeof brackets);
    refuses_bytes(brackets, sizeof brackets, "JSON");

    Model empty = {.path = (char *)(uintptr_t) "nothing"};
    assert_null(tokenizer_new(&empty, &err));
    assert_non_null(strstr(err.text, "nothing: has no tokenizer.json"));
}

// ---- odd but fine

static Tokenizer *must_make(const char *json) {
    Error err = {0};
    Tokenizer *t = tokenizer_of(json, strlen(json), &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void check_ids(const Tokenizer *t, const char *text, size_t size, const int32_t *expected, size_t count) {
    Error err = {0};
    Ids ids;
    if (!tokenizer_encode(t, text, size, true, &ids, &err)) fail_msg("%s", err.text);
    assert_int_equal(ids.count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(ids.ids[i], expected[i]);
    ids_free(&ids);
}

static void test_odd_vocabularies(void **state) {
    (void)state;
    // Ids with holes, no unknown token: what is unknown vanishes, and its neighbours meet.
    Tokenizer *t =
        must_make("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":5,\"b\":1,\"ab\":9},\"merges\":[[\"a\",\"b\"]]}}");
    check_ids(t, "abxa?b", 6, (int32_t[]){9, 9}, 2);
    check_ids(t, "", 0, NULL, 0);
    assert_int_equal(tokenizer_size(t), 10);
    char *text;
    size_t size;
    Error err = {0};
    assert_false(tokenizer_decode(t, (int32_t[]){9, 3}, 2, true, &text, &size, &err));
    assert_non_null(strstr(err.text, "id 3, number 1, is not in the vocabulary of 10"));
    assert_false(tokenizer_decode(t, (int32_t[]){10}, 1, true, &text, &size, &err));
    assert_false(tokenizer_decode(t, (int32_t[]){-1}, 1, true, &text, &size, &err));
    tokenizer_free(t);

    // A token that is a NUL character, and one that only looks like it.
    t = must_make("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0000\":0,\"\\\\u0000\":1,\"x\":2,\"x\\u0000\":3},"
                  "\"merges\":[\"x \\u0000\"]}}");
    check_ids(t, "\0x\0x", 4, (int32_t[]){0, 3, 2}, 3);
    assert_true(tokenizer_decode(t, (int32_t[]){1, 3}, 2, true, &text, &size, &err));
    assert_int_equal(size, 9);
    assert_memory_equal(text, "\\u0000 x\0", 9);
    mem_free(text);
    tokenizer_free(t);

    // The unknown token is named but not there: only a text that needs it fails.
    t = must_make("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"<unk>\"}}");
    Ids ids;
    check_ids(t, "aa", 2, (int32_t[]){0, 0}, 2);
    assert_false(tokenizer_encode(t, "ab", 2, true, &ids, &err));
    assert_non_null(strstr(err.text, "\"<unk>\" is not in the vocabulary"));
    tokenizer_free(t);
}

static void test_special(void **state) {
    (void)state;
    Tokenizer *t = must_open("llama3");
    assert_true(tokenizer_is_special(t, 0));
    assert_true(tokenizer_is_special(t, 1));
    assert_false(tokenizer_is_special(t, 2));
    assert_false(tokenizer_is_special(t, INT32_MAX));
    assert_int_equal(tokenizer_bos(t), 0);
    tokenizer_free(t);
}

// ---- texts that would take forever if anything were quadratic

static void test_long_runs(void **state) {
    (void)state;
    static const char *const units[] = {"a",    " ", "\n", "1", "_", "<|", "\xCC\x81\xCC\xA3", "\xF0\x9F\x98\x80",
                                        "\xFF", "\t"};
    static const char *const names[] = {"llama3", "llama2", "mixed", "unigram", "unigram-bytes"};
    enum { SIZE = 1000000 };
    char *text = malloc(SIZE);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        Tokenizer *t = must_open(names[n]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            Error err = {0};
            Ids ids;
            size_t unit = strlen(units[u]);
            for (size_t i = 0; i < SIZE; i++) text[i] = units[u][i % unit];
            if (!tokenizer_encode(t, text, SIZE, false, &ids, &err)) fail_msg("%s", err.text);
            ids_free(&ids);
        }
        tokenizer_free(t);
    }
    free(text);
}

// ---- memory that runs out at each allocation in turn

static bool whole_job(const char *json, size_t json_size, const char *text, size_t size, Error *err) {
    Ids ids = {0};
    char *decoded = NULL;
    Tokenizer *t = tokenizer_of(json, json_size, err);
    bool ok = t && tokenizer_encode(t, text, size, true, &ids, err) &&
              tokenizer_decode(t, ids.ids, ids.count, true, &decoded, &size, err);
    ids_free(&ids);
    mem_free(decoded);
    tokenizer_free(t);
    return ok;
}

static void test_out_of_memory(void **state) {
    (void)state;
    static const char *const names[] = {"llama3", "llama2", "mixed", "unigram", "unigram-bytes"};
    static const char text[] =
        "It's \xE2\x96\x81 caf\xC3\xA9 e\xCC\x81\xCC\xA3 12<|begin|> \xF0\x9F\x98\x80 \xFF user x";
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[128];
        size_t size, at = 0;
        bool ok = false;
        snprintf(path, sizeof path, DATA "tokenizers/%s.json", names[n]);
        char *json = must_read(path, &size);
        while (!ok) {
            Error err = {0};
            mem_fail_at(++at);
            ok = whole_job(json, size, text, sizeof text - 1, &err);
            mem_fail_at(0);
            if (!ok && !strstr(err.text, "out of memory"))
                fail_msg("%s: allocation %zu: \"%s\"", names[n], at, err.text);
        }
        assert_true(at > 50);
        mem_free(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level),       cmocka_unit_test(test_byte_fallback),
        cmocka_unit_test(test_mixed_steps),      cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_expressions),      cmocka_unit_test(test_expression_refusals),
        cmocka_unit_test(test_expression_limit), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_broken_files),     cmocka_unit_test(test_odd_vocabularies),
        cmocka_unit_test(test_special),          cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
