// The truth for quant/kernels/gemm_int8.h.
#include "quant/kernels/gemm_int8_tile.h"
#include <math.h>

static void tile(Int8Type t, const Int8Tile *a) {
    for (int r = 0; r < INT8_ROWS; r++) {
        const uint8_t *record = a->weights + (size_t)(r / INT8_LANES) * a->panel;
        const BlockAct *x = a->inputs;
        const int lane = r % INT8_LANES;
        float sum = 0;
        for (int64_t g = 0; g < a->groups; g++, record += int8_record(t), x++) {
            for (int h = 0; h < t.halves; h++) {
                int dot = 0;
                for (int i = h * BLOCK / t.halves; i < (h + 1) * BLOCK / t.halves; i++)
                    dot += (int8_t)record[i / 4 * 4 * INT8_LANES + 4 * lane + i % 4] * x->q[i];
                float d = int8_float(record + int8_scales_at(t) + (size_t)(h * INT8_LANES + lane) * sizeof(float));
                sum = fmaf((float)dot, d * x->d, sum);
            }
            if (t.min) sum = fmaf(int8_float(record + int8_min_at(t) + (size_t)lane * sizeof(float)), x->sum, sum);
        }
        a->y[r] = a->add ? a->y[r] + sum : sum;
    }
}

#define DEFINE_TILES(name, type, block, groups, halves, min, ...)                                                      \
    static void tile_##name(const Int8Tile *a) { tile((Int8Type){INT8_SIGNED, halves, min, 0}, a); }
BLOCK_TYPES(DEFINE_TILES)

#define TILE(name, type, ...) [type] = tile_##name,
const GemmInt8 gemm_int8_scalar = {.name = "scalar", .tokens = 1, .tile = {BLOCK_TYPES(TILE)}};
