// The truth for quant/kernels/gemm_int8.h.
#include "quant/kernels/gemm_int8_tile.h"
#include <math.h>

// Half h of a group, in one row, by one digit.
static int dot(Int8Type t, const uint8_t *record, int lane, int h, const BlockAct *x) {
    int dot = 0;
    for (int i = h * BLOCK / t.halves; i < (h + 1) * BLOCK / t.halves; i++)
        dot += (int8_t)record[i / 4 * 4 * INT8_LANES + 4 * lane + i % 4] * x->q[i];
    return dot;
}

static void tile(Int8Type t, const Int8Tile *a) {
    for (int r = 0; r < INT8_ROWS; r++) {
        const uint8_t *record = a->weights + (size_t)(r / INT8_LANES) * a->panel;
        const BlockAct *x = a->inputs;
        const int lane = r % INT8_LANES;
        float sum = 0;
        for (int64_t g = 0; g < a->groups; g++, record += int8_record(t), x += t.digits) {
            for (int h = 0; h < t.halves; h++) {
                float d = int8_float(record + int8_scales_at(t) + (size_t)(h * INT8_LANES + lane) * sizeof(float));
                int dots = dot(t, record, lane, h, x), last = t.digits - 1;
                for (int k = 1; k <= last; k++) {
                    if (k == 1 && !int8_at_once(t)) {
                        sum = fmaf((float)dots, d * x->d, sum);
                        dots = 0;
                    }
                    dots = 256 * dots + dot(t, record, lane, h, x + k);
                }
                sum = fmaf((float)dots, d * x[last].d, sum);
            }
            if (t.min) sum = fmaf(int8_float(record + int8_min_at(t) + (size_t)lane * sizeof(float)), x->sum, sum);
        }
        a->y[r] = a->add ? a->y[r] + sum : sum;
    }
}

#define TILE_OF(digits, name) tile##digits##_##name
#define DEFINE_TILE(digits, name, halves, min, offset)                                                                 \
    static void TILE_OF(digits, name)(const Int8Tile *a) {                                                             \
        tile((Int8Type){INT8_SIGNED, halves, min, 0, digits, offset == 8}, a);                                         \
    }
BLOCK_TYPES(INT8_DEFINE_THREE)

const GemmInt8 gemm_int8_scalar = {
    .name = "scalar",
    .tokens = 1,
    .tile =
        {[1] = {BLOCK_TYPES(INT8_TILE_ONE)}, [2] = {BLOCK_TYPES(INT8_TILE_TWO)}, [3] = {BLOCK_TYPES(INT8_TILE_THREE)}},
};
