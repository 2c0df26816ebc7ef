// Statistics files: what goes in comes out; every flipped bit and every cut is found; every lie of an index is refused;
// nothing is left behind by a writer that fails.
#include "core/log.h"
#include "core/mem.h"
#include "formats/stats.h"
#include "formats/stats_format.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static char directory[64], path[128];

static const StatsInfo info = {
    .kind = STATS_FISHER,
    .model = {0x0123456789abcdef, 0xfedcba9876543210},
    .text = {1, 2},
    .text_name = "a text.txt",
    .windows = 3,
    .ctx = 16,
    .tokens = 48,
    .experts = 4,
    .seed = UINT64_MAX,
};

// A weight's statistics, by number: values that tell where they came from.
enum { TENSORS = 4 };
typedef struct Made {
    char name[32];
    float importance[7], hessian[49], row_weights[5], output[25];
    StatsTensor tensor;
} Made;

static void fill_symmetric(float *m, int n, int seed) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) m[i * n + j] = m[j * n + i] = (float)(seed + i * n + j) - (i == j ? 0.F : 20.5F);
}

// The first two have the same Hessian; the third has importance alone, the fourth unknown rows.
static StatsTensor *make(Made *m, int number) {
    static const char *const names[TENSORS] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_up.3.weight",
                                               "token_embd.weight"};
    *m = (Made){0};
    strcpy(m->name, names[number]);
    for (int i = 0; i < 7; i++) m->importance[i] = (float)(i + number / 2);
    fill_symmetric(m->hessian, 7, 1);
    for (int i = 0; i < 5; i++) m->row_weights[i] = (float)(i * number);
    fill_symmetric(m->output, 5, number);
    m->tensor = (StatsTensor){.name = m->name,
                              .rows = number == 3 ? 0 : 5,
                              .cols = 7,
                              .tokens = 48 - number,
                              .importance = m->importance,
                              .hessian = number < 2 ? m->hessian : NULL,
                              .row_weights = number < 2 ? m->row_weights : NULL,
                              .output = number < 2 ? m->output : NULL};
    stats_no_losses(m->tensor.loss);
    m->tensor.loss[DT_Q4_0] = 0.1 * number;
    if (number) m->tensor.loss[DT_Q6_K] = 1e-9 / 3;
    return &m->tensor;
}

static Stats *write_all(const char *to, Error *err) {
    StatsWriter *w = stats_create(to, &info, err);
    bool ok = w != NULL;
    for (int i = 0; ok && i < TENSORS; i++) {
        Made m;
        ok = stats_add(w, make(&m, i), err);
    }
    if (ok) return stats_commit(w, err);
    stats_abort(w);
    return NULL;
}

