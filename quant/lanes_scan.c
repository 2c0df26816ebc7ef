// Compiled once for each target (core/target.h). Plain loops, whose maximum the compiler keeps in vectors.
#include "quant/lanes_scan.h"

#include <string.h>

int32_t TARGET_NAME(lanes_largest_magnitude)(const float *x, int64_t n) {
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t m;
        memcpy(&m, x + i, sizeof m);
        m &= MAGNITUDE;
        most = m > most ? m : most;
    }
    return most;
}

int32_t TARGET_NAME(lanes_widen_bf16)(const void *restrict src, float *restrict dst, int64_t n) {
    const uint8_t *from = src;
    uint16_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t half, m;
        memcpy(&half, from + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(dst + i, &bits, sizeof bits);
        m = half & (MAGNITUDE >> 16);
        most = m > most ? m : most;
    }
    return most << 16;
}
