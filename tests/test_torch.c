// Files of torch.save: what PyTorch wrote (scripts/make_torch_goldens.py), and hostile ones, in which pickle and
// archive lie in every way that the readers know of.
#include "core/mem.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <zlib.h>

#define DATA "tests/data/torch/"

// ---- what PyTorch wrote

static void check_same(const TensorFile *file, const TensorFile *golden) {
    assert_int_equal(file->count, golden->count);
    for (size_t i = 0; i < golden->count; i++) {
        const Tensor *want = &golden->tensors[i], *t = tensor_file_find(file, want->source);
        if (!t) fail_msg("%s is not there", want->source);
        if (t->type != want->type || t->dims != want->dims || t->bytes != want->bytes ||
            memcmp(t->shape, want->shape, sizeof t->shape) != 0 || memcmp(t->data, want->data, t->bytes) != 0)
            fail_msg("%s differs", want->source);
    }
}

static TensorFile *must_open(const char *path) {
    Error err = {0};
    TensorFile *file = torch_file_open(path, &err);
    if (!file) fail_msg("%s", err.text);
    return file;
}

static void test_goldens(void **state) {
    (void)state;
    static const char *const names[] = {"kinds-2", "kinds-4", "deflated", "checkpoint"};
    Error err = {0};
    TensorFile *golden = safetensors_open(DATA "kinds.safetensors", &err);
    if (!golden) fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, DATA "%s.pt", names[i]);
        TensorFile *file = must_open(path);
        check_same(file, golden);
        tensor_file_close(file);
    }
    tensor_file_close(golden);
}

// Views stay where they are in the file, also those that share a storage; what cannot is in memory.
static void test_places(void **state) {
    (void)state;
    TensorFile *file = must_open(DATA "kinds-2.pt");
    const Tensor *f32 = tensor_file_find(file, "f32");
    assert_string_equal(file->tensors[0].source, "f32"); // in the pickle's order
    assert_ptr_equal(f32->file, file->map);
    assert_ptr_equal(tensor_file_find(file, "tied")->data, f32->data);
    assert_ptr_equal(tensor_file_find(file, "rows")->data, f32->data + 24);
    assert_null(tensor_file_find(file, "transposed")->file);
    assert_null(tensor_file_find(file, "g"));
    assert_int_equal(file->buffer_count, 2);
    tensor_file_close(file);
    file = must_open(DATA "deflated.pt");
    f32 = tensor_file_find(file, "f32");
    assert_null(f32->file);
    assert_ptr_equal(tensor_file_find(file, "tied")->data, f32->data);
    tensor_file_close(file);
}

// ---- making files

typedef struct Bytes {
    uint8_t *data;
    size_t size, capacity;
} Bytes;

static void put(Bytes *b, const void *data, size_t size) {
    if (b->size + size >= b->capacity) {
        b->capacity = 2 * (b->size + size) + 64;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) tiny_die("realloc");
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}
static void put_number(Bytes *b, uint64_t v, int bytes) {
    for (; bytes--; v >>= 8) put(b, &(uint8_t){(uint8_t)v}, 1);
}

typedef struct Record {
    const char *name;
    const void *data;
    size_t size;
    bool deflate;
    size_t claims; // uncompressed size, where not the true one
} Record;

// Fields of the first and second header, and the end record, from `at` on.
static void put_record(Bytes *b, const Record *r, uint32_t stored, uint32_t size, uint32_t crc, bool central,
                       uint32_t offset) {
    put_number(b, central ? 0x02014b50 : 0x04034b50, 4);
    if (central) put_number(b, 20, 2);
    put_number(b, 20, 2);
    put_number(b, 0, 2);
    put_number(b, r->deflate ? 8 : 0, 2);
    put_number(b, 0, 4);
    put_number(b, crc, 4);
    put_number(b, stored, 4);
    put_number(b, size, 4);
    put_number(b, strlen(r->name), 2);
    put_number(b, 0, central ? 12 : 2); // extra field, and in the directory: comment, disk, attributes
    if (central) put_number(b, offset, 4);
    put(b, r->name, strlen(r->name));
}

