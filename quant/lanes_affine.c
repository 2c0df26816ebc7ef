// q4_1, q5_1: w = d * c + m with integer c from 0 to n.
// Without importance the rounding of gguf-py (gguf/quants.py), byte for byte. With it a search: for a grid of trial
// steps, codes are the nearest ones and (d, m) is refit to them by weighted least squares.
#include "quant/lanes.h"
#include "quant/lanes_table.h"

enum { GRID = 20 };
static const float grid_from = 0.8f, grid_to = 1.05f; // trial steps: the range of a block is n * this many

typedef struct Affine {
    V d, m;
} Affine;

// Of equal values the later one: it decides the sign of a zero minimum, as numpy's reduction does with AVX2.
static inline V lowest(const V x[BLOCK]) {
    V low = x[0];
    for (int i = 1; i < BLOCK; i++) low = v_min(low, x[i]);
    return low;
}

static inline V highest(const V x[BLOCK]) {
    V high = x[0];
    for (int i = 1; i < BLOCK; i++) high = v_max(high, x[i]);
    return high;
}

static inline Affine round_truncating(const V x[BLOCK], float n, I code[BLOCK]) {
    V m = lowest(x), d = (highest(x) - m) / n, id = v_inverse(d);
    M usable = v_less(id, v_all(INFINITY)); // 1 / d overflows for d below 2^-128; gguf-py's codes are then 0
    for (int i = 0; i < BLOCK; i++) {
        V q = v_clamp((x[i] - m) * id + 0.5f, 0, n);
        code[i] = v_int(v_select(usable, q, v_all(0)));
    }
    return (Affine){d, m};
}

// Weighted sums over the codes nearest to y * id, where y = x - origin, which keeps the sums free of cancellation.
typedef struct Fit {
    V c, cc, cy;
} Fit;

static inline Fit fit(const V y[BLOCK], const V w[BLOCK], const V wy[BLOCK], V id, V shift, float n) {
    Fit f = {{0}, {0}, {0}};
    for (int i = 0; i < BLOCK; i++) {
        V c = v_clamp(v_round(y[i] * id + shift), 0, n);
        V wc = w[i] * c;
        f.c += wc;
        f.cc += wc * c;
        f.cy += wy[i] * c;
    }
    return f;
}

static inline Affine search(const V x[BLOCK], const V w[BLOCK], float n, I code[BLOCK]) {
    V y[BLOCK], wy[BLOCK];
    V origin = lowest(x), range = highest(x) - origin, sum_w = {0}, sum_y = {0};
    for (int i = 0; i < BLOCK; i++) {
        y[i] = x[i] - origin;
        wy[i] = w[i] * y[i];
        sum_w += w[i];
        sum_y += wy[i];
    }

    Affine best = {v_f16(range / n), v_f16(origin)};
    V least = v_all(INFINITY), id = v_all(0), shift = v_all(0); // least: error less the constant sum of w * y^2
    for (int k = 0; k < GRID + 2; k++) {
        if (k < GRID) {
            id = n * (grid_from + (grid_to - grid_from) * (float)k / (GRID - 1)) / range;
        } else { // twice: codes for the best (d, m), (d, m) for those codes
            id = v_inverse(best.d);
            shift = (origin - best.m) * id;
        }
        Fit f = fit(y, w, wy, id, shift, n);
        V det = sum_w * f.cc - f.c * f.c;
        V d = v_f16((sum_w * f.cy - sum_y * f.c) / det);
        V m = v_f16((sum_y - d * f.c) / sum_w + origin), offset = m - origin;
        V error = d * (d * f.cc + 2.0f * (offset * f.c - f.cy)) + offset * (offset * sum_w - 2.0f * sum_y);
        M better = v_less(error, least) & v_less(v_all(0), det);
        best.d = v_select(better, d, best.d);
        best.m = v_select(better, m, best.m);
        least = v_select(better, error, least);
    }
    id = v_inverse(best.d);
    for (int i = 0; i < BLOCK; i++) code[i] = v_int(v_clamp(v_round((x[i] - best.m) * id), 0, n));
    return best;
}

static inline Affine quantize_lanes(const LaneBlocks *at, const float *importance, float n, I code[BLOCK]) {
    V t[BLOCK], w[BLOCK];
    lanes_load(at->x, BLOCK, t);
    if (!importance) return round_truncating(t, n, code);
    lanes_weights(at->importance, BLOCK, w);
    return search(t, w, n, code);
}

static void quantize_q4_1(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ4_1 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        I code[BLOCK], words[4];
        Affine fitted = quantize_lanes(&at, importance, 15, code);
        I d = v_f16_bits(fitted.d), m = v_f16_bits(fitted.m);
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]};
            out[first + l].d = (uint16_t)d[l];
            out[first + l].m = (uint16_t)m[l];
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

static void quantize_q5_1(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ5_1 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        I code[BLOCK], words[4];
        Affine fitted = quantize_lanes(&at, importance, 31, code);
        I d = v_f16_bits(fitted.d), m = v_f16_bits(fitted.m), high = lanes_pack_fifth_bits(code);
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]}, h = high[l];
            out[first + l].d = (uint16_t)d[l];
            out[first + l].m = (uint16_t)m[l];
            memcpy(out[first + l].high, &h, sizeof h);
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

void TARGET_NAME(lanes_affine)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q4_1] = quantize_q4_1;
    table[DT_Q5_1] = quantize_q5_1;
}
