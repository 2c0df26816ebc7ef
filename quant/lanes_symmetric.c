// q8_0, q4_0, q5_0: w = d * c with integer c from low to high.
// Without importance as quant/lanes_nearest.h rounds. With it a search over d: for a grid of
// trial steps and both signs, codes are the nearest ones and d is refit to them by weighted least squares.
#include "quant/lanes.h"
#include "quant/lanes_nearest.h"
#include "quant/lanes_table.h"

typedef struct Symmetric {
    float low, high;          // the codes
    float grid_from, grid_to; // trial steps: the largest weight becomes this code, in magnitude
    int grid;                 // how many, for each sign
} Symmetric;

static const Symmetric q8_0 = {-127, 127, 120, 127, 8};
static const Symmetric q4_0 = {-8, 7, 8 * 0.75f, 8 * 1.15f, 14};
static const Symmetric q5_0 = {-16, 15, 16 * 0.80f, 16 * 1.04f, 16};

#define INLINE static inline __attribute__((always_inline)) // so that `type` is a constant

// Weighted sums over the codes nearest to x * id: least squares gives d = xc / cc and lowers the error by xc^2 / cc.
typedef struct Fit {
    V xc, cc;
} Fit;

INLINE void fit_add(Fit *f, V x, V w, V c) {
    V wc = w * c;
    f->xc += wc * x;
    f->cc += wc * c;
}

INLINE Fit fit(const V x[BLOCK], const V w[BLOCK], V id, const Symmetric *type) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < BLOCK; i++) fit_add(&f, x[i], w[i], v_clamp(v_round(x[i] * id), type->low, type->high));
    return f;
}

// Trial steps of both signs, which are rounded once for both; where codes lie alike on both sides, one sign will do.
// Where no element can be beyond the outermost trial step (`tame`), codes need no more bounds than that is beyond them.
INLINE void trials(const V x[BLOCK], const V w[BLOCK], V top, const Symmetric *type, bool tame, V *best) {
    bool bound = !tame || type->grid_to > -type->low || type->grid_to > type->high;
    int signs = type->low == -type->high ? 1 : 2;
    V gain = v_all(-INFINITY);
    for (int k = 0; k < type->grid; k++) {
        V id = -(type->grid_from + (type->grid_to - type->grid_from) * (float)k / (float)(type->grid - 1)) / top;
        Fit f[2] = {{{0}, {0}}, {{0}, {0}}};
        for (int i = 0; i < BLOCK; i++) {
            V r = v_round(x[i] * id), c[2] = {r, -r};
            for (int sign = 0; sign < signs; sign++)
                fit_add(&f[sign], x[i], w[i], bound ? v_clamp(c[sign], type->low, type->high) : c[sign]);
        }
        for (int sign = 0; sign < signs; sign++)
            v_keep_better(f[sign].xc, f[sign].cc, v_f16(f[sign].xc / f[sign].cc), best, &gain);
    }
}

INLINE V search(const LaneBlocks *at, const Symmetric *type, I code[BLOCK]) {
    V x[BLOCK], w[BLOCK];
    lanes_load(at->x, BLOCK, x);
    lanes_weights(at->importance, BLOCK, w);
    V top = v_extreme(x, BLOCK), best = v_f16(top / type->low);
    if (v_mask(v_less(v_abs(top), v_all(TAME))) == 0)
        trials(x, w, top, type, true, &best);
    else
        trials(x, w, top, type, false, &best);
    for (int pass = 0; pass < 2; pass++) { // codes for the best d, d for those codes
        Fit f = fit(x, w, v_inverse(best), type);
        V gain = best * (2.0f * f.xc - best * f.cc);
        v_keep_better(f.xc, f.cc, v_f16(f.xc / f.cc), &best, &gain);
    }
    V id = v_inverse(best);
    for (int i = 0; i < BLOCK; i++) {
        code[i] = v_int(v_clamp(v_round(x[i] * id), type->low, type->high) - type->low);
    }
    return best;
}

static void search_q8_0(const LaneBlocks *at, BlockQ8_0 *out) {
    I code[BLOCK], words[8], scale = v_f16_bits(search(at, &q8_0, code));
    for (int i = 0; i < BLOCK; i++) code[i] -= 127;
    for (int i = 0; i < 8; i++) {
        const I *c = code + 4 * i;
        words[i] = (c[0] & 255) | (c[1] & 255) << 8 | (c[2] & 255) << 16 | c[3] << 24;
    }
    for (int l = 0; l < at->count; l++) {
        int32_t q[8];
        for (int i = 0; i < 8; i++) q[i] = words[i][l];
        out[l].d = (uint16_t)scale[l];
        memcpy(out[l].q, q, sizeof q);
    }
}

static void search_q4_0(const LaneBlocks *at, BlockQ4_0 *out) {
    I code[BLOCK], words[4], scale = v_f16_bits(search(at, &q4_0, code));
    lanes_pack_nibbles(code, words);
    for (int l = 0; l < at->count; l++) {
        int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]};
        out[l].d = (uint16_t)scale[l];
        memcpy(out[l].q, q, sizeof q);
    }
}

static void search_q5_0(const LaneBlocks *at, BlockQ5_0 *out) {
    I code[BLOCK], words[4], scale = v_f16_bits(search(at, &q5_0, code));
    I high = lanes_pack_fifth_bits(code);
    lanes_pack_nibbles(code, words);
    for (int l = 0; l < at->count; l++) {
        int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]}, h = high[l];
        out[l].d = (uint16_t)scale[l];
        memcpy(out[l].high, &h, sizeof h);
        memcpy(out[l].q, q, sizeof q);
    }
}

// LANES blocks at a time; behind the last one are zeros.
#define QUANTIZE(name, Block, nearest, search)                                                                         \
    static void quantize_##name(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {   \
        Block *out = blocks;                                                                                           \
        int64_t row_blocks = cols / BLOCK, count = rows * row_blocks, first = 0;                                       \
        for (; importance && first < count; first += LANES) {                                                          \
            LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);                                  \
            search(&at, out + first);                                                                                  \
        }                                                                                                              \
        for (; first + LANES <= count; first += LANES) nearest(x + first * BLOCK, out + first, LANES);                 \
        if (first < count) {                                                                                           \
            float padded[LANES * BLOCK] = {0};                                                                         \
            memcpy(padded, x + first * BLOCK, (size_t)(count - first) * BLOCK * sizeof *x);                            \
            nearest(padded, out + first, (int)(count - first));                                                        \
        }                                                                                                              \
    }
QUANTIZE(q8_0, BlockQ8_0, nearest_q8_0, search_q8_0)
QUANTIZE(q4_0, BlockQ4_0, nearest_q4_0, search_q4_0)
QUANTIZE(q5_0, BlockQ5_0, nearest_q5_0, search_q5_0)

void TARGET_NAME(lanes_symmetric)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q8_0] = quantize_q8_0;
    table[DT_Q4_0] = quantize_q4_0;
    table[DT_Q5_0] = quantize_q5_0;
}
