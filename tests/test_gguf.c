// The GGUF format's promises, each broken once; values of every kind; parts.
#include "core/mem.h"
#include "formats/gguf.h"
#include "tests/gguf_build.h"
#include "tests/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#define NOTHING  "GGUF 4:3 8:0 8:0 "
#define KEYS(n)  "GGUF 4:3 8:0 8:" #n " "
#define ONE      "GGUF 4:3 8:1 8:0 "
#define TWO      "GGUF 4:3 8:2 8:0 "
#define DATA(n)  " a:32 z:" #n
#define F32(at)  " 4:1 8:4 4:0 8:" #at " "
#define HUGE_NUM "18446744073709551615"

// Files in words (tests/gguf_build.h), and what the reader must say; NULL: nothing is wrong.
static const struct {
    const char *words, *says;
} cases[] = {
    {NOTHING, NULL},
    {"GGUF 4:2 8:0 8:0", NULL},
    {ONE "s:t" F32(0) DATA(16), NULL},
    {ONE "s:t 4:0 4:0 8:0" DATA(4), NULL}, // a single value
    {ONE "s:t 4:4 8:2 8:1 8:1 8:2 4:1 8:0" DATA(8), NULL},
    {TWO "s:t" F32(32) "s:u" F32(0) DATA(48), NULL},
    {"GGUF 4:3 8:1 8:1 s:general.alignment 4:4 4:128 s:t" F32(0) "a:128 z:16", NULL},
    {KEYS(3) "s:a 4:7 1:1 s:b 4:9 4:8 8:2 s:x s: s:c 4:9 4:0 8:0", NULL},

    {"", "is not a GGUF file"},
    {"GGU", "is not a GGUF file"},
    {"GGUF", "is it cut short"},
    {"GGUF 4:3 8:0", "is it cut short"},
    {"GGUF 4:1 4:0 4:0", "GGUF version 1; those supported are 2 and 3"},
    {"GGUF 4:4 8:0 8:0", "GGUF version 4"},
    {"GGUF 4:0x03000000 8:0 8:0", "is big-endian"},
    {"GGUF 4:3 8:0 8:" HUGE_NUM, "metadata keys, above the limit"},
    {"GGUF 4:3 8:" HUGE_NUM " 8:0", "tensors, above the limit"},
    {"GGUF 4:3 8:0 8:60000", "is it cut short"},
    {"GGUF 4:3 8:200000 8:0", "is it cut short"},

    {KEYS(1) "8:" HUGE_NUM " x", "is it cut short"},
    {KEYS(1) "s: 4:0 1:0", "metadata key of 0 bytes"},
    {KEYS(1) "s:a\xff 4:0 1:0", "not plain UTF-8"},
    {KEYS(1) "8:3 1:65 1:0 1:65 4:0 1:0", "not plain UTF-8"},
    {KEYS(1) "s:a 4:13 1:0", "\"a\": has a value of the unknown type 13"},
    {KEYS(1) "s:a 4:8 8:99 x", "\"a\": ends inside its metadata"},
    {KEYS(1) "s:a 4:8 8:" HUGE_NUM " x", "\"a\": ends inside its metadata"},
    {KEYS(1) "s:a 4:7 1:2", "\"a\": holds a bool that is 2"},
    {KEYS(1) "s:a 4:9 4:7 8:3 1:0 1:1 1:9", "\"a\": holds a bool that is 9"},
    {KEYS(1) "s:a 4:9 4:9 8:1 4:0 8:1 1:0", "array of arrays"},
    {KEYS(1) "s:a 4:9 4:4 8:4611686018427387905 4:0", "is it cut short"}, // times 4 is 4
    {KEYS(1) "s:a 4:9 4:8 8:" HUGE_NUM " s:x", "is it cut short"},
    {KEYS(1) "s:a 4:9 4:99 8:1 1:0", "unknown type 99"},
    {KEYS(2) "s:a 4:0 1:0 s:a 4:0 1:0", "\"a\" is there twice"},
    {KEYS(1) "s:general.alignment 4:4 4:0", "outside 1 to"},
    {KEYS(1) "s:general.alignment 4:4 4:48", "no power of two"},
    {KEYS(1) "s:general.alignment 4:4 4:0x80000000", "outside 1 to"},
    {KEYS(1) "s:general.alignment 4:8 s:x", "is a text where a whole number belongs"},

    {ONE "s:t 4:5 8:1 8:1 8:1 8:1 8:1 4:0 8:0" DATA(4), "has 5 dimensions"},
    {ONE "s:t 4:4294967295 8:1", "has 4294967295 dimensions"},
    {ONE "s:t 4:1 8:0 4:0 8:0" DATA(16), "dimension of 0"},
    {ONE "s:t 4:1 8:" HUGE_NUM " 4:0 8:0" DATA(16), "dimension of " HUGE_NUM},
    {ONE "s:t 4:2 8:4294967296 8:4294967296 4:0 8:0" DATA(16), "overflows"},
    {ONE "s:t 4:1 8:4 4:77 8:0" DATA(16), "number 77, which is none that this nibble knows"},
    {ONE "s:t 4:1 8:4 4:4 8:0" DATA(16), "its type Q4_2 was taken out of GGUF"},
    {ONE "s:t 4:1 8:48 4:8 8:0" DATA(64), "no multiple of q8_0's block of 32"},
    {ONE "s:t" F32(4) DATA(32), "no multiple of the alignment"},
    {ONE "s:t" F32(32) DATA(16), "outside the file's 16 bytes of data"},
    {ONE "s:t" F32(18446744073709551584) DATA(16), "outside the file"},
    {ONE "s:t" F32(0), "outside the file's 0 bytes of data"},
    {ONE "s:t" F32(0) DATA(15), "outside the file's 15 bytes of data"},
    {TWO "s:t" F32(0) "s:u" F32(0) DATA(16), "overlap"},
    {TWO "s:t 4:1 8:16 4:0 8:0 s:u" F32(32) DATA(64), "overlap"},
    {TWO "s:t" F32(0) "s:t" F32(32) DATA(48), "tensor t is there twice"},
    {ONE "s: 4:1 8:4 4:0 8:0" DATA(16), "tensor name of 0 bytes"},
};

