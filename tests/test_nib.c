// .nib: what goes in comes out; every flipped bit and every cut is found; every lie of an index is refused.
#include "convert/open.h"
#include "convert/write.h"
#include "core/log.h"
#include "formats/fingerprint.h"
#include "formats/nib.h"
#include "formats/nib_format.h"
#include "quant/kernels/kernels.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

static char directory[64], source[128], nib[128], other[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const WriteOptions as_it_is = {.program = "test", .kernels = {widen, narrow}};

static bool convert(const char *from, const char *to, const WriteOptions *options, Error *err) {
    Model *model = model_open(from, err);
    bool ok = model && model_write_nib(model, to, options, err);
    model_free(model);
    return ok;
}

static void must_convert(const char *from, const char *to, const WriteOptions *options) {
    Error err = {0};
    if (!convert(from, to, options, &err)) fail_msg("%s", err.text);
}

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    snprintf(nib, sizeof nib, "%s/model.nib", directory);
    snprintf(other, sizeof other, "%s/other.nib", directory);
    log_set_level(LOG_QUIET);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tiny_remove(directory);
    return 0;
}

// ---- in and out

static void same_models(const Model *a, const Model *b) {
    cJSON *da = model_desc_write(&a->desc), *db = model_desc_write(&b->desc);
    assert_true(da && cJSON_Compare(da, db, true));
    cJSON_Delete(da);
    cJSON_Delete(db);
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const Tensor *t = &a->tensors[i], *u = model_tensor(b, t->name);
        assert_non_null(u);
        assert_string_equal(t->source, u->source);
        assert_int_equal(t->type, u->type);
        assert_int_equal(t->dims, u->dims);
        assert_memory_equal(t->shape, u->shape, (size_t)t->dims * sizeof *t->shape);
        assert_memory_equal(t->data, u->data, t->bytes);
    }
    assert_int_equal(a->file_count, b->file_count);
    for (size_t i = 0; i < a->file_count; i++) {
        const ModelFile *f = model_file(b, a->files[i].name);
        assert_non_null(f);
        assert_int_equal(f->size, a->files[i].size);
        assert_memory_equal(f->data, a->files[i].data, f->size);
    }
}

static void test_round_trip(void **state) {
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", "U8", "BOOL"};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        Error err = {0};
        tiny_write(source, &(Tiny){.dtype = dtypes[i], .bias = i % 2, .untied = i % 3 == 0});
        must_convert(source, nib, &as_it_is);
        if (!nib_verify(nib, &err)) fail_msg("%s", err.text);
        Model *a = model_open(source, &err), *b = model_open(nib, &err);
        if (!a || !b) fail_msg("%s", err.text);
        same_models(a, b);
        for (size_t t = 0; t < b->tensor_count; t++) assert_int_equal((uintptr_t)b->tensors[t].data % NIB_ALIGN, 0);
        model_free(a);
        model_free(b);
    }
}

