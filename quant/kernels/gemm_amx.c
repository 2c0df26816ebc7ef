// f32 matrix multiply on AMX, whose instruction TDPBF16PS multiplies 16 x 32 by 32 x 16 numbers in bf16 and adds them
// up in f32, sixteen times as many in a cycle as AVX-512 (Intel's manual: each result is two chains of 16 fused steps,
// then their sum, rounded to nearest even).
//
// A f32 number is the exact sum of three in bf16, each the nearest to what the ones before it leave: 24 bits of
// significand are three times 8. With x = x1 + x2 + x3 and w = w1 + w2 + w3
//     x w = x1 w1 + (x2 w1 + x1 w2) + (x3 w1 + x2 w2 + x1 w3) + what is below 2^-26 |x w|, and is left out.
// Weights that were bf16 have w1 alone, f16 and most 4-bit ones no w3: packing notes how many terms a part of the
// weights has, so that they cost 3, 5 or 6 products. tests/test_gemm.c measures the error beside OpenBLAS's.
//
// gemm_bf16_amx keeps the first terms alone: one product.
//
// Not as in f32: what is below 2^-126 counts as zero, terms of larger numbers included, and x beyond bf16's largest
// number (3.39e38; f32's is 3.40e38) gives NaN. Infinity leaves NaN when x1 is taken from it, and so does NaN.
#include "quant/kernels/gemm.h"

#include "core/size.h"
#include "quant/kernels/layout.h"
#include <immintrin.h>
#include <stdalign.h>

enum {
    TILE = 16,        // rows of a tile; a row has 64 bytes: 32 numbers in bf16, or 16 in f32
    STEP = 32,        // columns multiplied at a time
    GROUP = 2 * TILE, // inputs, and rows of weights, multiplied together: two tiles of each give four of results
    TERMS = 3,
    TILE_BYTES = TILE * 64,
    STEP_BYTES = 2 * TILE_BYTES, // a group's tiles of one step in one term
    // Columns taken together. A group of inputs then has 24 KiB, and stays in the L1 cache while the weights pass; with
    // more it would not, with less the results would be loaded and stored too often.
    DEEP = 128,
    TERM_BYTES = DEEP / STEP * STEP_BYTES, // a group's tiles of one block in one term
};

_Static_assert((int)GROUP == (int)GEMM_ROWS && GEMM_COLS % DEEP == 0, "a piece is whole groups and blocks");

// Tiles 0-3 are sums: two of inputs by two of weights. 4 and 5 hold inputs, 6 and 7 weights. All are of full size.
static const alignas(64) struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} configuration = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- packed weights: how many terms each part has, one byte each, then the parts. A part is a group of rows in a
// block of columns: [term][step][tile of 16 rows][pair][row] pairs of bf16, with room for all terms and steps.

static size_t table_bytes(int64_t rows, int64_t cols) {
    return size_align((size_t)(divide_up(rows, GROUP) * divide_up(cols, DEEP)), 64);
}

static size_t bytes_of(int64_t rows, int64_t cols, int most) {
    return table_bytes(rows, cols) + (size_t)(divide_up(rows, GROUP) * divide_up(cols, DEEP) * most) * TERM_BYTES;
}

static int64_t part_index(int64_t rows, int64_t row, int64_t col) {
    return col / DEEP * divide_up(rows, GROUP) + row / GROUP;
}

// ---- f32 to terms

typedef struct Terms {
    __m512i of[TERMS]; // 16 pairs of bf16 each
} Terms;

// Rounded to bf16 as the upper half of a f32. NaN may become something else: its third term, cut off, stays NaN.
static inline __m512 round_to_bf16(__m512 x) {
    __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper));
}

// The upper halves of a, and of b above them. Inputs and weights are paired alike, so columns i and 16 + i may be a
// pair.
static inline __m512i pair(__m512 a, __m512 b) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(_mm512_castps_si512(a), 16), _mm512_castps_si512(b));
}

// Rounded alone, NaN stays NaN.
static inline __m512 round_last(__m512 x) {
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_blend_ps(nan, round_to_bf16(x), _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}

static inline Terms split(__m512 a, __m512 b, int most) {
    Terms t;
    if (most == 1) {
        t.of[0] = pair(round_last(a), round_last(b));
        return t;
    }
    for (int i = 0; i < TERMS - 1; i++) {
        __m512 near_a = round_to_bf16(a), near_b = round_to_bf16(b);
        t.of[i] = pair(near_a, near_b);
        a = _mm512_sub_ps(a, near_a);
        b = _mm512_sub_ps(b, near_b);
    }
    t.of[TERMS - 1] = pair(a, b);
    return t;
}

static inline __mmask16 first_lanes(int64_t n) { return (__mmask16)(n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0); }

// One step of a row, zero from `left` columns on.
static inline Terms split_row(const float *x, int64_t left, int most) {
    if (left >= STEP) return split(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), most);
    return split(_mm512_maskz_loadu_ps(first_lanes(left), x), _mm512_maskz_loadu_ps(first_lanes(left - 16), x + 16),
                 most);
}

