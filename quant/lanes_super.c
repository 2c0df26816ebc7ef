// q4_k, q5_k, q2_k: super-blocks whose sub-blocks have scales and minimums, w = d * s * c - dmin * m with s and m from
// 0 to `top` and codes c from 0 to n.
// First each sub-block on its own: for a grid of trial steps, codes are the nearest ones, step and minimum are refit to
// them by weighted least squares. Then the super-block: d and dmin from the steps and minimums found, and in turns
// every sub-block's s and m moved to what is best with d and dmin as they are rounded, and d and dmin refit jointly.
#include "quant/lanes_super.h"
#include "quant/lanes_table.h"

typedef struct Kind {
    DType type;
    int width;      // of a sub-block
    float n, top;   // largest code; largest s and m
    float from, to; // trial steps: the range of a sub-block is n * this many
    int trials;
    int shifts;         // where a trial cuts the range: 1: above; 3: above, evenly, below
    int refits;         // of a sub-block's step and minimum to the codes nearest to them
    int turns;          // of the super-block's scales
    float d_from, d_to; // trials of d and dmin: the largest step becomes this s; 0: `top` alone
    float squares;      // of lanes_default_weights
} Kind;

// clang-format off
//                        type  width   n  top   from     to  trials shifts refits turns d_from d_to squares
static const Kind q4_k = {DT_Q4_K, 32, 15,  63,  0.8f, 1.05f,     20,     1,     0,    2,     0,   0,  0.125f};
static const Kind q5_k = {DT_Q5_K, 32, 31,  63,  0.8f, 1.05f,     20,     1,     0,    2,     0,   0,  0.125f};
static const Kind q2_k = {DT_Q2_K, 16,  3,  15,  0.7f,  1.6f,     16,     3,     2,    3,     9,  17,   0.25f};
// clang-format on

#define INLINE static inline __attribute__((always_inline)) // so that `kind` is a constant

// LANES sub-blocks: elements as y = x - origin >= 0, which keeps the sums free of cancellation.
typedef struct Sub {
    V y[BLOCK], w[BLOCK], wy[BLOCK];
    V origin, sum_w, sum_y; // origin = min(0, lowest x)
    V s, m;                 // the integers, as floats
} Sub;

// Weighted sums over the codes nearest to y * id + shift.
typedef struct Fit {
    V c, cc, cy;
} Fit;

INLINE Fit fit(const Kind *kind, const Sub *sub, V id, V shift) {
    Fit f = {{0}, {0}, {0}};
    for (int i = 0; i < kind->width; i++) {
        V c = v_clamp(v_round(sub->y[i] * id + shift), 0, kind->n);
        V wc = sub->w[i] * c;
        f.c += wc;
        f.cc += wc * c;
        f.cy += sub->wy[i] * c;
    }
    return f;
}

// The error of y = step * c + offset, less the sum of w * y^2, which no choice changes.
static inline V fit_error(const Sub *sub, Fit f, V step, V offset) {
    return step * (step * f.cc + 2.0f * (offset * f.c - f.cy)) + offset * (offset * sub->sum_w - 2.0f * sub->sum_y);
}

// What a sub-block would have, alone.
typedef struct Alone {
    V step, min;         // min is subtracted, never negative
    V weight, min_count; // how much an error of the step counts, the minimum following it; and one of the minimum
} Alone;

// Where (step, offset) refit to the sums is better than the best so far, keeps it.
INLINE void keep_better(const Sub *sub, Fit f, V *step, V *offset, V *least) {
    V det = sub->sum_w * f.cc - f.c * f.c;
    V o = (f.cc * sub->sum_y - f.c * f.cy) / det;
    o = v_min(o, -sub->origin);
    V s = (f.cy - o * f.c) / f.cc;
    V error = fit_error(sub, f, s, o);
    M better = v_less(error, *least) & v_less(v_all(0), det);
    *step = v_select(better, s, *step);
    *offset = v_select(better, o, *offset);
    *least = v_select(better, error, *least);
}