// Same input, same bytes; a .nib converted again keeps where it came from.
static void test_deterministic(void **state) {
    (void)state;
    Error err = {0};
    size_t na, nb;
    tiny_write(source, &(Tiny){.shards = 3});
    must_convert(source, nib, &as_it_is);
    must_convert(source, other, &as_it_is);
    uint8_t *a = tiny_get(nib, &na), *b = tiny_get(other, &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(b);

    // The sources' hashes are those of the files.
    Model *model = model_open(nib, &err);
    assert_int_equal(cJSON_GetArraySize(model->sources), 3);
    char path[512], hex[HASH_HEX];
    snprintf(path, sizeof path, "%s/%s", source, json_text(model->sources->child, "file"));
    b = tiny_get(path, &nb);
    assert_string_equal(json_text(model->sources->child, "xxh3"), hash_hex(hash_bytes(b, nb), hex));
    assert_int_equal(json_member(model->sources->child, "bytes")->valuedouble, nb);

    must_convert(nib, other, &as_it_is);
    Model *again = model_open(other, &err);
    assert_true(cJSON_Compare(model->sources, again->sources, true));
    assert_int_equal(cJSON_GetArraySize(again->recipe), 2);
    assert_string_equal(json_text(again->recipe->child->next, "from"), hash_hex(model->identity, hex));
    model_free(model);
    model_free(again);
    free(a);
    free(b);
}

static void test_dtypes(void **state) {
    (void)state;
    Error err = {0};
    tiny_write(source, &(Tiny){.dtype = "BF16"});
    WriteOptions cast = as_it_is;
    cast.cast = true;
    cast.dtype = DT_F32;
    must_convert(source, nib, &cast);
    cast.dtype = DT_BF16;
    must_convert(nib, other, &cast); // bf16 to f32 and back loses nothing
    Model *a = model_open(source, &err), *b = model_open(other, &err);
    same_models(a, b);
    model_free(a);
    model_free(b);

    // 1e30 is finite in f32 and not in f16; infinity stays what it was.
    tiny_write(source, &(Tiny){.large = "model.layers.1.mlp.up_proj.weight"});
    cast.dtype = DT_F16;
    assert_false(convert(source, other, &cast, &err));
    assert_non_null(strstr(err.text, "model.layers.1.mlp.up_proj.weight: value 1 (1e+30) is too large for f16"));
    tiny_write(source, &(Tiny){.infinite = "model.norm.weight"});
    must_convert(source, other, &cast);
    tiny_write(source, &(Tiny){.dtype = "F64", .infinite = "model.norm.weight", .large = "model.embed_tokens.weight"});
    cast.dtype = DT_F32;
    must_convert(source, other, &cast);
}

// ---- damage

static void must_fail(bool ok, const Error *err, const char *what, size_t at) {
    if (ok) fail_msg("%s at %zu was not found", what, at);
    if (!strstr(err->text, nib)) fail_msg("%s at %zu: the message does not name the file: %s", what, at, err->text);
}

static void flip(int fd, uint8_t *data, size_t at, int bit) {
    data[at] = (uint8_t)(data[at] ^ 1 << bit);
    if (pwrite(fd, &data[at], 1, (off_t)at) != 1) tiny_die(nib);
}

static void test_flips(void **state) {
    (void)state;
    tiny_write(source, &(Tiny){.dtype = "BF16", .small = true});
    must_convert(source, nib, &as_it_is);
    size_t size;
    uint8_t *data = tiny_get(nib, &size);
    int fd = open(nib, O_RDWR);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            Error err = {0};
            flip(fd, data, at, bit);
            bool ok = at < NIB_MAGIC_BYTES ? nib_is(nib) : nib_verify(nib, &err);
            if (at < NIB_MAGIC_BYTES)
                assert_false(ok);
            else
                must_fail(ok, &err, "a flipped bit", at);
            flip(fd, data, at, bit);
        }
    Error err = {0};
    if (!nib_verify(nib, &err)) fail_msg("%s", err.text);

    // A flip inside a tensor: the file opens, and loading that tensor finds it.
    Model *model = nib_open(nib, &err);
    size_t at = (size_t)(model->tensors[3].data - model->maps[0]->data) + 5;
    flip(fd, data, at, 2);
    assert_false(tensor_verify(&model->tensors[3], &err));
    assert_non_null(strstr(err.text, model->tensors[3].source));
    for (size_t i = 0; i < model->tensor_count; i++)
        if (i != 3) assert_true(tensor_verify(&model->tensors[i], &err));
    // ... as does converting it again, which leaves nothing behind.
    assert_false(convert(nib, other, &as_it_is, &err));
    assert_non_null(strstr(err.text, model->tensors[3].source));
    model_free(model);
    close(fd);
    free(data);
}

static void test_cuts(void **state) {
    (void)state;
    tiny_write(source, &(Tiny){.small = true});
    must_convert(source, nib, &as_it_is);
    size_t size;
    uint8_t *data = tiny_get(nib, &size);
    for (size_t cut = 0; cut < size; cut++) {
        Error err = {0};
        tiny_put(nib, data, cut);
        must_fail(nib_verify(nib, &err), &err, "a cut", cut);
    }
    data[size] = 0;
    tiny_put(nib, data, size + 1);
    Error err = {0};
    must_fail(nib_verify(nib, &err), &err, "a byte too many", size);
    free(data);
}

