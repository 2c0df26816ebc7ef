// Quantizers: the bytes of gguf-py where that is promised, errors no higher than llama.cpp's elsewhere (goldens made by
// scripts/make_quant_goldens.py), the same bytes on every instruction set and however rows are cut.
#include "core/file.h"
#include "core/mem.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COLS = 512, ORDINARY = 16 }; // as in the script

static const DType rounded[] = {DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_MXFP4};
static const DType searched[] = {DT_IQ4_NL, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_XS, DT_Q3_K, DT_Q2_K};
static const DType all[] = {DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q5_0,   DT_Q5_1, DT_MXFP4, DT_IQ4_NL,
                            DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_XS, DT_Q3_K, DT_Q2_K};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static FileMap *rows_file, *importance_file;
static const float *rows, *importance;
static int row_count;

static FileMap *golden(const char *name, const char *ending) {
    char path[64];
    snprintf(path, sizeof path, "tests/data/quant/%s%s", name, ending);
    Error err;
    FileMap *map = file_map(path, &err);
    if (!map) fail_msg("%s", err.text);
    return map;
}

static int open_rows(void **state) {
    (void)state;
    rows_file = golden("rows", ".f32");
    importance_file = golden("importance", ".f32");
    rows = (const float *)rows_file->data;
    importance = (const float *)importance_file->data;
    row_count = (int)(rows_file->size / sizeof(float) / COLS);
    return importance_file->size == COLS * sizeof(float) && row_count > ORDINARY ? 0 : -1;
}

static int close_rows(void **state) {
    (void)state;
    file_unmap(rows_file);
    file_unmap(importance_file);
    return 0;
}

static size_t bytes_of(DType type, int64_t n) {
    size_t bytes = 0;
    assert_true(dtype_row_bytes(type, n, &bytes));
    return bytes;
}

static uint8_t *blocks_new(DType type, int64_t n) {
    uint8_t *blocks = mem_alloc(bytes_of(type, n), 1, NULL);
    assert_non_null(blocks);
    return blocks;
}

static uint8_t *quantized(DType type, const float *x, int64_t count, const float *weights) {
    uint8_t *blocks = blocks_new(type, count * COLS);
    quant_function(type)(x, blocks, count, COLS, weights);
    return blocks;
}

static float *values_of(DType type, const void *blocks, int64_t n) {
    float *values = mem_alloc((size_t)n, sizeof(float), NULL);
    assert_non_null(values);
    kernels_get()->to_f32[type](blocks, values, n);
    return values;
}

// What is so small that gguf-py's exponent for mxfp4 turns over.
static bool is_below_mxfp4(const float *x) {
    float top = 0;
    for (int i = 0; i < 32; i++) top = fmaxf(top, fabsf(x[i]));
    return top > 0 && top < 0x1p-125f;
}

static void bytes_of_gguf_py(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(rounded); t++) {
        DType type = rounded[t];
        FileMap *want = golden(dtype_name(type), ".blocks");
        size_t block = dtype_info(type)->block_bytes;
        assert_int_equal(want->size, bytes_of(type, (int64_t)row_count * COLS));
        uint8_t *got = quantized(type, rows, row_count, NULL);
        for (size_t at = 0; at < want->size; at += block) {
            if (type == DT_MXFP4 && is_below_mxfp4(rows + at / block * 32)) continue;
            if (memcmp(got + at, want->data + at, block) != 0)
                fail_msg("%s: row %zu, block %zu differs", dtype_name(type), at / block / (COLS / 32),
                         at / block % (COLS / 32));
        }
        mem_free(got);
        file_unmap(want);
    }
}

// The rounding of gguf-py in plain C, a block at a time, for weights with many ties: numbers of few bits.
static void write_plainly(DType type, const float *x, uint8_t *block) {
    float top = x[0];
    for (int i = 1; i < 32; i++)
        if (fabsf(x[i]) > fabsf(top)) top = x[i];
    int half = type == DT_Q8_0 ? 127 : type == DT_Q4_0 ? 8 : 16;
    float d = type == DT_Q8_0 ? fabsf(top) / 127 : top / (float)-half, inverse = d != 0 ? 1 / d : 0;
    uint16_t bits;
    kernels_get()->from_f32[DT_F16](&d, &bits, 1);
    memset(block, 0, dtype_info(type)->block_bytes);
    memcpy(block, &bits, sizeof bits);
    if (isinf(inverse)) return;
    for (int i = 0; i < 32; i++) {
        float t = x[i] * inverse;
        if (type == DT_Q8_0) {
            float size = fabsf(t), whole = truncf(size);
            if (size - whole >= 0.5f) whole++;
            block[2 + i] = (uint8_t)(int8_t)(t < 0 ? -whole : whole);
            continue;
        }
        int code = (int)(t + ((float)half + 0.5f)), nibble = i % 16, shift = i / 16 * 4;
        if (code > 2 * half - 1) code = 2 * half - 1;
        block[(type == DT_Q4_0 ? 2 : 6) + nibble] |= (uint8_t)((code & 15) << shift);
        if (type == DT_Q5_0) block[2 + i / 8] |= (uint8_t)(code >> 4 << i % 8);
    }
}

