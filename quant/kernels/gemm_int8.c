#include "quant/kernels/gemm_int8.h"

#include "quant/kernels/gemm_int8_tile.h"
#include "quant/kernels/kernels.h"
#include <stdalign.h>

enum {
    INPUT_BYTES = 1 << 20, // of packed inputs at a time: about what stays in the L2 cache
    BLOCKS = SUPER / BLOCK // unpacked at a time: one super-block, or as many single ones
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static Int8Type type_of(const GemmInt8 *gemm, DType type) {
    Int8Type t = {gemm->layout[type], 1, false};
    switch (type) {
#define CASE(name, dtype, block, groups, half_count, minimum, ...)                                                     \
    case dtype:                                                                                                        \
        t.halves = half_count;                                                                                         \
        t.min = minimum;                                                                                               \
        break;
        BLOCK_TYPES(CASE)
    default: break;
    }
    return t;
}

bool gemm_int8_can(const GemmInt8 *gemm, DType type, int64_t cols) {
    if (!gemm->tile[type]) return false;
    size_t row = int8_input_record(type_of(gemm, type)) * (size_t)(cols / BLOCK);
    return row * (size_t)gemm->tokens <= INPUT_BYTES;
}

static size_t panel_bytes(Int8Type t, int64_t cols) { return (size_t)(cols / BLOCK) * int8_record(t); }

size_t gemm_int8_bytes(int64_t rows, int64_t cols) {
    static const Int8Type largest = {INT8_WIDE, 2, true};
    return (size_t)((rows + INT8_ROWS - 1) / INT8_ROWS * (INT8_ROWS / INT8_LANES)) * panel_bytes(largest, cols);
}

// ---- packing

// Some groups of one row, into lane `lane` of their records.
static void lane_pack(Int8Type t, const Unpacked *from, int64_t groups, int lane, uint8_t *record) {
    for (int64_t g = 0; g < groups; g++, record += int8_record(t)) {
        const int8_t *codes = from->codes + g * BLOCK;
        if (t.layout == INT8_WIDE) {
            int16_t *to = (int16_t *)(void *)record + 2 * lane;
            for (int i = 0; i < BLOCK; i++) to[i / 2 * 2 * INT8_LANES + i % 2] = codes[i];
        } else {
            const int run = t.layout == INT8_EIGHTS ? 8 : 4;
            for (int i = 0; i < BLOCK; i += run) memcpy(record + i * INT8_LANES + run * lane, codes + i, (size_t)run);
        }
        float *scales = (float *)(void *)(record + int8_scales_at(t)) + lane;
        for (int h = 0; h < t.halves; h++) scales[h * INT8_LANES] = from->d[2 * g + h];
        if (t.min) ((float *)(void *)(record + int8_min_at(t)))[lane] = from->m[g];
        if (t.layout != INT8_OFFSET) continue;
        int32_t *sums = (int32_t *)(void *)(record + int8_sums_at(t)) + lane;
        for (int h = 0; h < t.halves; h++) {
            int32_t sum = 0;
            for (int i = 0; i < BLOCK / t.halves; i++) sum += codes[h * BLOCK / t.halves + i];
            sums[h * INT8_LANES] = -128 * sum;
        }
    }
}

void gemm_int8_pack(const GemmInt8 *gemm, DType type, const uint8_t *weight, int64_t row, int64_t rows, int64_t cols,
                    void *packed) {
    const Int8Type t = type_of(gemm, type);
    const DTypeInfo *info = dtype_info(type);
    const size_t row_bytes = (size_t)(cols / info->block) * info->block_bytes, panel = panel_bytes(t, cols);
    uint8_t *at = (uint8_t *)packed + (size_t)(row / INT8_LANES) * panel;
    UnpackFn unpack = kernels_get()->unpack[type];
    if (rows - row < INT8_ROWS) memset(at, 0, INT8_ROWS / INT8_LANES * panel); // what is below the edge
    for (int64_t r = 0; r < min(INT8_ROWS, rows - row); r++) {
        const uint8_t *from = weight + (size_t)(row + r) * row_bytes;
        uint8_t *record = at + (size_t)(r / INT8_LANES) * panel;
        for (int64_t c = 0; c < cols; c += SUPER) {
            Unpacked u;
            int64_t n = min(SUPER, cols - c);
            unpack(from + (size_t)(c / info->block) * info->block_bytes, n, &u);
            lane_pack(t, &u, n / BLOCK, (int)(r % INT8_LANES), record + (size_t)(c / BLOCK) * int8_record(t));
        }
    }
}

// ---- multiplying

static void inputs_pack(Int8Type t, const float *x, int64_t cols, uint8_t *to) {
    BlockAct acts[BLOCKS];
    ActFn act = kernels_get()->act;
    for (int64_t c = 0; c < cols; c += SUPER) {
        int64_t n = min(SUPER, cols - c);
        act(x + c, acts, n);
        for (int64_t g = 0; g < n / BLOCK; g++, to += int8_input_record(t)) {
            memcpy(to, &acts[g].d, sizeof(float));
            memcpy(to + sizeof(float), &acts[g].sum, sizeof(float));
            uint8_t *codes = to + INT8_INPUT_HEAD;
            if (t.layout == INT8_WIDE) {
                int16_t wide[BLOCK];
                for (int i = 0; i < BLOCK; i++) wide[i] = acts[g].q[i];
                memcpy(codes, wide, sizeof wide);
            } else {
                int flip = t.layout == INT8_OFFSET ? 128 : 0;
                for (int i = 0; i < BLOCK; i++) codes[i] = (uint8_t)(acts[g].q[i] ^ flip);
            }
        }
    }
}

// A tile at the edges of y, where only [n, rows] of it is there.
static void edge_tile(Int8TileFn tile, const Int8Tile *whole, int64_t n, int64_t rows) {
    alignas(64) float y[INT8_TOKENS_MOST * INT8_ROWS];
    Int8Tile own = *whole;
    own.y = y;
    own.stride = INT8_ROWS;
    own.add = false;
    tile(&own);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++) {
            float *to = whole->y + i * whole->stride + r;
            *to = whole->add ? *to + y[i * INT8_ROWS + r] : y[i * INT8_ROWS + r];
        }
}