// ---- lies: an index that says something else, with all hashes right

static char *index_text(const uint8_t *data, NibHeader *h) {
    assert_int_equal(nib_header_read(data, h), CONTAINER_GOOD);
    char *text = calloc(h->index_raw_bytes + 1, 1);
    uLongf n = (uLongf)h->index_raw_bytes;
    assert_int_equal(uncompress((Bytef *)text, &n, data + h->index_offset, (uLong)h->index_bytes), Z_OK);
    return text;
}

// The same tensors and files under another index.
static void write_index(const uint8_t *data, NibHeader h, const char *text, size_t size) {
    uLongf n = compressBound((uLong)size);
    uint8_t *out = calloc(h.index_offset + n, 1);
    memcpy(out, data, h.index_offset);
    assert_int_equal(compress(out + h.index_offset, &n, (const Bytef *)text, (uLong)size), Z_OK);
    h.index_bytes = n;
    h.index_raw_bytes = size;
    h.index_hash = hash_bytes(out + h.index_offset, n);
    h.file_bytes = h.index_offset + n;
    nib_header_write(&h, out);
    tiny_put(nib, out, h.file_bytes);
    free(out);
}

static void expect(const char *says, const char *what) {
    Error err = {0};
    Model *model = nib_open(nib, &err);
    if (model || !strstr(err.text, says) || !strstr(err.text, nib))
        fail_msg("%s\nexpected: %s\nsaid: %s", what, says, model ? "nothing" : err.text);
}

static void test_lies(void **state) {
    (void)state;
    // The smallest model's first tensors: the embedding [8, 8] of 256 bytes, the output norm [8] of 32.
    static const struct {
        const char *find, *replace, *says;
    } cases[] = {
        {"\"format\":\"nib\"", "\"format\":\"bin\"", "\"format\""},
        {"\"offset\":128,", "\"offset\":136,", "misaligned"},
        {"\"offset\":384,", "\"offset\":320,", "overlap"},
        {"\"offset\":384,", "\"offset\":448,", "hole"},
        {"\"offset\":384,", "\"offset\":1048576,", "outside the file"},
        {"\"offset\":384,", "\"offset\":9007199254740928,", "outside the file"},
        {"\"offset\":384,", "\"offset\":-64,", "\"offset\" is missing or no whole number"},
        {"\"offset\":384,", "", "\"offset\" is missing"},
        {"\"bytes\":256,", "\"bytes\":255,", "takes 256 bytes, but the index says 255"},
        {"\"type\":\"f32\"", "\"type\":\"f99\"", "type \"f99\" is not known"},
        {"\"type\":\"f32\"", "\"type\":32", "is not known"},
        {"\"type\":\"f32\"", "\"type\":\"q8_0\"", "no multiple"},
        {"\"shape\":[8,8]", "\"shape\":[8,-8]", "\"shape\""},
        {"\"shape\":[8,8]", "\"shape\":[4294967296,4294967296]", "overflows"},
        {"\"shape\":[8,8]", "\"shape\":[1,1,1,8,8]", "more than 4 dimensions"},
        {"\"shape\":[8,8]", "\"shape\":[4,16]", "has shape [4, 16] where the config calls for [8, 8]"},
        {"\"name\":\"output_norm.weight\"", "\"name\":\"token_embd.weight\"", "is there twice"},
        {"\"name\":\"output_norm.weight\"", "\"name\":\"output_gnome.weight\"", "tensor output_norm.weight is missing"},
        {"\"name\":\"output_norm.weight\"", "\"name\":\"\"", "\"name\""},
        {"\"xxh3\":\"", "\"xxh3\":\"z", "\"xxh3\""},
        {"\"name\":\"config.json\"", "\"name\":\"../config.json\"", "no plain file name"},
        {"\"name\":\"tokenizer.json\"", "\"name\":\"config.json\"", "is there twice"},
        {"\"bytes\":21,", "\"bytes\":22,", "compressed bytes are damaged"},
        {"\"bytes\":21,", "\"bytes\":20,", "compressed bytes are damaged"},
        {"\"bytes\":21,", "\"bytes\":268435457,", "more than can be"},
        {"\"bytes\":21,", "\"bytes\":200000000,", "more than can be"},
        {"\"layers\":1", "\"layers\":2", "tensor blk.1.attn_norm.weight is missing"},
        {"\"layers\":1", "\"layers\":1e9", "\"layers\" is 1e+09, outside"},
        {"\"layers\":1", "\"layers\":1.5", "not a whole number"},
        {"\"tied\":true", "\"tied\":false", "tensor output.weight is missing"},
        {"\"heads\":2", "\"heads\":3", "has shape [8, 8] where the config calls for [12, 8]"},
        {"\"kv_heads\":1", "\"kv_heads\":4", "no multiple"},
        {"\"scaling\":\"default\"", "\"scaling\":\"spiral\"", "\"scaling\""},
        {"\"theta\":10000", "\"theta\":0", "\"theta\""},
        {"\"activation\":\"silu\"", "\"activation\":\"silly\"", "silly"},
        {"\"recipe\":[", "\"recipe\":[3,", "\"recipe\""},
        {"\"sources\":[", "\"springs\":[", "\"sources\""},
        {"\"tensors\":[", "\"tensors\":[3,", "\"name\""},
        {"\"files\":[", "\"files\":3,\"x\":[", "\"files\""},
        {"}", "", "malformed JSON"},
    };
    tiny_write(source, &(Tiny){.small = true});
    must_convert(source, nib, &as_it_is);
    size_t size;
    NibHeader h;
    uint8_t *data = tiny_get(nib, &size);
    char *text = index_text(data, &h);
    write_index(data, h, text, strlen(text));
    Error err = {0};
    if (!nib_verify(nib, &err)) fail_msg("the same index again: %s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *lie = tiny_replace(text, cases[i].find, cases[i].replace);
        write_index(data, h, lie, strlen(lie));
        expect(cases[i].says, cases[i].replace);
        free(lie);
    }
    // Members that a later version of the format may add are passed over.
    char *more = tiny_replace(text, "\"format\":\"nib\"", "\"format\":\"nib\",\"more\":[{}]");
    write_index(data, h, more, strlen(more));
    if (!nib_verify(nib, &err)) fail_msg("a member more: %s", err.text);
    free(more);
    more = tiny_replace(text, "\"layers\":1", "\"layers\":1,\"more\":0"); // but for the network's
    write_index(data, h, more, strlen(more));
    expect("\"model\" has \"more\", which this nibble does not know", "a member more of the model");
    free(more);
    free(text);
    free(data);
}