static Bytes make_zip(const Record *records, size_t count) {
    Bytes out = {0}, directory = {0};
    for (size_t i = 0; i < count; i++) {
        const Record *r = &records[i];
        uint32_t offset = (uint32_t)out.size, size = (uint32_t)(r->claims ? r->claims : r->size);
        uint32_t crc = (uint32_t)crc32_z(0, r->data, r->size);
        Bytes data = {0};
        put(&data, r->data, r->size);
        if (r->deflate) {
            z_stream z = {.next_in = data.data, .avail_in = (uInt)r->size};
            deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
            size_t room = deflateBound(&z, r->size);
            z.next_out = malloc(room);
            z.avail_out = (uInt)room;
            uint8_t *packed = z.next_out;
            assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
            free(data.data);
            data = (Bytes){packed, room - z.avail_out, room};
            deflateEnd(&z);
        }
        put_record(&out, r, (uint32_t)data.size, size, crc, false, 0);
        put(&out, data.data, data.size);
        put_record(&directory, r, (uint32_t)data.size, size, crc, true, offset);
        free(data.data);
    }
    size_t start = out.size;
    put(&out, directory.data, directory.size);
    put_number(&out, 0x06054b50, 4);
    put_number(&out, 0, 4);
    put_number(&out, count, 2);
    put_number(&out, count, 2);
    put_number(&out, directory.size, 4);
    put_number(&out, start, 4);
    put_number(&out, 0, 2);
    free(directory.data);
    return out;
}

static char path[512];

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s/x.pt", tiny_directory());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    *strrchr(path, '/') = 0;
    tiny_remove(path);
    return 0;
}

// The file must be refused with these words, or be fine where they are NULL.
static void expect(const void *data, size_t size, const char *what, const char *says) {
    Error err = {0};
    tiny_put(path, data, size);
    TensorFile *file = torch_file_open(path, &err);
    if (says ? file != NULL || !strstr(err.text, says) || !strstr(err.text, path) : file == NULL)
        fail_msg("%s\nexpected: %s\nsaid: %s", what, says ? says : "nothing", file ? "nothing" : err.text);
    tensor_file_close(file);
}

static const uint8_t storage[16] = {1, 2, 3};

static void expect_pickle(const void *pickle, size_t size, const char *what, const char *says) {
    Record records[] = {{.name = "x/data.pkl", .data = pickle, .size = size},
                        {.name = "x/data/0", .data = storage, .size = sizeof storage}};
    Bytes zip = make_zip(records, 2);
    expect(zip.data, zip.size, what, says);
    free(zip.data);
}

// ---- pickles

#define TEXT(length, text)              "X" length "\0\0\0" text
#define CLASS(name)                     "ctorch\n" name "\n"
#define ID(class, key, n)               "(" TEXT("\7", "storage") class TEXT("\1", key) TEXT("\3", "cpu") n "tQ"
#define REBUILD                         "ctorch._utils\n_rebuild_tensor_v2\n"
#define VIEW(id, offset, shape, stride) REBUILD "(" id offset shape stride "\x89}tR"
#define FLOATS                          ID(CLASS("FloatStorage"), "0", "K\4")
#define GOOD                            VIEW(FLOATS, "K\0", "K\4\x85", "K\1\x85")
#define DICT(name, value)               "\x80\2}" TEXT("\1", name) value "s."
#define VIEW_OF(offset, shape, stride)  DICT("a", VIEW(FLOATS, offset, shape, stride))
#define CASE(pickle, says)                                                                                             \
    { pickle, sizeof pickle - 1, says }

