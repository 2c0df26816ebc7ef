// The grids of values that block types offer, for algorithms that choose codes one column at a time: a block's scales
// apart from its codes. A weight is step * level[code] + offset, where a sub-block's step is d * s and its offset
// -dmin * m; s and m are the small integers that types with two levels of scales have, 1 and 0 elsewhere.
#ifndef QUANT_GRID_H
#define QUANT_GRID_H

#include "core/cpu.h"
#include "core/dtype.h"
#include "quant/blocks.h"
#include <stdbool.h>
#include <stdint.h>

enum { GRID_SUBS = 16, GRID_CODES = 256 };

typedef struct Grid {
    DType type;
    int block;                 // columns under one d: BLOCK or SUPER
    int sub;                   // columns under one s and m: 32 or 16
    int subs;                  // block / sub
    int codes;                 // 16 for four bits
    float low;                 // uniform grids: level[c] = low + c
    const float *levels;       // [codes], rising; NULL: uniform
    bool has_min;              // offsets are not all 0
    bool minus;                // a scale may be negative to good effect: levels are not symmetric
    bool power;                // d is a power of two and nothing else (mxfp4)
    int scale_low, scale_high; // s is from scale_low to scale_high, m from 0 to scale_high; both 1: there is no s
} Grid;

// What a block stores beside its codes. d and dmin are the values of an f16 (or power of two).
typedef struct GridScales {
    float d, dmin; // dmin >= 0 is subtracted, in one-level types with a minimum it may have any sign (m = 1)
    int8_t s[GRID_SUBS], m[GRID_SUBS];
} GridScales;

// The grid of a type; NULL for types that have none (f16, or blocks that are only read).
const Grid *grid_of(DType type);

static inline float grid_step(const GridScales *b, int sub) { return b->d * (float)b->s[sub]; }
static inline float grid_offset(const GridScales *b, int sub) { return -b->dmin * (float)b->m[sub]; }

// A block as it lies in a file, and back. codes [grid->block], 0 .. codes - 1, may be NULL in unpack. Every weight
// step * level[code] + offset is, bit for bit, what kernels decode; but of patterns that no quantizer makes: q8_0's
// code -128 is taken for -127, and of mxfp4's two zeros only the positive one is packed.
void grid_unpack(const Grid *grid, const void *block, GridScales *scales, uint8_t *codes);
void grid_pack(const Grid *grid, const GridScales *scales, const uint8_t *codes, void *block);

// The value nearest to x among those that the type can store for d (or dmin): an f16, or a power of two.
float grid_round_scale(const Grid *grid, float x);

// For n weights, each with its own step and offset: the nearest codes and what they stand for. Where a step is 0 the
// code is that of the level nearest to 0. The same on every instruction set.
typedef void GridRoundFn(const Grid *grid, const float *x, const float *step, const float *offset, int n,
                         uint8_t *codes, float *values);
GridRoundFn grid_round;

// The same function for one instruction set, for tests; NULL where this CPU lacks it.
GridRoundFn *grid_round_function_at(CpuLevel level);

// The scales that the type's quantizer (quant/quant.h) finds for each of n blocks of x [n, block], by the weights of
// squared error h [block], the same for every block, or NULL. scratch: n blocks of the type.
void grid_fit(const Grid *grid, const float *x, int n, const float *h, GridScales *scales, void *scratch);

#endif
