#include "cli/blas_setup.h"

#include "core/cpu.h"
#include <cblas.h>
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

static void restart_with_core(char **argv) {
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (cpu_get()->level != wanted[i].level) continue;
        for (int j = 0; wanted[i].as_good[j]; j++)
            if (strcasecmp(openblas_get_corename(), wanted[i].as_good[j]) == 0) return;
        if (setenv("OPENBLAS_CORETYPE", wanted[i].core, 1) == 0) execv("/proc/self/exe", argv);
        // Not replaced (no /proc, perhaps): slower kernels, the same results.
    }
}
#endif

void blas_setup(const Command *command, char **argv) {
    if (command != &command_eval && command != &command_generate) return;
#ifdef OPENBLAS_VERSION
#ifdef __x86_64__
    if (!getenv("OPENBLAS_CORETYPE")) restart_with_core(argv);
#endif
    openblas_set_num_threads(1);
#endif
    (void)argv;
}
