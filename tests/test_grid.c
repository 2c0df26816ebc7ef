// Grids: blocks taken apart and put together again, what codes stand for beside what kernels decode, rounding to the
// nearest code beside a search through all of them.
#include "core/mem.h"
#include "core/half.h"
#include "quant/blocks_decoded.h"
#include "quant/grid.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const DType all[] = {DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q5_0,   DT_Q5_1, DT_IQ4_NL, DT_MXFP4,
                            DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_XS, DT_Q3_K, DT_Q2_K};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static uint32_t seed = 1;
static uint32_t number(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}
static float uniform(void) { return (float)number() / (1 << 23) - 1; }
static float bell(void) { return uniform() + uniform() + uniform(); }

static float level_of(const Grid *grid, int code) {
    return grid->levels ? grid->levels[code] : grid->low + (float)code;
}

// Where a block's half-precision numbers are; -1: none.
static void half_offsets(DType type, int at[2]) {
    at[0] = at[1] = -1;
    switch (type) {
    case DT_MXFP4: return;
    case DT_Q6_K: at[0] = offsetof(BlockQ6_K, d); return;
    case DT_Q3_K: at[0] = offsetof(BlockQ3_K, d); return;
    case DT_Q2_K:
        at[0] = offsetof(BlockQ2_K, d);
        at[1] = offsetof(BlockQ2_K, dmin);
        return;
    default: at[0] = 0;
    }
    if (grid_of(type)->has_min) at[1] = 2;
}

// Halves are made finite; the patterns that grids do not keep are replaced.
static void make_canonical(DType type, uint8_t *block) {
    const int bytes = dtype_info(type)->block_bytes;
    int halves[2];
    half_offsets(type, halves);
    for (int h = 0; h < 2; h++)
        if (halves[h] >= 0 && (block[halves[h] + 1] & 0x7c) == 0x7c) block[halves[h] + 1] ^= 0x40;
    for (int i = 2; type == DT_Q8_0 && i < bytes; i++)
        if (block[i] == 0x80) block[i] = 0x81;
    for (int i = 1; type == DT_MXFP4 && i < bytes; i++) {
        if ((block[i] & 15) == 8) block[i] ^= 8;
        if (block[i] >> 4 == 8) block[i] ^= 0x80;
    }
}

// Random bits: each pattern of scales and codes comes back, and each weight is what the kernels make of it.
static void blocks_there_and_back(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        const Grid *grid = grid_of(all[t]);
        const DTypeInfo *info = dtype_info(all[t]);
        assert_non_null(grid);
        assert_int_equal(grid->block, info->block);
        assert_int_equal(grid->sub * grid->subs, grid->block);
        for (int round = 0; round < 2000; round++) {
            uint8_t block[256], back[256] = {0}, codes[SUPER];
            float values[SUPER];
            GridScales scales;
            for (int i = 0; i < info->block_bytes; i++) block[i] = (uint8_t)(number() >> 8);
            make_canonical(all[t], block);
            grid_unpack(grid, block, &scales, codes);
            grid_pack(grid, &scales, codes, back);
            if (memcmp(block, back, info->block_bytes) != 0) fail_msg("%s: round %d differs", info->name, round);
            kernels_get()->to_f32[all[t]](block, values, info->block);
            for (int i = 0; i < info->block; i++) {
                int sub = i / grid->sub;
                assert_in_range(codes[i], 0, grid->codes - 1);
                assert_true(scales.s[sub] >= grid->scale_low && scales.s[sub] <= grid->scale_high);
                float value = grid_step(&scales, sub) * level_of(grid, codes[i]) + grid_offset(&scales, sub);
                if (memcmp(&value, &values[i], sizeof value) != 0)
                    fail_msg("%s: element %d is %a, decoded %a", info->name, i, value, values[i]);
            }
            GridScales alone;
            grid_unpack(grid, block, &alone, NULL);
            assert_memory_equal(&alone, &scales, sizeof alone);
        }
    }
    assert_null(grid_of(DT_F16));
    assert_null(grid_of(DT_IQ2_S));
}

static void levels_rise(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        const Grid *grid = grid_of(all[t]);
        assert_true(grid->codes <= GRID_CODES && grid->subs <= GRID_SUBS);
        for (int c = 1; c < grid->codes; c++) assert_true(level_of(grid, c) > level_of(grid, c - 1));
    }
}

enum { MOST = 64 };

static void fill(const Grid *grid, float x[MOST], float step[MOST], float offset[MOST]) {
    float d = 0.01f * (float)exp(4 * uniform());
    for (int i = 0; i < MOST; i++) {
        step[i] = grid->power ? ldexpf(1, (int)(number() % 9) - 8) : d * uniform();
        offset[i] = grid->has_min ? -5 * step[i] * bell() : -0.0f;
        x[i] = step[i] * level_of(grid, (int)number() % grid->codes) * 1.2f * uniform() + offset[i];
        if (number() % 16 == 0) x[i] = step[i] * (level_of(grid, (int)number() % (grid->codes - 1)) + 0.5f) + offset[i];
        if (number() % 64 == 0) x[i] *= 1e6f;
        if (number() % 64 == 0) step[i] = 0;
    }
}

