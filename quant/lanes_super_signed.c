// q6_k, q3_k, iq4_xs: super-blocks whose sub-blocks have signed scales and no minimum, w = d * s * level[c].
// First each sub-block on its own: for a grid of trial steps and both signs, codes are the nearest ones and the step is
// refit to them by weighted least squares. Then the super-block: d from the steps found, and in turns every s moved to
// what is best with d as it is rounded, and d refit.
#include "quant/lanes_iq4.h"
#include "quant/lanes_super.h"
#include "quant/lanes_table.h"

typedef struct Kind {
    DType type;
    int width;                   // of a sub-block
    bool iq4;                    // levels are iq4_nl's; else the integers from low to high
    float low, high;             // levels, the first and the last
    float low_scale, high_scale; // s
    float from, to;              // trial steps: the largest weight becomes this level, in magnitude
    int trials;
    int refits;         // of a sub-block's step to the codes nearest to it
    int turns;          // of the super-block's scales
    float d_from, d_to; // trials of d: the largest step becomes this s, in magnitude; 0: low_scale alone
    float squares;      // of lanes_default_weights
} Kind;

// clang-format off
//                           type   width iq4   low high  scales    from       to trials refits turns d_from d_to squares
static const Kind q6_k =   {DT_Q6_K,   16, false, -32,  31, -128, 127,   24,    32,    9,  0,  2,  0,  0, 0.125f};
static const Kind q3_k =   {DT_Q3_K,   16, false,  -4,   3,  -32,  31, 2.4f,  4.8f,   13,  2,  3, 20, 34,   0.3f};
static const Kind iq4_xs = {DT_IQ4_XS, 32, true, -127, 113,  -32,  31,  102,   152,   14,  2,  3, 20, 34, 0.125f};
// clang-format on

typedef struct Sub {
    V x[BLOCK], w[BLOCK];
    V s; // the integer, as a float
} Sub;

#define INLINE static inline __attribute__((always_inline)) // so that `kind` is a constant

INLINE I code_of(const Kind *kind, V t) {
    if (kind->iq4) return iq4_nearest(t);
    return v_int(v_clamp(v_round(t), kind->low, kind->high) - kind->low);
}

INLINE V level_of(const Kind *kind, V t) {
    if (kind->iq4) return lookup16(iq4_level, iq4_nearest(t));
    return v_clamp(v_round(t), kind->low, kind->high);
}

typedef struct Fit {
    V xc, cc; // weighted sums over the levels nearest to x * id
} Fit;

INLINE Fit fit(const Kind *kind, const Sub *sub, V id) {
    Fit f = {{0}, {0}};
    for (int i = 0; i < kind->width; i++) {
        V c = level_of(kind, sub->x[i] * id), wc = sub->w[i] * c;
        f.xc += wc * sub->x[i];
        f.cc += wc * c;
    }
    return f;
}

// Two fits, to x * id and to x * -id, which are rounded once for both. Where no element can be beyond the outermost
// trial step (`tame`), levels need no more bounds than that is beyond them.
INLINE void fit_signs(const Kind *kind, const Sub *sub, V id, bool tame, Fit f[2]) {
    bool bound_low = !tame || kind->to > -kind->low, bound_high = !tame || kind->to > kind->high;
    f[0] = f[1] = (Fit){{0}, {0}};
    for (int i = 0; i < kind->width; i++) {
        V x = sub->x[i], r = v_round(x * id), c[2] = {r, -r};
        for (int k = 0; k < 2; k++) {
            if (bound_low) c[k] = v_max(c[k], v_all(kind->low));
            if (bound_high) c[k] = v_min(c[k], v_all(kind->high));
            V wc = sub->w[i] * c[k];
            f[k].xc += wc * x;
            f[k].cc += wc * c[k];
        }
    }
}

INLINE void trials(const Kind *kind, const Sub *sub, V top, bool tame, V *best) {
    V gain = v_all(-INFINITY);
    for (int k = 0; k < kind->trials; k++) {
        V id = -(kind->from + (kind->to - kind->from) * (float)k / (float)(kind->trials - 1)) / top;
        Fit f[2];
        if (kind->iq4) {
            f[0] = fit(kind, sub, id);
            f[1] = fit(kind, sub, -id);
        } else {
            fit_signs(kind, sub, id, tame, f);
        }
        for (int sign = 0; sign < 2; sign++)
            v_keep_better(f[sign].xc, f[sign].cc, f[sign].xc / f[sign].cc, best, &gain);
    }
}

INLINE V search(const Kind *kind, const Sub *sub, V *cc) {
    V top = v_extreme(sub->x, kind->width), best = top / kind->low;
    if (v_mask(v_less(v_abs(top), v_all(TAME))) == 0)
        trials(kind, sub, top, true, &best);
    else
        trials(kind, sub, top, false, &best);
    *cc = v_all(1);
    for (int k = 0; k < kind->refits; k++) {
        Fit f = fit(kind, sub, v_inverse(best));
        *cc = f.cc;
        V gain = best * (2.0f * f.xc - best * f.cc);
        v_keep_better(f.xc, f.cc, f.xc / f.cc, &best, &gain);
    }
    return best;
}

