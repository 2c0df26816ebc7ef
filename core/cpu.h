// What the CPU can do, found once. NIBBLE_CPU=scalar|avx2|avx512|neon caps it (never raises it):
// NIBBLE_CPU=avx512 means nothing beyond AVX-512, so no AMX.
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include <stdbool.h>

typedef enum CpuLevel { CPU_SCALAR, CPU_AVX2, CPU_AVX512, CPU_NEON, CPU_LEVELS } CpuLevel;

typedef struct Cpu {
    CpuLevel level; // avx2 means AVX2 + FMA + F16C; avx512 means F, BW, DQ, VL beside those
    bool avx_vnni;  // AVX_VNNI, beyond level avx2, which NIBBLE_CPU=avx2 leaves out
    bool vnni;      // AVX512_VNNI, at level avx512
    bool bf16;      // AVX512_BF16, at level avx512
    bool fast_bf16; // that multiplies faster than f32: AMD's does, Intel's has half the rate of f32
    bool amx;       // AMX_TILE and AMX_BF16, at level avx512, and Linux lets this process use them
    bool dotprod;   // NEON dot products, at level neon
    bool i8mm;      // NEON products of 2 x 8 by 8 x 2 bytes, at level neon
} Cpu;

const Cpu *cpu_get(void);
const char *cpu_level_name(CpuLevel level);
bool cpu_has_level(CpuLevel level); // whether this machine can run code of that level, the cap notwithstanding

#endif