static void rounded_as_written(void **state) {
    (void)state;
    enum { BLOCKS = 501 };
    static const DType types[] = {DT_Q8_0, DT_Q4_0, DT_Q5_0};
    static float x[BLOCKS * 32];
    uint32_t random = 1;
    for (int i = 0; i < BLOCKS * 32; i++) {
        random = random * 1664525 + 1013904223;
        // Of -16 to 15, or of -128 to 127; large, small and subnormal, also zeros alone.
        int levels = i / 32 % 3 ? 5 : 8, exponent = i / 32 % 7 - 3;
        float size = exponent == 3 ? 0 : ldexpf(1, exponent == -3 ? -148 : exponent * 40 - 5);
        x[i] = (float)((int32_t)random >> (32 - levels)) * size;
        if (i / 32 % 11 == 0) x[i] += size / 2; // halves
    }
    for (int level = 0; level < CPU_LEVELS; level++) {
        for (int t = 0; t < COUNT(types); t++) {
            QuantizeFn quantize = quant_function_at((CpuLevel)level, types[t]);
            size_t bytes = dtype_info(types[t])->block_bytes;
            uint8_t *blocks = blocks_new(types[t], BLOCKS * 32), want[64];
            if (quantize) quantize(x, blocks, 1, BLOCKS * 32, NULL);
            for (int b = 0; quantize && b < BLOCKS; b++) {
                write_plainly(types[t], x + b * 32, want);
                if (memcmp(blocks + (size_t)b * bytes, want, bytes) != 0)
                    fail_msg("%s, %s: block %d", cpu_level_name((CpuLevel)level), dtype_name(types[t]), b);
            }
            mem_free(blocks);
        }
    }
}

// How an error counts: the plain square; times what llama.cpp weighs it by where it has no importance (q4_k and q5_k:
// the block's root mean square + |x|, q2_k: |x|, others: x^2); times the importance of the column.
typedef enum Measure { PLAIN, LLAMA, IMPORTANCE, MEASURES } Measure;

static double weight_of(Measure measure, DType type, const float *row, int i) {
    if (measure == PLAIN) return 1;
    if (measure == IMPORTANCE) return importance[i];
    if (type == DT_Q2_K) return fabs((double)row[i]);
    if (type != DT_Q4_K && type != DT_Q5_K) return (double)row[i] * row[i];
    double squares = 0;
    for (int j = i / 32 * 32; j < i / 32 * 32 + 32; j++) squares += (double)row[j] * row[j];
    return sqrt(squares / 32) + fabs((double)row[i]);
}

// Relative to the row's weighted squares; mean over the ordinary rows.
static double error_of(Measure measure, DType type, const uint8_t *blocks) {
    float *values = values_of(type, blocks, ORDINARY * COLS);
    double sum = 0;
    for (int r = 0; r < ORDINARY; r++) {
        double error = 0, squares = 0;
        for (int i = 0; i < COLS; i++) {
            const float *x = rows + (ptrdiff_t)r * COLS;
            double w = weight_of(measure, type, x, i), e = (double)values[r * COLS + i] - x[i];
            error += w * e * e;
            squares += w * x[i] * x[i];
        }
        sum += error / squares;
    }
    mem_free(values);
    return sum / ORDINARY;
}

static void errors_beside_llama_cpp(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(searched); t++) {
        DType type = searched[t];
        FileMap *theirs = golden(dtype_name(type), ".blocks");
        assert_int_equal(theirs->size, bytes_of(type, ORDINARY * COLS));
        uint8_t *ours = quantized(type, rows, ORDINARY, NULL);
        double ratio[2];
        for (Measure m = PLAIN; m <= LLAMA; m++) ratio[m] = error_of(m, type, ours) / error_of(m, type, theirs->data);
        print_message("%s: error / llama.cpp's: %.4f plain, %.4f by its weights\n", dtype_name(type), ratio[PLAIN],
                      ratio[LLAMA]);
        assert_true(ratio[PLAIN] < 1 && ratio[LLAMA] < 1);
        mem_free(ours);
        file_unmap(theirs);
    }
}

