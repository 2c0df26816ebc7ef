// Compiled once for each target (core/target.h).
#include "eval/vector.h"

#include "core/target.h"
#include "eval/vector_lanes.h"

static void scale(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

static inline Floats larger(Floats v, Floats m) { return select(v > m, v, m); }

// Four maxima, for each waits for the one before.
static float max_row(const float *x, int64_t n) {
    Floats m[4] = {all(-INFINITY), all(-INFINITY), all(-INFINITY), all(-INFINITY)};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++) m[k] = larger(load(x + i + k * LANES), m[k]);
    for (; i + LANES <= n; i += LANES) m[0] = larger(load(x + i), m[0]);
    if (i < n) m[1] = larger(load_part(x + i, n - i, -INFINITY), m[1]);
    return max_lanes(larger(larger(m[0], m[1]), larger(m[2], m[3])));
}

static float scale_max(float *x, int64_t n, float by) {
    scale(x, n, by);
    return max_row(x, n);
}

static float exp_sum(float *x, int64_t n, float shift) {
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        Floats e = exp_lanes(load(x + i) - shift);
        store(x + i, e);
        sum += e;
    }
    float rest = 0;
    if (i < n) {
        Floats e = exp_lanes(load_part(x + i, n - i, shift) - shift);
        store_part(x + i, e, n - i);
        for (int64_t j = i; j < n; j++) rest += x[j];
    }
    return sum_lanes(sum) + rest;
}

static float weighted_difference(const float *w, const float *a, const float *b, int64_t n) {
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += load(w + i) * (load(a + i) - load(b + i));
    if (i < n) sum += load_part(w + i, n - i, 0) * (load_part(a + i, n - i, 0) - load_part(b + i, n - i, 0));
    return sum_lanes(sum);
}

#define ACTIVATION(name, f)                                                                                            \
    static void name(float *x, const float *up, int64_t n) {                                                           \
        int64_t i = 0;                                                                                                 \
        if (!up) {                                                                                                     \
            for (; i + LANES <= n; i += LANES) store(x + i, f(load(x + i)));                                           \
            if (i < n) store_part(x + i, f(load_part(x + i, n - i, 0)), n - i);                                        \
            return;                                                                                                    \
        }                                                                                                              \
        for (; i + LANES <= n; i += LANES) store(x + i, f(load(x + i)) * load(up + i));                                \
        if (i < n) store_part(x + i, f(load_part(x + i, n - i, 0)) * load_part(up + i, n - i, 0), n - i);              \
    }
ACTIVATION(silu, silu_lanes)
ACTIVATION(gelu_tanh, gelu_tanh_lanes)
ACTIVATION(gelu, gelu_lanes)
ACTIVATION(relu, relu_lanes)

static inline Floats swiglu_lanes(Floats x, Floats up, float slope, float limit) {
    x = select(x > limit, all(limit), x);
    up = select(up > limit, all(limit), up);
    up = select(up < -limit, all(-limit), up);
    return x * sigmoid_lanes(slope * x) * (up + 1.0f);
}

static void swiglu_clamped(float *x, const float *up, int64_t n, float slope, float limit) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(x + i, swiglu_lanes(load(x + i), load(up + i), slope, limit));
    if (i < n)
        store_part(x + i, swiglu_lanes(load_part(x + i, n - i, 0), load_part(up + i, n - i, 0), slope, limit), n - i);
}

static inline Floats soft_cap_lanes(Floats x, float cap) { // tanh(z) = 1 - 2 / (exp(2 z) + 1)
    return cap * (1.0f - 2.0f / (exp_lanes(2.0f / cap * x) + 1.0f));
}

static void soft_cap(float *x, int64_t n, float cap) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(x + i, soft_cap_lanes(load(x + i), cap));
    if (i < n) store_part(x + i, soft_cap_lanes(load_part(x + i, n - i, 0), cap), n - i);
}

static void rms_norm(const float *x, const float *gain, float eps, int64_t n, float *y) {
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        Floats v = load(x + i);
        sum += v * v;
    }
    if (i < n) {
        Floats v = load_part(x + i, n - i, 0);
        sum += v * v;
    }
    float r = 1.0f / sqrtf(sum_lanes(sum) / (float)n + eps);
    for (i = 0; i < n; i++) y[i] = x[i] * r * gain[i];
}

static void layer_norm(const float *x, const float *gain, const float *bias, float eps, int64_t n, float *y) {
    float mean = sum_row(x, n) / (float)n;
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        Floats v = load(x + i) - mean;
        sum += v * v;
    }
    if (i < n) {
        Floats v = load_part(x + i, n - i, mean) - mean;
        sum += v * v;
    }
    float r = 1.0f / sqrtf(sum_lanes(sum) / (float)n + eps);
    for (i = 0; i < n; i++) y[i] = (x[i] - mean) * r * gain[i] + (bias ? bias[i] : 0);
}

static void rotate(float *x, const float *cosine, const float *sine, int64_t half) {
    float *restrict low = x, *restrict high = x + half;
    for (int64_t i = 0; i < half; i++) {
        float a = low[i], b = high[i];
        low[i] = a * cosine[i] - b * sine[i];
        high[i] = b * cosine[i] + a * sine[i];
    }
}

static void rotate_pairs(float *x, const float *cosine, const float *sine, int64_t half) {
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cosine[i] - b * sine[i];
        x[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
}

const VectorMath TARGET_NAME(vector_math) = {
    .max = max_row,
    .scale_max = scale_max,
    .exp_sum = exp_sum,
    .weighted_difference = weighted_difference,
    .scale = scale,
    .silu = silu,
    .gelu_tanh = gelu_tanh,
    .gelu = gelu,
    .relu = relu,
    .swiglu_clamped = swiglu_clamped,
    .soft_cap = soft_cap,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rotate = rotate,
    .rotate_pairs = rotate_pairs,
};
