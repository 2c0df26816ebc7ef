// What the searches over super-blocks share: 16 sub-blocks are worked on together, of 16 elements those of one
// super-block, of 32 those of two.
#ifndef QUANT_LANES_SUPER_H
#define QUANT_LANES_SUPER_H

#include "quant/grid_blocks.h"
#include "quant/lanes.h"

enum { AT_ONCE = 16, PARTS = AT_ONCE / LANES };

// A value for each of the sub-blocks worked on, as vectors by parts and as one array.
typedef union Values {
    V part[PARTS];
    float at[AT_ONCE];
} Values;

static inline float round_f16(float x) { return v_f16(v_all(x))[0]; }

// Where the sub-blocks from super-block `first` on are, zeros behind the last one; importance only where it is given.
static inline void supers_at(const float *x, const float *importance, int64_t first, int64_t count, int64_t row_supers,
                             int width, const float *xs[AT_ONCE], const float *weights[AT_ONCE]) {
    const int subs = SUPER / width;
    for (int j = 0; j < AT_ONCE; j++) {
        int64_t at = first + j / subs, from = j % subs * width;
        bool there = at < count;
        xs[j] = there ? x + at * SUPER + from : lanes_zeros;
        weights[j] = there && importance ? importance + at % row_supers * SUPER + from : lanes_zeros;
    }
}

// A super-block's step of steps, d, from the steps that its sub-blocks would have best: of those that make the largest
// a multiple of d by from ... to (both signs are tried where negative multiples are there), the one with the least sum
// of weight * (step - d * s)^2. from 0: no trials, the largest step becomes the outermost multiple.
enum { STEPS_TRIED = 32 };
static inline float search_d(const float *step, const float *weight, int subs, float low, float high, float from,
                             float to) {
    float top = 0, least = INFINITY, d[STEPS_TRIED], error[STEPS_TRIED];
    for (int j = 0; j < subs; j++)
        if (fabsf(step[j]) > fabsf(top)) top = step[j];
    float best = round_f16(low < 0 ? top / low : top / high);
    if (!(from > 0)) return best;
    for (int k = 0; k < STEPS_TRIED; k++) {
        int signs = low < 0 ? 2 : 1;
        float multiple = from + (to - from) * (float)(k / signs) / (float)(STEPS_TRIED / signs - 1);
        d[k] = top / (k % signs ? multiple : low < 0 ? -multiple : multiple);
    }
    for (int k = 0; k < STEPS_TRIED; k += LANES) {
        V trial, sum = {0};
        memcpy(&trial, d + k, sizeof trial);
        trial = v_f16(trial);
        V inverse = v_inverse(trial);
        for (int j = 0; j < subs; j++) {
            V off = step[j] - trial * v_clamp(v_round(step[j] * inverse), low, high);
            sum += weight[j] * off * off;
        }
        memcpy(d + k, &trial, sizeof trial);
        memcpy(error + k, &sum, sizeof sum);
    }
    for (int k = 0; k < STEPS_TRIED; k++) {
        if (error[k] < least && d[k] != 0) {
            least = error[k];
            best = d[k];
        }
    }
    return best;
}

#endif
