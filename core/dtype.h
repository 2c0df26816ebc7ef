// Element and block types: one table for every name and size that the program knows.
// Block types are GGUF's, byte for byte (ggml-common.h; https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#ifndef CORE_DTYPE_H
#define CORE_DTYPE_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum DType {
    DT_F32,
    DT_F16,
    DT_BF16,
    DT_F64,
    DT_I8,
    DT_I16,
    DT_I32,
    DT_I64,
    DT_U8,
    DT_BOOL,
    DT_F8_E4M3, // core/float8.h
    DT_F8_E5M2,
    DT_F8_E8M0,
    DT_Q8_0,
    DT_Q4_0,
    DT_Q4_1,
    DT_Q5_0,
    DT_Q5_1,
    DT_IQ4_NL,
    DT_Q4_K,
    DT_Q5_K,
    DT_Q6_K,
    DT_Q8_1, // from here on: decoded before they are computed with (quant/blocks_decoded.h)
    DT_Q2_K,
    DT_Q3_K,
    DT_Q8_K,
    DT_IQ1_S,
    DT_IQ1_M,
    DT_IQ2_XXS,
    DT_IQ2_XS,
    DT_IQ2_S,
    DT_IQ3_XXS,
    DT_IQ3_S,
    DT_IQ4_XS,
    DT_TQ1_0,
    DT_TQ2_0,
    DT_MXFP4,
    DT_NVFP4,
    DT_Q1_0,
    DT_COUNT
} DType;

typedef struct DTypeInfo {
    const char *name;        // in commands, reports and .nib: "q4_0"
    const char *safetensors; // in a safetensors header: "BF16"; NULL where it has none
    int ggml;                // ggml_type in GGUF; -1 where it has none
    uint16_t block;          // elements in a block; 1 for plain types
    uint16_t block_bytes;    // bytes of a block
} DTypeInfo;

const DTypeInfo *dtype_info(DType type);

static inline const char *dtype_name(DType type) { return dtype_info(type)->name; }
static inline bool dtype_is_block(DType type) { return dtype_info(type)->block > 1; }

// Finds a type by its name, in any case (Q4_K is q4_k). False where there is none.
bool dtype_from_name(const char *name, DType *type);
bool dtype_from_safetensors(const char *name, DType *type);
bool dtype_from_ggml(uint32_t number, DType *type);

// Bytes of a row of `cols` elements; false when the block does not divide cols or the size overflows.
bool dtype_row_bytes(DType type, int64_t cols, size_t *bytes);

// "q8_0, q4_0, ..." : the block types that can be written, for messages. A static string.
const char *dtype_block_names(void);

// How weights are multiplied with activations. f32: as they are. int8: of quantized weights, with activations rounded
// to 8 bits in blocks of 32 (quant/kernels/gemm_int8.h), in the head to 15; of others, and in attention, with both
// sides rounded to bf16 where the CPU has that.
typedef enum Compute { COMPUTE_F32, COMPUTE_INT8, COMPUTE_COUNT } Compute;

const char *compute_name(Compute compute);
bool compute_parse(const char *name, Compute *out); // false where there is no such name

#endif
