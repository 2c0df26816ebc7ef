// The way back through what eval/vector.h computes: gradients of a loss at inputs from those at results. Vectorized in
// the same way: eval/vector_back.c compiled for each instruction set.
#ifndef EVAL_VECTOR_BACK_H
#define EVAL_VECTOR_BACK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct VectorBack {
    float (*dot)(const float *a, const float *b, int64_t n);
    // x is what the norm took, d the gradient at its result; dx becomes that at x or, with `add`, gets it added. dx may
    // be d.
    void (*rms_norm)(const float *x, const float *gain, float eps, int64_t n, const float *d, float *dx, bool add);
    void (*layer_norm)(const float *x, const float *gain, float eps, int64_t n, const float *d, float *dx, bool add);
    // x and up hold what the activation took and become the gradients there; d is the gradient at its result. up may be
    // NULL.
    void (*silu)(float *x, float *up, const float *d, int64_t n);
    void (*gelu_tanh)(float *x, float *up, const float *d, int64_t n);
    void (*gelu)(float *x, float *up, const float *d, int64_t n);
    void (*relu)(float *x, float *up, const float *d, int64_t n);
    void (*swiglu_clamped)(float *x, float *up, const float *d, int64_t n, float slope, float limit);
    void (*soft_cap)(const float *capped, float *d, int64_t n, float cap); // capped: the result
    void (*softmax)(const float *p, float *d, int64_t n, float mean);      // d = p * (d - mean); mean: sum of p * d
    float (*spread)(const float *p, float *sum, int64_t n); // sum += p * (1 - p); returns the sum of these
} VectorBack;

const VectorBack *vector_back(void); // for this CPU, NIBBLE_CPU honoured

// The table of one target, for tests.
extern const VectorBack vector_back_scalar;
#ifdef __x86_64__
extern const VectorBack vector_back_avx2, vector_back_avx512;
#endif

#endif
