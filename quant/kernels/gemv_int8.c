#include "quant/kernels/gemv_int8.h"

#include "quant/kernels/gemv_int8_types.h"
#include "quant/kernels/kernels.h"

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static bool type_find(DType type, GemvType *t) {
    switch (type) {
#define CASE(name, dtype, ...)                                                                                         \
    case dtype: *t = (GemvType){__VA_ARGS__}; return true;
        GEMV_TYPES(CASE)
    default: return false;
    }
}

size_t gemv_panel_bytes(DType type, int64_t cols) {
    GemvType t;
    return type_find(type, &t) ? (size_t)(cols / BLOCK) * gemv_record(t) : 0;
}

static int packed_code(const GemvType *t, int code) {
    if (!t->levels) return code + t->offset;
    int i = 0;
    while (t->levels[i] != code) i++;
    return i;
}

static void put_scale(const GemvType *t, uint8_t *at, int lane, float value) {
    uint16_t half = f16_from_f32(value); // exact: it was one
    if (t->half_scales)
        memcpy(at + (size_t)lane * sizeof half, &half, sizeof half);
    else
        memcpy(at + (size_t)lane * sizeof value, &value, sizeof value);
}

// One group of one row into its record, which was zeros.
static void lane_pack(const GemvType *t, const Unpacked *u, int64_t g, int lane, uint8_t *record) {
    for (int h = 0; h < t->halves; h++) put_scale(t, record + (size_t)h * gemv_scale_bytes(*t), lane, u->d[2 * g + h]);
    if (t->min) put_scale(t, record + gemv_mins_at(*t), lane, u->m[g]);
    uint8_t *codes = record + gemv_codes_at(*t), *upper = record + gemv_upper_at(*t);
    for (int i = 0; i < BLOCK; i++) {
        int code = packed_code(t, u->codes[g * BLOCK + i]), four = i / 4, in = 4 * lane + i % 4;
        if (t->bits == 8) {
            codes[four * GEMV_PLANE + in] = (uint8_t)code;
            continue;
        }
        codes[four % 4 * GEMV_PLANE + in] |= (uint8_t)((code & 15) << four / 4 * 4);
        if (t->bits == 5) upper[four * 8 + in / 8] |= (uint8_t)((code >> 4) << in % 8);
        if (t->bits == 6) upper[four / 4 * GEMV_PLANE + in] |= (uint8_t)((code >> 4) << four % 4 * 2);
    }
}

void gemv_pack(DType type, const uint8_t *weight, int64_t row, int64_t rows, int64_t cols, uint8_t *panel) {
    GemvType t;
    if (!type_find(type, &t)) return;
    const DTypeInfo *info = dtype_info(type);
    const size_t row_bytes = (size_t)(cols / info->block) * info->block_bytes;
    UnpackFn unpack = kernels_get()->unpack[type];
    memset(panel, 0, gemv_panel_bytes(type, cols));
    for (int64_t r = 0; r < min(GEMV_ROWS, rows - row); r++)
        for (int64_t c = 0; c < cols; c += SUPER) {
            Unpacked u;
            int64_t n = min(SUPER, cols - c);
            unpack(weight + (size_t)(row + r) * row_bytes + (size_t)(c / info->block) * info->block_bytes, n, &u);
            for (int64_t g = 0; g < n / BLOCK; g++)
                lane_pack(&t, &u, g, (int)r, panel + (size_t)(c / BLOCK + g) * gemv_record(t));
        }
}
