#include "core/dtype.h"

#include "core/size.h"
#include <string.h>
#include <strings.h>

static const DTypeInfo table[DT_COUNT] = {
    [DT_F32] = {"f32", "F32", 0, 1, 4},
    [DT_F16] = {"f16", "F16", 1, 1, 2},
    [DT_BF16] = {"bf16", "BF16", 30, 1, 2},
    [DT_F64] = {"f64", "F64", 28, 1, 8},
    [DT_I8] = {"i8", "I8", 24, 1, 1},
    [DT_I16] = {"i16", "I16", 25, 1, 2},
    [DT_I32] = {"i32", "I32", 26, 1, 4},
    [DT_I64] = {"i64", "I64", 27, 1, 8},
    [DT_U8] = {"u8", "U8", -1, 1, 1},
    [DT_BOOL] = {"bool", "BOOL", -1, 1, 1},
    [DT_F8_E4M3] = {"f8_e4m3", "F8_E4M3", -1, 1, 1},
    [DT_F8_E5M2] = {"f8_e5m2", "F8_E5M2", -1, 1, 1},
    [DT_F8_E8M0] = {"f8_e8m0", "F8_E8M0", -1, 1, 1},
    [DT_Q8_0] = {"q8_0", NULL, 8, 32, 34},
    [DT_Q4_0] = {"q4_0", NULL, 2, 32, 18},
    [DT_Q4_1] = {"q4_1", NULL, 3, 32, 20},
    [DT_Q5_0] = {"q5_0", NULL, 6, 32, 22},
    [DT_Q5_1] = {"q5_1", NULL, 7, 32, 24},
    [DT_IQ4_NL] = {"iq4_nl", NULL, 20, 32, 18},
    [DT_Q4_K] = {"q4_k", NULL, 12, 256, 144},
    [DT_Q5_K] = {"q5_k", NULL, 13, 256, 176},
    [DT_Q6_K] = {"q6_k", NULL, 14, 256, 210},
    [DT_Q8_1] = {"q8_1", NULL, 9, 32, 36},
    [DT_Q2_K] = {"q2_k", NULL, 10, 256, 84},
    [DT_Q3_K] = {"q3_k", NULL, 11, 256, 110},
    [DT_Q8_K] = {"q8_k", NULL, 15, 256, 292},
    [DT_IQ1_S] = {"iq1_s", NULL, 19, 256, 50},
    [DT_IQ1_M] = {"iq1_m", NULL, 29, 256, 56},
    [DT_IQ2_XXS] = {"iq2_xxs", NULL, 16, 256, 66},
    [DT_IQ2_XS] = {"iq2_xs", NULL, 17, 256, 74},
    [DT_IQ2_S] = {"iq2_s", NULL, 22, 256, 82},
    [DT_IQ3_XXS] = {"iq3_xxs", NULL, 18, 256, 98},
    [DT_IQ3_S] = {"iq3_s", NULL, 21, 256, 110},
    [DT_IQ4_XS] = {"iq4_xs", NULL, 23, 256, 136},
    [DT_TQ1_0] = {"tq1_0", NULL, 34, 256, 54},
    [DT_TQ2_0] = {"tq2_0", NULL, 35, 256, 66},
    [DT_MXFP4] = {"mxfp4", NULL, 39, 32, 17},
    [DT_NVFP4] = {"nvfp4", NULL, 40, 64, 36},
    [DT_Q1_0] = {"q1_0", NULL, 41, 128, 18},
};

const DTypeInfo *dtype_info(DType type) { return &table[type]; }

bool dtype_from_name(const char *name, DType *type) {
    for (int i = 0; i < DT_COUNT; i++)
        if (strcasecmp(table[i].name, name) == 0) {
            *type = (DType)i;
            return true;
        }
    return false;
}

bool dtype_from_safetensors(const char *name, DType *type) {
    for (int i = 0; i < DT_COUNT; i++)
        if (table[i].safetensors && strcmp(table[i].safetensors, name) == 0) {
            *type = (DType)i;
            return true;
        }
    return false;
}

bool dtype_from_ggml(uint32_t number, DType *type) {
    for (int i = 0; i < DT_COUNT; i++)
        if (table[i].ggml >= 0 && (uint32_t)table[i].ggml == number) {
            *type = (DType)i;
            return true;
        }
    return false;
}

bool dtype_row_bytes(DType type, int64_t cols, size_t *bytes) {
    const DTypeInfo *t = &table[type];
    if (cols < 0 || cols % t->block) return false;
    return size_mul((size_t)(cols / t->block), t->block_bytes, bytes);
}

const char *dtype_block_names(void) {
    return "q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl, mxfp4, q4_k, q5_k, q6_k, iq4_xs, q3_k, q2_k";
}

static const char *const computes[COMPUTE_COUNT] = {"f32", "int8"};

const char *compute_name(Compute compute) { return computes[compute]; }

bool compute_parse(const char *name, Compute *out) {
    for (int c = 0; c < COMPUTE_COUNT; c++)
        if (strcmp(name, computes[c]) == 0) {
            *out = (Compute)c;
            return true;
        }
    return false;
}
