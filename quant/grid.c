#include "quant/grid.h"

#include "core/half.h"
#include "quant/grid_blocks.h"
#include "quant/lanes_grid.h"
#include "quant/quant.h"
#include <math.h>
#include <pthread.h>

static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const float e2m1_levels[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};

// One d (and one minimum) for all of a block.
#define ONE_LEVEL .block = BLOCK, .sub = BLOCK, .subs = 1, .scale_low = 1, .scale_high = 1

#define SUPER_OF(width) .block = SUPER, .sub = (width), .subs = SUPER / (width)

static const Grid grids[] = {
    {DT_Q8_0, ONE_LEVEL, .codes = 255, .low = -127},
    {DT_Q4_0, ONE_LEVEL, .codes = 16, .low = -8, .minus = true},
    {DT_Q4_1, ONE_LEVEL, .codes = 16, .has_min = true},
    {DT_Q5_0, ONE_LEVEL, .codes = 32, .low = -16, .minus = true},
    {DT_Q5_1, ONE_LEVEL, .codes = 32, .has_min = true},
    {DT_IQ4_NL, ONE_LEVEL, .codes = 16, .levels = iq4_levels, .minus = true},
    {DT_MXFP4, ONE_LEVEL, .codes = 15, .levels = e2m1_levels, .power = true},
    {DT_Q4_K, SUPER_OF(32), .codes = 16, .has_min = true, .scale_high = 63},
    {DT_Q5_K, SUPER_OF(32), .codes = 32, .has_min = true, .scale_high = 63},
    {DT_Q6_K, SUPER_OF(16), .codes = 64, .low = -32, .minus = true, .scale_low = -128, .scale_high = 127},
    {DT_IQ4_XS, SUPER_OF(32), .codes = 16, .levels = iq4_levels, .minus = true, .scale_low = -32, .scale_high = 31},
    {DT_Q3_K, SUPER_OF(16), .codes = 8, .low = -4, .minus = true, .scale_low = -32, .scale_high = 31},
    {DT_Q2_K, SUPER_OF(16), .codes = 4, .has_min = true, .scale_high = 15},
};

const Grid *grid_of(DType type) {
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        if (grids[i].type == type) return &grids[i];
    return NULL;
}

void grid_unpack(const Grid *grid, const void *block, GridScales *scales, uint8_t *codes) {
    uint8_t unused[SUPER];
    *scales = (GridScales){0};
    grid_blocks_of(grid->type)->unpack(block, scales, codes ? codes : unused);
}

void grid_pack(const Grid *grid, const GridScales *scales, const uint8_t *codes, void *block) {
    grid_blocks_of(grid->type)->pack(scales, codes, block);
}

// Nearest by distance: 1.5 times a power lies halfway to the next one.
static float nearest_power(float x) {
    const float least = 0x1p-128f, most = 0x1p127f;
    if (!(x > least)) return least;
    if (x >= most) return most;
    int exponent;
    float fraction = frexpf(x, &exponent); // 0.5 <= fraction < 1
    return ldexpf(fraction > 0.75f ? 1.0f : 0.5f, exponent);
}

float grid_round_scale(const Grid *grid, float x) {
    const float most = 65504; // no search is to make an infinite scale
    if (grid->power) return nearest_power(x);
    return f16_to_f32(f16_from_f32(x > most ? most : x < -most ? -most : x));
}

GridRoundFn *grid_round_function_at(CpuLevel level) {
    if (!cpu_has_level(level)) return NULL;
    switch (level) {
#if defined(__x86_64__)
    case CPU_AVX2: return lanes_grid_avx2;
    case CPU_AVX512: return lanes_grid_avx512;
#endif
    default: return lanes_grid_scalar;
    }
}

static GridRoundFn *chosen; // asking what a CPU has takes longer than rounding
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void) { chosen = grid_round_function_at(cpu_get()->level); }

void grid_round(const Grid *grid, const float *x, const float *step, const float *offset, int n, uint8_t *codes,
                float *values) {
    pthread_once(&once, choose);
    chosen(grid, x, step, offset, n, codes, values);
}

void grid_fit(const Grid *grid, const float *x, int n, const float *h, GridScales *scales, void *scratch) {
    const size_t bytes = dtype_info(grid->type)->block_bytes;
    quant_function(grid->type)(x, scratch, n, grid->block, h);
    for (int i = 0; i < n; i++) grid_unpack(grid, (const uint8_t *)scratch + (size_t)i * bytes, &scales[i], NULL);
}