static const struct {
    const char *pickle;
    size_t size;
    const char *says;
} cases[] = {
    CASE(DICT("a", GOOD), NULL),
    CASE("\x80\2ccollections\nOrderedDict\n)R(" TEXT("\1", "a") GOOD TEXT("\1", "b") GOOD "u}b.", NULL),
    CASE(DICT("a", "ctorch._utils\n_rebuild_parameter\n(" GOOD "\x88}tR"), NULL),
    CASE(VIEW_OF("K\1", "K\2\x85", "K\1\x85"), NULL),
    CASE(VIEW_OF("K\0", "K\2K\2\x86", "K\1K\2\x86"), NULL), // transposed
    CASE(VIEW_OF("K\2", "K\1K\2\x86", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x86"),
         NULL),                                             // stride of a single row
    CASE(VIEW_OF("K\4", "K\0K\7\x86", "K\7K\1\x86"), NULL), // empty

    // Calls, by every way that a pickle has.
    CASE("\x80\2cos\nsystem\n(" TEXT("\2", "ls") "tR.", "names os.system, which"),
    CASE("\x80\2cposix\nsystem\n(" TEXT("\2", "ls") "tR.", "names posix.system"),
    CASE("\x80\2c__builtin__\neval\n(" TEXT("\1", "1") "tR.", "names __builtin__.eval"),
    CASE("\x80\4\x8c\x08"
         "builtins\x8c\4exec\x93\x8c\1"
         "1\x85R.",
         "names builtins.exec"),
    CASE("\x80\2ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "names torch._utils._rebuild_tensor_v2.__globals__"),
    CASE("\x80\2ctorch\nload\n(" TEXT("\1", "x") "tR.", "names torch.load"),
    CASE("\x80\2ctorch.serialization\n_load\n.", "names torch.serialization._load"),
    CASE("\x80\2cnumpy.core.multiarray\n_reconstruct\n.", "names numpy.core.multiarray._reconstruct"),
    CASE("\x80\2c\x1b[2J\nx\n.", "names ?[2J.x"),
    CASE("\x80\2(" TEXT("\2", "ls") "ios\nsystem\n.", "uses INST"),
    CASE("\x80\2(" TEXT("\2", "ls") "o.", "uses OBJ"),
    CASE("\x80\2)\x81.", "uses NEWOBJ"),
    CASE("\x80\4))}\x92.", "uses NEWOBJ_EX"),
    CASE("\x80\2\x82\1.", "uses EXT1"),
    CASE("\x80\2Pid\n.", "uses PERSID"),
    CASE("\x80\5\x97.", "uses NEXT_BUFFER"),
    CASE("\x80\2" TEXT("\2", "os") ")R.", "calls a text with a tuple"),
    CASE("\x80\2" REBUILD "]R.", "calls a class with a list"),
    CASE("\x80\2" GOOD ")R.", "calls an object with a tuple"),
    CASE("\x80\2ccollections\nOrderedDict\n]\x85R.", "calls collections.OrderedDict with arguments"),
    CASE("\x80\2)}b.", "sets attributes of a tuple"),
    CASE("\x80\2" GOOD "}b.", "sets attributes of an object"),
    CASE("\x80\4K\1K\2\x93.", "names something by a number"),

    // The machine itself.
    CASE("", "is cut short"),
    CASE("\x80\2}", "is cut short"),
    CASE("\x80\2X\1\0", "is cut short"),
    CASE("\x80\2cos", "is cut short"),
    CASE("\x80\2X\xff\xff\xff\x7f"
         "a.",
         "a text of 2147483647 bytes"),
    CASE("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
         "a.",
         "a text of 18446744073709551615 bytes"),
    CASE("\x80\4\x8e\0\0\0\0\0\0\0\x80.", "a text of 9223372036854775808 bytes"),
    CASE("\x80\4\x95\xff\0\0\0\0\0\0\0.", "is cut short"),
    CASE("\x80\2\x8a\x09"
         "123456789.",
         "a number of 9 bytes"),
    CASE("\x80\2X\2\0\0\0\xc3\x28.", "not UTF-8"),
    CASE("\x80\1}.", "is of protocol 1; those supported are 2 to 5"),
    CASE("\x80\6}.", "is of protocol 6"),
    CASE("\x80\2\xff.", "opcode 0xff, which is not known"),
    CASE("\x80\2R.", "more from the stack than is there"),
    CASE("\x80\2}(b.", "more from the stack than is there"),
    CASE("\x80\2\x87.", "more from the stack than is there"),
    CASE("\x80\2}(K\1s.", "more from the stack than is there"),
    CASE("\x80\2(u.", "more from the stack than is there"),
    CASE("\x80\2}((u.", "more from the stack than is there"),
    CASE("\x80\2}q\xff"
         "0.",
         "opcode 0x30"),
    CASE("\x80\2q\0.", "more from the stack than is there"),
    CASE("\x80\2t.", "a mark where there is none"),
    CASE("\x80\2}K\1K\2a.", "adds elements to a number as if it were a list"),
    CASE("\x80\2]K\1K\2s.", "adds elements to a list as if it were a dictionary"),
    CASE("\x80\2}(K\1u.", "a key without a value"),
    CASE("\x80\2h\0.", "takes number 0 from its memo"),
    CASE("\x80\2}r\xff\xff\xff\xff.", "more than 2097152 values"),
    CASE("\x80\2}r\xff\xff\0\0j\xfe\xff\0\0.", "takes number 65534 from its memo"),
    CASE("\x80\2.", "more or less than one value"),
    CASE("\x80\2}}.", "more or less than one value"),
    CASE("\x80\2(}.", "more or less than one value"),
    CASE("\x80\2}.}", "goes on after its end"),

    // What the values say.
    CASE("\x80\2].", "holds a list instead of a dictionary"),
    CASE("\x80\2" GOOD ".", "holds an object instead of a dictionary"),
    CASE("\x80\2}.", "holds no tensors"),
    CASE("\x80\2}K\1" GOOD "s.", "a key that is a number instead of a name"),
    CASE(DICT("\0", GOOD), "holds a NUL"),
    CASE("\x80\2}X\0\0\0\0" GOOD "s.", "a name that is empty"),
    CASE("\x80\2}(" TEXT("\1", "a") GOOD TEXT("\1", "a") GOOD "u.", "tensor a: is there twice"),
    CASE(DICT("a", "K\1"), "\"a\" is a number where a tensor should be"),
    CASE(DICT("a", "N"), "\"a\" is None where a tensor should be"),
    CASE(DICT("a", "}"), "\"a\" is a dictionary where a tensor should be"),
    CASE(DICT("a", FLOATS), "\"a\" is a storage where a tensor should be"),
    CASE(DICT("a", "ctorch._utils\n_rebuild_parameter\n)R"), "\"a\" is nothing where a tensor should be"),
    CASE("\x80\2}q\0" TEXT("\1", "a") "h\0s.", "\"a\" is a dictionary where"), // holds itself
    CASE("\x80\2}q\0" TEXT("\5", "model") "h\0s.", "\"model\" is a dictionary where"),
    CASE(DICT("a", REBUILD ")R"), "tensor a: its storage is not described"),
    CASE(DICT("a", VIEW("K\1", "K\0", "K\4\x85", "K\1\x85")), "its storage is not described"),
    CASE(DICT("a", VIEW("K\1Q", "K\0", "K\4\x85", "K\1\x85")), "its storage is not described"),
    CASE(DICT("a", VIEW(ID(REBUILD, "0", "K\4"), "K\0", "K\4\x85", "K\1\x85")), "_rebuild_tensor_v2 is not supported"),
    CASE(DICT("a", VIEW(ID("ccollections\nOrderedDict\n", "0", "K\4"), "K\0", "K\4\x85", "K\1\x85")),
         "its storage is not described"),
    CASE(DICT("a", VIEW(ID(CLASS("ComplexFloatStorage"), "0", "K\2"), "K\0", "K\2\x85", "K\1\x85")),
         "its type torch.ComplexFloatStorage is not supported"),
    CASE(DICT("a", "ctorch._utils\n_rebuild_tensor_v3\n(" ID(
                       "ctorch.storage\nUntypedStorage\n", "0",
                       "K\x10") "K\0K\x10\x85K\1\x85\x89}" CLASS("float8_e4m3fn") "tR"),
         "its type torch.float8_e4m3fn is not supported"),
    CASE(DICT("a", VIEW(ID(CLASS("FloatStorage"), "1", "K\4"), "K\0", "K\4\x85", "K\1\x85")),
         "its storage data/1 is not in the archive"),
    CASE(DICT("a", VIEW(ID(CLASS("FloatStorage"), "0", "K\5"), "K\0", "K\4\x85", "K\1\x85")),
         "should have 5 elements, but is 16 bytes long"),
    CASE(DICT("a", VIEW(ID(CLASS("FloatStorage"), "0", "\x8a\x08\4\0\0\0\0\0\0\x40"), "K\0", "K\4\x85", "K\1\x85")),
         "should have 4611686018427387908 elements"),
    CASE(DICT("a", VIEW(ID(CLASS("FloatStorage"), "0", "J\xff\xff\xff\xff"), "K\0", "K\4\x85", "K\1\x85")),
         "its storage is not described"),
    CASE(VIEW_OF("K\1", "K\4\x85", "K\1\x85"), "at element 1 lies outside its storage of 16 bytes"),
    CASE(VIEW_OF("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\4\x85", "K\1\x85"), "lies outside its storage"),
    CASE(VIEW_OF("J\xff\xff\xff\xff", "K\4\x85", "K\1\x85"), "its offset is no whole number"),
    CASE(VIEW_OF("N", "K\4\x85", "K\1\x85"), "its offset is no whole number"),
    CASE(VIEW_OF("K\0", "J\xff\xff\xff\xff\x85", "K\1\x85"), "its shape holds something else than whole numbers"),
    CASE(VIEW_OF("K\0", "K\4\x85", "G?\xf0\0\0\0\0\0\0\x85"), "its stride holds something else"),
    CASE(VIEW_OF("K\0", "K\4", "K\1\x85"), "its shape is not a tuple"),
    CASE(VIEW_OF("K\0", "ctorch\nSize\n)R", "K\1\x85"), "its shape is not a tuple"),
    CASE(VIEW_OF("K\0", "(K\1K\1K\1K\1K\4t", "(K\1K\1K\1K\1K\1t"), "more than 4 dimensions"),
    CASE(VIEW_OF("K\0", "K\2K\2\x86", "K\1\x85"), "has 2 dimensions but 1 strides"),
    CASE(VIEW_OF("K\0", "K\2K\2\x86", "K\0K\1\x86"), "a view with gaps or repetitions"),
    CASE(VIEW_OF("K\0", "K\2\x85", "K\2\x85"), "a view with gaps or repetitions"),
    CASE(VIEW_OF("K\0", "J\0\0\0\x7fK\4\x86", "K\0K\1\x86"), "a view with gaps or repetitions"),
    CASE(VIEW_OF("K\0", "J\0\0\0\x7fJ\0\0\0\x7f\x86", "K\1K\1\x86"), "overflows"),
};

static void test_pickles(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char what[64];
        snprintf(what, sizeof what, "case %zu", i);
        expect_pickle(cases[i].pickle, cases[i].size, what, cases[i].says);
    }
}

// A pickle that is one opcode millions of times, after others.
static void expect_run(const char *start, char opcode, size_t count, const char *end, size_t end_size,
                       const char *says) {
    Bytes b = {0};
    put(&b, start, strlen(start));
    for (size_t i = 0; i < count; i++) put(&b, &opcode, 1);
    put(&b, end, end_size);
    expect_pickle(b.data, b.size, "a long run", says);
    free(b.data);
}

static void test_floods(void **state) {
    (void)state;
    static const char end[] = "s.";
    expect_run("\x80\2", '(', 3000000, end, 2, "more than 2097152 values");
    expect_run("\x80\2", '}', 3000000, end, 2, "more than 2097152 values");
    expect_run("\x80\2)", '\x85', 3000000, end, 2, "more than 2097152 values");
    expect_run("\x80\2}\x94", '\x94', 3000000, end, 2, "more than 2097152 values");
    // Nested a million deep, and held for so many times: walks must not care.
    expect_run("\x80\2}U\1a)", '\x85', 1000000, end, 2, "\"a\" is a tuple where");
    expect_run("\x80\2}U\1a"
               "ctorch._utils\n_rebuild_parameter\n)",
               '\x85', 1000000, "Rs.", 3, "\"a\" is a tuple where");
}

// ---- archives

typedef struct Patch {
    const char *what;
    size_t from_end; // where, before the end
    uint64_t value;
    int bytes;
    const char *says;
} Patch;

// Sizes in the archive that test_archive_lies changes: two records, the directory, the end.
enum { END = 22, CENTRAL_0 = 46 + 10, CENTRAL_1 = 46 + 8, DIRECTORY = CENTRAL_0 + CENTRAL_1 };
#define IN_END(offset)   (END - (offset))
#define IN_FIRST(offset) (END + DIRECTORY - (offset))
#define IN_LAST(offset)  (END + CENTRAL_1 - (offset))

static const Patch patches[] = {
    {"end record's signature", IN_END(0), 0, 4, "no zip end record"},
    {"disk number", IN_END(4), 1, 2, "several disks"},
    {"entries on this disk", IN_END(8), 1, 2, "several disks"},
    {"too many entries", IN_END(8), 0xfffefffe, 4, "claims 65534 entries"},
    {"too few entries", IN_END(8), 0x10001, 4, "more than its entries"},
    {"size of the directory", IN_END(12), 1, 4, "does not end where"},
    {"size of the directory", IN_END(12), 0xfffffffe, 4, "does not end where"},
    {"offset of the directory", IN_END(16), 0, 4, "does not end where"},
    {"a comment that is not there", IN_END(20), 1, 2, "no zip end record"},
    {"directory's signature", IN_FIRST(0), 0, 4, "central directory is damaged"},
    {"encrypted", IN_FIRST(8), 1, 2, "entry \"x/data.pkl\": is encrypted"},
    {"method", IN_FIRST(10), 14, 2, "is compressed by method 14"},
    {"method against local header", IN_LAST(10), 8, 2, "two headers disagree"},
    {"stored, two sizes", IN_LAST(24), 17, 4, "its two sizes differ"},
    {"length of a name", IN_FIRST(28), 0xffff, 2, "central directory is damaged"},
    {"length of a name", IN_LAST(28), 7, 2, "disagree"},
    {"an extra field", IN_LAST(30), 1, 2, "central directory is damaged"},
    {"offset beyond the archive", IN_LAST(42), 0xfffffffe, 4, "lies outside the archive"},
    {"offset into the directory", IN_LAST(42), 200, 4, "outside the archive"},
    {"offset of nothing", IN_LAST(42), 1, 4, "no header where it should start"},
    {"offset of another", IN_LAST(42), 0, 4, "two headers disagree"},
    {"name of another", IN_LAST(46), 'y', 1, "two headers disagree"},
};

static Bytes good_archive(bool deflate) {
    Record records[] = {{.name = "x/data.pkl", .data = cases[0].pickle, .size = cases[0].size, .deflate = deflate},
                        {.name = "x/data/0", .data = storage, .size = sizeof storage, .deflate = deflate}};
    return make_zip(records, 2);
}

static void test_archive_lies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        const Patch *p = &patches[i];
        Bytes zip = good_archive(false);
        expect(zip.data, zip.size, "good", NULL);
        for (int k = 0; k < p->bytes; k++) zip.data[zip.size - p->from_end + (size_t)k] = (uint8_t)(p->value >> 8 * k);
        expect(zip.data, zip.size, p->what, p->says);
        free(zip.data);
    }
    // Both sizes of the first entry, so that it would reach over the second.
    Bytes zip = good_archive(false);
    for (size_t at = 20; at <= 24; at += 4) {
        uint8_t *size = zip.data + zip.size - IN_FIRST(at);
        size[0] = (uint8_t)(size[0] + 20);
    }
    expect(zip.data, zip.size, "overlap", "overlaps another entry");
    free(zip.data);
}

