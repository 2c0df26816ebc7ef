#include "core/cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static const char *const names[CPU_LEVELS] = {"scalar", "avx2", "avx512", "neon"};

static Cpu found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

const char *cpu_level_name(CpuLevel level) { return names[level]; }

#if defined(__x86_64__)
// clang 14's __builtin_cpu_supports does not know it. That the system keeps AVX's registers, avx2 tells.
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool has_avx_vnni(void) {
    enum { AVX_VNNI = 1 << 4 }; // of leaf 7's first, eax
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
}

// Tiles are 8 KiB more that the system saves for a thread, so Linux (5.16 and later) wants to be asked, once a process.
static bool has_amx(void) {
#ifdef __linux__
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA: <asm/prctl.h>
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };      // of leaf 7, edx
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16) && (d & AMX_TILE) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}
#elif defined(__aarch64__) && defined(__linux__)
static bool has_i8mm(void) {
    enum { I8MM = 1 << 13 }; // HWCAP2_I8MM, which an older <asm/hwcap.h> lacks
    return (getauxval(AT_HWCAP2) & I8MM) != 0;
}
#elif defined(__aarch64__) && defined(__APPLE__)
static bool has_i8mm(void) {
    int has = 0;
    size_t size = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_I8MM", &has, &size, NULL, 0) == 0 && has;
}
#endif

bool cpu_has_level(CpuLevel level) {
    switch (level) {
    case CPU_SCALAR: return true;
#if defined(__x86_64__)
    case CPU_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case CPU_AVX512:
        return cpu_has_level(CPU_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case CPU_NEON: return true; // part of the base architecture
#endif
    default: return false;
    }
}

static void cpu_find(void) {
    const char *cap = getenv("NIBBLE_CPU");
    found.level = CPU_SCALAR;
    for (int l = CPU_SCALAR; l < CPU_LEVELS; l++) {
        if (cpu_has_level((CpuLevel)l)) found.level = (CpuLevel)l;
        if (cap && strcmp(cap, names[l]) == 0) break;
    }
#if defined(__x86_64__)
    found.avx_vnni = found.level >= CPU_AVX2 && !(cap && strcmp(cap, "avx2") == 0) && has_avx_vnni();
    if (found.level == CPU_AVX512) {
        found.vnni = __builtin_cpu_supports("avx512vnni");
        found.bf16 = __builtin_cpu_supports("avx512bf16");
        found.fast_bf16 = found.bf16 && __builtin_cpu_is("amd");
        found.amx = !cap && has_amx();
    }
#elif defined(__aarch64__) && defined(__linux__)
    found.dotprod = found.level == CPU_NEON && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    found.i8mm = found.level == CPU_NEON && has_i8mm();
#elif defined(__aarch64__) && defined(__APPLE__)
    found.dotprod = found.level == CPU_NEON; // every Apple CPU that runs this
    found.i8mm = found.level == CPU_NEON && has_i8mm();
#endif
}

const Cpu *cpu_get(void) {
    pthread_once(&once, cpu_find);
    return &found;
}
