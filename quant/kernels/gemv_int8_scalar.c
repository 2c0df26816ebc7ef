// The truth for quant/kernels/gemv_int8.h.
#include "quant/kernels/gemv_int8_types.h"
#include "quant/kernels/kernels.h"
#include <math.h>

static float scale_at(GemvType t, const uint8_t *at, int lane) {
    uint16_t half;
    float value;
    memcpy(&half, at + (size_t)lane * sizeof half, sizeof half);
    if (t.half_scales) return f16_to_f32(half);
    memcpy(&value, at + (size_t)lane * sizeof value, sizeof value);
    return value;
}

// The code of column i of a group as it stands there.
static int code_at(GemvType t, const uint8_t *record, int lane, int i) {
    const uint8_t *codes = record + gemv_codes_at(t), *upper = record + gemv_upper_at(t);
    int four = i / 4, in = 4 * lane + i % 4;
    if (t.bits == 8) return codes[four * GEMV_PLANE + in];
    int code = codes[four % 4 * GEMV_PLANE + in] >> four / 4 * 4 & 15;
    if (t.bits == 5) code |= (upper[four * 8 + in / 8] >> in % 8 & 1) << 4;
    if (t.bits == 6) code |= (upper[four / 4 * GEMV_PLANE + in] >> four % 4 * 2 & 3) << 4;
    return code;
}

static void panel_times(GemvType t, const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]) {
    for (int lane = 0; lane < GEMV_ROWS; lane++) {
        const uint8_t *record = panel;
        y[lane] = 0;
        for (int64_t g = 0; g < groups; g++, record += gemv_record(t)) {
            for (int h = 0; h < t.halves; h++) {
                int dot = 0;
                for (int i = h * BLOCK / t.halves; i < (h + 1) * BLOCK / t.halves; i++) {
                    int code = code_at(t, record, lane, i);
                    dot += (t.levels ? t.levels[code] : code - t.offset) * x[g].q[i];
                }
                y[lane] =
                    fmaf((float)dot, scale_at(t, record + (size_t)h * gemv_scale_bytes(t), lane) * x[g].d, y[lane]);
            }
            if (t.min) y[lane] = fmaf(scale_at(t, record + gemv_mins_at(t), lane), x[g].sum, y[lane]);
        }
    }
}

#define DEFINE(name, type, ...)                                                                                        \
    static void gemv_##name(const uint8_t *panel, int64_t groups, const BlockAct *x, float y[GEMV_ROWS]) {             \
        panel_times((GemvType){__VA_ARGS__}, panel, groups, x, y);                                                     \
    }
GEMV_TYPES(DEFINE)

void gemv_scalar(Kernels *k) {
#define ENTER(name, type, ...) k->gemv[type] = gemv_##name;
    GEMV_TYPES(ENTER)
}