#define RECORD(n, d)                                                                                                   \
    { .name = n, .data = d, .size = sizeof d - 1 }

static void expect_records(const Record *records, size_t count, const char *says) {
    Bytes zip = make_zip(records, count);
    expect(zip.data, zip.size, "records", says);
    free(zip.data);
}

static void test_records(void **state) {
    (void)state;
    const Record pickle = {.name = "x/data.pkl", .data = cases[0].pickle, .size = cases[0].size};
    const Record other = {.name = "y/data.pkl", .data = cases[0].pickle, .size = cases[0].size};
    const Record bytes = {.name = "x/data/0", .data = storage, .size = sizeof storage};
    expect_records((Record[]){pickle, bytes, RECORD("x/byteorder", "little")}, 3, NULL);
    expect_records((Record[]){pickle, bytes, RECORD("x/byteorder", "big")}, 3, "byteorder is not \"little\"");
    expect_records((Record[]){pickle, bytes, RECORD("x/constants.pkl", "")}, 3, "is a TorchScript program");
    expect_records((Record[]){pickle, bytes, other}, 3, "more than one data.pkl");
    expect_records((Record[]){pickle, bytes, bytes}, 3, "entry \"x/data/0\": is there twice");
    expect_records((Record[]){bytes}, 1, "not one that torch.save made");
    expect_records((Record[]){RECORD("/data.pkl", "")}, 1, "not one that torch.save made");
    expect("", 0, "empty", "does not start as a zip archive");
    expect("version https://git-lfs.github.com/spec/v1\n", 43, "pointer", "git lfs pull");
    Error err = {0};
    assert_null(torch_file_open(DATA "legacy.pt", &err));
    assert_non_null(strstr(err.text, "before 1.6"));
}

