// Unigram models and compiled normalization rules made by hand: what no trained one shows, and hostile ones. The
// goldens of trained ones are in test_tokenizer.c; here is SentencePiece's file with its own ids
// (scripts/make_unigram_goldens.py).
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/charsmap.h"
#include "eval/tokenizer.h"
#include "formats/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "tests/data/tokenizers/"

static Tokenizer *open_file(const char *name, const void *data, size_t size, Error *err) {
    ModelFile file = {.name = (char *)(uintptr_t)name, .data = (uint8_t *)(uintptr_t)data, .size = size};
    Model model = {.path = (char *)(uintptr_t) "test", .files = &file, .file_count = 1};
    return tokenizer_new(&model, err);
}

static Tokenizer *must_open(const char *json) {
    Error err = {0};
    Tokenizer *t = open_file("tokenizer.json", json, strlen(json), &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void check_ids(const Tokenizer *t, const char *text, const int32_t *expected, size_t count) {
    Error err = {0};
    Ids ids;
    if (!tokenizer_encode(t, text, strlen(text), true, &ids, &err)) fail_msg("%s", err.text);
    if (ids.count != count || (count && memcmp(ids.ids, expected, count * sizeof *expected) != 0))
        fail_msg("\"%s\": %zu ids, the first %d", text, ids.count, ids.count ? ids.ids[0] : -1);
    ids_free(&ids);
}

#define IDS(...)      (const int32_t[]){__VA_ARGS__}, sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t)
#define UNIGRAM(rest) "{\"model\":{\"type\":\"Unigram\"," rest "}}"

// ---- the model

static void test_best_way(void **state) {
    (void)state;
    Tokenizer *t =
        must_open(UNIGRAM("\"unk_id\":0,\"vocab\":[[\"?\",0],[\"a\",-1],[\"b\",-1],[\"ab\",-1.5],[\"bc\",-1],"
                          "[\"c\",-3],[\"abc\",-9]]"));
    check_ids(t, "ab", IDS(3));
    check_ids(t, "abc", IDS(1, 4)); // -2, against -4.5 and -9
    check_ids(t, "cba", IDS(5, 2, 1));
    // Unknown characters that are neighbours are one; the unknown token's own text joins in.
    check_ids(t, "xxaxyx", IDS(0, 1, 0));
    check_ids(t, "x?xb?", IDS(0, 2, 0));
    check_ids(t, "", NULL, 0);
    tokenizer_free(t);

    // Of ways that are as good the one found first stays: the longer first token is found later.
    t = must_open(UNIGRAM("\"vocab\":[[\"a\",-1],[\"b\",-1],[\"c\",-1],[\"ab\",-2],[\"bc\",-2],[\"abc\",-3]]"));
    check_ids(t, "abc", IDS(5));
    check_ids(t, "ab", IDS(3));
    // No unknown token: only a text that needs one fails.
    Error err = {0};
    Ids ids;
    assert_false(tokenizer_encode(t, "abx", 3, true, &ids, &err));
    assert_non_null(strstr(err.text, "there is no unknown token"));
    tokenizer_free(t);

    // Neighbouring unknown characters whose text together is a token that lost.
    t = must_open(UNIGRAM("\"unk_id\":0,\"vocab\":[[\"?\",30],[\"xy\",30]]"));
    check_ids(t, "xy", IDS(1));
    check_ids(t, "xyz", IDS(0));
    tokenizer_free(t);

    // Byte tokens, where all bytes of what is unknown have one.
    t = must_open(
        UNIGRAM("\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"?\",0],[\"<0xC3>\",0],[\"<0xA9>\",0],[\"a\",-1]]"));
    check_ids(t,
              "a\xC3\xA9"
              "a",
              IDS(3, 1, 2, 3));
    check_ids(t, "\xC3\xA9\xC3\xA8", IDS(0));
    tokenizer_free(t);
}

static const char *const hostile[][2] = {
    {"\"x\":0", "\"vocab\" is missing or not an array"},
    {"\"vocab\":{}", "\"vocab\" is missing or not an array"},
    {"\"vocab\":[]", "\"vocab\" is empty"},
    {"\"vocab\":[[\"a\"]]", "entry 0 is not an array of a text and a finite score"},
    {"\"vocab\":[[\"a\",1],[\"b\",\"1\"]]", "entry 1 is not"},
    {"\"vocab\":[[\"a\",1,2]]", "entry 0 is not"},
    {"\"vocab\":[[1,1]]", "entry 0 is not"},
    {"\"vocab\":[\"a\"]", "entry 0 is not"},
    {"\"vocab\":[[\"a\",1e999]]", "entry 0 is not"},
    {"\"vocab\":[[\"a\",1],[\"a\",2]]", "\"a\" is there twice"},
    {"\"vocab\":[[\"a\",1]],\"unk_id\":1", "\"unk_id\" is 1, but \"vocab\" has 1 entries"},
    {"\"vocab\":[[\"a\",1]],\"unk_id\":-1", "\"unk_id\": id -1"},
    {"\"vocab\":[[\"a\",1]],\"unk_id\":\"a\"", "\"unk_id\": an id is not a number"},
    {"\"vocab\":[[\"a\",1]],\"byte_fallback\":1", "\"byte_fallback\""},
};

static void test_hostile_models(void **state) {
    (void)state;
    char json[4096];
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        Error err = {0};
        snprintf(json, sizeof json, UNIGRAM("%s"), hostile[i][0]);
        Tokenizer *t = open_file("tokenizer.json", json, strlen(json), &err);
        if (t || !strstr(err.text, hostile[i][1])) fail_msg("%s\nsaid: %s", json, t ? "nothing" : err.text);
    }
    // A token so long that looking for it everywhere would take for ever.
    Error err = {0};
    char token[1100];
    memset(token, 'a', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    snprintf(json, sizeof json, UNIGRAM("\"vocab\":[[\"%s\",1]]"), token);
    assert_null(open_file("tokenizer.json", json, strlen(json), &err));
    assert_non_null(strstr(err.text, "token 0 is 1099 bytes long"));
}

static void test_sentencepiece(void **state) {
    (void)state;
    Error err = {0};
    size_t size;
    char *data = file_read(DATA "unigram.model", 1 << 20, &size, &err);
    if (!data) fail_msg("%s", err.text);
    Tokenizer *t = open_file("tokenizer.model", data, size, &err);
    if (!t) fail_msg("%s", err.text);
    cJSON *golden = json_read(DATA "unigram.model.json", 1 << 20, &err), *c, *id;
    assert_true(cJSON_GetArraySize(golden) > 5);
    cJSON_ArrayForEach(c, golden) {
        const char *text = json_text(c, "text");
        Ids ids;
        size_t i = 0;
        if (!tokenizer_encode(t, text, strlen(text), false, &ids, &err)) fail_msg("%s", err.text);
        cJSON_ArrayForEach(id, json_member(c, "ids")) {
            if (i >= ids.count || ids.ids[i] != id->valueint) fail_msg("\"%s\": id %zu differs", text, i);
            i++;
        }
        assert_int_equal(i, ids.count);
        ids_free(&ids);
    }
    cJSON_Delete(golden);
    tokenizer_free(t);

    // The file cut anywhere and with bytes changed: an error or not, in opening or in use, but nothing worse.
    static const char text[] = "caf\xC3\xA9 \xEF\xAC\x81 \xC2\xBD e\xCC\x81 \xEF\xBC\xA1 sea";
    for (size_t i = 0; i < size; i++) {
        Ids ids = {0};
        data[i] ^= (char)(i % 3 ? 0x81 : 0xFF);
        t = open_file("tokenizer.model", data, i % 5 ? size : i, &err);
        data[i] ^= (char)(i % 3 ? 0x81 : 0xFF);
        if (t) tokenizer_encode(t, text, sizeof text - 1, false, &ids, &err);
        ids_free(&ids);
        tokenizer_free(t);
    }
    mem_free(data);
}

// ---- compiled rules

enum { UNITS = 512, HAS_LEAF = 1 << 8 };

// A map of one rule: the character `from` becomes the text at `value` of the pool. Its trie: the root's children are at
// 256, and below `from` is the value at 0 from its unit on.
typedef struct OneRule {
    uint32_t trie[UNITS];
    const char *pool;
    size_t pool_size;
} OneRule;

static OneRule one_rule(char from, uint32_t value, const char *pool, size_t pool_size) {
    OneRule rule = {.pool = pool, .pool_size = pool_size};
    size_t at = 256 ^ (size_t)(uint8_t)from;
    rule.trie[0] = 256u << 10;
    rule.trie[at] = 1u << 10 | HAS_LEAF | (uint8_t)from;
    rule.trie[at ^ 1] = 1u << 31 | value;
    return rule;
}

static bool run_bytes(const uint8_t *bytes, size_t size, const char *text, size_t text_size, TextBuffer *out,
                      Error *err) {
    // A copy of its own, so that reading beyond it is seen.
    uint8_t *copy = test_malloc(size ? size : 1);
    if (size) memcpy(copy, bytes, size);
    const Text map_text = {(char *)copy, size};
    Charsmap map;
    out->size = 0;
    bool ok = charsmap_init(&map, &map_text, err) && charsmap_run(&map, text, text_size, out, err);
    test_free(copy);
    return ok;
}

static bool run_rule(const OneRule *rule, const char *text, TextBuffer *out, Error *err) {
    static uint8_t bytes[4 + sizeof rule->trie + 4096];
    uint8_t *to = bytes;
    *to++ = sizeof rule->trie & 255, *to++ = sizeof rule->trie >> 8, *to++ = 0, *to++ = 0;
    for (size_t i = 0; i < UNITS; i++)
        for (int b = 0; b < 4; b++) *to++ = (uint8_t)(rule->trie[i] >> 8 * b);
    memcpy(to, rule->pool, rule->pool_size);
    return run_bytes(bytes, (size_t)(to - bytes) + rule->pool_size, text, strlen(text), out, err);
}

static void check_rule(const OneRule *rule, const char *text, const char *expected) {
    Error err = {0};
    TextBuffer out = {0};
    if (!run_rule(rule, text, &out, &err)) fail_msg("%s", err.text);
    if (out.size != strlen(expected) || (out.size && memcmp(out.data, expected, out.size) != 0))
        fail_msg("\"%s\" becomes \"%.*s\"", text, (int)out.size, out.data);
    text_free(&out);
}

static void refuse_rule(const OneRule *rule, const char *says) {
    Error err = {0};
    TextBuffer out = {0};
    if (run_rule(rule, "xax", &out, &err) || !strstr(err.text, says))
        fail_msg("said \"%s\", not \"%s\"", err.text, says);
    text_free(&out);
}

static void test_rules(void **state) {
    (void)state;
    static const char pool[] = "one\0two\0\xC3\xA9";
    OneRule rule = one_rule('a', 4, pool, sizeof pool - 1);
    check_rule(&rule, "xaxA", "xtwoxA");
    check_rule(&rule, "", "");
    // Of a short grapheme cluster all goes; of a longer one only the character.
    check_rule(&rule, "a\xCC\x81", "two");
    check_rule(&rule, "a\xCC\x81\xCC\x82", "two");
    check_rule(&rule, "a\xCC\x81\xCC\x82\xCC\x83", "two\xCC\x81\xCC\x82\xCC\x83");
    rule = one_rule('a', 8, pool, sizeof pool - 1);
    check_rule(&rule, "ba", "b\xC3\xA9"); // a text that ends with the pool
    rule = one_rule('a', 3, pool, sizeof pool - 1);
    check_rule(&rule, "bab", "bb");
    rule = one_rule('a', sizeof pool - 1, pool, sizeof pool - 1);
    check_rule(&rule, "bab", "bb");
}

static void test_hostile_rules(void **state) {
    (void)state;
    static const char pool[] = "one\0two\0\xC3\xA9";
    OneRule rule = one_rule('a', sizeof pool, pool, sizeof pool - 1);
    refuse_rule(&rule, "no place in its texts");
    rule = one_rule('a', 0x7FFFFFFF, pool, sizeof pool - 1);
    refuse_rule(&rule, "no place in its texts");
    rule = one_rule('a', 9, pool, sizeof pool - 1); // the middle of a character
    refuse_rule(&rule, "no place in its texts");
    rule = one_rule('a', 0, "\xFF", 1);
    refuse_rule(&rule, "texts are not UTF-8");
    static char long_pool[300];
    memset(long_pool, 'x', sizeof long_pool);
    rule = one_rule('a', 0, long_pool, sizeof long_pool);
    refuse_rule(&rule, "300 bytes, more than the 256 supported");
    rule = one_rule('a', 0, pool, sizeof pool - 1);
    rule.trie[0] = 0xFFFFFF00; // children far outside
    refuse_rule(&rule, "points outside of itself");
    rule = one_rule('a', 0, pool, sizeof pool - 1);
    rule.trie[256 ^ 'a'] |= 0x1FFFFFu << 10 | 1 << 9; // a value far outside
    refuse_rule(&rule, "points outside of itself");

    static const struct {
        const char *bytes;
        size_t size;
    } broken[] = {{"", 0},
                  {"\4\0\0", 3},
                  {"\0\0\0\0", 4},
                  {"\4\0\0\0", 4},
                  {"\4\0\0\0xxx", 7},
                  {"\3\0\0\0xxx", 7},
                  {"\xFF\xFF\xFF\xFFxxxx", 8},
                  {"\5\0\0\0xxxxx", 9}};
    TextBuffer out = {0};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        Error err = {0};
        assert_false(run_bytes((const uint8_t *)broken[i].bytes, broken[i].size, "a", 1, &out, &err));
        assert_non_null(strstr(err.text, "the charsmap's trie"));
    }
    text_free(&out);
}

// ---- base64

static void test_base64(void **state) {
    (void)state;
    static const struct {
        const char *text, *bytes; // NULL: refused
        size_t size;
    } cases[] = {
        {"", "", 0},           {"Zg==", "f", 1},          {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},    {"Zm9vYmFy", "foobar", 6}, {"+/+/", "\xfb\xff\xbf", 3},
        {"AAAA", "\0\0\0", 3}, {"Zg", NULL, 0},           {"Zg=", NULL, 0},
        {"Z===", NULL, 0},     {"Zm9v\n", NULL, 0},       {"Zm 9", NULL, 0},
        {"Zg==Zg==", NULL, 0}, {"-_-_", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        size_t size;
        uint8_t *bytes = base64_decode(cases[i].text, strlen(cases[i].text), &size, &err);
        if (!bytes != !cases[i].bytes) fail_msg("\"%s\": %s", cases[i].text, bytes ? "is accepted" : err.text);
        if (!bytes) continue;
        assert_int_equal(size, cases[i].size);
        assert_memory_equal(bytes, cases[i].bytes, size);
        mem_free(bytes);
    }
}

static void test_precompiled_json(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "normalizer Precompiled: \"precompiled_charsmap\" is missing or not a string"},
        {",\"precompiled_charsmap\":7", "\"precompiled_charsmap\" is missing or not a string"},
        {",\"precompiled_charsmap\":\"!!!!\"", "\"precompiled_charsmap\": is not base64 at character 0"},
        {",\"precompiled_charsmap\":\"\"", "the charsmap's trie of 0 bytes is not within its 0 bytes"},
    };
    char json[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        snprintf(json, sizeof json,
                 "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1]]},\"normalizer\":{\"type\":\"Precompiled\"%s}}",
                 cases[i][0]);
        Tokenizer *t = open_file("tokenizer.json", json, strlen(json), &err);
        if (t || !strstr(err.text, cases[i][1])) fail_msg("%s\nsaid: %s", json, t ? "nothing" : err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_way),         cmocka_unit_test(test_hostile_models),
        cmocka_unit_test(test_sentencepiece),    cmocka_unit_test(test_rules),
        cmocka_unit_test(test_hostile_rules),    cmocka_unit_test(test_base64),
        cmocka_unit_test(test_precompiled_json),
    };
    return cmocka_run_group_tests_name("unigram", tests, NULL, NULL);
}
