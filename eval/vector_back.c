// Compiled once for each target (core/target.h).
#include "eval/vector_back.h"

#include "core/target.h"
#include "eval/vector_lanes.h"

static float dot(const float *a, const float *b, int64_t n) {
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += load(a + i) * load(b + i);
    if (i < n) sum += load_some(a + i, n - i, 0) * load_some(b + i, n - i, 0);
    return sum_lanes(sum);
}

// y = g x r with r = 1 / rms(x):  dx = r (g d - x r^2 mean(x g d)).
static void rms_norm(const float *x, const float *gain, float eps, int64_t n, const float *d, float *dx, bool add) {
    Floats squares = all(0), products = all(0);
    int64_t i = 0;
    for (; i < n; i += LANES) {
        int64_t m = n - i;
        Floats v = load_some(x + i, m, 0);
        Floats g = load_some(gain + i, m, 0);
        Floats dv = load_some(d + i, m, 0);
        squares += v * v;
        products += v * (g * dv);
    }
    float r = 1.0f / sqrtf(sum_lanes(squares) / (float)n + eps), mean = sum_lanes(products) / (float)n * r * r;
    for (i = 0; i < n; i++) {
        float v = r * (gain[i] * d[i] - x[i] * mean);
        dx[i] = add ? dx[i] + v : v;
    }
}

// y = g z + b, z = (x - mean(x)) r:  dx = r (g d - mean(g d) - z mean(z g d)).
static void layer_norm(const float *x, const float *gain, float eps, int64_t n, const float *d, float *dx, bool add) {
    float mean = sum_row(x, n) / (float)n;
    Floats squares = all(0), sum = all(0), products = all(0);
    int64_t i = 0;
    for (; i < n; i += LANES) {
        int64_t m = n - i;
        Floats v = load_some(x + i, m, mean) - mean;
        Floats g = load_some(gain + i, m, 0);
        Floats gd = g * load_some(d + i, m, 0);
        squares += v * v;
        sum += gd;
        products += v * gd;
    }
    float r = 1.0f / sqrtf(sum_lanes(squares) / (float)n + eps);
    float mean_gd = sum_lanes(sum) / (float)n, mean_zgd = sum_lanes(products) / (float)n * r * r;
    for (i = 0; i < n; i++) {
        float v = r * (gain[i] * d[i] - mean_gd - (x[i] - mean) * mean_zgd);
        dx[i] = add ? dx[i] + v : v;
    }
}

// ---- activations: f(x), and f'(x) by the product rule

static inline Floats silu_slope(Floats x) {
    Floats s = sigmoid_lanes(x);
    return s * (1.0f + x * (1.0f - s));
}

static inline Floats gelu_tanh_slope(Floats x) { // x sigmoid(u), u as in gelu_tanh_lanes
    Floats s = sigmoid_lanes(1.5957691216057308f * (x + 0.044715f * x * x * x));
    return s + x * s * (1.0f - s) * (1.5957691216057308f * (1.0f + 3 * 0.044715f * x * x));
}

static inline Floats gelu_slope(Floats x) { // Phi(x) + x phi(x)
    Floats y, density = exp_lanes(-0.5f * x * x) * 0.3989422804014327f;
    for (int i = 0; i < LANES; i++) y[i] = 0.5f * (1.0f + erff(x[i] * 0.70710678118654752f));
    return y + x * density;
}

static inline Floats relu_slope(Floats x) { return select(x > 0.0f, all(1), all(0)); }

#define BACK(name)                                                                                                     \
    static void name(float *x, float *up, const float *d, int64_t n) {                                                 \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            int64_t m = n - i;                                                                                         \
            Floats v = load_some(x + i, m, 0), dv = load_some(d + i, m, 0);                                            \
            if (up) {                                                                                                  \
                store_some(x + i, dv * load_some(up + i, m, 0) * name##_slope(v), m);                                  \
                store_some(up + i, dv * name##_lanes(v), m);                                                           \
            } else {                                                                                                   \
                store_some(x + i, dv * name##_slope(v), m);                                                            \
            }                                                                                                          \
        }                                                                                                              \
    }
BACK(silu)
BACK(gelu_tanh)
BACK(gelu)
BACK(relu)

// y = g sigmoid(slope g) (u + 1); beyond a limit nothing changes the result.
static void swiglu_clamped(float *x, float *up, const float *d, int64_t n, float slope, float limit) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i;
        Floats v = load_some(x + i, m, 0), u = load_some(up + i, m, 0), dv = load_some(d + i, m, 0);
        Floats g = select(v > limit, all(limit), v), s = sigmoid_lanes(slope * g);
        Floats c = select(u > limit, all(limit), select(u < -limit, all(-limit), u));
        Floats dg = dv * (c + 1.0f) * (s + slope * g * s * (1.0f - s)), du = dv * g * s;
        store_some(x + i, select(v > limit, all(0), dg), m);
        store_some(up + i, select((u > limit) | (u < -limit), all(0), du), m);
    }
}

static void soft_cap(const float *capped, float *d, int64_t n, float cap) {
    float by = 1 / cap;
    for (int64_t i = 0; i < n; i++) d[i] *= 1 - (capped[i] * by) * (capped[i] * by);
}

static void softmax(const float *p, float *d, int64_t n, float mean) {
    for (int64_t i = 0; i < n; i++) d[i] = p[i] * (d[i] - mean);
}

static float spread(const float *p, float *sum, int64_t n) {
    Floats total = all(0);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i;
        Floats v = load_some(p + i, m, 0), s = v * (1.0f - v);
        store_some(sum + i, load_some(sum + i, m, 0) + s, m);
        total += s;
    }
    return sum_lanes(total);
}

const VectorBack TARGET_NAME(vector_back) = {
    .dot = dot,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .silu = silu,
    .gelu_tanh = gelu_tanh,
    .gelu = gelu,
    .relu = relu,
    .swiglu_clamped = swiglu_clamped,
    .soft_cap = soft_cap,
    .softmax = softmax,
    .spread = spread,
};