// With d as it is: s of each sub-block to the best of its neighbours. Returns the fit to that.
INLINE Fit choose_scales(const Kind *kind, Sub *sub, V d) {
    V s0 = sub->s, gain = v_all(-INFINITY);
    Fit best = {{0}, {0}};
    for (int move = 0; move < 3; move++) {
        V s = v_clamp(s0 + (float)(move == 2 ? -1 : move), kind->low_scale, kind->high_scale), step = d * s;
        Fit f = fit(kind, sub, v_inverse(step));
        V g = step * (2.0f * f.xc - step * f.cc);
        M better = v_less(gain, g);
        sub->s = v_select(better, s, sub->s);
        gain = v_select(better, g, gain);
        best.xc = move ? v_select(better, f.xc, best.xc) : f.xc;
        best.cc = move ? v_select(better, f.cc, best.cc) : f.cc;
    }
    return best;
}

// Each lane's own super-block's d.
INLINE void spread(const Kind *kind, const float *d, Values *lanes) {
    for (int j = 0; j < AT_ONCE; j++) lanes->at[j] = d[j * kind->width / SUPER];
}

INLINE void first_scales(const Kind *kind, float *d, Sub sub[PARTS]) {
    const int subs = SUPER / kind->width;
    Values step, cc, lanes;
    for (int p = 0; p < PARTS; p++) step.part[p] = search(kind, &sub[p], &cc.part[p]);
    for (int j = 0; j < AT_ONCE; j += subs) {
        d[j / subs] =
            search_d(step.at + j, cc.at + j, subs, kind->low_scale, kind->high_scale, kind->d_from, kind->d_to);
    }
    spread(kind, d, &lanes);
    for (int p = 0; p < PARTS; p++)
        sub[p].s = v_round(v_clamp(step.part[p] * v_inverse(lanes.part[p]), kind->low_scale, kind->high_scale));
}

INLINE void improve(const Kind *kind, float *d, Sub sub[PARTS]) {
    const int subs = SUPER / kind->width;
    for (int turn = 0; turn < kind->turns; turn++) {
        Values s, xc, cc, lanes;
        spread(kind, d, &lanes);
        for (int p = 0; p < PARTS; p++) {
            Fit f = choose_scales(kind, &sub[p], lanes.part[p]);
            s.part[p] = sub[p].s;
            xc.part[p] = f.xc;
            cc.part[p] = f.cc;
        }
        for (int first = 0; first < AT_ONCE; first += subs) {
            double sx = 0, ss = 0, now = d[first / subs];
            for (int j = first; j < first + subs; j++) {
                sx += (double)s.at[j] * xc.at[j];
                ss += (double)s.at[j] * s.at[j] * cc.at[j];
            }
            if (!(ss > 0)) continue;
            float next = round_f16((float)(sx / ss));
            if (next * (2 * sx - next * ss) > now * (2 * sx - now * ss)) d[first / subs] = next;
        }
    }
}

INLINE void load(const Kind *kind, Sub sub[PARTS], const float *const xs[AT_ONCE],
                 const float *const importance[AT_ONCE]) {
    for (int p = 0; p < PARTS; p++) {
        lanes_load(xs + p * LANES, kind->width, sub[p].x);
        if (importance)
            lanes_weights(importance + p * LANES, kind->width, sub[p].w);
        else
            lanes_default_weights(sub[p].x, kind->width, kind->squares, sub[p].w);
    }
}

INLINE void round_codes(const Kind *kind, const float *d, const Sub sub[PARTS], uint8_t *codes) {
    Values lanes;
    spread(kind, d, &lanes);
    for (int p = 0; p < PARTS; p++) {
        V id = v_inverse(lanes.part[p] * sub[p].s);
        for (int k = 0; k < kind->width / 4; k++) {
            I word = {0};
            for (int i = 0; i < 4; i++) word |= code_of(kind, sub[p].x[4 * k + i] * id) << 8 * i;
            for (int l = 0; l < LANES; l++) {
                int32_t bytes = word[l];
                memcpy(codes + (p * LANES + l) * kind->width + 4 * k, &bytes, sizeof bytes);
            }
        }
    }
}

INLINE void quantize(const Kind *kind, const float *x, void *blocks, int64_t rows, int64_t cols,
                     const float *importance) {
    const int subs = SUPER / kind->width, supers = AT_ONCE / subs;
    const size_t bytes = dtype_info(kind->type)->block_bytes;
    const GridBlocks *layout = grid_blocks_of(kind->type);
    int64_t row_supers = cols / SUPER, count = rows * row_supers;
    for (int64_t first = 0; first < count; first += supers) {
        const float *xs[AT_ONCE], *weights[AT_ONCE];
        uint8_t codes[AT_ONCE * BLOCK];
        float d[2];
        Sub sub[PARTS];
        Values s;
        supers_at(x, importance, first, count, row_supers, kind->width, xs, weights);
        load(kind, sub, xs, importance ? weights : NULL);
        first_scales(kind, d, sub);
        improve(kind, d, sub);
        round_codes(kind, d, sub, codes);
        for (int p = 0; p < PARTS; p++) s.part[p] = sub[p].s;
        for (int b = 0; b < supers && first + b < count; b++) {
            GridScales scales = {.d = d[b]};
            for (int j = 0; j < subs; j++) scales.s[j] = (int8_t)s.at[b * subs + j];
            layout->pack(&scales, codes + b * SUPER, (uint8_t *)blocks + (size_t)(first + b) * bytes);
        }
    }
}

#define QUANTIZE(name)                                                                                                 \
    static void quantize_##name(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {   \
        quantize(&name, x, blocks, rows, cols, importance);                                                            \
    }
QUANTIZE(q6_k)
QUANTIZE(q3_k)
QUANTIZE(iq4_xs)

void TARGET_NAME(lanes_super_signed)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q6_K] = quantize_q6_k;
    table[DT_Q3_K] = quantize_q3_k;
    table[DT_IQ4_XS] = quantize_iq4_xs;
}
