// Each on memory larger than most caches, by all threads: bytes of weights a second, beside what the machine reads; and
// the integer matrix multiply in products a second.
#include "cli/bench.h"

#include "core/mem.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include <math.h>
#include <string.h>

enum { COLS = 4096, ROWS = 16384, TOKENS = 768, MATRIX_ROWS = 1024 };

typedef struct Work {
    DType type;
    uint8_t *weight, *panels; // [ROWS, COLS]; the same repacked
    size_t row, panel;        // bytes
    const float *x;           // [TOKENS, COLS]
    BlockAct *acts;           // x, rounded to `digits`
    int digits;
    void *packed;        // the first MATRIX_ROWS rows
    float *out, *source; // [TOKENS, MATRIX_ROWS]; [MATRIX_ROWS, COLS]
} Work;

static void run_to_f32(void *context) {
    const Work *w = context;
    ToF32Fn to_f32 = kernels_get()->to_f32[w->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < ROWS; r++) {
        float values[COLS];
        to_f32(w->weight + (size_t)r * w->row, values, COLS);
        w->out[r % (TOKENS * MATRIX_ROWS)] = values[r % COLS];
    }
}

static void run_dot(void *context) {
    const Work *w = context;
    DotF32Fn dot = kernels_get()->dot_f32[w->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < ROWS; r++) w->out[r] = dot(w->weight + (size_t)r * w->row, w->x, COLS);
}

static void run_gemv(void *context) {
    const Work *w = context;
    GemvFn gemv = kernels_get()->gemv[w->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < ROWS; r += GEMV_ROWS)
        gemv(w->panels + (size_t)(r / GEMV_ROWS) * w->panel, COLS / BLOCK, w->acts, w->out + r);
}

static void run_matmul(void *context) {
    const Work *w = context;
    enum { SHARE = 48 }; // whole groups of every kernel (6, 4, 1)
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < TOKENS; i += SHARE)
        gemm_int8_multiply(kernels_get()->int8, w->type, w->digits, w->acts + i * (COLS / BLOCK) * w->digits, SHARE,
                           w->packed, 0, MATRIX_ROWS, COLS, w->out + i * MATRIX_ROWS, MATRIX_ROWS, false);
}

static void run_quant(void *context) {
    const Work *w = context;
    enum { SHARE = 16 };
    QuantizeFn quantize = quant_function(w->type);
#pragma omp parallel for schedule(dynamic)
    for (int64_t r = 0; r < MATRIX_ROWS; r += SHARE)
        quantize(w->source + r * COLS, w->weight + (size_t)r * w->row, SHARE, COLS, NULL);
}

// Products a second with inputs of so many digits.
static double matmul_speed(Bench *b, Work *w, int digits) {
    gemm_int8_round(w->x, (int64_t)TOKENS * COLS, digits, w->acts);
    w->digits = digits;
    return (double)TOKENS * MATRIX_ROWS * COLS / bench_shortest(b, run_matmul, w);
}

static void put(cJSON *o, const char *key, double value) {
    if (value > 0) cJSON_AddNumberToObject(o, key, value);
}

// One number of the table; "-" where there is none.
static void cell(const Bench *b, double value, const char *format) {
    char text[32] = "-";
    if (value > 0) snprintf(text, sizeof text, format, value);
    if (b->table) fprintf(b->table, " %10s", text);
}

static bool work_init(Work *w, DType type, Error *err) {
    const DTypeInfo *info = dtype_info(type);
    w->type = type;
    w->row = (size_t)(COLS / info->block) * info->block_bytes;
    w->panel = gemv_panel_bytes(type, COLS);
    if (!(w->weight = mem_alloc(ROWS, w->row, err))) return false;
    QuantizeFn quantize = quant_function(type);
    if (quantize) quantize(w->source, w->weight, MATRIX_ROWS, COLS, NULL);
    for (int64_t r = MATRIX_ROWS; r < ROWS; r += MATRIX_ROWS)
        memcpy(w->weight + (size_t)r * w->row, w->weight, w->row * MATRIX_ROWS);
    if (!w->panel) return true;
    if (!(w->panels = mem_alloc(ROWS / GEMV_ROWS, w->panel, err)) ||
        !(w->packed = mem_alloc(1, gemm_int8_bytes(MATRIX_ROWS, COLS), err)))
        return false;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < ROWS; r += GEMV_ROWS)
        gemv_pack(type, w->weight, r % MATRIX_ROWS, MATRIX_ROWS, COLS, w->panels + (size_t)(r / GEMV_ROWS) * w->panel);
    for (int64_t r = 0; r < MATRIX_ROWS; r += INT8_ROWS)
        gemm_int8_pack(kernels_get()->int8, type, w->weight, r, MATRIX_ROWS, COLS, w->packed);
    return true;
}