// Each sub-block on its own. Where a trial cuts the range, it is cut above, or evenly, or below.
INLINE Alone search(const Kind *kind, const Sub *sub) {
    V range = {0};
    for (int i = 0; i < kind->width; i++) range = v_max(sub->y[i], range);
    V step = range / kind->n, offset = {0}, least = v_all(INFINITY);
    for (int k = 0; k < kind->trials; k++) {
        float part = kind->from + (kind->to - kind->from) * (float)k / (float)(kind->trials - 1);
        for (int cut = 0; cut < (part > 1 ? kind->shifts : 1); cut++) {
            V shift = v_all(0.5f * (float)cut * (1 - part) * kind->n);
            keep_better(sub, fit(kind, sub, kind->n * part / range, shift), &step, &offset, &least);
        }
    }
    Alone alone = {.weight = v_all(1), .min_count = sub->sum_w};
    for (int k = 0; k < kind->refits; k++) {
        V id = v_inverse(step);
        Fit f = fit(kind, sub, id, -offset * id);
        alone.weight = f.cc - f.c * f.c / sub->sum_w;
        keep_better(sub, f, &step, &offset, &least);
    }
    alone.step = step;
    alone.min = -(offset + sub->origin);
    return alone;
}

// With d and dmin as they are: s and m of each sub-block to the best of the neighbouring s, each with the m that suits
// its codes.
INLINE void choose_scales(const Kind *kind, Sub *sub, V d, V dmin) {
    V s0 = sub->s, m0 = sub->m, least = v_all(INFINITY), inverse_dmin = v_inverse(dmin);
    for (int move = 0; move < 3; move++) {
        V s = v_clamp(s0 + (float)(move == 2 ? -1 : move), 0, kind->top), step = d * s, id = v_inverse(step);
        Fit f = fit(kind, sub, id, (sub->origin + dmin * m0) * id);
        V offset = (sub->sum_y - step * f.c) / sub->sum_w;
        V m = v_round(v_clamp(-(offset + sub->origin) * inverse_dmin, 0, kind->top));
        V error = fit_error(sub, f, step, -dmin * m - sub->origin);
        M better = v_less(error, least);
        sub->s = v_select(better, s, sub->s);
        sub->m = v_select(better, m, sub->m);
        least = v_select(better, error, least);
    }
}

// One super-block's d and dmin, each the value of an f16.
typedef struct Super {
    float d, dmin;
} Super;

// d and dmin from weighted least squares with every s, m and code as it is; kept where it lowers the error.
static void refit(Super *super, int subs, const float *s, const float *m, const float *w, const float *c,
                  const float *cc, const float *cx, const float *x) {
    double ss = 0, sm = 0, mm = 0, sx = 0, mx = 0;
    for (int j = 0; j < subs; j++) {
        ss += (double)s[j] * s[j] * cc[j];
        sm += (double)s[j] * m[j] * c[j];
        mm += (double)m[j] * m[j] * w[j];
        sx += (double)s[j] * cx[j];
        mx += (double)m[j] * x[j];
    }
    double det = ss * mm - sm * sm;
    if (!(ss > 0)) return;
    double d = det > 0 ? (sx * mm - sm * mx) / det : sx / ss;
    Super next = {round_f16((float)d), super->dmin};
    if (mm > 0) next.dmin = round_f16((float)((next.d * sm - mx) / mm));
    if (!(next.d > 0) || !(next.dmin >= 0)) return;
    double now = super->d * (super->d * ss - 2 * sx) + super->dmin * (super->dmin * mm + 2 * (mx - super->d * sm));
    double then = next.d * (next.d * ss - 2 * sx) + next.dmin * (next.dmin * mm + 2 * (mx - next.d * sm));
    if (then < now) *super = next;
}

INLINE void load(const Kind *kind, Sub sub[PARTS], const float *const x[AT_ONCE],
                 const float *const importance[AT_ONCE]) {
    for (int p = 0; p < PARTS; p++) {
        Sub *b = &sub[p];
        lanes_load(x + p * LANES, kind->width, b->y);
        if (importance)
            lanes_weights(importance + p * LANES, kind->width, b->w);
        else
            lanes_default_weights(b->y, kind->width, kind->squares, b->w);
        b->origin = v_all(0);
        for (int i = 0; i < kind->width; i++) b->origin = v_min(b->y[i], b->origin);
        b->sum_w = b->sum_y = v_all(0);
        for (int i = 0; i < kind->width; i++) {
            b->y[i] -= b->origin;
            b->wy[i] = b->w[i] * b->y[i];
            b->sum_w += b->w[i];
            b->sum_y += b->wy[i];
        }
    }
}

// Each lane's own super-block's d and dmin.
INLINE void spread(const Kind *kind, const Super super[2], Values *d, Values *dmin) {
    for (int j = 0; j < AT_ONCE; j++) {
        d->at[j] = super[j * kind->width / SUPER].d;
        dmin->at[j] = super[j * kind->width / SUPER].dmin;
    }
}

