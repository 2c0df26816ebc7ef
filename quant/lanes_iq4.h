// The 16 levels of iq4_nl and iq4_xs, denser near zero: the one nearest to a number.
#ifndef QUANT_LANES_IQ4_H
#define QUANT_LANES_IQ4_H

#include "quant/lanes_lookup.h"

static const float iq4_level[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Midpoints between levels are at least 11 apart, so a bin 8 wide holds at most one: in bin (v + 128) / 8 the nearest
// level's code is iq4_below[bin], or one more from iq4_midpoint[bin] on.
static const int32_t iq4_below[32] = {0, 0, 1, 1,  1,  2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,
                                      8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15, 15};
#define IQ4_NONE INFINITY
static const float iq4_midpoint[32] = {IQ4_NONE, -115.5f,  IQ4_NONE, IQ4_NONE, -93.5f,   IQ4_NONE, -74.0f,   IQ4_NONE,
                                       -57.0f,   IQ4_NONE, -42.0f,   IQ4_NONE, -28.5f,   IQ4_NONE, -16.0f,   -4.5f,
                                       7.0f,     IQ4_NONE, 19.0f,    31.5f,    IQ4_NONE, 45.5f,    IQ4_NONE, 61.0f,
                                       IQ4_NONE, 79.0f,    IQ4_NONE, IQ4_NONE, 101.0f,   IQ4_NONE, IQ4_NONE, IQ4_NONE};

static inline I iq4_nearest(V v) {
    v = v_clamp(v, -128, 127);
    I bin = v_int((v + 128.0f) * 0.125f);
    M up = v_less_equal(lookup32(iq4_midpoint, bin), v);
    I code = i_bits(lookup32(iq4_below, bin));
    return i_select(up, code + 1, code);
}

#endif