// The bytes end where their memory does, so that sanitizers see a read beyond.
static bool read_words(const char *words, Gguf *g, uint8_t **bytes, Error *err) {
    Build b = {0};
    build_words(&b, words);
    *bytes = malloc(b.size ? b.size : 1);
    assert_non_null(*bytes);
    if (b.size) memcpy(*bytes, b.data, b.size);
    bool ok = gguf_read(*bytes, b.size, NULL, g, err);
    build_free(&b);
    return ok;
}

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Gguf g;
        Error err = {0};
        uint8_t *bytes;
        bool ok = read_words(cases[i].words, &g, &bytes, &err);
        if (cases[i].says ? ok || !strstr(err.text, cases[i].says) : !ok)
            fail_msg("%s\nexpected: %s\nsaid: %s", cases[i].words, cases[i].says ? cases[i].says : "nothing", err.text);
        if (ok) gguf_free(&g);
        free(bytes);
    }
}

// Every prefix of a good file is refused, and every byte of it changed is read or refused, but never crashes.
static void test_damage(void **state) {
    (void)state;
    Build b = {0};
    build_words(&b, "GGUF 4:3 8:2 8:4 s:a 4:9 4:8 8:2 s:x s:yy s:b 4:12 8:0 s:c 4:9 4:5 8:2 4:1 4:2 s:d 4:8 s:text "
                    "s:t 4:2 8:32 8:2 4:2 8:0 s:u 4:1 8:4 4:0 8:64" DATA(80));
    for (size_t size = 0; size <= b.size; size++) {
        Gguf g;
        uint8_t *bytes = malloc(size ? size : 1);
        assert_non_null(bytes);
        memcpy(bytes, b.data, size);
        bool ok = gguf_read(bytes, size, NULL, &g, NULL);
        assert_int_equal(ok, size == b.size);
        if (ok) gguf_free(&g);
        free(bytes);
    }
    static const uint8_t values[] = {0, 1, 9, 127, 128, 255};
    for (size_t at = 0; at < b.size; at++)
        for (size_t v = 0; v < sizeof values; v++) {
            Gguf g;
            uint8_t *bytes = malloc(b.size);
            assert_non_null(bytes);
            memcpy(bytes, b.data, b.size);
            bytes[at] = values[v];
            if (gguf_read(bytes, b.size, NULL, &g, NULL)) gguf_free(&g);
            free(bytes);
        }
    build_free(&b);
}

