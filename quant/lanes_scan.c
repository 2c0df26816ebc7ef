// Compiled once for each target (core/target.h).
#include "quant/lanes_scan.h"

#include <string.h>

enum { LANES = 64 }; // independent, so that the compiler keeps them in vectors

int32_t TARGET_NAME(lanes_largest_magnitude)(const float *x, int64_t n) {
    int32_t lane[LANES] = {0}, most = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        int32_t bits[LANES];
        memcpy(bits, x + i, sizeof bits);
        for (int k = 0; k < LANES; k++) {
            int32_t m = bits[k] & MAGNITUDE;
            lane[k] = m > lane[k] ? m : lane[k];
        }
    }
    for (; i < n; i++) {
        int32_t m;
        memcpy(&m, x + i, sizeof m);
        m &= MAGNITUDE;
        most = m > most ? m : most;
    }
    for (int k = 0; k < LANES; k++) most = lane[k] > most ? lane[k] : most;
    return most;
}
