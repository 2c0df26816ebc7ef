// q4_k, q5_k: super-blocks of 8 sub-blocks of 32, w = d * s * c - dmin * m with 6-bit s and m and codes c from 0 to n.
// First each sub-block on its own: for a grid of trial steps, codes are the nearest ones, step and minimum are refit to
// them by weighted least squares. Then the super-block: d and dmin from the largest step and minimum, and in turns
// every sub-block's s and m moved to what is best with d and dmin as they are rounded, and d and dmin refit jointly.
#include "quant/lanes.h"
#include "quant/lanes_table.h"

enum { SUBS = 8, AT_ONCE = 16, PARTS = AT_ONCE / LANES }; // sub-blocks: of a super-block, worked on together (two)
enum { GRID = 20, TURNS = 2, MAX_SCALE = 63 };
static const float grid_from = 0.8f, grid_to = 1.05f; // trial steps: the range of a sub-block is n * this many

// LANES sub-blocks: elements as y = x - origin >= 0, which keeps the sums free of cancellation.
typedef struct Sub {
    V y[BLOCK], w[BLOCK], wy[BLOCK];
    V origin, sum_w, sum_y; // origin = min(0, lowest x)
    V s, m;                 // the 6-bit integers, as floats
} Sub;

// Weighted sums over the codes nearest to y * id + shift.
typedef struct Fit {
    V c, cc, cy;
} Fit;