// Asks for part of a row before its turn comes: short stretches far from each other, which the CPU does not guess.
static inline void row_prefetch(const float *row, int64_t cols) {
    for (int64_t c = 0; c < cols; c += 16) _mm_prefetch((const char *)(row + c), _MM_HINT_T0);
}

// A group of inputs x [n, cols] in one block: [term][step][tile of 16 inputs][input][pair]; inputs from n on are zero.
// `after`: how many inputs follow, which will be the next group.
INLINE void inputs_split(const float *x, int64_t n, int64_t stride, int64_t cols, int64_t after, int most,
                         uint8_t *group) {
    for (int64_t i = 0; i < GROUP; i++) {
        if (i < after) row_prefetch(x + (i + GROUP) * stride, cols);
        for (int64_t s = 0; s * STEP < cols; s++) {
            Terms t = i < n ? split_row(x + i * stride + s * STEP, cols - s * STEP, most) : (Terms){0};
            for (int k = 0; k < most; k++)
                _mm512_store_si512(group + k * TERM_BYTES + s * STEP_BYTES + i * 64, t.of[k]);
        }
    }
}

// One part of the weights: split row by row, then each tile transposed, since as the second factor a tile has a row for
// each pair of columns.
INLINE int part_pack(const float *w, int64_t n, int64_t stride, int64_t cols, int most, uint8_t *part) {
    alignas(64) uint8_t rows[TERMS * TERM_BYTES];
    inputs_split(w, n, stride, cols, 0, most, rows);
    const __m512i down = _mm512_set_epi32(240, 224, 208, 192, 176, 160, 144, 128, 112, 96, 80, 64, 48, 32, 16, 0);
    int64_t bytes = divide_up(cols, STEP) * STEP_BYTES;
    int terms = 1;
    for (int k = 0; k < most; k++) {
        const uint8_t *from = rows + k * TERM_BYTES;
        __m512i any = _mm512_setzero_si512();
        for (int64_t i = 0; i < bytes; i += 64) any = _mm512_or_si512(any, _mm512_load_si512(from + i));
        if (_mm512_test_epi32_mask(any, any)) terms = k + 1;
    }
    for (int k = 0; k < terms; k++)
        for (int64_t tile = 0; tile < bytes; tile += TILE_BYTES)
            for (int64_t p = 0; p < TILE; p++) {
                const uint8_t *column = rows + k * TERM_BYTES + tile + 4 * p;
                _mm512_store_si512(part + k * TERM_BYTES + tile + 64 * p, _mm512_i32gather_epi32(down, column, 4));
            }
    return terms;
}

INLINE void pack_of(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, int most,
                    void *packed) {
    uint8_t *table = packed, *parts = table + table_bytes(rows, cols);
    for (int64_t c = 0; c < piece.cols; c += DEEP) {
        int64_t i = part_index(rows, piece.row, piece.col + c);
        table[i] = (uint8_t)part_pack(w + c, piece.rows, stride, min(DEEP, piece.cols - c), most,
                                      parts + i * most * TERM_BYTES);
    }
}

INLINE void pack_turned_of(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols, int most,
                           void *packed) {
    float turned[GEMM_ROWS * GEMM_COLS];
    for (int64_t r = 0; r < piece.rows; r++)
        for (int64_t c = 0; c < piece.cols; c++) turned[r * GEMM_COLS + c] = w[c * stride + r];
    pack_of(turned, GEMM_COLS, piece, rows, cols, most, packed);
}

// ---- multiplying

// clang-format off
#define INPUTS(term)  _tile_loadd(4, x + (term) * TERM_BYTES, 64); _tile_loadd(5, x + (term) * TERM_BYTES + TILE_BYTES, 64)
#define WEIGHTS(term) _tile_loadd(6, w + (term) * TERM_BYTES, 64); _tile_loadd(7, w + (term) * TERM_BYTES + TILE_BYTES, 64)
#define MULTIPLY()    _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7)
// clang-format on