static void test_values(void **state) {
    (void)state;
    Gguf g;
    Error err = {0};
    uint8_t *bytes;
    assert_true(read_words("GGUF 4:3 8:0 8:14 s:u8 4:0 1:200 s:i8 4:1 1:200 s:u16 4:2 2:60000 s:i16 4:3 2:60000 "
                           "s:u32 4:4 4:4000000000 s:i32 4:5 4:4000000000 s:f32 4:6 4:0x3fc00000 s:bool 4:7 1:1 "
                           "s:text 4:8 s:hello s:u64 4:10 8:" HUGE_NUM " s:i64 4:11 8:" HUGE_NUM
                           " s:f64 4:12 8:0x3ff8000000000000 s:nan 4:6 4:0x7fc00000 s:texts 4:9 4:8 8:2 s:one s:three",
                           &g, &bytes, &err));
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"u8", 200},         {"i8", -56},         {"u16", 60000}, {"i16", -5536},
                {"u32", 4000000000}, {"i32", -294967296}, {"i64", -1},    {"absent", 7}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t v = 7;
        assert_true(gguf_int(&g, ints[i].key, INT64_MIN, INT64_MAX, &v, &err));
        assert_int_equal(v, ints[i].value);
    }
    int64_t v = 0;
    double d = 0;
    bool flag = false;
    GgufText text = {NULL, 0};
    assert_false(gguf_int(&g, "u64", INT64_MIN, INT64_MAX, &v, &err)); // more than 63 bits
    assert_false(gguf_int(&g, "f32", 0, 9, &v, &err));
    assert_false(gguf_int(&g, "u8", 0, 199, &v, &err));
    assert_non_null(strstr(err.text, "\"u8\" is 200, outside 0 to 199"));
    assert_true(gguf_double(&g, "f32", 0, 9, &d, &err) && d == 1.5);
    assert_true(gguf_double(&g, "f64", 0, 9, &d, &err) && d == 1.5);
    assert_false(gguf_double(&g, "nan", -HUGE_VAL, HUGE_VAL, &d, &err));
    assert_false(gguf_double(&g, "u8", 0, 9, &d, &err));
    assert_true(gguf_bool(&g, "bool", &flag, &err) && flag);
    assert_false(gguf_bool(&g, "u8", &flag, &err));
    assert_true(gguf_text(&g, "text", &text, &err) && gguf_text_is(text, "hello"));
    assert_false(gguf_text(&g, "texts", &text, &err));
    err.text[0] = 0;
    assert_null(gguf_array(&g, "absent", GGUF_TEXT, &err));
    assert_string_equal(err.text, "");
    assert_null(gguf_array(&g, "texts", GGUF_F32, &err));
    assert_non_null(strstr(err.text, "no array whose elements are each a float32"));
    const GgufValue *texts = gguf_array(&g, "texts", GGUF_TEXT, &err);
    assert_non_null(texts);
    const uint8_t *at = texts->data;
    assert_true(gguf_text_is(gguf_text_next(&at), "one") && gguf_text_is(gguf_text_next(&at), "three"));
    gguf_free(&g);
    free(bytes);
}

static void test_memory(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        Gguf g;
        Error err = {0};
        uint8_t *bytes;
        mem_fail_at(n);
        bool ok = read_words(TWO "s:t" F32(32) "s:u" F32(0) DATA(48), &g, &bytes, &err);
        mem_fail_at(0);
        if (ok) gguf_free(&g);
        free(bytes);
        if (ok) {
            assert_true(n > 3);
            break;
        }
        assert_non_null(strstr(err.text, "out of memory"));
    }
}

// ---- parts

