// Sixteen lanes at a time in GNU vectors, which the compiler lowers to what the target has: for files that are compiled
// once for each target (core/target.h). Sums are kept in lanes and added in one fixed order, so targets differ by
// nothing but their FMA-less rounding, which is the same.
#ifndef EVAL_VECTOR_LANES_H
#define EVAL_VECTOR_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline Floats load(const float *p) {
    Floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, Floats v) { memcpy(p, &v, sizeof v); }

static inline Floats load_part(const float *p, int64_t n, float fill) {
    float part[LANES];
    for (int i = 0; i < LANES; i++) part[i] = i < n ? p[i] : fill;
    return load(part);
}

static inline void store_part(float *p, Floats v, int64_t n) { memcpy(p, &v, (size_t)n * sizeof *p); }

// The next LANES values, or the n that are left.
static inline Floats load_some(const float *p, int64_t n, float fill) {
    return n < LANES ? load_part(p, n, fill) : load(p);
}

static inline void store_some(float *p, Floats v, int64_t n) {
    if (n < LANES)
        store_part(p, v, n);
    else
        store(p, v);
}

static inline Floats all(float x) { return x - (Floats){0}; }

static inline Floats select(Ints mask, Floats yes, Floats no) {
    return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no));
}

// Halves are put together until one lane is left: lane i with lane i + 8, then i + 4, i + 2, i + 1.
#define REDUCE_LANES(name, join)                                                                                       \
    static inline float name(Floats v) {                                                                               \
        typedef float Eight __attribute__((vector_size(8 * sizeof(float))));                                           \
        typedef float Four __attribute__((vector_size(4 * sizeof(float))));                                            \
        Eight eight[2], e;                                                                                             \
        Four four[2], f;                                                                                               \
        memcpy(eight, &v, sizeof v);                                                                                   \
        for (int i = 0; i < 8; i++) e[i] = join(eight[0][i], eight[1][i]);                                             \
        memcpy(four, &e, sizeof e);                                                                                    \
        for (int i = 0; i < 4; i++) f[i] = join(four[0][i], four[1][i]);                                               \
        return join(join(f[0], f[2]), join(f[1], f[3]));                                                               \
    }
#define LANES_SUM(a, b)    ((a) + (b))
#define LANES_LARGER(a, b) ((a) < (b) ? (b) : (a))
REDUCE_LANES(sum_lanes, LANES_SUM)
REDUCE_LANES(max_lanes, LANES_LARGER)

static inline float sum_row(const float *x, int64_t n) {
    Floats sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += load(x + i);
    if (i < n) sum += load_part(x + i, n - i, 0);
    return sum_lanes(sum);
}

// exp(x) = 2^n * exp(r), |r| <= ln 2 / 2, exp(r) by a polynomial (Cephes' coefficients).
static inline Floats exp_lanes(Floats x) {
    x = select(x < -87.0f, all(-87.0f), x);
    x = select(x > 88.0f, all(88.0f), x);
    const float round = 0x1.8p23f;
    Floats shifted = x * 0x1.715476p0f + round;
    Floats n = shifted - round;
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Floats p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    Ints power = ((Ints)shifted - 0x4b400000 + 127) << 23; // shifted holds n in its low bits
    return p * (Floats)power;
}

static inline Floats sigmoid_lanes(Floats x) { return 1.0f / (1.0f + exp_lanes(-x)); }

static inline Floats silu_lanes(Floats x) { return x * sigmoid_lanes(x); }

static inline Floats gelu_tanh_lanes(Floats x) {
    // x * (1 + tanh(z)) / 2 = x * sigmoid(2 z), z = sqrt(2 / pi) * (x + 0.044715 x^3)
    return x * sigmoid_lanes(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

static inline Floats gelu_lanes(Floats x) {
    Floats y;
    for (int i = 0; i < LANES; i++) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
    return y;
}

static inline Floats relu_lanes(Floats x) { return select(x < 0.0f, all(0), x); }

#endif
