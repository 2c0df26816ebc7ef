#include "quant/scan.h"

#include <string.h>

// A float's bits without the sign order as its magnitude does; from this pattern on it is infinite or NaN.
enum { MAGNITUDE = 0x7fffffff, INFINITE = 0x7f800000 };

static int32_t magnitude(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & MAGNITUDE;
}

// The largest magnitude's bits, in independent lanes so that the compiler can keep them in one vector.
static int32_t largest_magnitude(const float *x, int64_t n) {
    enum { LANES = 16 };
    int32_t lane[LANES] = {0}, most = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            int32_t m = magnitude(x[i + k]);
            lane[k] = m > lane[k] ? m : lane[k];
        }
    for (; i < n; i++) most = magnitude(x[i]) > most ? magnitude(x[i]) : most;
    for (int k = 0; k < LANES; k++) most = lane[k] > most ? lane[k] : most;
    return most;
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
