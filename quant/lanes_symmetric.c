// q8_0, q4_0, q5_0: w = d * c with integer c from low to high.
// Without importance the rounding of gguf-py (gguf/quants.py), byte for byte. With it a search over d: for a grid of
// trial steps and both signs, codes are the nearest ones and d is refit to them by weighted least squares.
#include "quant/lanes.h"
#include "quant/lanes_table.h"

typedef struct Symmetric {
    float low, high;          // the codes
    float grid_from, grid_to; // trial steps: the largest weight becomes this code, in magnitude
    int grid;                 // how many, for each sign
} Symmetric;

static const Symmetric q8_0 = {-127, 127, 120, 127, 8};
static const Symmetric q4_0 = {-8, 7, 8 * 0.75f, 8 * 1.15f, 14};
static const Symmetric q5_0 = {-16, 15, 16 * 0.80f, 16 * 1.04f, 16};

// d and code as gguf-py rounds for q4_0 and q5_0. Where 1 / d overflows (d below 2^-128), x / d is no number for it,
// and its conversion to bytes gives 0.
static inline V round_truncating(const V x[BLOCK], const Symmetric *type, I code[BLOCK]) {
    V d = v_extreme(x, BLOCK) / type->low, id = v_inverse(d);
    M usable = v_less(v_abs(id), v_all(INFINITY));
    float levels = type->high - type->low;
    for (int i = 0; i < BLOCK; i++) {
        V q = v_clamp(x[i] * id + (0.5f - type->low), 0, levels);
        code[i] = v_int(v_select(usable, q, v_all(0)));
    }
    return d;
}

// The same for q8_0, whose halves round away from zero.
static inline V round_away(const V x[BLOCK], I code[BLOCK]) {
    V d = v_abs(v_extreme(x, BLOCK)) / 127.0f, id = v_inverse(d);
    M usable = v_less(id, v_all(INFINITY));
    for (int i = 0; i < BLOCK; i++) {
        V a = v_select(usable, v_min(v_abs(x[i] * id), v_all(127)), v_all(0));
        V whole = __builtin_convertvector(v_int(a), V);
        I q = v_int(v_select(v_less(a - whole, v_all(0.5f)), whole, whole + 1.0f));
        I minus = i_bits(x[i]) >> 31;
        code[i] = (q ^ minus) - minus;
    }
    return d;
}

// Weighted sums over the codes nearest to x * id: least squares gives d = xc / cc and lowers the error by xc^2 / cc.
typedef struct Fit {
    V xc, cc;
} Fit;

static inline Fit fit(const V x[BLOCK], const V w[BLOCK], V id, const Symmetric *type) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < BLOCK; i++) {
        V c = v_clamp(v_round(x[i] * id), type->low, type->high);
        V wc = w[i] * c;
        f.xc += wc * x[i];
        f.cc += wc * c;
    }
    return f;
}

static inline V search(const V x[BLOCK], const V w[BLOCK], const Symmetric *type, I code[BLOCK]) {
    V top = v_extreme(x, BLOCK), best = v_f16(top / type->low), gain = v_all(-INFINITY);
    int signs = type->low == -type->high ? 1 : 2;
    for (int k = 0; k < type->grid * signs; k++) {
        float step = type->grid_from + (type->grid_to - type->grid_from) * (float)(k / signs) / (float)(type->grid - 1);
        Fit f = fit(x, w, (k % signs ? step : -step) / top, type);
        v_keep_better(f.xc, f.cc, v_f16(f.xc / f.cc), &best, &gain);
    }
    for (int pass = 0; pass < 2; pass++) { // codes for the best d, d for those codes
        Fit f = fit(x, w, v_inverse(best), type);
        gain = best * (2.0f * f.xc - best * f.cc);
        v_keep_better(f.xc, f.cc, v_f16(f.xc / f.cc), &best, &gain);
    }
    V id = v_inverse(best);
    for (int i = 0; i < BLOCK; i++) {
        code[i] = v_int(v_clamp(v_round(x[i] * id), type->low, type->high) - type->low);
    }
    return best;
}

static void quantize_q8_0(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ8_0 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        V t[BLOCK], w[BLOCK], d;
        I code[BLOCK];
        lanes_load(at.x, BLOCK, t);
        if (importance) {
            lanes_weights(at.importance, BLOCK, w);
            d = search(t, w, &q8_0, code);
            for (int i = 0; i < BLOCK; i++) code[i] -= 127;
        } else {
            d = round_away(t, code);
        }
        I words[8], scale = v_f16_bits(d);
        for (int i = 0; i < 8; i++) {
            const I *c = code + 4 * i;
            words[i] = (c[0] & 255) | (c[1] & 255) << 8 | (c[2] & 255) << 16 | c[3] << 24;
        }
        for (int l = 0; l < at.count; l++) {
            int32_t q[8];
            for (int i = 0; i < 8; i++) q[i] = words[i][l];
            out[first + l].d = (uint16_t)scale[l];
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

static inline V quantize_lanes(const LaneBlocks *at, const float *importance, const Symmetric *type, I code[BLOCK]) {
    V t[BLOCK], w[BLOCK];
    lanes_load(at->x, BLOCK, t);
    if (!importance) return round_truncating(t, type, code);
    lanes_weights(at->importance, BLOCK, w);
    return search(t, w, type, code);
}

static void quantize_q4_0(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ4_0 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        I code[BLOCK], words[4], scale = v_f16_bits(quantize_lanes(&at, importance, &q4_0, code));
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]};
            out[first + l].d = (uint16_t)scale[l];
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

static void quantize_q5_0(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ5_0 *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        I code[BLOCK], words[4], scale = v_f16_bits(quantize_lanes(&at, importance, &q5_0, code));
        I high = lanes_pack_fifth_bits(code);
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]}, h = high[l];
            out[first + l].d = (uint16_t)scale[l];
            memcpy(out[first + l].high, &h, sizeof h);
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

void TARGET_NAME(lanes_symmetric)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q8_0] = quantize_q8_0;
    table[DT_Q4_0] = quantize_q4_0;
    table[DT_Q5_0] = quantize_q5_0;
}