static bool bench_type(Bench *b, Work *w, DType type, cJSON *array, Error *err) {
    if (!work_init(w, type, err)) return false;
    double bytes = (double)ROWS * (double)w->row, panels = (double)(ROWS / GEMV_ROWS) * (double)w->panel;
    double dequantize = bytes / bench_shortest(b, run_to_f32, w), dot = bytes / bench_shortest(b, run_dot, w);
    double exact = w->panel && kernels_get()->exact ? matmul_speed(b, w, 3) : 0;
    double matmul = w->panel ? matmul_speed(b, w, 1) : 0; // leaves the inputs as gemv takes them
    double gemv = w->panel ? panels / bench_shortest(b, run_gemv, w) : 0, quant = 0;
    if (quant_function(type)) quant = (double)MATRIX_ROWS * COLS * sizeof(float) / bench_shortest(b, run_quant, w);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "type", dtype_name(type));
    put(o, "dequantize_gb_per_second", dequantize / 1e9);
    put(o, "dot_f32_gb_per_second", dot / 1e9);
    put(o, "gemv_int8_gb_per_second", gemv / 1e9);
    put(o, "gemv_int8_share_of_bandwidth", gemv / b->bandwidth);
    put(o, "matmul_int8_giga_products_per_second", matmul / 1e9);
    put(o, "matmul_f32_giga_products_per_second", exact / 1e9);
    put(o, "quantize_mb_per_second", quant / 1e6);
    cJSON_AddItemToArray(array, o);
    if (b->table) fprintf(b->table, "%-8s", dtype_name(type));
    cell(b, dequantize / 1e9, "%.1f");
    cell(b, dot / 1e9, "%.1f");
    cell(b, gemv / 1e9, "%.1f");
    cell(b, 100 * gemv / b->bandwidth, "%.0f %%");
    cell(b, matmul / 1e9, "%.0f");
    cell(b, exact / 1e9, "%.0f");
    cell(b, quant / 1e6, "%.0f");
    if (b->table) fputc('\n', b->table);
    return true;
}

static void work_free(Work *w) {
    mem_free(w->weight);
    mem_free(w->panels);
    mem_free(w->packed);
    w->weight = w->panels = NULL;
    w->packed = NULL;
}

bool bench_kernels(Bench *b, Error *err) {
    static const DType types[] = {DT_F32,  DT_BF16,   DT_F16,  DT_Q8_0, DT_Q4_0, DT_Q4_1,   DT_Q5_0,
                                  DT_Q5_1, DT_IQ4_NL, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_XS, DT_MXFP4};
    float *x = mem_alloc((size_t)TOKENS * COLS, sizeof *x, err);
    float *source = mem_alloc((size_t)MATRIX_ROWS * COLS, sizeof *source, err);
    float *out = mem_alloc((size_t)TOKENS * MATRIX_ROWS, sizeof *out, err);
    BlockAct *acts = mem_alloc((TOKENS + INT8_TOKENS_MOST) * ACT_DIGITS, COLS / BLOCK * sizeof *acts, err);
    bool ok = x && source && out && acts;
    uint32_t state = 1;
    for (int64_t i = 0; ok && i < (int64_t)MATRIX_ROWS * COLS; i++) {
        state = state * 1664525 + 1013904223;
        source[i] = (float)(int32_t)state * 0x1p-31f;
        if (i < (int64_t)TOKENS * COLS) x[i] = source[i];
    }
    if (b->table)
        fprintf(b->table, "\n%-8s %10s %10s %10s %10s %10s %10s %10s\n%-8s %10s %10s %10s %10s %10s %10s %10s\n",
                "type", "dequantize", "dot f32", "gemv int8", "of read", "matmul", "... f32", "quantize", "", "GB/s",
                "GB/s", "GB/s", "", "G mul/s", "G mul/s", "MB/s");
    cJSON *array = cJSON_AddArrayToObject(b->json, "kernels");
    for (size_t i = 0; ok && i < sizeof types / sizeof *types; i++) {
        Work w = {.x = x, .source = source, .out = out, .acts = acts};
        ok = bench_type(b, &w, types[i], array, err);
        work_free(&w);
    }
    mem_free(x);
    mem_free(source);
    mem_free(out);
    mem_free(acts);
    return ok;
}
