#include "quant/scan.h"

#include "core/cpu.h"
#include "quant/lanes_scan.h"
#include <string.h>

static int32_t magnitude(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & MAGNITUDE;
}

static int32_t largest_magnitude(const float *x, int64_t n) {
    switch (cpu_get()->level) {
#if defined(__x86_64__)
    case CPU_AVX512: return lanes_largest_magnitude_avx512(x, n);
    case CPU_AVX2: return lanes_largest_magnitude_avx2(x, n);
#endif
    default: return lanes_largest_magnitude_scalar(x, n);
    }
}

Scan scan_values(const float *x, int64_t n) {
    Scan scan = {.first = -1};
    int32_t most = largest_magnitude(x, n);
    if (most >= INFINITE) { // rare: look again, one by one
        most = 0;
        for (int64_t i = 0; i < n; i++) {
            int32_t m = magnitude(x[i]);
            if (m < INFINITE) {
                most = m > most ? m : most;
            } else {
                if (scan.first < 0) scan.first = i;
                scan.nonfinite++;
            }
        }
    }
    memcpy(&scan.largest, &most, sizeof most);
    return scan;
}

void scan_clear_nonfinite(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (magnitude(x[i]) >= INFINITE) x[i] = 0;
}
