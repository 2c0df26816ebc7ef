// Integers in groups: the search, the layouts against what compressed-tensors and GPTQModel wrote (tests/data/packed,
// made by scripts/make_packed_goldens.py), and the directories that come of it.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "convert/export.h"
#include "convert/open.h"
#include "convert/packed.h"
#include "core/mem.h"
#include "quant/groups.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "tests/tiny.h"

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const CastKernels kernels = {widen, narrow};

static uint32_t seed = 1;
static float uniform(void) {
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}
static float bell(void) { return uniform() + uniform() + uniform(); }

// ---- the search

enum { GROUPS = 37, MOST = GROUPS * GROUP_MOST };

static void fill_groups(float *x, int64_t group) {
    for (int64_t i = 0; i < GROUPS * group; i++) x[i] = bell() * 0.05f;
    memset(x, 0, (size_t)group * sizeof *x);                                         // nothing but zeros
    for (int64_t i = 0; i < group; i++) x[group + i] = 0.01f + 0.001f * bell();      // all of one sign
    for (int64_t i = 0; i < group; i++) x[2 * group + i] = i == 5 ? 1 : 0;           // one alone
    for (int64_t i = 0; i < group; i++) x[3 * group + i] = 1e-12f * bell();          // below f16's least
    for (int64_t i = 0; i < group; i++) x[4 * group + i] = i == 7 ? -30000 : bell(); // an outlier
}

static double group_error(const float *x, int64_t group, const uint8_t *codes, float scale, uint8_t zero) {
    double sum = 0;
    for (int64_t i = 0; i < group; i++) sum += pow((double)x[i] - (double)scale * (codes[i] - zero), 2);
    return sum;
}

// The nearest codes of a grid; for the least error over many scales and all zeros.
static double error_with(const GroupGrid *grid, const float *x, double scale, int zero) {
    double sum = 0, top = group_grid_top(grid);
    for (int64_t i = 0; i < grid->group; i++) {
        double c = scale != 0 ? fmin(fmax(nearbyint(x[i] / scale + zero), 0), top) : zero;
        sum += pow(x[i] - scale * (c - zero), 2);
    }
    return sum;
}

static double least_error(const GroupGrid *grid, const float *x) {
    int half = 1 << (grid->bits - 1);
    double most = 0, least = INFINITY;
    for (int64_t i = 0; i < grid->group; i++) most = fmax(most, fabs(x[i]));
    for (int zero = grid->symmetric ? half : grid->least_zero; zero <= (grid->symmetric ? half : 2 * half - 1); zero++)
        for (int k = -200; k <= 200; k += 2) {
            double scale = most * k / 200 / (grid->symmetric ? 0.65 * half : half * 0.9);
            least = fmin(least, error_with(grid, x, scale, zero));
        }
    return least;
}

static void check_grid(const GroupGrid *grid, bool brute) {
    static float x[MOST], scales[GROUPS], others[GROUPS];
    static uint8_t codes[MOST], zeros[GROUPS], codes2[MOST], zeros2[GROUPS];
    fill_groups(x, grid->group);
    groups_round(grid, x, GROUPS, codes, scales, zeros);
    double ours = 0, best = 0;
    for (int g = 0; g < GROUPS; g++) {
        uint16_t bits;
        float back;
        narrow(grid->scale, &scales[g], &bits, 1);
        widen(grid->scale, &bits, &back, 1);
        assert_true(back == scales[g] && isfinite(back));
        assert_in_range(zeros[g], grid->least_zero, group_grid_top(grid));
        if (grid->symmetric) assert_int_equal(zeros[g], 1 << (grid->bits - 1));
        for (int64_t i = 0; i < grid->group; i++) assert_true(codes[g * grid->group + i] <= group_grid_top(grid));
        if (g == 4) continue; // the outlier would be all of the sum
        ours += group_error(x + g * grid->group, grid->group, codes + g * grid->group, scales[g], zeros[g]);
        if (brute) best += least_error(grid, x + g * grid->group);
    }
    if (brute && ours > best * 1.01) fail_msg("squared error %g where %g can be had", ours, best);
    for (int level = 0; level < CPU_LEVELS; level++) {
        GroupsFn *f = groups_function_at((CpuLevel)level);
        if (!f) continue;
        f(grid, x, GROUPS, codes2, others, zeros2);
        assert_memory_equal(codes2, codes, (size_t)(GROUPS * grid->group));
        assert_memory_equal(others, scales, sizeof scales);
        assert_memory_equal(zeros2, zeros, sizeof zeros);
    }
}

