// The kernel table: one struct of function pointers, filled once from CPU features, newest instruction set last.
// Every entry has a scalar twin (*_scalar.c), which is the truth; tests/check_kernels.c runs each entry against it.
#ifndef QUANT_KERNELS_H
#define QUANT_KERNELS_H

#include "core/cpu.h"
#include "core/dtype.h"
#include "quant/blocks.h"
#include "quant/kernels/gemm.h"
#include "quant/kernels/gemm_int8.h"
#include "quant/kernels/gemv_int8.h"
#include <stdint.h>

// n is the number of elements: any n >= 0 for plain types, a multiple of the block for block types. `const void *` rows
// may start at any byte; floats and BlockAct lie as C wants them. to_f32, from_f32 and act equal the scalar twin bit
// for bit on every input (NaN payloads apart); dots differ from it by the order of summation alone, which leaves less
// than 1e-6 of the sum of |w_i * x_i|, and are infinite or NaN where the twin is either.
typedef void (*ToF32Fn)(const void *src, float *dst, int64_t n);
typedef void (*FromF32Fn)(const float *src, void *dst, int64_t n); // round to nearest even; overflow to infinity
typedef float (*DotF32Fn)(const void *row, const float *x, int64_t n);
typedef void (*ActFn)(const float *src, BlockAct *dst, int64_t n);                // n a multiple of 32
typedef void (*DigitsFn)(const float *src, BlockAct *dst, int64_t n, int digits); // the same: `digits` for each block

// Up to 256 weights taken apart: w = d * code (+ m), quant/kernels/layout.h. d is of each half of a group of 32, twice
// the same where the type has one scale for both; m is not set for types without a minimum.
typedef struct Unpacked {
    int8_t codes[SUPER];
    float d[2 * SUPER / BLOCK], m[SUPER / BLOCK];
} Unpacked;
typedef void (*UnpackFn)(const void *src, int64_t n, Unpacked *out);

typedef struct Kernels {
    const char *name;             // "scalar", "avx2", "avx512", "neon"
    ToF32Fn to_f32[DT_COUNT];     // every DType
    FromF32Fn from_f32[DT_COUNT]; // f32, f16, bf16; NULL for others
    DotF32Fn dot_f32[DT_COUNT];   // f32, f16, bf16 and every block type: sum of w_i * x_i
    UnpackFn unpack[DT_COUNT];    // the block types of quant/blocks.h; equal to the scalar twin
    const Gemm *gemm;             // matrix multiply in f32; NULL where OpenBLAS's is the best
    const Gemm *gemm_bf16;        // ... with both sides rounded to bf16; NULL where the CPU has no instruction for it
    const Gemm *gemm_passing[COMPUTE_COUNT]; // the best for what is packed to be multiplied a few times
    GemvFn gemv[DT_COUNT];                   // ... of repacked weights with one vector, in the same digits
    const GemmInt8 *int8;                    // ... of quantized weights with activations of 8 bits
    bool exact;      // ... which, with inputs of three digits, is as exact as f32 and faster than gemm
    ActFn act;       // d = max|x| / 127, q = nearest (ties to even); NaN and infinity: see act_scale in layout.h
    DigitsFn digits; // 2 or 3 (quant/blocks.h), to the nearest that they can say: see digits_scale
} Kernels;

const Kernels *kernels_get(void);              // for this CPU, NIBBLE_CPU honoured
bool kernels_at(CpuLevel level, Kernels *out); // the table of one level, for tests; false where this CPU lacks it

// The table for a CPU described by the caller, who must be on one that has all of it: for tests of single features.
void kernels_fill(const Cpu *cpu, Kernels *out);

// Each set is two files. plain_*.c: plain types and activations; blocks_*.c: block types. Each fills in the entries
// that it has, over what is there.
void plain_scalar(Kernels *k);
void blocks_scalar(Kernels *k);
void decoded_scalar(Kernels *k); // the types of quant/blocks_decoded.h, which have no other set
void grids_scalar(Kernels *k);   // ... those of them with a table
void plain_avx2(Kernels *k);
void blocks_avx2(Kernels *k);
void plain_avx512(Kernels *k, const Cpu *cpu);
void blocks_avx512(Kernels *k);
void plain_neon(Kernels *k);
void blocks_neon(Kernels *k);
void gemv_scalar(Kernels *k);
void gemv_avx2(Kernels *k);
void gemv_avx512_vnni(Kernels *k);
void gemm_int8_neon(Kernels *k, const Cpu *cpu);

#endif