void gemm_int8_multiply(const GemmInt8 *gemm, DType type, const float *x, int64_t n, int64_t x_stride,
                        const void *packed, int64_t rows, int64_t cols, float *y, int64_t y_stride, bool add) {
    static _Thread_local alignas(64) uint8_t inputs[INPUT_BYTES];
    const Int8Type t = type_of(gemm, type);
    const size_t input = int8_input_record(t) * (size_t)(cols / BLOCK), panel = panel_bytes(t, cols);
    const int64_t tokens = gemm->tokens, most = INPUT_BYTES / (int64_t)(input ? input : 1) / tokens * tokens;
    for (int64_t first = 0; first < n; first += most) {
        int64_t count = min(most, n - first), padded = (count + tokens - 1) / tokens * tokens;
        for (int64_t i = 0; i < count; i++)
            inputs_pack(t, x + (first + i) * x_stride, cols, inputs + (size_t)i * input);
        memset(inputs + (size_t)count * input, 0, (size_t)(padded - count) * input);
        for (int64_t r = 0; r < rows; r += INT8_ROWS)
            for (int64_t i = 0; i < count; i += tokens) {
                Int8Tile tile = {
                    .weights = (const uint8_t *)packed + (size_t)(r / INT8_LANES) * panel,
                    .panel = panel,
                    .groups = cols / BLOCK,
                    .inputs = inputs + (size_t)i * input,
                    .input = input,
                    .y = y + (first + i) * y_stride + r,
                    .stride = y_stride,
                    .add = add,
                };
                if (count - i >= tokens && rows - r >= INT8_ROWS)
                    gemm->tile[type](&tile);
                else
                    edge_tile(gemm->tile[type], &tile, min(tokens, count - i), min(INT8_ROWS, rows - r));
            }
    }
}