static Stats *must_write(const char *to) {
    Error err = {0};
    Stats *s = write_all(to, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

static void equal(const float *a, const float *b, size_t n) {
    if (!b)
        assert_null(a);
    else
        assert_memory_equal(a, b, n * sizeof *a);
}

static void check(const Stats *s) {
    const StatsInfo *found = stats_info(s);
    assert_int_equal(found->kind, info.kind);
    assert_true(hash_equal(found->model, info.model) && hash_equal(found->text, info.text));
    assert_string_equal(found->text_name, info.text_name);
    assert_int_equal(found->windows, info.windows);
    assert_int_equal(found->ctx, info.ctx);
    assert_int_equal(found->tokens, info.tokens);
    assert_int_equal(found->experts, info.experts);
    assert_true(found->seed == info.seed);
    assert_int_equal(stats_count(s), TENSORS);
    assert_null(stats_find(s, "blk.0.attn_v.weight"));
    for (int i = 0; i < TENSORS; i++) {
        Made m;
        Error err = {0};
        StatsTensor loaded, *t = make(&m, i);
        const StatsTensor *entry = stats_find(s, m.name);
        assert_ptr_equal(entry, stats_at(s, (size_t)i));
        assert_string_equal(entry->name, m.name);
        assert_true(entry->tokens == t->tokens);
        assert_int_equal(entry->rows, t->rows);
        assert_int_equal(entry->cols, t->cols);
        assert_true(entry->has_hessian == (t->hessian != NULL) && entry->has_output == (t->output != NULL));
        assert_null(entry->hessian);
        assert_null(entry->output);
        equal(entry->importance, t->importance, 7);
        equal(entry->row_weights, t->row_weights, 5);
        for (int type = 0; type < DT_COUNT; type++)
            assert_true(isnan(t->loss[type]) ? isnan(entry->loss[type])
                                             : fabs(entry->loss[type] - t->loss[type]) <= 1e-14 * t->loss[type]);
        if (!stats_load(s, m.name, &loaded, &err)) fail_msg("%s", err.text);
        equal(loaded.importance, t->importance, 7);
        equal(loaded.hessian, t->hessian, 49);
        equal(loaded.row_weights, t->row_weights, 5);
        equal(loaded.output, t->output, 25);
        stats_tensor_free(&loaded);
        if (!stats_load_importance(s, m.name, &loaded, &err)) fail_msg("%s", err.text);
        equal(loaded.importance, t->importance, 7);
        assert_true(!loaded.hessian && !loaded.row_weights && !loaded.output);
        stats_tensor_free(&loaded);
    }
    Error err = {0};
    StatsTensor none;
    assert_false(stats_load(s, "nothing", &none, &err));
    assert_non_null(strstr(err.text, "nothing"));
}

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(path, sizeof path, "%s/a.stats", directory);
    log_set_level(LOG_QUIET);
    return 0;
}

static size_t files_left(void) {
    size_t n = 0;
    DIR *d = opendir(directory);
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_round_trip(void **state) {
    (void)state;
    Error err = {0};
    Stats *s = must_write(path);
    check(s);
    stats_close(s);
    assert_true(stats_is(path));
    s = stats_open(path, &err);
    if (!s) fail_msg("%s", err.text);
    check(s);
    stats_close(s);

    // The same again gives the same bytes; matrices that are equal lie there once.
    size_t size, again_size;
    uint8_t *data = tiny_get(path, &size);
    stats_close(must_write(path));
    uint8_t *again = tiny_get(path, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(data, again, size);
    free(data);
    free(again);
    assert_true(size < 1600);

    s = must_write(NULL);
    check(s);
    assert_non_null(strstr(stats_path(s), "TMPDIR"));
    stats_close(s);
}

static void test_sizes(void **state) {
    (void)state;
    // Triangles around the widths of tiles.
    Error err = {0};
    for (int n = 1; n < 140; n += n < 3 ? 1 : 17) {
        float *matrix = mem_alloc((size_t)(n * n), sizeof *matrix, &err);
        float *vector = mem_alloc((size_t)n, sizeof *vector, &err);
        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++) matrix[i * n + j] = matrix[j * n + i] = (float)(i * 1000 + j);
        StatsTensor t = {.name = (char[]){"a"}, .cols = n, .importance = vector, .hessian = matrix}, back;
        stats_no_losses(t.loss);
        StatsWriter *w = stats_create(NULL, &info, &err);
        assert_true(w && stats_add(w, &t, &err));
        Stats *s = stats_commit(w, &err);
        if (!s || !stats_load(s, "a", &back, &err)) fail_msg("%s", err.text);
        assert_memory_equal(back.hessian, matrix, (size_t)(n * n) * sizeof *matrix);
        stats_tensor_free(&back);
        stats_close(s);
        mem_free(matrix);
        mem_free(vector);
    }
}

static void must_refuse(StatsTensor *t, const char *why) {
    Error err = {0};
    StatsWriter *w = stats_create(path, &info, &err);
    assert_non_null(w);
    assert_false(stats_add(w, t, &err));
    if (!strstr(err.text, why) || !strstr(err.text, t->name)) fail_msg("%s", err.text);
    stats_abort(w);
}

static void test_writer_refuses(void **state) {
    (void)state;
    Made m;
    unlink(path);
    make(&m, 0)->importance[3] = -1;
    must_refuse(&m.tensor, "importance");
    make(&m, 0)->importance[3] = NAN;
    must_refuse(&m.tensor, "importance");
    make(&m, 0)->hessian[1] = INFINITY;
    must_refuse(&m.tensor, "hessian");
    make(&m, 0)->output[6] = -1;
    must_refuse(&m.tensor, "output");
    make(&m, 0)->importance = NULL;
    must_refuse(&m.tensor, "importance");
    make(&m, 0)->loss[DT_Q8_0] = -1;
    must_refuse(&m.tensor, "q8_0");
    make(&m, 0)->cols = 0;
    must_refuse(&m.tensor, "columns");

    Error err = {0};
    StatsWriter *w = stats_create(path, &info, &err);
    assert_true(stats_add(w, make(&m, 0), &err));
    assert_true(stats_add(w, make(&m, 0), &err));
    assert_null(stats_commit(w, &err));
    assert_non_null(strstr(err.text, "twice"));
    assert_int_equal(files_left(), 0);
}

// Opening and loading everything.
static bool whole(const char *from, Error *err) {
    Stats *s = stats_open(from, err);
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < stats_count(s); i++) {
        StatsTensor t;
        ok = stats_load(s, stats_at(s, i)->name, &t, err);
        if (ok) stats_tensor_free(&t);
    }
    stats_close(s);
    return ok;
}

static void must_fail(const char *what, size_t at) {
    Error err = {0};
    if (whole(path, &err)) fail_msg("%s at %zu was not found", what, at);
    if (!strstr(err.text, path)) fail_msg("%s at %zu: the message does not name the file: %s", what, at, err.text);
}

static void test_damage(void **state) {
    (void)state;
    size_t size;
    stats_close(must_write(path));
    uint8_t *data = tiny_get(path, &size);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t flipped = (uint8_t)(data[at] ^ 1 << bit);
            if (pwrite(fd, &flipped, 1, (off_t)at) != 1) tiny_die(path);
            must_fail("a flipped bit", at);
            if (pwrite(fd, &data[at], 1, (off_t)at) != 1) tiny_die(path);
        }
    close(fd);
    Error err = {0};
    if (!whole(path, &err)) fail_msg("%s", err.text);
    for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 13) {
        tiny_put(path, data, cut);
        must_fail("a cut", cut);
    }
    data = realloc(data, size + 1);
    data[size] = 0;
    tiny_put(path, data, size + 1);
    must_fail("a byte too many", size);
    free(data);
    unlink(path);
}