static inline Fit fit(const Sub *sub, V id, V shift, float n) {
    Fit f = {{0}, {0}, {0}};
    for (int i = 0; i < BLOCK; i++) {
        V c = v_clamp(v_round(sub->y[i] * id + shift), 0, n);
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

// Step and minimum (subtracted, so never negative) of each sub-block on its own.
static inline void search(const Sub *sub, float n, V *best_step, V *best_min) {
    V range = {0};
    for (int i = 0; i < BLOCK; i++) range = v_max(sub->y[i], range);
    V step = range / n, offset = {0}, least = v_all(INFINITY);
    for (int k = 0; k < GRID; k++) {
        Fit f = fit(sub, n * (grid_from + (grid_to - grid_from) * (float)k / (GRID - 1)) / range, v_all(0), n);
        V det = sub->sum_w * f.cc - f.c * f.c;
        V o = (f.cc * sub->sum_y - f.c * f.cy) / det;
        o = v_min(o, -sub->origin);
        V s = (f.cy - o * f.c) / f.cc;
        V error = fit_error(sub, f, s, o);
        M better = v_less(error, least) & v_less(v_all(0), det);
        step = v_select(better, s, step);
        offset = v_select(better, o, offset);
        least = v_select(better, error, least);
    }
    *best_step = step;
    *best_min = -(offset + sub->origin);
}

// With d and dmin as they are: s and m of each sub-block to the best of the neighbouring s, each with the m that suits
// its codes.
static inline void choose_scales(Sub *sub, V d, V dmin, float n) {
    V s0 = sub->s, m0 = sub->m, least = v_all(INFINITY), inverse_dmin = v_inverse(dmin);
    for (int move = 0; move < 3; move++) {
        V s = v_clamp(s0 + (float)(move == 2 ? -1 : move), 0, MAX_SCALE), step = d * s, id = v_inverse(step);
        Fit f = fit(sub, id, (sub->origin + dmin * m0) * id, n);
        V offset = (sub->sum_y - step * f.c) / sub->sum_w;
        V m = v_round(v_clamp(-(offset + sub->origin) * inverse_dmin, 0, MAX_SCALE));
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

static inline float round_f16(float x) { return v_f16(v_all(x))[0]; }

// d and dmin from weighted least squares with every s, m and code as it is; kept where it lowers the error.
static void refit(Super *super, const float *s, const float *m, const float *w, const float *c, const float *cc,
                  const float *cx, const float *x) {
    double ss = 0, sm = 0, mm = 0, sx = 0, mx = 0;
    for (int j = 0; j < SUBS; j++) {
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

static inline void load(Sub sub[PARTS], const float *const x[AT_ONCE], const float *const importance[AT_ONCE]) {
    for (int p = 0; p < PARTS; p++) {
        Sub *b = &sub[p];
        lanes_load(x + p * LANES, BLOCK, b->y);
        if (importance)
            lanes_weights(importance + p * LANES, BLOCK, b->w);
        else
            lanes_default_weights(b->y, BLOCK, b->w);
        b->origin = v_all(0);
        for (int i = 0; i < BLOCK; i++) b->origin = v_min(b->y[i], b->origin);
        b->sum_w = b->sum_y = v_all(0);
        for (int i = 0; i < BLOCK; i++) {
            b->y[i] -= b->origin;
            b->wy[i] = b->w[i] * b->y[i];
            b->sum_w += b->w[i];
            b->sum_y += b->wy[i];
        }
    }
}

// A value for each of the sub-blocks worked on, as vectors by parts and as one array.
typedef union Values {
    V part[PARTS];
    float at[AT_ONCE];
} Values;

static void first_scales(Super super[2], Sub sub[PARTS], float n) {
    Values step, min;
    for (int p = 0; p < PARTS; p++) search(&sub[p], n, &step.part[p], &min.part[p]);
    for (int b = 0; b < 2; b++) {
        float top_step = 0, top_min = 0;
        for (int j = b * SUBS; j < (b + 1) * SUBS; j++) {
            if (step.at[j] > top_step) top_step = step.at[j];
            if (min.at[j] > top_min) top_min = min.at[j];
        }
        super[b] = (Super){round_f16(top_step / MAX_SCALE), round_f16(top_min / MAX_SCALE)};
        float id = super[b].d > 0 ? 1 / super[b].d : 0, im = super[b].dmin > 0 ? 1 / super[b].dmin : 0;
        for (int j = b * SUBS; j < (b + 1) * SUBS; j++) {
            step.at[j] *= id;
            min.at[j] *= im;
        }
    }
    for (int p = 0; p < PARTS; p++) {
        sub[p].s = v_round(v_clamp(step.part[p], 0, MAX_SCALE));
        sub[p].m = v_round(v_clamp(min.part[p], 0, MAX_SCALE));
    }
}

// Each lane's own super-block's d and dmin.
static void spread(const Super super[2], Values *d, Values *dmin) {
    for (int j = 0; j < AT_ONCE; j++) {
        d->at[j] = super[j / SUBS].d;
        dmin->at[j] = super[j / SUBS].dmin;
    }
}

static void improve(Super super[2], Sub sub[PARTS], float n) {
    Values d, dmin, s, m, w, c, cc, cx, x;
    for (int turn = 0; turn < TURNS; turn++) {
        spread(super, &d, &dmin);
        for (int p = 0; p < PARTS; p++) {
            Sub *b = &sub[p];
            choose_scales(b, d.part[p], dmin.part[p], n);
            V id = v_inverse(d.part[p] * b->s);
            Fit f = fit(b, id, (b->origin + dmin.part[p] * b->m) * id, n);
            s.part[p] = b->s;
            m.part[p] = b->m;
            w.part[p] = b->sum_w;
            c.part[p] = f.c;
            cc.part[p] = f.cc;
            cx.part[p] = f.cy + b->origin * f.c;
            x.part[p] = b->sum_y + b->origin * b->sum_w;
        }
        for (int b = 0; b < 2; b++) {
            int j = b * SUBS;
            refit(&super[b], s.at + j, m.at + j, w.at + j, c.at + j, cc.at + j, cx.at + j, x.at + j);
        }
    }
}

// Bytes of codes, low 4 bits and the fifth apart, four to a word: word[i][j] holds elements 4i ... 4i + 3 of sub-block
// j.
typedef struct Codes {
    uint32_t low[8][AT_ONCE], fifth[8][AT_ONCE];
} Codes;

static inline void round_codes(const Super super[2], const Sub sub[PARTS], float n, Codes *codes) {
    Values d, dmin;
    spread(super, &d, &dmin);
    for (int p = 0; p < PARTS; p++) {
        const Sub *b = &sub[p];
        V id = v_inverse(d.part[p] * b->s), shift = (b->origin + dmin.part[p] * b->m) * id;
        for (int k = 0; k < 8; k++) {
            I low = {0}, fifth = {0};
            for (int i = 0; i < 4; i++) {
                I c = v_int(v_clamp(v_round(b->y[4 * k + i] * id + shift), 0, n));
                low |= (c & 15) << 8 * i;
                fifth |= (c >> 4) << 8 * i;
            }
            memcpy(codes->low[k] + p * LANES, &low, sizeof low);
            memcpy(codes->fifth[k] + p * LANES, &fifth, sizeof fifth);
        }
    }
}

// s[j] and m[j] into 12 bytes: four of each with 6 bits in place, the other four in nibbles and the top bits left.
static void pack_scales(const float *s, const float *m, uint8_t packed[12]) {
    for (int j = 0; j < 4; j++) {
        int s0 = (int)s[j], m0 = (int)m[j], s4 = (int)s[j + 4], m4 = (int)m[j + 4];
        packed[j] = (uint8_t)(s0 | s4 >> 4 << 6);
        packed[j + 4] = (uint8_t)(m0 | m4 >> 4 << 6);
        packed[j + 8] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
}

static inline void store_low(const Codes *codes, int first, uint8_t q[128]) {
    uint32_t words[32];
    for (int pair = 0; pair < 4; pair++) {
        for (int k = 0; k < 8; k++) {
            const uint32_t *low = codes->low[k] + first + 2 * pair;
            words[8 * pair + k] = low[0] | low[1] << 4;
        }
    }
    memcpy(q, words, sizeof words);
}

static inline void store_fifth(const Codes *codes, int first, uint8_t high[32]) {
    uint32_t words[8] = {0};
    for (int k = 0; k < 8; k++)
        for (int j = 0; j < SUBS; j++) words[k] |= codes->fifth[k][first + j] << j;
    memcpy(high, words, sizeof words);
}

// Two super-blocks at a time; of an odd last one the second half is zeros and not stored.
static inline void quantize(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance,
                            DType type) {
    float n = type == DT_Q4_K ? 15 : 31;
    int64_t row_supers = cols / SUPER, count = rows * row_supers;
    for (int64_t first = 0; first < count; first += 2) {
        const float *xs[AT_ONCE], *weights[AT_ONCE];
        for (int j = 0; j < AT_ONCE; j++) {
            int64_t at = first + j / SUBS;
            bool there = at < count;
            xs[j] = there ? x + at * SUPER + j % SUBS * BLOCK : lanes_zeros;
            weights[j] = there && importance ? importance + at % row_supers * SUPER + j % SUBS * BLOCK : lanes_zeros;
        }
        Sub sub[PARTS];
        Super super[2];
        Values s, m;
        Codes codes;
        load(sub, xs, importance ? weights : NULL);
        first_scales(super, sub, n);
        improve(super, sub, n);
        round_codes(super, sub, n, &codes);
        for (int p = 0; p < PARTS; p++) {
            s.part[p] = sub[p].s;
            m.part[p] = sub[p].m;
        }
        for (int b = 0; b < 2 && first + b < count; b++) {
            uint16_t d = (uint16_t)v_f16_bits(v_all(super[b].d))[0],
                     dmin = (uint16_t)v_f16_bits(v_all(super[b].dmin))[0];
            if (type == DT_Q4_K) {
                BlockQ4_K *out = (BlockQ4_K *)blocks + first + b;
                out->d = d;
                out->dmin = dmin;
                pack_scales(s.at + b * SUBS, m.at + b * SUBS, out->scales);
                store_low(&codes, b * SUBS, out->q);
            } else {
                BlockQ5_K *out = (BlockQ5_K *)blocks + first + b;
                out->d = d;
                out->dmin = dmin;
                pack_scales(s.at + b * SUBS, m.at + b * SUBS, out->scales);
                store_low(&codes, b * SUBS, out->q);
                store_fifth(&codes, b * SUBS, out->high);
            }
        }
    }
}

static void quantize_q4_k(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    quantize(x, blocks, rows, cols, importance, DT_Q4_K);
}

static void quantize_q5_k(const float *x, void *blocks, int64_t rows, int64_t cols, const float *importance) {
    quantize(x, blocks, rows, cols, importance, DT_Q5_K);
}

void TARGET_NAME(lanes_super)(QuantizeFn table[DT_COUNT]) {
    table[DT_Q4_K] = quantize_q4_k;
    table[DT_Q5_K] = quantize_q5_k;
}
