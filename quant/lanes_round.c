#include "quant/lanes_round.h"

#include "quant/lanes.h"

enum { PARTS = TILE / LANES };
#define EACH_PART(p) for (int p = 0; p < PARTS; p++)
#define INLINE       static inline __attribute__((always_inline))

INLINE V v_fused(V a, V b, V c) { // a * b + c
#if defined(__AVX512F__)
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

INLINE V at(const float *x, int p) {
    V v;
    memcpy(&v, x + p * LANES, sizeof v);
    return v;
}

INLINE void put(float *x, int p, V v) { memcpy(x + p * LANES, &v, sizeof v); }

// ---- levels nearest to y, in units of a step

INLINE V nearest(const Levels *l, bool uniform, V y) {
    if (uniform) return v_round(v_clamp(y, l->low, l->high));
    V level = v_all(l->level[0]);
    for (int i = 0; i < 15; i++) level = v_select(v_less(v_all(l->middle[i]), y), v_all(l->level[i + 1]), level);
    return level;
}

INLINE float nearest_one(const Levels *l, bool uniform, float y) {
    if (uniform) {
        float c = y > l->low ? y : l->low; // NaN: low
        c = c < l->high ? c : l->high;
        return (c + 12582912.0f) - 12582912.0f;
    }
    int code = 0;
    for (int i = 0; i < 16; i++) code += l->middle[i] < y;
    return l->level[code];
}

// ---- sums

// out rows k .. k + count, which stay in registers.
INLINE void panel_rows(float *out, const float *a, int64_t ld, const float *d, int64_t m, int count) {
    V sum[8][PARTS];
    for (int k = 0; k < count; k++) EACH_PART(p) sum[k][p] = at(out + k * TILE, p);
    for (int64_t j = 0; j < m; j++) {
        for (int k = 0; k < count; k++) {
            V x = v_all(a[k * ld + j]);
            EACH_PART(p) sum[k][p] = v_fused(x, at(d + j * TILE, p), sum[k][p]);
        }
    }
    for (int k = 0; k < count; k++) EACH_PART(p) put(out + k * TILE, p, sum[k][p]);
}

static void panel(float *out, const float *a, int64_t ld, const float *d, int64_t n, int64_t m) {
    enum { ROWS = 16 / PARTS < 1 ? 1 : 16 / PARTS }; // sums that fit the registers of AVX-512; of AVX2 half as many
    enum { COUNT = LANES == 16 ? ROWS : LANES == 8 ? ROWS / 2 : 1 };
    for (int64_t k = 0; k < n; k += COUNT) panel_rows(out + k * TILE, a + k * ld, ld, d, m, COUNT);
}

static void dot(const float *a, const float *b, int n, float out[TILE]) {
    V sum[PARTS] = {{0}};
    for (int j = 0; j < n; j++) EACH_PART(p) sum[p] = v_fused(at(a + j * TILE, p), at(b + j * TILE, p), sum[p]);
    EACH_PART(p) put(out, p, sum[p]);
}

static void follow(float *gamma, const float *a, float u, const float *b, float v, int n, int row,
                   const float *weights) {
    V w[PARTS];
    EACH_PART(p) w[p] = at(weights, p);
    for (int j = 0; j < n; j++) {
        V y = v_all(u * a[j * TILE + row] + (b ? v * b[j * TILE + row] : 0));
        EACH_PART(p) put(gamma + j * TILE, p, v_fused(y, w[p], at(gamma + j * TILE, p)));
    }
}

// ---- GPTQ

INLINE void feed_column(const TileGrid *g, bool uniform, const float *x, float *level, float *push, float inverse) {
    EACH_PART(p) {
        V v = at(x, p), step = at(g->step, p), offset = at(g->offset, p);
        V c = nearest(g->levels, uniform, (v - offset) * at(g->inverse, p));
        put(level, p, c);
        put(push, p, ((step * c + offset) - v) * inverse);
    }
}

// The same row by row, each row's error going to those after it: by -error U[r][s] / U[r][r].
INLINE void feed_column_rows(const TileGrid *g, bool uniform, const float *rows, float *x, float *level, float *push,
                             float inverse) {
    EACH_PART(p) put(push, p, v_all(0));
    for (int r = 0; r < TILE; r++) {
        float c = nearest_one(g->levels, uniform, (x[r] - g->offset[r]) * g->inverse[r]);
        float error = ((g->step[r] * c + g->offset[r]) - x[r]) / rows[r * TILE + r];
        level[r] = c;
        EACH_PART(p) {
            V e = error * at(rows + r * TILE, p);
            put(x, p, at(x, p) + e);
            put(push, p, v_fused(e, v_all(inverse), at(push, p)));
        }
    }
}

INLINE void feed_columns(const TileGrid *g, bool uniform, int n, const float *lower, int64_t ld, const float *rows,
                         float *x, float *level, float *push) {
    for (int j = 0; j < n; j++) {
        float *now = push + j * TILE, inverse = 1 / lower[j * ld + j];
        if (rows)
            feed_column_rows(g, uniform, rows, x + j * TILE, level + j * TILE, now, inverse);
        else
            feed_column(g, uniform, x + j * TILE, level + j * TILE, now, inverse);
        for (int k = j + 1; k < n; k++) {
            V u = v_all(lower[k * ld + j]);
            EACH_PART(p) put(x + k * TILE, p, v_fused(u, at(now, p), at(x + k * TILE, p)));
        }
    }
}

static void feed(const TileGrid *g, int n, const float *lower, int64_t ld, const float *rows, float *x, float *level,
                 float *push) {
    if (g->levels->uniform)
        feed_columns(g, true, n, lower, ld, rows, x, level, push);
    else
        feed_columns(g, false, n, lower, ld, rows, x, level, push);
}

// ---- coordinate descent

// The level that is best with all else as it is; returns the rows where it is another one, as bits.
INLINE uint32_t best_levels(const TileGrid *g, bool uniform, const float *level, const float *gamma, const V *scale,
                            V *best) {
    uint32_t differs = 0;
    EACH_PART(p) {
        V c = at(level, p), step = at(g->step, p), offset = at(g->offset, p), q = step * c + offset;
        V y = (q - at(gamma, p) * scale[p] - offset) * at(g->inverse, p);
        best[p] = nearest(g->levels, uniform, y);
        M changed = v_less(best[p], c) | v_less(c, best[p]);
        // Where a step is 0 a change of level changes nothing.
        changed &= v_less(v_all(0), v_abs(step));
        best[p] = v_select(changed, best[p], c);
        differs |= v_mask(changed) << p * LANES;
    }
    return differs;
}

INLINE bool descend_columns(const TileGrid *g, bool uniform, int n, const float *h, int64_t ld, const float *rows,
                            const float *rows_inverse, float *gamma, float *level, float *change) {
    bool any = false;
    for (int j = 0; j < n; j++) {
        float *slope = gamma + j * TILE, *codes = level + j * TILE, *sum = change + j * TILE, h_jj = h[j * ld + j];
        V best[PARTS], scale[PARTS], moved[PARTS]; // moved: what the gradient of column j owes to changes, over H_jj
        EACH_PART(p) scale[p] = rows ? at(rows_inverse, p) / h_jj : v_all(1 / h_jj);
        uint32_t differs = best_levels(g, uniform, codes, slope, scale, best);
        if (!differs) continue;
        any = true;
        EACH_PART(p) moved[p] = v_all(0);
        if (!rows) {
            EACH_PART(p) {
                moved[p] = (best[p] - at(codes, p)) * at(g->step, p);
                put(codes, p, best[p]);
                put(sum, p, at(sum, p) + moved[p]);
            }
        }
        // Row after row: the first that changes, then what is best for those after it.
        while (rows && differs) {
            int r = __builtin_ctz(differs);
            float next[TILE];
            EACH_PART(p) put(next, p, best[p]);
            float delta = (next[r] - codes[r]) * g->step[r];
            codes[r] = next[r];
            sum[r] += delta;
            EACH_PART(p) {
                V m = delta * at(rows + r * TILE, p);
                moved[p] += m;
                put(slope, p, v_fused(m, v_all(h_jj), at(slope, p)));
            }
            if (r == TILE - 1) break;
            differs = best_levels(g, uniform, codes, slope, scale, best) & ~0u << (r + 1);
        }
        for (int k = 0; k < n; k++) {
            if (rows && k == j) continue;
            V x = v_all(h[j * ld + k]);
            EACH_PART(p) put(gamma + k * TILE, p, v_fused(x, moved[p], at(gamma + k * TILE, p)));
        }
    }
    return any;
}

static bool descend(const TileGrid *g, int n, const float *h, int64_t ld, const float *rows, const float *rows_inverse,
                    float *gamma, float *level, float *change) {
    if (g->levels->uniform) return descend_columns(g, true, n, h, ld, rows, rows_inverse, gamma, level, change);
    return descend_columns(g, false, n, h, ld, rows, rows_inverse, gamma, level, change);
}

// ---- scales of two levels

// Sums over the codes nearest to x under a step and an offset.
typedef struct Fit {
    V c, cc, cx;
} Fit;

INLINE Fit fit(const Levels *l, bool uniform, int n, const float *x, const float *w, int p, V inverse, V offset) {
    Fit f = {{0}, {0}, {0}};
    for (int j = 0; j < n; j++) {
        V v = at(x + j * TILE, p), c = nearest(l, uniform, (v - offset) * inverse), wc = w[j] * c;
        f.c += wc;
        f.cc += wc * c;
        f.cx += wc * v;
    }
    return f;
}

INLINE void choose_part(const Grid *grid, const Levels *l, bool uniform, int n, const float *x, const float *w, V d,
                        V dmin, V *s, V *m, int p) {
    const float low = (float)grid->scale_low, high = (float)grid->scale_high;
    V s0 = *s, m0 = *m, least = v_all(INFINITY), inverse_dmin = v_inverse(dmin), sum_w = {0}, sum_x = {0};
    for (int j = 0; j < n; j++) {
        sum_w += w[j];
        sum_x += w[j] * at(x + j * TILE, p);
    }
    static const float moves[] = {0, 1, -1, 2, -2};
    for (int i = 0; i < 5; i++) {
        V next_s = v_clamp(s0 + moves[i], low, high), next_m = m0, step = d * next_s, offset = -dmin * m0;
        Fit f = fit(l, uniform, n, x, w, p, v_inverse(step), offset);
        if (grid->has_min) {
            next_m = v_round(v_clamp((step * f.c - sum_x) / sum_w * inverse_dmin, 0, high));
            offset = -dmin * next_m;
        }
        // The error less the sum of w x^2.
        V error = step * (step * f.cc + 2.0f * (offset * f.c - f.cx)) + offset * (offset * sum_w - 2.0f * sum_x);
        M better = v_less(error, least);
        *s = v_select(better, next_s, *s);
        *m = v_select(better, next_m, *m);
        least = v_select(better, error, least);
    }
}

static void choose(const Grid *grid, const Levels *l, int n, const float *x, const float *w, const float *d,
                   const float *dmin, float *s, float *m) {
    EACH_PART(p) {
        V now_s = at(s, p), now_m = at(m, p);
        if (l->uniform)
            choose_part(grid, l, true, n, x, w, at(d, p), at(dmin, p), &now_s, &now_m, p);
        else
            choose_part(grid, l, false, n, x, w, at(d, p), at(dmin, p), &now_s, &now_m, p);
        put(s, p, now_s);
        put(m, p, now_m);
    }
}

const RoundLanes TARGET_NAME(lanes_round) = {panel, dot, follow, feed, descend, choose};
