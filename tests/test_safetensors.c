// The safetensors format's promises, each broken once.
#include "formats/safetensors.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#define A(shape, offsets) "\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define B(shape, offsets) "\"b\":{\"dtype\":\"F16\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

// Headers over 16 bytes of data, and what the reader must say; NULL: nothing is wrong.
static const struct {
    const char *header, *says;
} cases[] = {
    {"{" A("[2,2]", "[0,16]") "}", NULL},
    {"{" A("[2,1]", "[0,8]") "," B("[4]", "[8,16]") "}", NULL},
    {"{" B("[4]", "[8,16]") "," A("[2]", "[0,8]") "}", NULL},
    {"{" A("[2,2]", "[0,16]") "}      ", NULL},
    {"{\"__metadata__\":{\"format\":\"pt\"}," A("[4]", "[0,16]") "}", NULL},
    {"{" A("[4]", "[0,16]") "," B("[0]", "[16,16]") "}", NULL},
    {"{" B("[3]", "[0,6]") ",\"c\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[6,8]}," A("[2]", "[8,16]") "}",
     NULL},
    {"{" B("[1]", "[0,2]") "," A("[3]", "[2,14]") ",\"c\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[14,16]}}",
     NULL}, // "a" is not aligned to its type: allowed

    {"", "malformed JSON"},
    {"[1]", "not a JSON object"},
    {"{" A("[4]", "[0,16]"), "malformed JSON"},
    {"{" A("[4]", "[0,16]") "} x", "malformed JSON"},
    {"{" A("[4]", "[0,16]") "," A("[4]", "[0,16]") "}", "\"a\" is there twice"},
    {"{\"__metadata__\":{\"n\":1}," A("[4]", "[0,16]") "}", "\"n\" is not text"},
    {"{\"__metadata__\":3," A("[4]", "[0,16]") "}", "not an object"},
    {"{\"a\":3}", "entry is not an object"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "once each"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"shape\":[4]}}", "once each"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[4],\"data_offsets\":[0,16]}}", "dtype \"F33\" is not supported"},
    {"{\"a\":{\"dtype\":32,\"shape\":[4],\"data_offsets\":[0,16]}}", "\"dtype\" is missing or not text"},
    {"{" A("4", "[0,16]") "}", "not a list"},
    {"{" A("[-4]", "[0,16]") "}", "whole numbers"},
    {"{" A("[4.5]", "[0,16]") "}", "whole numbers"},
    {"{" A("[\"4\"]", "[0,16]") "}", "whole numbers"},
    {"{" A("[1e300]", "[0,16]") "}", "whole numbers"},
    {"{" A("[1,1,1,1,4]", "[0,16]") "}", "more than 4 dimensions"},
    {"{" A("[4294967296,4294967296]", "[0,16]") "}", "overflows"},
    {"{" A("[3]", "[0,16]") "}", "takes 12 bytes, but its offsets span 16"},
    {"{" A("[4]", "[0,16,16]") "}", "two whole numbers"},
    {"{" A("[4]", "[0]") "}", "two whole numbers"},
    {"{" A("[4]", "[16,0]") "}", "two whole numbers in order"},
    {"{" A("[4]", "[-16,0]") "}", "two whole numbers"},
    {"{" A("[8]", "[0,32]") "}", "outside the file"},
    {"{" A("[4]", "[9007199254740976,9007199254740992]") "}", "outside the file"},
    {"{" A("[3]", "[0,12]") "," B("[4]", "[8,16]") "}", "overlap"},
    {"{" A("[4]", "[0,16]") "," B("[8]", "[0,16]") "}", "overlap"},
    {"{" A("[2]", "[0,8]") "," B("[2]", "[12,16]") "}", "4 bytes before it belong to no tensor"},
    {"{" B("[4]", "[8,16]") "}", "8 bytes before it belong to no tensor"},
    {"{" A("[2]", "[0,8]") "}", "last 8 bytes belong to no tensor"},
    {"{}", "last 16 bytes belong to no tensor"},
};

static void write_case(const char *path, const char *header) {
    static const uint8_t data[16] = {1, 2, 3};
    tiny_safetensors(path, header, data, sizeof data);
}

static void expect(const char *path, const char *header, const char *says) {
    Error err = {0};
    TensorFile *st = safetensors_open(path, &err);
    if (says ? st != NULL || !strstr(err.text, says) || !strstr(err.text, path) : st == NULL)
        fail_msg("%s\nexpected: %s\nsaid: %s", header, says ? says : "nothing", st ? "nothing" : err.text);
    tensor_file_close(st);
}

static void test_cases(void **state) {
    (void)state;
    const char *dir = tiny_directory();
    char path[512];
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_case(path, cases[i].header);
        expect(path, cases[i].header, cases[i].says);
    }
    tiny_remove(dir);
}

static void test_contents(void **state) {
    (void)state;
    const char *dir = tiny_directory();
    char path[512];
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    write_case(path, "{" B("[4]", "[8,16]") "," A("[2,1]", "[0,8]") "}");
    Error err = {0};
    TensorFile *st = safetensors_open(path, &err);
    assert_non_null(st);
    assert_int_equal(st->count, 2);
    assert_string_equal(st->tensors[0].source, "a"); // in file order
    const Tensor *b = tensor_file_find(st, "b");
    assert_ptr_equal(b, &st->tensors[1]);
    assert_int_equal(b->type, DT_F16);
    assert_int_equal(b->bytes, 8);
    assert_ptr_equal(b->data, st->map->data + st->map->size - 8);
    assert_null(tensor_file_find(st, "c"));
    assert_int_equal(st->tensors[0].dims, 2);
    tensor_file_close(st);
    tiny_remove(dir);
}

// The header's length: a file of any length that is cut short, and lengths that lie.
static void test_lengths(void **state) {
    (void)state;
    const char *dir = tiny_directory();
    char path[512];
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    write_case(path, cases[0].header);
    size_t size;
    uint8_t *good = tiny_get(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        tiny_put(path, good, cut);
        expect(path, "a file cut short", "");
    }
    static const struct {
        uint64_t length;
        const char *says;
    } lies[] = {{1000, "is the file cut short?"},
                {100000001, "above the format's limit"},
                {UINT64_MAX, "above the format's limit"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(good, &lies[i].length, 8); // on a little-endian machine
        tiny_put(path, good, size);
        expect(path, "a length that lies", lies[i].says);
    }
    free(good);
    tiny_remove(dir);
}

// Nesting as deep as a header can be made, and more values than any model has: refused before memory is spent.
static void test_hostile(void **state) {
    (void)state;
    const char *dir = tiny_directory();
    char path[512];
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    enum { N = 3000000 };
    char *text = malloc(N + 1);
    assert_non_null(text);
    text[N] = 0;
    memset(text, '[', N);
    write_case(path, text);
    expect(path, "[[[...", "more than 1000000 values");
    text[100000] = 0;
    write_case(path, text);
    expect(path, "[[[...", "malformed JSON");
    text[100000] = '[';
    memset(text, ',', N);
    write_case(path, text);
    expect(path, ",,,...", "more than 1000000 values");
    free(text);
    write_case(path, "{\"a\":\"\\ud800\"}");
    expect(path, "half a surrogate", "malformed JSON");
    tiny_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
