// Sums of outer products, h += sum over t of s_t z_t z_t^T: what Hessians are made of. By tiles of the upper triangle,
// in blocks of tokens, each tile by one thread, so that the digits do not depend on how many there are.
#ifndef EVAL_GRAM_H
#define EVAL_GRAM_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

// Memory that sums are made in; starts as {0} and grows as it must.
typedef struct Gram {
    float *transposed;
    void *packed;
    float *scale;
    size_t transposed_bytes, packed_bytes, scale_bytes;
} Gram;
void gram_free(Gram *g);

// h [cols, cols]: its upper triangle grows (what is below the diagonal is of no use). z [n, cols]; weight [n], none
// negative, or NULL: ones. All threads take part. Fails when memory is out.
bool gram_add(Gram *g, const float *z, int64_t n, int64_t cols, const float *weight, float *h, Error *err);

// to += from, the upper triangles.
void gram_sum(float *to, const float *from, int64_t cols);

// h *= by, and its lower triangle becomes its upper.
void gram_finish(float *h, int64_t cols, float by);

#endif