static void write_words(const char *directory, const char *name, const char *words) {
    char path[512];
    Build b = {0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    build_words(&b, words);
    tiny_put(path, b.data, b.size);
    build_free(&b);
}

static void expect_set(const char *directory, const char *name, const char *says) {
    char path[512];
    GgufSet set;
    Error err = {0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    bool ok = gguf_set_open(path, &set, &err);
    if (says ? ok || !strstr(err.text, says) : !ok) fail_msg("%s: expected: %s\nsaid: %s", name, says, err.text);
    if (ok) {
        assert_int_equal(set.count, 2);
        gguf_set_close(&set);
    }
}

#define PART(no, of, tensors)                                                                                          \
    "GGUF 4:3 8:1 8:3 s:split.no 4:2 2:" #no " s:split.count 4:2 2:" #of " s:split.tensors.count 4:5 4:" #tensors " "
#define FIRST  "m-00001-of-00002.gguf"
#define SECOND "m-00002-of-00002.gguf"

static void test_parts(void **state) {
    (void)state;
    const char *dir = tiny_directory();
    write_words(dir, FIRST, PART(0, 2, 2) "s:t" F32(0) DATA(16));
    expect_set(dir, FIRST, "m-00002-of-00002.gguf: cannot be opened");
    write_words(dir, SECOND, PART(1, 2, 2) "s:u" F32(0) DATA(16));
    expect_set(dir, FIRST, NULL);
    expect_set(dir, SECOND, "is part 2 of 2; name the first, whose name ends with -00001-of-00002.gguf");
    write_words(dir, "other.gguf", PART(0, 2, 2) "s:t" F32(0) DATA(16));
    expect_set(dir, "other.gguf", "its name must end with -00001-of-00002.gguf");
    write_words(dir, SECOND, PART(0, 2, 2) "s:u" F32(0) DATA(16));
    expect_set(dir, FIRST, "should be part 2 of 2, but says it is 1 of 2");
    write_words(dir, SECOND, PART(1, 3, 2) "s:u" F32(0) DATA(16));
    expect_set(dir, FIRST, "but says it is 2 of 3");
    write_words(dir, SECOND, "GGUF 4:3 8:0 8:0");
    expect_set(dir, FIRST, "should be part 2 of 2");
    write_words(dir, SECOND, PART(1, 2, 2) "s:u" F32(0) DATA(12));
    expect_set(dir, FIRST, "m-00002-of-00002.gguf: tensor u");
    write_words(dir, SECOND, PART(1, 2, 2) "s:u" F32(0) DATA(16));
    write_words(dir, FIRST, PART(0, 2, 3) "s:t" F32(0) DATA(16));
    expect_set(dir, FIRST, "have 2 tensors together, but split.tensors.count is 3");
    write_words(dir, FIRST, PART(0, 65535, 3) "s:t" F32(0) DATA(16));
    expect_set(dir, FIRST, "must end with -00001-of-65535.gguf");
    tiny_remove(dir);
}

// What is kept of a model's metadata is a GGUF file again, without what is about parts.
static void test_metadata(void **state) {
    (void)state;
    Gguf g, copy;
    Error err = {0};
    uint8_t *bytes;
    size_t size;
    assert_true(read_words("GGUF 4:2 8:1 8:3 s:a 4:8 s:one s:split.count 4:2 2:1 s:b 4:9 4:8 8:2 s:x s:yy s:t" F32(0)
                               DATA(16),
                           &g, &bytes, &err));
    uint8_t *metadata = gguf_metadata(&g, &size, &err);
    assert_non_null(metadata);
    assert_true(gguf_read(metadata, size, NULL, &copy, &err));
    assert_int_equal(copy.value_count, 2);
    assert_int_equal(copy.tensor_count, 0);
    assert_null(gguf_find(&copy, "split.count"));
    assert_int_equal(gguf_find(&copy, "b")->count, 2);
    gguf_free(&copy);
    mem_free(metadata);
    gguf_free(&g);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_damage), cmocka_unit_test(test_values),
        cmocka_unit_test(test_memory), cmocka_unit_test(test_parts),  cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