// y [32, 32] (+)= a group of inputs by a group of weights over a block. The products are ordered so that few tiles are
// loaded twice.
INLINE void group_multiply(const uint8_t *x, const uint8_t *w, int terms, int64_t steps, float *y, int64_t y_stride,
                           bool add, int most) {
    size_t row = (size_t)y_stride * sizeof *y;
    if (add) {
        _tile_loadd(0, y, row);
        _tile_loadd(1, y + TILE, row);
        _tile_loadd(2, y + TILE * y_stride, row);
        _tile_loadd(3, y + TILE * y_stride + TILE, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t s = 0; s < steps; s++, x += STEP_BYTES, w += STEP_BYTES) {
        WEIGHTS(0);
        if (most == 1) {
            INPUTS(0);
            MULTIPLY();
            continue;
        }
        INPUTS(2);
        MULTIPLY();
        INPUTS(1);
        MULTIPLY();
        if (terms == 1) {
            INPUTS(0);
            MULTIPLY();
            continue;
        }
        WEIGHTS(1);
        MULTIPLY();
        INPUTS(0);
        MULTIPLY();
        if (terms == 3) {
            WEIGHTS(2);
            MULTIPLY();
        }
        WEIGHTS(0);
        MULTIPLY();
    }
    _tile_stored(0, y, row);
    _tile_stored(1, y + TILE, row);
    _tile_stored(2, y + TILE * y_stride, row);
    _tile_stored(3, y + TILE * y_stride + TILE, row);
}

// The compiler does not know that loading a tile reads memory: what was stored to p must be there before.
#define STORED(p) __asm__ volatile("" : : "r"(p) : "memory")

// The same at the edges of y, where only [n, rows] of it is there.
INLINE void edge_multiply(const uint8_t *x, const uint8_t *w, int terms, int64_t steps, float *y, int64_t y_stride,
                          bool add, int64_t n, int64_t rows, int most) {
    alignas(64) float whole[GROUP * GROUP] = {0};
    for (int64_t i = 0; add && i < n; i++)
        for (int64_t r = 0; r < rows; r++) whole[i * GROUP + r] = y[i * y_stride + r];
    STORED(whole);
    group_multiply(x, w, terms, steps, whole, GROUP, add, most);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++) y[i * y_stride + r] = whole[i * GROUP + r];
}

INLINE void multiply_of(const float *x, int64_t n, int64_t x_stride, const void *packed, int64_t rows, int64_t cols,
                        float *y, int64_t y_stride, bool add, int most) {
    alignas(64) uint8_t group[TERMS * TERM_BYTES];
    const uint8_t *table = packed, *parts = table + table_bytes(rows, cols);
    _tile_loadconfig(&configuration);
    for (int64_t c = 0; c < cols; c += DEEP, add = true) {
        int64_t depth = min(DEEP, cols - c), steps = divide_up(depth, STEP);
        for (int64_t i = 0; i < n; i += GROUP) {
            int64_t inputs = min(GROUP, n - i);
            inputs_split(x + i * x_stride + c, inputs, x_stride, depth, n - i - GROUP, most, group);
            STORED(group);
            for (int64_t r = 0; r < rows; r += GROUP) {
                int64_t part = part_index(rows, r, c), outputs = min(GROUP, rows - r);
                const uint8_t *w = parts + part * most * TERM_BYTES;
                float *out = y + i * y_stride + r;
                for (int64_t k = 0; c == 0 && k < inputs; k++)
                    row_prefetch(out + k * y_stride + GROUP, min(GROUP, rows - r - GROUP));
                if (inputs == GROUP && outputs == GROUP)
                    group_multiply(group, w, table[part], steps, out, y_stride, add, most);
                else
                    edge_multiply(group, w, table[part], steps, out, y_stride, add, inputs, outputs, most);
            }
        }
    }
    _tile_release();
}

#define DEFINE_GEMM(name, label, most)                                                                                 \
    static size_t bytes_##name(int64_t rows, int64_t cols) { return bytes_of(rows, cols, most); }                      \
    static void pack_##name(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols,               \
                            void *packed) {                                                                            \
        pack_of(w, stride, piece, rows, cols, most, packed);                                                           \
    }                                                                                                                  \
    static void pack_turned_##name(const float *w, int64_t stride, GemmPiece piece, int64_t rows, int64_t cols,        \
                                   void *packed) {                                                                     \
        pack_turned_of(w, stride, piece, rows, cols, most, packed);                                                    \
    }                                                                                                                  \
    static void multiply_##name(const float *x, int64_t n, int64_t x_stride, const void *packed, int64_t rows,         \
                                int64_t cols, float *y, int64_t y_stride, bool add) {                                  \
        multiply_of(x, n, x_stride, packed, rows, cols, y, y_stride, add, most);                                       \
    }                                                                                                                  \
    const Gemm name = {label, GROUP, bytes_##name, pack_##name, pack_turned_##name, multiply_##name};
DEFINE_GEMM(gemm_amx, "amx", TERMS)
DEFINE_GEMM(gemm_bf16_amx, "amx bf16", 1)
