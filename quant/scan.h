// A look at weights before they are rounded: whether all are finite, and how large they get.
#ifndef QUANT_SCAN_H
#define QUANT_SCAN_H

#include "core/dtype.h"
#include <stdint.h>

typedef struct Scan {
    int64_t nonfinite; // how many are NaN or infinite
    int64_t first;     // the index of the first of them; -1 where there is none
    float largest;     // of the magnitudes of the finite ones; 0 where there is none
} Scan;

Scan scan_values(const float *x, int64_t n);

// The same of n weights of a type (whole blocks) at any address, which are written to x as floats.
Scan scan_to_f32(DType type, const void *src, float *x, int64_t n);

// Makes every NaN and infinity zero.
void scan_clear_nonfinite(float *x, int64_t n);

#endif