INLINE void first_scales(const Kind *kind, Super super[2], Sub sub[PARTS]) {
    const int subs = SUPER / kind->width;
    Values step, min, weight, min_count, d, dmin;
    for (int p = 0; p < PARTS; p++) {
        Alone alone = search(kind, &sub[p]);
        step.part[p] = alone.step;
        min.part[p] = alone.min;
        weight.part[p] = alone.weight;
        min_count.part[p] = alone.min_count;
    }
    for (int j = 0; j < AT_ONCE; j += subs) {
        super[j / subs].d = search_d(step.at + j, weight.at + j, subs, 0, kind->top, kind->d_from, kind->d_to);
        super[j / subs].dmin = search_d(min.at + j, min_count.at + j, subs, 0, kind->top, kind->d_from, kind->d_to);
    }
    spread(kind, super, &d, &dmin);
    for (int p = 0; p < PARTS; p++) {
        sub[p].s = v_round(v_clamp(step.part[p] * v_inverse(d.part[p]), 0, kind->top));
        sub[p].m = v_round(v_clamp(min.part[p] * v_inverse(dmin.part[p]), 0, kind->top));
    }
}

INLINE void improve(const Kind *kind, Super super[2], Sub sub[PARTS]) {
    const int subs = SUPER / kind->width;
    Values d, dmin, s, m, w, c, cc, cx, x;
    for (int turn = 0; turn < kind->turns; turn++) {
        spread(kind, super, &d, &dmin);
        for (int p = 0; p < PARTS; p++) {
            Sub *b = &sub[p];
            choose_scales(kind, b, d.part[p], dmin.part[p]);
            V id = v_inverse(d.part[p] * b->s);
            Fit f = fit(kind, b, id, (b->origin + dmin.part[p] * b->m) * id);
            s.part[p] = b->s;
            m.part[p] = b->m;
            w.part[p] = b->sum_w;
            c.part[p] = f.c;
            cc.part[p] = f.cc;
            cx.part[p] = f.cy + b->origin * f.c;
            x.part[p] = b->sum_y + b->origin * b->sum_w;
        }
        for (int j = 0; j < AT_ONCE; j += subs)
            refit(&super[j / subs], subs, s.at + j, m.at + j, w.at + j, c.at + j, cc.at + j, cx.at + j, x.at + j);
    }
}

// A byte a code, in the order of the elements.
INLINE void round_codes(const Kind *kind, const Super super[2], const Sub sub[PARTS], uint8_t *codes) {
    Values d, dmin;
    spread(kind, super, &d, &dmin);
    for (int p = 0; p < PARTS; p++) {
        const Sub *b = &sub[p];
        V id = v_inverse(d.part[p] * b->s), shift = (b->origin + dmin.part[p] * b->m) * id;
        for (int k = 0; k < kind->width / 4; k++) {
            I word = {0};
            for (int i = 0; i < 4; i++)
                word |= v_int(v_clamp(v_round(b->y[4 * k + i] * id + shift), 0, kind->n)) << 8 * i;
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
        Sub sub[PARTS];
        Super super[2];
        Values s, m;
        supers_at(x, importance, first, count, row_supers, kind->width, xs, weights);
        load(kind, sub, xs, importance ? weights : NULL);
        first_scales(kind, super, sub);
        improve(kind, super, sub);
        round_codes(kind, super, sub, codes);
        for (int p = 0; p < PARTS; p++) {
            s.part[p] = sub[p].s;
            m.part[p] = sub[p].m;
        }
        for (int b = 0; b < supers && first + b < count; b++) {
            GridScales scales = {.d = super[b].d, .dmin = super[b].dmin};
            for (int j = 0; j < subs; j++) {
                scales.s[j] = (int8_t)s.at[b * subs + j];
                scales.m[j] = (int8_t)m.at[b * subs + j];
            }
            layout->pack(&scales, codes + b * SUPER, (uint8_t *)blocks + (size_t)(first + b) * bytes);
        }
    }
}

#define QUANTIZE(name)                                                                                                 \
    static void quantize_##name(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {   \
        quantize(&name, x, blocks, rows, cols, importance);                                                            \
    }
QUANTIZE(q4_k)
QUANTIZE(q5_k)
QUANTIZE(q2_k)

void TARGET_NAME(lanes_super)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q4_K] = quantize_q4_k;
    table[DT_Q5_K] = quantize_q5_k;
    table[DT_Q2_K] = quantize_q2_k;
}
