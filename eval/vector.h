// The element-wise arithmetic of a transformer, vectorized: one source (vector_math.c) compiled for each instruction
// set.
#ifndef EVAL_VECTOR_H
#define EVAL_VECTOR_H

#include <stdint.h>

// n is any length >= 0 and no alignment is asked. exp is within 2 units in the last place of f32 where the result is
// normal; below that it gives a number under 1e-37. NaN stays NaN.
typedef struct VectorMath {
    float (*max)(const float *x, int64_t n);            // -infinity for n = 0
    float (*scale_max)(float *x, int64_t n, float by);  // x *= by; returns the max
    float (*exp_sum)(float *x, int64_t n, float shift); // x = exp(x - shift); returns their sum
    float (*weighted_difference)(const float *w, const float *a, const float *b, int64_t n); // sum of w * (a - b)
    void (*scale)(float *x, int64_t n, float by);
    // x = f(x) * up; f(x) alone where up is NULL.
    void (*silu)(float *x, const float *up, int64_t n);      // x * sigmoid(x)
    void (*gelu_tanh)(float *x, const float *up, int64_t n); // the tanh form of arXiv:1606.08415
    void (*gelu)(float *x, const float *up, int64_t n);      // the erf form
    void (*relu)(float *x, const float *up, int64_t n);
    // x = g * sigmoid(slope * g) * (u + 1) with g = min(x, limit) and u = up within +-limit, as gpt-oss has it.
    void (*swiglu_clamped)(float *x, const float *up, int64_t n, float slope, float limit);
    void (*soft_cap)(float *x, int64_t n, float cap); // x = cap * tanh(x / cap)
    // y may be x.
    void (*rms_norm)(const float *x, const float *gain, float eps, int64_t n, float *y); // x / rms(x) * gain
    // (x - mean) / deviation * gain + bias (arXiv:1607.06450); bias may be NULL.
    void (*layer_norm)(const float *x, const float *gain, const float *bias, float eps, int64_t n, float *y);
    void (*rotate)(float *x, const float *cosine, const float *sine, int64_t half);       // pairs (x[i], x[i + half])
    void (*rotate_pairs)(float *x, const float *cosine, const float *sine, int64_t half); // pairs (x[2i], x[2i + 1])
} VectorMath;

const VectorMath *vector_math(void); // for this CPU, NIBBLE_CPU honoured

// The table of one target, for tests.
extern const VectorMath vector_math_scalar;
#ifdef __x86_64__
extern const VectorMath vector_math_avx2, vector_math_avx512;
#endif

#endif