// ---- an index that lies

static char *index_of(const uint8_t *data, ContainerHeader *h) {
    Error err = {0};
    assert_int_equal(container_header_read(stats_kind.magic, data, h), CONTAINER_GOOD);
    char *text =
        container_inflate(data + h->index_offset, h->index_bytes, h->index_raw_bytes, stats_kind.index_max, &err);
    assert_non_null(text);
    return text;
}

static void put_with_index(const uint8_t *data, const ContainerHeader *h, const char *index) {
    Error err = {0};
    FileOut *out = file_out_open(path, 0, &err);
    assert_true(out && file_out_write(out, data, h->index_offset, &err) &&
                container_end(out, &stats_kind, STATS_VERSION, index, &err) && file_out_commit(out, &err));
}

static void test_lies(void **state) {
    (void)state;
    static const struct {
        const char *find, *replace, *why;
    } lies[] = {
        {"\"stats\"", "\"stat\"", "format"},
        {"\"fisher\"", "\"fish\"", "kind"},
        {"\"kind\":", "\"kin\":", "kind"},
        {"\"model\":\"0123", "\"model\":\"X123", "model"},
        {"\"text\":\"0000", "\"text\":\"000", "text"},
        {"\"windows\":3", "\"windows\":-3", "windows"},
        {"\"ctx\":16", "\"ctx\":1.5", "ctx"},
        {"\"tokens\":48,", "\"tokens\":1e99,", "tokens"},
        {"\"seed\":\"18446744073709551615\"", "\"seed\":\"18446744073709551616\"", "seed"},
        {"\"seed\":\"1", "\"seed\":\"-1", "seed"},
        {"\"sections\":[", "\"section\":[", "sections"},
        {"\"tensors\":[", "\"tensor\":[", "tensors"},
        {"\"offset\":128", "\"offset\":192", "hole"},
        {"\"offset\":128", "\"offset\":129", "misaligned"},
        {"\"offset\":128", "\"offset\":9007199254740992", "outside"},
        {"\"bytes\":28", "\"bytes\":9007199254740992", "outside"},
        {"\"bytes\":28", "\"bytes\":24", "not zero"},
        {"\"name\":\"blk.0.attn_q.weight\"", "\"name\":\"\"", "name"},
        {"\"name\":\"blk.0.attn_q.weight\"", "\"name\":\"token_embd.weight\"", "twice"},
        {"\"rows\":5", "\"rows\":6", "should not have"},
        {"\"rows\":5", "\"rows\":9007199254740992", "rows"},
        {"\"cols\":7", "\"cols\":0", "columns"},
        {"\"cols\":7", "\"cols\":1073741824", "should not have"},
        {"\"cols\":7", "\"cols\":9007199254740992", "columns"},
        {"\"importance\":0", "\"import\":0", "importance"},
        {"\"importance\":0", "\"importance\":1", "should not have"},
        {"\"importance\":0", "\"importance\":99", "section"},
        {"\"hessian\":1", "\"hessian\":-1", "hessian"},
        {"\"hessian\":1", "\"hessian\":0", "should not have"},
        {"\"output\":", "\"outputs\":", "belongs to no tensor"},
        {"\"loss\":{\"q4_0\":0", "\"loss\":{\"q4_0\":-1", "q4_0"},
        {"\"loss\":{\"q4_0\":0", "\"loss\":{\"q4_0\":true", "q4_0"},
        {"\"loss\":{\"q4_0\":0}", "\"loss\":[]", "loss"},
    };
    size_t size;
    ContainerHeader h;
    stats_close(must_write(path));
    uint8_t *data = tiny_get(path, &size);
    char *text = index_of(data, &h);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char *lie = tiny_replace(text, lies[i].find, lies[i].replace);
        Error err = {0};
        put_with_index(data, &h, lie);
        if (whole(path, &err)) fail_msg("%s for %s passed", lies[i].replace, lies[i].find);
        if (!strstr(err.text, lies[i].why) || !strstr(err.text, path))
            fail_msg("%s for %s: %s", lies[i].replace, lies[i].find, err.text);
        free(lie);
    }
    // What a later writer may add is passed over.
    char *more = tiny_replace(text, "\"loss\":{\"q4_0\":0}", "\"loss\":{\"q4_0\":0,\"q0_z\":7},\"new\":[1]");
    Error err = {0};
    put_with_index(data, &h, more);
    Stats *s = stats_open(path, &err);
    if (!s) fail_msg("%s", err.text);
    check(s);
    stats_close(s);
    free(more);
    mem_free(text);

    // A matrix whose values are damaged under a right hash.
    float nan = NAN;
    StatsTensor t;
    memcpy(data + 192, &nan, sizeof nan); // the Hessian's first value
    text = index_of(data, &h);
    cJSON *index = cJSON_Parse(text);
    char hex[HASH_HEX];
    cJSON *hessian = cJSON_GetArrayItem(cJSON_GetObjectItem(index, "sections"), 1);
    assert_true(cJSON_GetObjectItem(hessian, "offset")->valuedouble == 192);
    cJSON_SetValuestring(cJSON_GetObjectItem(hessian, "xxh3"), hash_hex(hash_bytes(data + 192, 28 * 4), hex));
    char *printed = cJSON_PrintUnformatted(index);
    put_with_index(data, &h, printed);
    s = stats_open(path, &err);
    if (!s) fail_msg("%s", err.text);
    assert_false(stats_load(s, "blk.0.attn_q.weight", &t, &err));
    assert_non_null(strstr(err.text, "not finite"));
    stats_close(s);
    cJSON_free(printed);
    cJSON_Delete(index);
    mem_free(text);
    free(data);
    unlink(path);
}

