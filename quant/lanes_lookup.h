// A table's entry for each lane: table[index], index from 0 to 31 or from 0 to 15. Entries are floats or 32-bit
// integers.
#ifndef QUANT_LANES_LOOKUP_H
#define QUANT_LANES_LOOKUP_H

#include "quant/lanes.h"

#if defined(__AVX512F__)
static inline V lookup32(const void *table, I index) {
    const char *t = table;
    return (V)_mm512_permutex2var_ps(_mm512_loadu_ps(t), (__m512i)index, _mm512_loadu_ps(t + 64));
}
static inline V lookup16(const void *table, I index) {
    return (V)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
}
#elif defined(__AVX2__)
static inline V lookup16(const void *table, I index) {
    const float *t = table;
    V low = (V)_mm256_permutevar8x32_ps(_mm256_loadu_ps(t), (__m256i)index);
    V high = (V)_mm256_permutevar8x32_ps(_mm256_loadu_ps(t + 8), (__m256i)index);
    return v_select(index << 28, high, low); // blendv looks at the sign bit
}
static inline V lookup32(const void *table, I index) {
    const float *t = table;
    return v_select(index << 27, lookup16(t + 16, index), lookup16(t, index));
}
#else
static inline V lookup32(const void *table, I index) {
    V r;
    for (int l = 0; l < LANES; l++) memcpy((char *)&r + 4 * l, (const char *)table + 4 * index[l], 4);
    return r;
}
static inline V lookup16(const void *table, I index) { return lookup32(table, index); }
#endif

#endif