static void errors_with_importance(void **state) {
    (void)state;
    FILE *theirs = fopen("tests/data/quant/importance.txt", "r");
    assert_non_null(theirs);
    char name[16];
    double error;
    int lines = 0;
    while (fscanf(theirs, "%15s %lf", name, &error) == 2) {
        DType type;
        assert_true(dtype_from_name(name, &type));
        uint8_t *blocks = quantized(type, rows, ORDINARY, importance), *plain = quantized(type, rows, ORDINARY, NULL);
        double ours = error_of(IMPORTANCE, type, blocks);
        print_message("%s with importance: error / llama.cpp's: %.4f\n", name, ours / error);
        assert_true(ours < error);
        assert_true(ours < error_of(IMPORTANCE, type, plain)); // it is heeded
        mem_free(blocks);
        mem_free(plain);
        lines++;
    }
    fclose(theirs);
    assert_int_equal(lines, COUNT(all));
}

static void same_on_every_instruction_set(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            const float *weights = weighted ? importance : NULL;
            size_t size = bytes_of(all[t], (int64_t)row_count * COLS);
            uint8_t *want = blocks_new(all[t], (int64_t)row_count * COLS),
                    *got = blocks_new(all[t], (int64_t)row_count * COLS);
            quant_function_at(CPU_SCALAR, all[t])(rows, want, row_count, COLS, weights);
            for (int level = CPU_SCALAR + 1; level < CPU_LEVELS; level++) {
                QuantizeFn f = quant_function_at((CpuLevel)level, all[t]);
                assert_true((f != NULL) == cpu_has_level((CpuLevel)level));
                if (!f) continue;
                memset(got, 0xa5, size);
                f(rows, got, row_count, COLS, weights);
                if (memcmp(got, want, size) != 0)
                    fail_msg("%s%s: %s is not what scalar gives", dtype_name(all[t]),
                             weighted ? " with importance" : "", cpu_level_name((CpuLevel)level));
            }
            mem_free(want);
            mem_free(got);
        }
    }
}

// One call for all rows, one a row, and rows of another width over the same elements: the blocks are the same.
static void same_however_cut(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        DType type = all[t];
        int block = dtype_info(type)->block;
        size_t row = bytes_of(type, COLS), size = (size_t)row_count * row;
        uint8_t *want = quantized(type, rows, row_count, NULL), *got = blocks_new(type, (int64_t)row_count * COLS);
        for (int r = 0; r < row_count; r++)
            quant_function(type)(rows + (ptrdiff_t)r * COLS, got + (size_t)r * row, 1, COLS, NULL);
        assert_memory_equal(got, want, size);
        memset(got, 0, size);
        quant_function(type)(rows, got, (int64_t)row_count * COLS / block, block, NULL);
        assert_memory_equal(got, want, size);
        mem_free(want);

        want = quantized(type, rows, row_count, importance);
        memset(got, 0, size);
        for (int r = 0; r < row_count; r++)
            quant_function(type)(rows + (ptrdiff_t)r * COLS, got + (size_t)r * row, 1, COLS, importance);
        assert_memory_equal(got, want, size);
        mem_free(want);
        mem_free(got);
    }
}

// No count of blocks writes past its end, or leaves some of it unwritten.
static void every_count(void **state) {
    (void)state;
    enum { MOST = 37 };
    uint8_t got[MOST * sizeof(BlockQ8_0) + 1], other[sizeof got], whole[sizeof got];
    for (int t = 0; t < COUNT(all); t++) {
        size_t block = dtype_info(all[t])->block_bytes;
        int width = dtype_info(all[t])->block, most = (int)((sizeof got - 1) / block);
        if (most > MOST) most = MOST;
        quant_function(all[t])(rows, whole, most, width, NULL);
        for (int count = 0; count <= most; count++) {
            memset(got, 0x5a, sizeof got);
            memset(other, 0xa5, sizeof other);
            quant_function(all[t])(rows, got, count, width, NULL);
            quant_function(all[t])(rows, other, count, width, NULL);
            assert_memory_equal(got, whole, block * (size_t)count);
            assert_memory_equal(other, whole, block * (size_t)count);
            assert_int_equal(got[block * (size_t)count], 0x5a);
        }
    }
}

