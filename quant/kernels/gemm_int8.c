#include "quant/kernels/gemm_int8.h"

#include "quant/kernels/gemm_int8_tile.h"
#include "quant/kernels/kernels.h"
#include "quant/kernels/scratch.h"
#include <stdalign.h>
#include <string.h>

enum {
    COLS_MOST = 32768,
    WIDE_BYTES = 512 << 10, // of codes in 16 bits at a time: at least a tile's of so many columns
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static Int8Type type_of(const GemmInt8 *gemm, DType type) {
    Int8Type t = {.layout = gemm->layout[type], .halves = 1};
    switch (type) {
#define CASE(name, dtype, block, groups, half_count, minimum, scales, unsigned_offset)                                 \
    case dtype:                                                                                                        \
        t.halves = half_count;                                                                                         \
        t.min = minimum;                                                                                               \
        t.offset = t.layout == INT8_UNSIGNED ? unsigned_offset : 0;                                                    \
        break;
        BLOCK_TYPES(CASE)
    default: break;
    }
    return t;
}

bool gemm_int8_can(const GemmInt8 *gemm, DType type, int64_t cols, int digits) {
    return gemm->tile[digits][type] && cols <= COLS_MOST;
}

static size_t panel_bytes(Int8Type t, int64_t cols) { return (size_t)(cols / BLOCK) * int8_record(t); }

size_t gemm_int8_bytes(int64_t rows, int64_t cols) {
    static const Int8Type largest = {.layout = INT8_WIDE, .halves = 2, .min = true};
    return (size_t)((rows + INT8_ROWS - 1) / INT8_ROWS * (INT8_ROWS / INT8_LANES)) * panel_bytes(largest, cols);
}

// ---- packing

// Sixteen codes of a row, as four columns each.
typedef uint32_t Fours __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Fours){__VA_ARGS__})
#endif

static Fours load_more(const int8_t *codes, int offset) {
    Bytes b;
    memcpy(&b, codes, sizeof b);
    return (Fours)(b + (uint8_t)offset);
}

// Sixteen codes of four rows: four columns of all rows together, then the next four.
static void four_rows_pack(const Unpacked rows[4], int64_t code, int offset, uint8_t *to) {
    Fours a = load_more(rows[0].codes + code, offset), b = load_more(rows[1].codes + code, offset);
    Fours c = load_more(rows[2].codes + code, offset), d = load_more(rows[3].codes + code, offset);
    Fours ab = SHUFFLE(a, b, 0, 4, 1, 5), cd = SHUFFLE(c, d, 0, 4, 1, 5);
    Fours ab_high = SHUFFLE(a, b, 2, 6, 3, 7), cd_high = SHUFFLE(c, d, 2, 6, 3, 7);
    const Fours columns[4] = {SHUFFLE(ab, cd, 0, 1, 4, 5), SHUFFLE(ab, cd, 2, 3, 6, 7),
                              SHUFFLE(ab_high, cd_high, 0, 1, 4, 5), SHUFFLE(ab_high, cd_high, 2, 3, 6, 7)};
    for (int k = 0; k < 4; k++) memcpy(to + k * INT8_LANES * 4, &columns[k], sizeof columns[k]);
}

static void codes_pack_fours(int offset, const Unpacked rows[INT8_LANES], int64_t g, uint8_t *record) {
    for (int half = 0; half < 2; half++)
        for (int lane = 0; lane < INT8_LANES; lane += 4)
            four_rows_pack(rows + lane, g * BLOCK + 16 * half, offset, record + (half * 4 * INT8_LANES + lane) * 4);
}

static void codes_pack_eights(const Unpacked rows[INT8_LANES], int64_t g, uint8_t *record) {
    for (int lane = 0; lane < INT8_LANES; lane++)
        for (int k = 0; k < BLOCK / 8; k++)
            memcpy(record + (k * INT8_LANES + lane) * 8, rows[lane].codes + g * BLOCK + 8 * k, 8);
}

static void codes_pack_wide(const Unpacked rows[INT8_LANES], int64_t g, int16_t *record) {
    for (int lane = 0; lane < INT8_LANES; lane++)
        for (int i = 0; i < BLOCK; i++)
            record[(i / 2 * INT8_LANES + lane) * 2 + i % 2] = rows[lane].codes[g * BLOCK + i];
}

