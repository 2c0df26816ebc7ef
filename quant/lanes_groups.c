// w = scale * (code - zero) over groups of up to GROUP_MOST elements, a group in each lane (quant/lanes.h).
#include "quant/lanes_groups.h"

#include "quant/lanes.h"

static const float zeros_only[GROUP_MOST];

// f32 to the nearest bf16, ties to even, as f32; saturates at bf16's largest number.
static inline V v_bf16(V x) {
    I bits = i_bits(v_min(v_abs(x), v_all(0x1.fep127f)));
    V r = v_bits((bits + 0x7fff + ((bits >> 16) & 1)) & ~0xffff);
    return v_bits(i_bits(r) | (i_bits(x) & INT32_MIN));
}

typedef struct Group {
    V x[GROUP_MOST];
    V inverse; // of the largest magnitude
    int width;
    float top; // the largest code
    bool bf16; // the scale's type
} Group;

typedef struct Grid {
    V scale, zero;
} Grid;

static inline V round_scale(const Group *g, V scale) { return g->bf16 ? v_bf16(scale) : v_f16(scale); }

static inline V code_of(const Group *g, V x, V inverse, V zero) {
    return v_clamp(v_round(x * inverse + zero), 0, g->top);
}

// Sums over the codes nearest to x * inverse + zero, of c = code - zero, each weighed by x^2: large weights count more
// in what a model says. The scale that fits them best is xc / cc, and with any scale d the error is that of all zeros
// less gain = d (2 xc - d cc).
typedef struct Fit {
    V w, x, c, xc, cc;
} Fit;

static inline Fit fit(const Group *g, V inverse, V zero) {
    Fit f = {{0}, {0}, {0}, {0}, {0}};
    for (int i = 0; i < g->width; i++) {
        V c = code_of(g, g->x[i], inverse, zero) - zero;
        V w = (g->x[i] * g->inverse) * (g->x[i] * g->inverse);
        f.w += w;
        f.x += w * g->x[i];
        f.c += w * c;
        f.xc += w * g->x[i] * c;
        f.cc += w * c * c;
    }
    return f;
}

// Keeps the scale that fits, where it is better than the best so far.
static inline void try_fit(const Group *g, const Fit *f, V zero, Grid *best, V *gain) {
    V d = round_scale(g, f->xc / f->cc);
    V found = d * (2.0f * f->xc - d * f->cc);
    M better = v_less(*gain, found) & v_less(v_all(0), f->cc);
    best->scale = v_select(better, d, best->scale);
    best->zero = v_select(better, zero, best->zero);
    *gain = v_select(better, found, *gain);
}

// The best scale's own codes, and what fits those.
static inline void refine(const Group *g, float least_zero, bool symmetric, Grid *best, V *gain) {
    for (int pass = 0; pass < 3; pass++) {
        V inverse = v_inverse(best->scale), zero = best->zero;
        Fit f = fit(g, inverse, zero);
        *gain = best->scale * (2.0f * f.xc - best->scale * f.cc);
        try_fit(g, &f, zero, best, gain);
        if (symmetric) continue;
        V moved = zero + v_round((f.c - f.x * inverse) * v_inverse(f.w));
        zero = v_clamp(moved, least_zero, g->top);
        f = fit(g, inverse, zero);
        try_fit(g, &f, zero, best, gain);
    }
}

// The largest weight becomes the lowest code, of which there is one more, or a little beyond it: both signs of scale.
static inline Grid search_symmetric(const Group *g) {
    enum { STEPS = 20 };
    V top = v_extreme(g->x, g->width), zero = v_all((g->top + 1) / 2), gain = v_all(0);
    float low = (g->top + 1) / 2, from = g->top > 15 ? 0.96f : 0.72f, to = g->top > 15 ? 1.03f : 1.36f;
    Grid best = {v_all(0), zero};
    for (int k = 0; k < 2 * STEPS; k++) {
        float step = low * (from + (to - from) * (float)(k / 2) / (STEPS - 1));
        V inverse = (k % 2 ? step : -step) * v_inverse(top);
        Fit f = fit(g, inverse, zero);
        try_fit(g, &f, zero, &best, &gain);
    }
    refine(g, 0, true, &best, &gain);
    return best;
}

// The range from the least weight to the largest (0 among them) becomes all codes, or is cut at both ends.
static inline Grid search_affine(const Group *g, float least_zero) {
    enum { STEPS = 20 };
    V low = {0}, high = {0}, gain = v_all(0);
    for (int i = 0; i < g->width; i++) {
        low = v_min(g->x[i], low);
        high = v_max(g->x[i], high);
    }
    float from = g->top > 15 ? 0.98f : 0.85f, to = g->top > 15 ? 1.03f : 1.36f;
    Grid best = {v_all(0), v_all(least_zero)};
    V whole = g->top * v_inverse(high - low), middle = 0.5f * low + 0.5f * high;
    for (int k = 0; k < 2 * STEPS; k++) {
        V inverse = whole * (from + (to - from) * (float)(k / 2) / (STEPS - 1));
        V at = 0.5f * g->top - middle * inverse; // where zero would be best; tried: the whole numbers around it
        V zero = v_clamp(v_round(at + (k % 2 ? 0.25f : -0.25f)), least_zero, g->top);
        Fit f = fit(g, inverse, zero);
        try_fit(g, &f, zero, &best, &gain);
    }
    refine(g, least_zero, false, &best, &gain);
    return best;
}

static inline void store(const Group *g, Grid best, int count, uint8_t *codes, float *scales, uint8_t *zeros) {
    I code[GROUP_MOST], zero = v_int(best.zero);
    V inverse = v_inverse(best.scale);
    for (int i = 0; i < g->width; i++) code[i] = v_int(code_of(g, g->x[i], inverse, best.zero));
    for (int l = 0; l < count; l++) {
        for (int i = 0; i < g->width; i++) codes[l * g->width + i] = (uint8_t)code[i][l];
        scales[l] = best.scale[l];
        zeros[l] = (uint8_t)zero[l];
    }
}

void TARGET_NAME(lanes_groups)(const GroupGrid *grid, const float *x, int64_t count, uint8_t *codes, float *scales,
                               uint8_t *zeros) {
    Group g = {.width = (int)grid->group, .top = (float)group_grid_top(grid), .bf16 = grid->scale == DT_BF16};
    for (int64_t first = 0; first < count; first += LANES) {
        const float *from[LANES];
        int there = count - first < LANES ? (int)(count - first) : LANES;
        for (int l = 0; l < LANES; l++) from[l] = l < there ? x + (first + l) * g.width : zeros_only;
        lanes_load(from, g.width, g.x);
        g.inverse = v_inverse(v_extreme(g.x, g.width));
        Grid best = grid->symmetric ? search_symmetric(&g) : search_affine(&g, (float)grid->least_zero);
        store(&g, best, there, codes + first * g.width, scales + first, zeros + first);
    }
}