static void rounds_to_the_nearest(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        const Grid *grid = grid_of(all[t]);
        float x[MOST], step[MOST], offset[MOST], values[MOST];
        uint8_t codes[MOST];
        for (int round = 0; round < 300; round++) {
            fill(grid, x, step, offset);
            grid_round_function_at(CPU_SCALAR)(grid, x, step, offset, MOST, codes, values);
            for (int i = 0; i < MOST; i++) {
                double least = INFINITY;
                assert_in_range(codes[i], 0, grid->codes - 1);
                assert_true(values[i] == step[i] * level_of(grid, codes[i]) + offset[i]);
                if (step[i] == 0) {
                    for (int c = 0; c < grid->codes; c++)
                        assert_true(fabsf(level_of(grid, codes[i])) <= fabsf(level_of(grid, c)));
                    continue;
                }
                for (int c = 0; c < grid->codes; c++)
                    least = fmin(least, fabs((double)step[i] * level_of(grid, c) + offset[i] - x[i]));
                double ours = fabs((double)step[i] * level_of(grid, codes[i]) + offset[i] - x[i]);
                double rounding = 1e-6 * (fabs((double)x[i]) + fabs((double)offset[i]));
                if (ours > least + rounding)
                    fail_msg("%s: %g by %g from %g: off by %g, best %g", dtype_name(all[t]), x[i], step[i], offset[i],
                             ours, least);
            }
        }
    }
}

// Every count of weights, on every instruction set, is what scalar gives and writes nothing behind its end.
static void rounds_alike_everywhere(void **state) {
    (void)state;
    for (int t = 0; t < COUNT(all); t++) {
        const Grid *grid = grid_of(all[t]);
        float x[MOST], step[MOST], offset[MOST], want[MOST], got[MOST];
        uint8_t want_codes[MOST], got_codes[MOST];
        for (int level = CPU_SCALAR; level < CPU_LEVELS; level++) {
            GridRoundFn *f = grid_round_function_at((CpuLevel)level);
            assert_true((f != NULL) == cpu_has_level((CpuLevel)level));
            for (int n = 0; f && n <= MOST; n++) {
                fill(grid, x, step, offset);
                if (n > 4) {
                    x[n - 1] = NAN;
                    x[n - 2] = -INFINITY;
                    step[n - 3] = INFINITY;
                    step[n - 4] = 1e-40f;
                }
                memset(want_codes, 0x5a, sizeof want_codes);
                memset(got_codes, 0x5a, sizeof got_codes);
                memset(want, 0x5a, sizeof want);
                memset(got, 0x5a, sizeof got);
                grid_round_function_at(CPU_SCALAR)(grid, x, step, offset, n, want_codes, want);
                f(grid, x, step, offset, n, got_codes, got);
                assert_memory_equal(got_codes, want_codes, sizeof got_codes);
                for (int i = 0; i < MOST; i++)
                    assert_true(memcmp(&got[i], &want[i], sizeof *got) == 0 || (isnan(got[i]) && isnan(want[i])));
                for (int i = n; i < MOST; i++) assert_int_equal(got_codes[i], 0x5a);
            }
        }
    }
}

static void scales_round_to_what_is_stored(void **state) {
    (void)state;
    const Grid *half = grid_of(DT_Q4_0), *power = grid_of(DT_MXFP4);
    assert_true(grid_round_scale(half, 0.1f) == f16_to_f32(0x2e66));
    assert_true(grid_round_scale(half, -1e9f) == -65504);
    assert_true(grid_round_scale(half, 1e-9f) == 0);
    assert_true(grid_round_scale(power, 1.4f) == 1 && grid_round_scale(power, 1.6f) == 2);
    assert_true(grid_round_scale(power, 0) == 0x1p-128f && grid_round_scale(power, -3) == 0x1p-128f);
    assert_true(grid_round_scale(power, 1e38f) == 0x1p126f && grid_round_scale(power, INFINITY) == 0x1p127f);
    for (int e = 0; e < 256; e++) {
        uint8_t block[17] = {(uint8_t)e};
        GridScales scales;
        grid_unpack(power, block, &scales, NULL);
        assert_true(scales.d == ldexpf(1, e - 128));
        assert_true(grid_round_scale(power, scales.d) == scales.d);
    }
}

// The scales are those of the quantizer's blocks, whatever else lies around.
static void fit_is_the_quantizers(void **state) {
    (void)state;
    enum { ROWS = 5 };
    for (int t = 0; t < COUNT(all); t++) {
        const Grid *grid = grid_of(all[t]);
        if (!quant_function(all[t])) continue;
        float x[ROWS * SUPER], h[SUPER];
        uint8_t scratch[ROWS * SUPER * 2], block[512];
        GridScales got[ROWS], want;
        for (int i = 0; i < ROWS * SUPER; i++) x[i] = bell();
        for (int i = 0; i < SUPER; i++) h[i] = fabsf(bell());
        for (int weighted = 0; weighted < 2; weighted++) {
            grid_fit(grid, x, ROWS, weighted ? h : NULL, got, scratch);
            for (int r = 0; r < ROWS; r++) {
                quant_function(all[t])(x + r * grid->block, block, 1, grid->block, weighted ? h : NULL);
                grid_unpack(grid, block, &want, NULL);
                assert_memory_equal(&got[r], &want, sizeof want);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_there_and_back),          cmocka_unit_test(levels_rise),
        cmocka_unit_test(rounds_to_the_nearest),          cmocka_unit_test(rounds_alike_everywhere),
        cmocka_unit_test(scales_round_to_what_is_stored), cmocka_unit_test(fit_is_the_quantizers),
    };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