static void test_search(void **state) {
    (void)state;
    for (int i = 0; i < 48; i++) {
        GroupGrid grid = {.bits = i & 1 ? 8 : 4,
                          .group = 32 << (i / 16),
                          .symmetric = i & 2,
                          .least_zero = !(i & 2) && (i & 4),
                          .scale = i & 8 ? DT_BF16 : DT_F16};
        check_grid(&grid, grid.bits == 4 && grid.scale == DT_F16 && grid.group == (grid.symmetric ? 128 : 32));
    }
}

// ---- layouts

typedef struct Sunk {
    uint8_t data[8192];
    size_t size;
} Sunk;

static bool sink(void *to, const void *data, size_t size, Error *err) {
    Sunk *s = to;
    (void)err;
    assert_true(s->size + size <= sizeof s->data);
    memcpy(s->data + s->size, data, size);
    s->size += size;
    return true;
}

static uint8_t *golden(const char *name, int bits, size_t *size) {
    char path[128];
    snprintf(path, sizeof path, "tests/data/packed/%s.%d", name, bits);
    return tiny_get(path, size);
}

static void test_layouts(void **state) {
    (void)state;
    static const struct {
        PackedPart part;
        const char *name;
    } parts[] = {{PART_WEIGHT_PACKED, "weight_packed"},
                 {PART_WEIGHT_ZERO_POINT, "weight_zero_point"},
                 {PART_WEIGHT_SCALE, "scales"},
                 {PART_QWEIGHT, "gptq_qweight"},
                 {PART_QZEROS, "gptq_qzeros"},
                 {PART_SCALES, "gptq_scales"},
                 {PART_G_IDX, "gptq_g_idx"}};
    for (int bits = 4; bits <= 8; bits += 4) {
        size_t size;
        Packed p = {.rows = 32, .cols = 64, .grid = {.bits = bits, .group = 32, .scale = DT_F16}};
        p.codes = golden("codes", bits, &size);
        p.scales = (uint16_t *)(void *)golden("scales", bits, &size);
        p.zeros = golden("zeros", bits, &size);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            Error err = {0};
            Sunk sunk = {.size = 0};
            Tensor shape = {.name = NULL};
            uint8_t *wanted = golden(parts[i].name, bits, &size);
            assert_non_null(packed_part(parts[i].part, p.rows, p.cols, &p.grid, &shape, &err));
            assert_true(packed_write(&p, parts[i].part, sink, &sunk, &err));
            if (sunk.size != size || shape.bytes != size || memcmp(sunk.data, wanted, size) != 0)
                fail_msg("%s of %d bits is not as the package writes it", parts[i].name, bits);
            free(wanted);
        }
        free(p.codes);
        free(p.scales);
        free(p.zeros);
    }
}

// ---- a tensor

enum { ROWS = 16, COLS = 96 };

static Tensor matrix(DType type, const void *data) {
    static char name[] = "blk.0.attn_q.weight";
    Error err = {0};
    Tensor t = {.name = name, .type = type, .dims = 2, .shape = {ROWS, COLS}, .data = data};
    assert_true(tensor_size(&t, &err));
    return t;
}

// What the packages make of codes: the difference in whole numbers, times the scale, rounded to the scale's type.
static void unpack(const Packed *p, uint16_t *out) {
    for (int64_t i = 0; i < p->rows * p->cols; i++) {
        int64_t group = i / p->grid.group;
        float scale, value;
        widen(p->grid.scale, &p->scales[group], &scale, 1);
        value = scale * (float)(p->codes[i] - p->zeros[group]);
        narrow(p->grid.scale, &value, &out[i], 1);
    }
}