// What q8_0 and q4_0 can hold exactly comes back as it was: their largest code is always taken.
static void rounding_is_idempotent(void **state) {
    (void)state;
    const DType exact[] = {DT_Q8_0, DT_Q4_0, DT_Q5_0};
    for (int t = 0; t < COUNT(exact); t++) {
        uint8_t *once = quantized(exact[t], rows, ORDINARY, NULL);
        float *values = values_of(exact[t], once, ORDINARY * COLS);
        uint8_t *twice = quantized(exact[t], values, ORDINARY, NULL);
        assert_memory_equal(once, twice, bytes_of(exact[t], ORDINARY * COLS));
        mem_free(once);
        mem_free(values);
        mem_free(twice);
    }
}

// Zeros stay zeros, constants come back within a per cent, importance of zero everywhere counts all alike.
static void plain_cases(void **state) {
    (void)state;
    static float zeros[COLS], constant[COLS], ones[COLS];
    for (int i = 0; i < COLS; i++) {
        constant[i] = -0.375f;
        ones[i] = 1;
    }
    for (int t = 0; t < COUNT(all); t++) {
        const float *const weights[] = {NULL, importance, zeros};
        for (int w = 0; w < COUNT(weights); w++) {
            uint8_t *blocks = quantized(all[t], zeros, 1, weights[w]);
            float *values = values_of(all[t], blocks, COLS);
            for (int i = 0; i < COLS; i++) assert_true(values[i] == 0);
            mem_free(blocks);
            mem_free(values);

            blocks = quantized(all[t], constant, 1, weights[w]);
            values = values_of(all[t], blocks, COLS);
            for (int i = 0; i < COLS; i++)
                if (!(fabsf(values[i] / constant[i] - 1) < 0.01f))
                    fail_msg("%s: %g for %g", dtype_name(all[t]), values[i], constant[i]);
            mem_free(blocks);
            mem_free(values);
        }
        uint8_t *unweighted = quantized(all[t], rows, ORDINARY, zeros), *same = quantized(all[t], rows, ORDINARY, ones);
        assert_memory_equal(unweighted, same, bytes_of(all[t], ORDINARY * COLS));
        mem_free(unweighted);
        mem_free(same);
    }
}

// Searches never make an infinite scale, however large the weights; nothing makes them trap.
static void extreme_rows(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            if (!weighted && t < COUNT(rounded)) continue; // gguf-py's bytes have infinite scales there
            uint8_t *blocks = quantized(all[t], rows, row_count, weighted ? importance : NULL);
            float *values = values_of(all[t], blocks, (int64_t)row_count * COLS);
            for (int i = 0; i < row_count * COLS; i++) assert_true(isfinite(values[i]));
            mem_free(blocks);
            mem_free(values);
        }
    }
    float bad[COLS];
    memcpy(bad, rows, sizeof bad);
    for (int i = 3; i < COLS; i += 50) bad[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
    for (int t = 0; t < COUNT(all); t++) {
        mem_free(quantized(all[t], bad, 1, NULL));
        mem_free(quantized(all[t], bad, 1, importance));
    }
}

static void plain_types(void **state) {
    (void)state;
    const float x[] = {1, -2, 0.1f, 65504, 1e30f, -0.0f};
    const uint16_t f16[] = {0x3c00, 0xc000, 0x2e66, 0x7bff, 0x7c00, 0x8000};
    const uint16_t bf16[] = {0x3f80, 0xc000, 0x3dcd, 0x4780, 0x714a, 0x8000};
    uint16_t half[6];
    float same[6];
    quant_function(DT_F32)(x, same, 2, 3, NULL);
    assert_memory_equal(same, x, sizeof x);
    quant_function(DT_F16)(x, half, 3, 2, NULL);
    assert_memory_equal(half, f16, sizeof half);
    quant_function(DT_BF16)(x, half, 6, 1, NULL);
    assert_memory_equal(half, bf16, sizeof half);
    assert_null(quant_function(DT_I32));
    assert_null(quant_function(DT_F64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_gguf_py),
        cmocka_unit_test(rounded_as_written),
        cmocka_unit_test(errors_beside_llama_cpp),
        cmocka_unit_test(errors_with_importance),
        cmocka_unit_test(same_on_every_instruction_set),
        cmocka_unit_test(same_however_cut),
        cmocka_unit_test(every_count),
        cmocka_unit_test(rounding_is_idempotent),
        cmocka_unit_test(plain_cases),
        cmocka_unit_test(extreme_rows),
        cmocka_unit_test(plain_types),
    };
    return cmocka_run_group_tests_name("quant", tests, open_rows, close_rows);
}