static void test_deflated(void **state) {
    (void)state;
    Bytes zip = good_archive(true);
    expect(zip.data, zip.size, "good", NULL);
    for (size_t at = 40; at < 60; at += 3) {
        zip.data[at] ^= 16;
        expect(zip.data, zip.size, "a bit flipped", "");
        zip.data[at] ^= 16;
    }
    free(zip.data);

    static uint8_t zeros[40 << 20];
    const Record pickle = {.name = "x/data.pkl", .data = cases[0].pickle, .size = cases[0].size};
    Record bomb = {.name = "x/data/0", .data = zeros, .size = sizeof zeros, .deflate = true};
    expect_records((Record[]){pickle, bomb}, 2, "should have 4 elements"); // it is not even looked into
    // The same as a storage of that size: more than a file so small may hold.
    static const char large[] =
        DICT("a", VIEW(ID(CLASS("FloatStorage"), "0", "J\0\0\xa0\0"), "K\0", "K\4\x85", "K\1\x85"));
    const Record claims = {.name = "x/data.pkl", .data = large, .size = sizeof large - 1};
    expect_records((Record[]){claims, bomb}, 2, "inflates to 40.00 MiB, above the limit of");
    bomb.size = 16;
    bomb.claims = sizeof zeros;
    expect_records((Record[]){claims, bomb}, 2, "more than can be");
    bomb.claims = 17;
    expect_records((Record[]){pickle, bomb}, 2, "should have 4 elements");
    bomb.size = 32;
    bomb.claims = 16;
    expect_records((Record[]){pickle, bomb}, 2, "compressed bytes are damaged"); // longer than it says
    Record packed = {.name = "x/data.pkl", .data = zeros, .size = sizeof zeros, .deflate = true, .claims = 65 << 20};
    expect_records((Record[]){packed}, 1, "more than can be");
}

