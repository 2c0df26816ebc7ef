// q6_k: super-blocks of 16 sub-blocks of 16, w = d * s * c with signed 8-bit s and codes c from -32 to 31.
// First each sub-block on its own: for a grid of trial steps and both signs, codes are the nearest ones and the step is
// refit to them by weighted least squares. Then the super-block: d from the largest step, and in turns every s moved
// to what is best with d as it is rounded, and d refit.
#include "quant/lanes.h"
#include "quant/lanes_table.h"

enum { SUBS = 16, WIDTH = 16, PARTS = SUBS / LANES };
enum { GRID = 9, TURNS = 2, LOW = -32, HIGH = 31, LOW_SCALE = -128, HIGH_SCALE = 127 };
static const float grid_from = 24, grid_to = 32; // trial steps: the largest weight becomes this code, exactly

typedef struct Sub {
    V x[WIDTH], w[WIDTH];
    V s; // the 8-bit integer, as a float
} Sub;

typedef struct Fit {
    V xc, cc; // weighted sums over the codes nearest to x * id
} Fit;

static inline Fit fit(const Sub *sub, V id) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < WIDTH; i++) {
        V c = v_clamp(v_round(sub->x[i] * id), LOW, HIGH), wc = sub->w[i] * c;
        f.xc += wc * sub->x[i];
        f.cc += wc * c;
    }
    return f;
}

static inline V search(const Sub *sub) {
    V top = v_extreme(sub->x, WIDTH), best = top / LOW, gain = v_all(-INFINITY);
    for (int k = 0; k < GRID * 2; k++) {
        float step = grid_from + (grid_to - grid_from) * (float)(k / 2) / (GRID - 1);
        Fit f = fit(sub, (k % 2 ? step : -step) / top);
        v_keep_better(f.xc, f.cc, f.xc / f.cc, &best, &gain);
    }
    return best;
}

// With d as it is: s of each sub-block to the best of its neighbours.
static inline void choose_scales(Sub *sub, V d) {
    V s0 = sub->s, gain = v_all(-INFINITY);
    for (int move = 0; move < 3; move++) {
        V s = v_clamp(s0 + (float)(move == 2 ? -1 : move), LOW_SCALE, HIGH_SCALE), step = d * s;
        Fit f = fit(sub, v_inverse(step));
        V g = step * (2.0f * f.xc - step * f.cc);
        M better = v_less(gain, g);
        sub->s = v_select(better, s, sub->s);
        gain = v_select(better, g, gain);
    }
}

typedef union Values { // a value for each sub-block, as vectors by parts and as one array
    V part[PARTS];
    float at[SUBS];
} Values;

static inline float round_f16(float x) { return v_f16(v_all(x))[0]; }

static float first_scales(Sub sub[PARTS]) {
    Values step;
    for (int p = 0; p < PARTS; p++) step.part[p] = search(&sub[p]);
    float top = 0;
    for (int j = 0; j < SUBS; j++)
        if (fabsf(step.at[j]) > fabsf(top)) top = step.at[j];
    float d = round_f16(top / LOW_SCALE);
    for (int p = 0; p < PARTS; p++)
        sub[p].s = v_round(v_clamp(step.part[p] * v_inverse(v_all(d)), LOW_SCALE, HIGH_SCALE));
    return d;
}

static float improve(float d, Sub sub[PARTS]) {
    for (int turn = 0; turn < TURNS; turn++) {
        Values s, xc, cc;
        for (int p = 0; p < PARTS; p++) {
            choose_scales(&sub[p], v_all(d));
            Fit f = fit(&sub[p], v_inverse(d * sub[p].s));
            s.part[p] = sub[p].s;
            xc.part[p] = f.xc;
            cc.part[p] = f.cc;
        }
        double sx = 0, ss = 0;
        for (int j = 0; j < SUBS; j++) {
            sx += (double)s.at[j] * xc.at[j];
            ss += (double)s.at[j] * s.at[j] * cc.at[j];
        }
        if (!(ss > 0)) return d;
        float next = round_f16((float)(sx / ss));
        if (next * (2 * sx - next * ss) > d * (2 * sx - d * ss)) d = next;
    }
    return d;
}

static inline void load(Sub sub[PARTS], const float *x, const float *importance) {
    for (int p = 0; p < PARTS; p++) {
        const float *xs[LANES], *weights[LANES];
        for (int l = 0; l < LANES; l++) {
            xs[l] = x + (p * LANES + l) * WIDTH;
            if (importance) weights[l] = importance + (p * LANES + l) * WIDTH;
        }
        lanes_load(xs, WIDTH, sub[p].x);
        if (importance)
            lanes_weights(weights, WIDTH, sub[p].w);
        else
            lanes_default_weights(sub[p].x, WIDTH, sub[p].w);
    }
}

static void store(float d, const Sub sub[PARTS], BlockQ6_K *out) {
    uint8_t code[SUPER];
    Values s;
    for (int p = 0; p < PARTS; p++) {
        s.part[p] = sub[p].s;
        V id = v_inverse(d * sub[p].s);
        for (int k = 0; k < WIDTH / 4; k++) {
            I word = {0};
            for (int i = 0; i < 4; i++) {
                V c = v_clamp(v_round(sub[p].x[4 * k + i] * id), LOW, HIGH);
                word |= v_int(c - LOW) << 8 * i;
            }
            for (int l = 0; l < LANES; l++) {
                int32_t bytes = word[l];
                memcpy(code + (p * LANES + l) * WIDTH + 4 * k, &bytes, sizeof bytes);
            }
        }
    }
    for (int half = 0; half < 2; half++) { // 128 elements: four runs of 32 share the bytes
        const uint8_t *c = code + 128 * half;
        for (int i = 0; i < 32; i++) {
            out->low[64 * half + i] = (uint8_t)((c[i] & 15) | c[i + 64] << 4);
            out->low[64 * half + i + 32] = (uint8_t)((c[i + 32] & 15) | c[i + 96] << 4);
            out->high[32 * half + i] =
                (uint8_t)(c[i] >> 4 | c[i + 32] >> 4 << 2 | c[i + 64] >> 4 << 4 | c[i + 96] >> 4 << 6);
        }
    }
    for (int j = 0; j < SUBS; j++) out->scales[j] = (int8_t)s.at[j];
    out->d = (uint16_t)v_f16_bits(v_all(d))[0];
}

static void quantize_q6_k(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    BlockQ6_K *out = blocks;
    int64_t row_supers = cols / SUPER;
    for (int64_t i = 0; i < rows * row_supers; i++) {
        Sub sub[PARTS];
        load(sub, x + i * SUPER, importance ? importance + i % row_supers * SUPER : NULL);
        float d = improve(first_scales(sub), sub);
        store(d, sub, &out[i]);
    }
}

void TARGET_NAME(lanes_super6)(QuantizeFn table[DT_COUNT]) { table[DT_Q6_K] = quantize_q6_k; }
