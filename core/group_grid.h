// Integers in groups, as compressed-tensors and GPTQ have them: the elements of a row, `group` at a time, share a scale
// and a zero, and an element is scale * (code - zero).
#ifndef CORE_GROUP_GRID_H
#define CORE_GROUP_GRID_H

#include "core/dtype.h"
#include <stdbool.h>

enum { GROUP_MOST = 128 }; // elements

typedef struct GroupGrid {
    int bits;       // 4 or 8: codes are 0 to 2^bits - 1
    int64_t group;  // 32, 64 or 128
    bool symmetric; // every zero is 2^(bits - 1)
    int least_zero; // else the least that a zero may be: 0, or 1 where a file's layout cannot say 0
    DType scale;    // what scales are rounded to: f16 or bf16
} GroupGrid;

static inline int group_grid_top(const GroupGrid *grid) { return (1 << grid->bits) - 1; } // the largest code

// Rounds `count` groups of x, one after the other. codes: [count * group]; scales (exact in grid->scale's type, of
// either sign), zeros: [count]. x must be finite.
typedef void GroupsFn(const GroupGrid *grid, const float *x, int64_t count, uint8_t *codes, float *scales,
                      uint8_t *zeros);

#endif
