#include "quant/groups.h"

#include "quant/lanes_groups.h"

enum { STEP = 1 << 8 }; // groups that a thread takes at a time: a multiple of any number of lanes

GroupsFn *groups_function_at(CpuLevel level) {
    if (!cpu_has_level(level)) return NULL;
    switch (level) {
#if defined(__x86_64__)
    case CPU_AVX2: return lanes_groups_avx2;
    case CPU_AVX512: return lanes_groups_avx512;
#endif
    default: return lanes_groups_scalar;
    }
}

void groups_round(const GroupGrid *grid, const float *x, int64_t count, uint8_t *codes, float *scales, uint8_t *zeros) {
    GroupsFn *round = groups_function_at(cpu_get()->level);
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t first = 0; first < count; first += STEP) {
        int64_t n = count - first < STEP ? count - first : STEP, at = first * grid->group;
        round(grid, x + at, n, codes + at, scales + first, zeros + first);
    }
}
