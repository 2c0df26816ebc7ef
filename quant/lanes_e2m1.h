// E2M1 numbers, doubled so that they are whole: 0, 1, 2, 3, 4, 6, 8, 12 and their negatives. mxfp4's levels.
#ifndef QUANT_LANES_E2M1_H
#define QUANT_LANES_E2M1_H

#include "quant/lanes_lookup.h"

// The code of the level nearest in magnitude, 0 to 7; of two as near the lower one, as gguf-py has it.
// Midpoints are whole halves, so the code depends on 2 |v|, rounded up to a whole number, alone.
static inline I e2m1_magnitude(V v) {
    static const int32_t codes[32] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6,
                                      6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    V twice = v_min(v_abs(v) * 2.0f, v_all(31));
    I whole = v_int(twice);
    M more = v_less(__builtin_convertvector(whole, V), twice);
    return i_bits(lookup32(codes, i_select(more, whole + 1, whole)));
}

static inline V e2m1_value(I magnitude) {
    static const float values[16] = {0, 1, 2, 3, 4, 6, 8, 12};
    return lookup16(values, magnitude);
}

#endif