// Blocks come out as the values that they are.
static void test_carried(void **state) {
    (void)state;
    static const DType types[] = {DT_Q4_0, DT_Q8_0};
    float x[ROWS * COLS], values[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) x[i] = bell();
    for (int k = 0; k < 2; k++) {
        Error err = {0};
        uint8_t blocks[ROWS * COLS * 2];
        uint16_t wanted[ROWS * COLS], found[ROWS * COLS];
        Packed p;
        GroupGrid grid = {.bits = k ? 8 : 4, .group = 32, .symmetric = true, .scale = DT_F16};
        quant_function(types[k])(x, blocks, ROWS, COLS, NULL);
        Tensor t = matrix(types[k], blocks);
        assert_true(packed_carries(&t, &grid));
        assert_true(packed_make(&t, 0, false, &grid, &kernels, groups_round, &p, &err));
        widen(types[k], blocks, values, ROWS * COLS);
        narrow(DT_F16, values, wanted, ROWS * COLS);
        unpack(&p, found);
        assert_memory_equal(found, wanted, sizeof wanted);
        packed_free(&p);
        blocks[1] = 0x7c; // an infinite scale
        blocks[0] = 0;
        assert_false(packed_make(&t, 0, false, &grid, &kernels, groups_round, &p, &err));
        assert_non_null(strstr(err.text, "infinite scale or NaN at row 0"));
        packed_free(&p);
        grid.scale = DT_BF16;
        assert_false(packed_carries(&t, &grid));
    }
}

static void test_rows_and_values(void **state) {
    (void)state;
    Error err = {0};
    Packed p;
    float x[ROWS * COLS];
    GroupGrid grid = {.bits = 8, .group = 32, .symmetric = true, .scale = DT_F16};
    for (int i = 0; i < ROWS * COLS; i++) x[i] = (float)(i / COLS + 1) / 32;
    Tensor t = matrix(DT_F32, x);
    // Heads of 8 rows in GGUF's order: rows 0, 2, 4, 6, 1, 3, 5, 7 are Hugging Face's.
    static const int order[] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
    assert_true(packed_make(&t, 8, true, &grid, &kernels, groups_round, &p, &err));
    uint16_t found[ROWS * COLS];
    unpack(&p, found);
    for (int r = 0; r < ROWS; r++) {
        float value;
        widen(DT_F16, &found[r * COLS], &value, 1);
        assert_true(fabsf(value - (float)(order[r] + 1) / 32) < 1e-3f);
    }
    packed_free(&p);
    assert_false(packed_make(&t, 12, true, &grid, &kernels, groups_round, &p, &err));
    packed_free(&p);
    x[COLS + 3] = 40000;
    assert_false(packed_make(&t, 0, false, &grid, &kernels, groups_round, &p, &err));
    assert_non_null(strstr(err.text, "too large for scales in f16"));
    packed_free(&p);
    x[COLS + 3] = NAN;
    assert_false(packed_make(&t, 0, false, &grid, &kernels, groups_round, &p, &err));
    assert_non_null(strstr(err.text, "NaN or infinity at row 1"));
    packed_free(&p);
}

// ---- whole directories, with each allocation failing in turn

static void test_memory_out(void **state) {
    (void)state;
    char directory[64], model_path[128], out[128], gguf[128];
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    snprintf(out, sizeof out, "%s/out", directory);
    snprintf(gguf, sizeof gguf, "%s/kjv.gguf", directory);
    tiny_write(model_path, &(Tiny){.dtype = "BF16", .bias = true});
    ExportPack packs[2] = {
        {.layout = PACK_COMPRESSED_TENSORS, .grid = {4, 32, false, 0, DT_F16}, .round = groups_round},
        {.layout = PACK_GPTQ, .grid = {8, 32, true, 1, DT_F16}, .round = groups_round}};
    for (int i = 0; i < 3; i++) {
        Error err = {0};
        Model *model = model_open(i < 2 ? model_path : "tests/data/kjv", &err);
        assert_non_null(model);
        ExportOptions o = {.kernels = kernels, .pack = i < 2 ? &packs[i] : NULL};
        ExportResult result;
        if (i == 2) { // files that are made: of what came out of a GGUF
            assert_true(model_export_gguf(model, gguf, &o, &result, &err));
            model_free(model);
            model = model_open(gguf, &err);
            assert_non_null(model);
        }
        bool ok = false;
        for (size_t n = 1; !ok && n < 3000; n += i < 2 ? 1 : 1 + n / 8) {
            err.text[0] = 0;
            mem_fail_at(n);
            ok = model_export_hf(model, out, &o, &result, &err);
            mem_fail_at(0);
            assert_true(ok || strstr(err.text, "out of memory"));
            assert_true(ok || access(out, F_OK) != 0);
        }
        assert_true(ok);
        if (i < 2) assert_int_equal(result.packed, 14);
        model_free(model);
        tiny_remove(out);
    }
    tiny_remove(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search),          cmocka_unit_test(test_layouts),    cmocka_unit_test(test_carried),
        cmocka_unit_test(test_rows_and_values), cmocka_unit_test(test_memory_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