static void test_memory(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        const char *to = named ? path : NULL;
        mem_fail_at(0);
        stats_close(must_write(to));
        size_t count = mem_fail_at(0);
        unlink(path);
        for (size_t n = 1; n <= count; n++) {
            Error err = {0};
            mem_fail_at(n);
            Stats *s = write_all(to, &err);
            mem_fail_at(0);
            assert_null(s);
            assert_non_null(strstr(err.text, "memory"));
            assert_true(named == 0 || files_left() <= 1); // it may be whole already, when opening it fails
            unlink(path);
        }
    }
    stats_close(must_write(path));
    mem_fail_at(0);
    Error err = {0};
    assert_true(whole(path, &err));
    size_t count = mem_fail_at(0);
    for (size_t n = 1; n <= count; n++) {
        mem_fail_at(n);
        assert_false(whole(path, &err));
        mem_fail_at(0);
    }
    unlink(path);
}

static void test_temporary(void **state) {
    (void)state;
    char *old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    Error err = {0};
    setenv("TMPDIR", "/nonexistent/directory", 1);
    assert_null(stats_create(NULL, &info, &err));
    assert_non_null(strstr(err.text, "/nonexistent/directory"));
    assert_non_null(strstr(err.text, "TMPDIR"));
    setenv("TMPDIR", directory, 1);
    Stats *s = must_write(NULL);
    assert_int_equal(files_left(), 0);
    check(s);
    stats_close(s);
    if (old)
        setenv("TMPDIR", old, 1);
    else
        unsetenv("TMPDIR");
    free(old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_sizes), cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_lies),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_temporary),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