// Group g of 16 rows into its record.
static void group_pack(Int8Type t, const Unpacked rows[INT8_LANES], int64_t g, uint8_t *record) {
    float *scales = (float *)(void *)(record + int8_scales_at(t)), *mins = (float *)(void *)(record + int8_min_at(t));
    switch (t.layout) {
    case INT8_EIGHTS: codes_pack_eights(rows, g, record); break;
    case INT8_WIDE: codes_pack_wide(rows, g, (int16_t *)(void *)record); break;
    default: codes_pack_fours(t.offset, rows, g, record); break;
    }
    for (int lane = 0; lane < INT8_LANES; lane++) {
        for (int h = 0; h < t.halves; h++) scales[h * INT8_LANES + lane] = rows[lane].d[2 * g + h];
        if (t.min) mins[lane] = rows[lane].m[g];
    }
}

void gemm_int8_pack(const GemmInt8 *gemm, DType type, const uint8_t *weight, int64_t row, int64_t rows, int64_t cols,
                    void *packed) {
    const Int8Type t = type_of(gemm, type);
    const DTypeInfo *info = dtype_info(type);
    const size_t row_bytes = (size_t)(cols / info->block) * info->block_bytes, panel = panel_bytes(t, cols);
    UnpackFn unpack = kernels_get()->unpack[type];
    Unpacked u[INT8_LANES];
    for (int64_t first = row; first < row + INT8_ROWS; first += INT8_LANES) {
        uint8_t *record = (uint8_t *)packed + (size_t)(first / INT8_LANES) * panel;
        int64_t there = rows - first < 0 ? 0 : min(INT8_LANES, rows - first);
        if (there < INT8_LANES) memset(u, 0, sizeof u); // what is below the edge
        for (int64_t c = 0; c < cols; c += SUPER) {
            int64_t n = min(SUPER, cols - c);
            const uint8_t *from = weight + (size_t)(c / info->block) * info->block_bytes;
            for (int64_t r = 0; r < there; r++) unpack(from + (size_t)(first + r) * row_bytes, n, &u[r]);
            for (int64_t g = 0; g < n / BLOCK; g++, record += int8_record(t)) group_pack(t, u, g, record);
        }
    }
}

// ---- multiplying

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

// `wide`: NULL, or n tokens and those beyond.
static void multiply(const GemmInt8 *gemm, DType type, int digits, const BlockAct *x, const int16_t *wide, int64_t n,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *y, int64_t y_stride, bool add) {
    const size_t panel = panel_bytes(type_of(gemm, type), cols);
    const int64_t tokens = gemm->tokens, groups = cols / BLOCK;
    Int8TileFn multiply_tile = gemm->tile[digits][type];
    for (int64_t r = 0; r < rows; r += INT8_ROWS)
        for (int64_t i = 0; i < n; i += tokens) {
            Int8Tile tile = {
                .weights = packed + (size_t)(r / INT8_LANES) * panel,
                .panel = panel,
                .groups = groups,
                .inputs = x + i * groups * digits,
                .wide = wide ? wide + i * cols : NULL,
                .y = y + i * y_stride + r,
                .stride = y_stride,
                .add = add,
            };
            if (n - i >= tokens && rows - r >= INT8_ROWS)
                multiply_tile(&tile);
            else
                edge_tile(multiply_tile, &tile, min(tokens, n - i), min(INT8_ROWS, rows - r));
        }
}

void gemm_int8_multiply(const GemmInt8 *gemm, DType type, int digits, const BlockAct *x, int64_t n, const void *packed,
                        int64_t row, int64_t rows, int64_t cols, float *y, int64_t y_stride, bool add) {
    const uint8_t *from = (const uint8_t *)packed + (size_t)(row / INT8_LANES) * panel_bytes(type_of(gemm, type), cols);
    const int64_t blocks = cols / BLOCK * digits, tokens = gemm->tokens;
    if (gemm->layout[type] != INT8_WIDE) {
        multiply(gemm, type, digits, x, NULL, n, from, rows, cols, y, y_stride, add);
        return;
    }
    int16_t *wide = scratch_get(SCRATCH_WIDE, WIDE_BYTES);
    const int64_t fit = WIDE_BYTES / ((int64_t)sizeof(int16_t) * cols) / tokens * tokens;
    for (int64_t first = 0; first < n; first += fit) {
        int64_t count = min(fit, n - first), whole = (count + tokens - 1) / tokens * tokens;
        gemm->widen(x + first * blocks, whole * (cols / BLOCK), digits, wide);
        multiply(gemm, type, digits, x + first * blocks, wide, count, from, rows, cols, y + first * y_stride, y_stride,
                 add);
    }
}

void gemm_int8_round(const float *x, int64_t n, int digits, BlockAct *acts) {
    if (digits == 1)
        kernels_get()->act(x, acts, n);
    else
        kernels_get()->digits(x, acts, n, digits);
}