static void test_hostile(void **state) {
    (void)state;
    tiny_write(source, &(Tiny){.small = true});
    must_convert(source, nib, &as_it_is);
    size_t size;
    NibHeader h;
    uint8_t *data = tiny_get(nib, &size);
    free(index_text(data, &h));

    enum { N = 32 << 20 };
    char *text = malloc(N);
    assert_non_null(text);
    memset(text, '[', N);
    write_index(data, h, text, 100000);
    expect("malformed JSON", "deep");
    write_index(data, h, text, N);
    expect("more than 2000000 values", "deep and long");
    memset(text, ' ', N);
    write_index(data, h, text, N);
    expect("malformed JSON", "32 MiB of spaces");
    free(text);

    // An index that claims to be larger than it may, or than zlib can make of it.
    NibHeader lie = h;
    lie.index_raw_bytes = (uint64_t)1 << 40;
    nib_header_write(&lie, data);
    tiny_put(nib, data, size);
    expect("more than can be", "a terabyte");
    lie.index_raw_bytes = 60 << 20;
    nib_header_write(&lie, data);
    tiny_put(nib, data, size);
    expect("more than can be", "60 MiB of nothing");
    lie = h;
    lie.version = NIB_VERSION + 1;
    nib_header_write(&lie, data);
    tiny_put(nib, data, size);
    expect("version 3", "the next version");
    lie = h;
    lie.index_offset = UINT64_MAX - 63;
    nib_header_write(&lie, data);
    tiny_put(nib, data, size);
    expect("places the index outside", "an index elsewhere");
    free(data);
}

