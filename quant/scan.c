#include "quant/scan.h"

#include "core/cpu.h"
#include "quant/kernels/kernels.h"
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

static int32_t widen_bf16(const void *src, float *x, int64_t n) {
    switch (cpu_get()->level) {
#if defined(__x86_64__)
    case CPU_AVX512: return lanes_widen_bf16_avx512(src, x, n);
    case CPU_AVX2: return lanes_widen_bf16_avx2(src, x, n);
#endif
    default: return lanes_widen_bf16_scalar(src, x, n);
    }
}

// The scan of n floats, the largest of which has the bits `most`.
static Scan scan_of(const float *x, int64_t n, int32_t most) {
    Scan scan = {.first = -1};
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

Scan scan_values(const float *x, int64_t n) { return scan_of(x, n, largest_magnitude(x, n)); }

Scan scan_to_f32(DType type, const void *src, float *x, int64_t n) {
    if (type == DT_BF16) return scan_of(x, n, widen_bf16(src, x, n));
    kernels_get()->to_f32[type](src, x, n);
    return scan_values(x, n);
}

void scan_clear_nonfinite(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (magnitude(x[i]) >= INFINITE) x[i] = 0;
}
