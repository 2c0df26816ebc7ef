// The kernel table: one struct of function pointers, filled once from CPU features, newest instruction set last.
// Every entry has a scalar twin (scalar.c), which is the truth; tests/check_kernels.c runs each entry against it.
#ifndef QUANT_KERNELS_H
#define QUANT_KERNELS_H

#include "core/cpu.h"
#include "core/dtype.h"
#include "quant/blocks.h"
#include <stdint.h>

// n is the number of elements: any n >= 0 for plain types, a multiple of the block for block types. No alignment is
// asked of any pointer. to_f32 equals the scalar twin bit for bit on every input (NaN payloads apart).
typedef void (*ToF32Fn)(const void *src, float *dst, int64_t n);
typedef void (*FromF32Fn)(const float *src, void *dst, int64_t n); // round to nearest even; overflow to infinity
typedef float (*DotF32Fn)(const void *row, const float *x, int64_t n);
typedef float (*DotActFn)(const void *row, const BlockAct *x, int64_t n); // n / 32 blocks of x
typedef void (*ActFn)(const float *src, BlockAct *dst, int64_t n);        // n a multiple of 32

typedef struct Kernels {
    const char *name;            // "scalar", "avx2", "avx512", "neon"
    ToF32Fn to_f32[DT_COUNT];    // every DType
    FromF32Fn from_f32[DT_COUNT]; // f32, f16, bf16; NULL for others
    DotF32Fn dot_f32[DT_COUNT];  // f32, f16, bf16 and every block type: sum of w_i * x_i
    DotActFn dot_act[DT_COUNT];  // every block type
    ActFn act;                   // d = max|x| / 127, q = nearest (ties to even)
} Kernels;

const Kernels *kernels_get(void);              // for this CPU, NIBBLE_CPU honoured
bool kernels_at(CpuLevel level, Kernels *out); // the table of one level, for tests; false where this CPU lacks it

// Each fills in the entries that it has, over what is there.
void kernels_scalar(Kernels *k);
void kernels_avx2(Kernels *k);
void kernels_avx512(Kernels *k, const Cpu *cpu);
void kernels_neon(Kernels *k, const Cpu *cpu);

#endif
