#include "cli/runtime_setup.h"

#include "core/cpu.h"
#include <cblas.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(OPENBLAS_VERSION)
// The weakest core type whose kernels use all of a level, and others that are as good or better.
static const struct {
    CpuLevel level;
    const char *core, *as_good[4];
} wanted[] = {
    {CPU_AVX512, "SkylakeX", {"SkylakeX", "Cooperlake", "SapphireRapids", NULL}},
    {CPU_AVX2, "Haswell", {"Haswell", "Zen", NULL}},
};

// The core type to ask for; NULL where OpenBLAS chose well.
static const char *better_core(void) {
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (cpu_get()->level != wanted[i].level) continue;
        for (int j = 0; wanted[i].as_good[j]; j++)
            if (strcasecmp(openblas_get_corename(), wanted[i].as_good[j]) == 0) return NULL;
        return wanted[i].core;
    }
    return NULL;
}
#else
static const char *better_core(void) { return NULL; }
#endif

// Sets a variable that is not set; whether it did.
static bool set_missing(const char *name, const char *value) {
    return value && !getenv(name) && setenv(name, value, 0) == 0;
}

void runtime_setup(char **argv) {
    bool changed = set_missing("OPENBLAS_CORETYPE", better_core());
    if (set_missing("OPENBLAS_NUM_THREADS", "1")) changed = true;
    // Token by token, a barrier comes every few microseconds.
    bool tokens = argv[1] && (strcmp(argv[1], "generate") == 0 || strcmp(argv[1], "bench") == 0);
    if (!getenv("OMP_WAIT_POLICY") && set_missing("GOMP_SPINCOUNT", tokens ? "20000" : "1000")) changed = true;
    // Where that fails (no /proc, perhaps) all is slower and the results are the same.
    if (changed) execv("/proc/self/exe", argv);
#ifdef OPENBLAS_VERSION
    openblas_set_num_threads(1); // the user may have asked for more: they would fight with ours
#endif
}
