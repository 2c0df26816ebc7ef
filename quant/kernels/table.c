// The choice of kernels, in one place: scalar first, then each newer set over it.
#include "quant/kernels/kernels.h"

#include <pthread.h>

static Kernels chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void kernels_fill(const Cpu *cpu, Kernels *out) {
    *out = (Kernels){.name = cpu_level_name(cpu->level)};
    plain_scalar(out);
    blocks_scalar(out);
    decoded_scalar(out);
    grids_scalar(out);
    gemv_scalar(out);
    out->int8 = &gemm_int8_scalar;
#if defined(__x86_64__)
    if (cpu->level == CPU_AVX2 || cpu->level == CPU_AVX512) {
        plain_avx2(out);
        blocks_avx2(out);
        gemv_avx2(out);
        out->gemm = &gemm_avx2;
        out->gemm_passing[COMPUTE_F32] = out->gemm_passing[COMPUTE_INT8] = &gemm_avx2;
        out->int8 = cpu->avx_vnni ? &gemm_int8_avx_vnni : &gemm_int8_avx2;
    }
    if (cpu->level == CPU_AVX512) {
        plain_avx512(out, cpu);
        blocks_avx512(out);
        if (cpu->vnni) {
            gemv_avx512_vnni(out);
            out->int8 = &gemm_int8_avx512_vnni;
            out->exact = !cpu->amx; // four times as many products as f32 has; AMX has more
        }
        out->gemm = &gemm_avx512;
        if (cpu->fast_bf16) out->gemm_bf16 = &gemm_bf16_avx512;
        if (cpu->amx) {
            out->gemm = &gemm_amx;
            out->gemm_bf16 = &gemm_bf16_amx;
        }
        out->gemm_passing[COMPUTE_F32] = &gemm_avx512; // AMX's takes its inputs apart for each use
        out->gemm_passing[COMPUTE_INT8] = out->gemm_bf16 ? out->gemm_bf16 : &gemm_avx512;
    }
#elif defined(__aarch64__)
    if (cpu->level == CPU_NEON) {
        plain_neon(out);
        blocks_neon(out);
        gemm_int8_neon(out, cpu);
    }
#endif
}

bool kernels_at(CpuLevel level, Kernels *out) {
    if (!cpu_has_level(level)) return false;
    Cpu cpu = *cpu_get();
    cpu.level = level;
    kernels_fill(&cpu, out);
    return true;
}

static void kernels_choose(void) { kernels_fill(cpu_get(), &chosen); }

const Kernels *kernels_get(void) {
    pthread_once(&once, kernels_choose);
    return &chosen;
}
