// iq4_nl: w = d * level[c], the 16 levels denser near zero. A search over d, as for q4_0: for a grid of trial steps and
// both signs, codes are the nearest levels and d is refit to them by weighted least squares.
#include "quant/lanes_iq4.h"
#include "quant/lanes_table.h"

enum { GRID = 14 }; // trial steps for each sign: the largest weight becomes 127 * 0.8 ... 127 * 1.2
static const float grid_from = 127 * 0.8f, grid_to = 127 * 1.2f;

typedef struct Fit {
    V xc, cc; // weighted sums over the levels nearest to x * id
} Fit;

static inline Fit fit(const V x[BLOCK], const V w[BLOCK], V id) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < BLOCK; i++) {
        V c = lookup16(iq4_level, iq4_nearest(x[i] * id)), wc = w[i] * c;
        f.xc += wc * x[i];
        f.cc += wc * c;
    }
    return f;
}

static inline V search(const V x[BLOCK], const V w[BLOCK]) {
    V top = v_extreme(x, BLOCK), best = v_f16(top / iq4_level[0]), gain = v_all(-INFINITY);
    for (int k = 0; k < GRID * 2; k++) {
        float step = grid_from + (grid_to - grid_from) * (float)(k / 2) / (GRID - 1);
        Fit f = fit(x, w, (k % 2 ? step : -step) / top);
        v_keep_better(f.xc, f.cc, v_f16(f.xc / f.cc), &best, &gain);
    }
    for (int pass = 0; pass < 2; pass++) { // codes for the best d, d for those codes
        Fit f = fit(x, w, v_inverse(best));
        gain = best * (2.0f * f.xc - best * f.cc);
        v_keep_better(f.xc, f.cc, v_f16(f.xc / f.cc), &best, &gain);
    }
    return best;
}

static void quantize_iq4_nl(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockIQ4_NL *out = blocks;
    int64_t row_blocks = cols / BLOCK, count = rows * row_blocks;
    for (int64_t first = 0; first < count; first += LANES) {
        LaneBlocks at = lanes_at(x, importance, first, count, BLOCK, row_blocks);
        V t[BLOCK], w[BLOCK];
        I code[BLOCK], words[4];
        lanes_load(at.x, BLOCK, t);
        if (importance)
            lanes_weights(at.importance, BLOCK, w);
        else
            lanes_default_weights(t, BLOCK, 0.125f, w);
        V d = search(t, w), id = v_inverse(d);
        for (int i = 0; i < BLOCK; i++) code[i] = iq4_nearest(t[i] * id);
        I scale = v_f16_bits(d);
        lanes_pack_nibbles(code, words);
        for (int l = 0; l < at.count; l++) {
            int32_t q[4] = {words[0][l], words[1][l], words[2][l], words[3][l]};
            out[first + l].d = (uint16_t)scale[l];
            memcpy(out[first + l].q, q, sizeof q);
        }
    }
}

void TARGET_NAME(lanes_levels)(QuantizeFn table[DT_COUNT]) { table[DT_IQ4_NL] = quantize_iq4_nl; }
