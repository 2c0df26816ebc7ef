// iq4_nl: w = d * level[c], the 16 levels denser near zero. A search over d, as for q4_0: for a grid of trial steps and
// both signs, codes are the nearest levels and d is refit to them by weighted least squares.
#include "quant/lanes.h"
#include "quant/lanes_table.h"

enum { GRID = 14 }; // trial steps for each sign: the largest weight becomes 127 * 0.8 ... 127 * 1.2
static const float grid_from = 127 * 0.8f, grid_to = 127 * 1.2f;

// Midpoints between levels are at least 11 apart, so a bin 8 wide holds at most one: in bin (v + 128) / 8 the nearest
// level's code is below[bin], or one more from midpoint[bin] on.
static const int32_t below[32] = {0, 0, 1, 1,  1,  2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,
                                  8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15, 15};
#define NONE INFINITY
static const float midpoint[32] = {NONE, -115.5f, NONE, NONE,   -93.5f, NONE, -74.0f, NONE,  -57.0f, NONE, -42.0f,
                                   NONE, -28.5f,  NONE, -16.0f, -4.5f,  7.0f, NONE,   19.0f, 31.5f,  NONE, 45.5f,
                                   NONE, 61.0f,   NONE, 79.0f,  NONE,   NONE, 101.0f, NONE,  NONE,   NONE};
static const float level[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// table[index] a lane, index from 0 to 31 and from 0 to 15.
#if defined(__AVX512F__)
static inline V lookup32(const void *table, I index) {
    const char *t = table;
    return (V)_mm512_permutex2var_ps(_mm512_loadu_ps(t), (__m512i)index, _mm512_loadu_ps(t + 64));
}
static inline V lookup16(const float table[16], I index) {
    return (V)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
}
#elif defined(__AVX2__)
static inline V lookup16(const void *table, I index) {
    const float *t = table;
    V low = (V)_mm256_permutevar8x32_ps(_mm256_loadu_ps(t), (__m256i)index);
    V high = (V)_mm256_permutevar8x32_ps(_mm256_loadu_ps(t + 8), (__m256i)index);
    return v_select(index << 28, high, low); // blendv looks at the sign bit
}
static inline V lookup32(const void *table, I index) {
    const float *t = table;
    return v_select(index << 27, lookup16(t + 16, index), lookup16(t, index));
}
#else
static inline V lookup32(const void *table, I index) {
    V r;
    for (int l = 0; l < LANES; l++) memcpy((char *)&r + 4 * l, (const char *)table + 4 * index[l], 4);
    return r;
}
static inline V lookup16(const float table[16], I index) { return lookup32(table, index); }
#endif

static inline I nearest(V v) {
    v = v_clamp(v, -128, 127);
    I bin = v_int((v + 128.0f) * 0.125f);
    M up = v_less_equal(lookup32(midpoint, bin), v);
    I code = i_bits(lookup32(below, bin));
    return i_select(up, code + 1, code);
}

typedef struct Fit {
    V xc, cc; // weighted sums over the levels nearest to x * id
} Fit;

static inline Fit fit(const V x[BLOCK], const V w[BLOCK], V id) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < BLOCK; i++) {
        V c = lookup16(level, nearest(x[i] * id)), wc = w[i] * c;
        f.xc += wc * x[i];
        f.cc += wc * c;
    }
    return f;
}

static inline V search(const V x[BLOCK], const V w[BLOCK]) {
    V top = v_extreme(x, BLOCK), best = v_f16(top / level[0]), gain = v_all(-INFINITY);
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
            lanes_default_weights(t, BLOCK, w);
        V d = search(t, w), id = v_inverse(d);
        for (int i = 0; i < BLOCK; i++) code[i] = nearest(t[i] * id);
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
