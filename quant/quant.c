#include "quant/quant.h"

#include "quant/kernels/kernels.h"
#include "quant/lanes_table.h"
#include <pthread.h>

static QuantizeFn tables[CPU_LEVELS][DT_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void round_f32(const float *x, void *out, int64_t rows, int64_t cols, const float *importance) {
    (void)importance;
    kernels_get()->from_f32[DT_F32](x, out, rows * cols);
}

static void round_f16(const float *x, void *out, int64_t rows, int64_t cols, const float *importance) {
    (void)importance;
    kernels_get()->from_f32[DT_F16](x, out, rows * cols);
}

static void round_bf16(const float *x, void *out, int64_t rows, int64_t cols, const float *importance) {
    (void)importance;
    kernels_get()->from_f32[DT_BF16](x, out, rows * cols);
}

#define FILL(target, table)                                                                                            \
    do {                                                                                                               \
        lanes_symmetric_##target(table);                                                                               \
        lanes_affine_##target(table);                                                                                  \
        lanes_levels_##target(table);                                                                                  \
        lanes_mxfp4_##target(table);                                                                                   \
        lanes_super_##target(table);                                                                                   \
        lanes_super_signed_##target(table);                                                                            \
    } while (0)

static void fill_tables(void) {
    for (int level = 0; level < CPU_LEVELS; level++) {
        if (!cpu_has_level((CpuLevel)level)) continue;
        QuantizeFn *table = tables[level];
        table[DT_F32] = round_f32;
        table[DT_F16] = round_f16;
        table[DT_BF16] = round_bf16;
        switch (level) {
#if defined(__x86_64__)
        case CPU_AVX2: FILL(avx2, table); break;
        case CPU_AVX512: FILL(avx512, table); break;
#endif
        default: FILL(scalar, table); break; // on aarch64 it is compiled to NEON as it is
        }
    }
}

QuantizeFn quant_function_at(CpuLevel level, DType type) {
    pthread_once(&once, fill_tables);
    return tables[level][type];
}

QuantizeFn quant_function(DType type) { return quant_function_at(cpu_get()->level, type); }