// More embedded files than there may be, each of them whole: an empty stream of 8 bytes.
static void test_many_files(void **state) {
    (void)state;
    static const uint8_t nothing[64] = {0x78, 0x9c, 3, 0, 0, 0, 0, 1};
    enum { FILES = NIB_FILES_MAX + 1, ENTRY = 160 };
    char hex[HASH_HEX];
    tiny_write(source, &(Tiny){.small = true});
    must_convert(source, nib, &as_it_is);
    size_t size;
    NibHeader h;
    uint8_t *data = tiny_get(nib, &size);
    char *text = index_text(data, &h), *files = strstr(text, "\"files\":["), *after = strstr(files, "\"recipe\"");
    uint64_t offset = strtoull(strstr(files, "\"offset\":") + 9, NULL, 10);
    uint8_t *more = calloc(offset + FILES * sizeof nothing, 1);
    char *index = calloc(strlen(text) + FILES * ENTRY, 1);
    assert_true(more && index);
    memcpy(more, data, offset);
    char *at = index + sprintf(index, "%.*s", (int)(files - text), text);
    at += sprintf(at, "\"files\":[");
    for (int i = 0; i < FILES; i++) {
        memcpy(more + offset, nothing, sizeof nothing);
        at += sprintf(at, "%s{\"name\":\"%d\",\"offset\":%llu,\"stored\":8,\"bytes\":0,\"xxh3\":\"%s\"}", i ? "," : "",
                      i, (unsigned long long)offset, hash_hex(hash_bytes(nothing, 8), hex));
        offset += sizeof nothing;
    }
    sprintf(at, "],%s", after);
    h.index_offset = offset;
    write_index(more, h, index, strlen(index));
    expect("more than 256 embedded files", "257 of them");
    free(index);
    free(more);
    free(text);
    free(data);
}

// ---- the writer

static void test_writer(void **state) {
    (void)state;
    Error err = {0};
    tiny_write(source, &(Tiny){0});
    must_convert(source, nib, &as_it_is);
    size_t before, after;
    uint8_t *old = tiny_get(nib, &before);
    Model *model = model_open(source, &err);

    // Too few bytes for a tensor; what was there stays there, and nothing else is.
    NibWriter *w = nib_create(nib, model, 0, &err);
    assert_non_null(w);
    assert_true(nib_tensor_begin(w, &model->tensors[0], &err));
    assert_true(nib_tensor_write(w, model->tensors[0].data, model->tensors[0].bytes - 4, &err));
    assert_false(nib_tensor_end(w, &err));
    assert_non_null(strstr(err.text, model->tensors[0].source));
    nib_abort(w);
    uint8_t *now = tiny_get(nib, &after);
    assert_int_equal(before, after);
    assert_memory_equal(old, now, before);

    char nowhere[200];
    snprintf(nowhere, sizeof nowhere, "%s/no/such/place.nib", directory);
    assert_null(nib_create(nowhere, model, 0, &err));
    assert_non_null(strstr(err.text, nowhere));
    model_free(model);
    free(old);
    free(now);
}

// A model's fingerprint is that of its weights, however they are stored.
static Hash fingerprint(const char *path) {
    Error err = {0};
    Hash hash;
    Model *model = model_open(path, &err);
    if (!model || !model_fingerprint(model, &hash, &err)) fail_msg("%s", err.text);
    model_free(model);
    return hash;
}

static void test_fingerprint(void **state) {
    (void)state;
    tiny_write(source, &(Tiny){.dtype = "BF16"});
    must_convert(source, nib, &as_it_is);
    Hash whole = fingerprint(source);
    assert_true(hash_equal(whole, fingerprint(nib)));
    must_convert(nib, other, &(WriteOptions){.program = "test", .kernels = {widen, narrow}, .cast = true});
    assert_false(hash_equal(whole, fingerprint(other)));
    tiny_write(source, &(Tiny){.dtype = "BF16", .untied = true});
    assert_false(hash_equal(whole, fingerprint(source)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_deterministic), cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_flips),       cmocka_unit_test(test_cuts),          cmocka_unit_test(test_lies),
        cmocka_unit_test(test_hostile),     cmocka_unit_test(test_writer),        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_fingerprint),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