// Sizes that do not fit 32 bits are in the zip64 record and extra fields; here small ones are written so.
static void test_zip64(void **state) {
    (void)state;
    Bytes zip = good_archive(false), out = {0};
    size_t directory = zip.size - END - DIRECTORY;
    put(&out, zip.data, directory + CENTRAL_0);
    const uint8_t *last = zip.data + directory + CENTRAL_0;
    put(&out, last, 20);
    put_number(&out, ~(uint64_t)0, 8); // both sizes
    put(&out, last + 28, 2);
    put_number(&out, 28, 2); // bytes of extra field
    put(&out, last + 32, 10);
    put_number(&out, UINT32_MAX, 4); // offset
    put(&out, last + 46, CENTRAL_1 - 46);
    size_t extra = out.size;
    put_number(&out, 1, 2);
    put_number(&out, 24, 2);
    put_number(&out, sizeof storage, 8);
    put_number(&out, sizeof storage, 8);
    uint64_t offset = last[42] | (uint64_t)last[43] << 8;
    put_number(&out, offset, 8);
    size_t end64 = out.size;
    put_number(&out, 0x06064b50, 4);
    put_number(&out, 44, 8);
    put_number(&out, 45 | 45 << 16, 4);
    put_number(&out, 0, 8);
    put_number(&out, 2, 8);
    put_number(&out, 2, 8);
    put_number(&out, end64 - directory, 8);
    put_number(&out, directory, 8);
    put_number(&out, 0x07064b50, 4);
    put_number(&out, 0, 4);
    put_number(&out, end64, 8);
    put_number(&out, 1, 4);
    put_number(&out, 0x06054b50, 4);
    put_number(&out, 0, 4);
    put_number(&out, ~(uint64_t)0, 8);
    put_number(&out, UINT32_MAX, 4);
    put_number(&out, 0, 2);
    expect(out.data, out.size, "zip64", NULL);
    const struct {
        size_t at;
        const char *says;
    } lies[] = {
        {extra + 11, "its two sizes differ"}, {extra + 27, "lies outside"},       {extra + 2, "cut short"},
        {end64 + 4, "zip64 end record"},      {end64 + 16, "several disks"},      {end64 + 39, "several disks"},
        {end64 + 47, "does not end where"},   {end64 + 55, "does not end where"}, {end64 + 56 + 15, "zip64 end record"},
        {end64 + 56 + 8, "zip64 end record"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        out.data[lies[i].at] ^= 0x7f;
        expect(out.data, out.size, "zip64", lies[i].says);
        out.data[lies[i].at] ^= 0x7f;
    }
    free(out.data);
    free(zip.data);
}

// A real file cut anywhere, and with any byte changed: an error or not, but nothing worse.
static void test_damage(void **state) {
    (void)state;
    static const char *const names[] = {DATA "kinds-2.pt", DATA "deflated.pt"};
    for (size_t n = 0; n < 2; n++) {
        size_t size;
        uint8_t *good = tiny_get(names[n], &size);
        for (size_t cut = 0; cut < size; cut += 3) expect(good, cut, "a file cut short", "");
        for (size_t i = 0; i < size; i++) {
            const uint8_t masks[] = {(uint8_t)(1 << i % 8), 0xff};
            for (size_t k = 0; k < sizeof masks; k++) {
                Error err = {0};
                good[i] ^= masks[k];
                tiny_put(path, good, size);
                TensorFile *file = torch_file_open(path, &err);
                assert_true(file || err.text[0]);
                tensor_file_close(file);
                good[i] ^= masks[k];
            }
        }
        free(good);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    static const char *const names[] = {DATA "kinds-2.pt", DATA "deflated.pt"};
    for (size_t n = 0; n < 2; n++) {
        TensorFile *file = NULL;
        size_t at = 0;
        while (!file) {
            Error err = {0};
            mem_fail_at(++at);
            file = torch_file_open(names[n], &err);
            mem_fail_at(0);
            if (!file && !strstr(err.text, "out of memory")) fail_msg("allocation %zu: \"%s\"", at, err.text);
        }
        assert_true(at > 30);
        tensor_file_close(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),       cmocka_unit_test(test_places),  cmocka_unit_test(test_pickles),
        cmocka_unit_test(test_floods),        cmocka_unit_test(test_records), cmocka_unit_test(test_archive_lies),
        cmocka_unit_test(test_deflated),      cmocka_unit_test(test_zip64),   cmocka_unit_test(test_damage),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("torch", tests, setup, teardown);
}
