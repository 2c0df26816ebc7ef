// A linear layer whose weight lies in a file in any type: y = W x + b, weights made ready a panel at a time:
// dequantized, or, in int8 arithmetic, repacked (eval/panel.h).
#ifndef EVAL_LINEAR_H
#define EVAL_LINEAR_H

#include "core/tensor.h"
#include "quant/blocks.h"

typedef struct Linear {
    const Tensor *weight; // [rows, cols], rows = outputs; NULL: there is no such layer
    const float *bias;    // [rows], or NULL
    Tensor *own;          // weight itself, where its rows are put together (core/layout.h) while it is in use
    float *own_bias;
    uint8_t *panels; // the weight repacked for single inputs (quant/kernels/gemv_int8.h), or NULL
    Compute compute; // the arithmetic; f32 where nobody set it
    bool fine;       // in int8 arithmetic its inputs are rounded to 16 bits, not 8: two digits
    bool verified;   // the weight was checked against its hash
} Linear;

// A layer of these tensors, which must outlive it; bias may be NULL. Its bias is checked and read.
bool linear_open(Linear *layer, const Tensor *weight, const Tensor *bias, Compute compute, Error *err);
void linear_close(Linear *layer);

// Before use: the weight is checked against its hash, once, and put together where it does not lie in one piece.
bool linear_take(Linear *layer, Error *err);
// After it: memory and pages are given back.
void linear_drop(Linear *layer);

// In int8 arithmetic a taken layer that will see many inputs one by one: its weight is kept in memory, repacked, until
// it is closed. Does nothing where there is nothing to gain.
bool linear_repack(Linear *layer, Error *err);

enum { LINEAR_PANEL_BYTES = 8 << 20 }; // aimed at: a panel has whole groups of rows, at least one

// Bytes of memory, 64-byte aligned, that a weight of this shape needs, a panel at a time; and that n inputs need to be
// rounded to so many digits (linear_digits), at most LINEAR_FEW inputs to any number of them.
size_t linear_panel_bytes(int64_t rows, int64_t cols);
size_t linear_input_bytes(int64_t n, int64_t cols, int digits);

// Digits of the inputs of a layer that is multiplied in integers; else 0.
int linear_digits(const Linear *layer);

// Rounds n inputs [n, cols] to so many digits, into linear_input_bytes.
void linear_round(const float *x, int64_t n, int64_t cols, int digits, BlockAct *acts);

enum { LINEAR_FEW = 4 }; // up to so many inputs are single ones: memory is the limit, and weights are not made ready

// y [n, rows] = x [n, cols] W^T + b; with `add`, y += that. The digits do not depend on the number of threads. memory:
// linear_input_bytes and linear_panel_bytes together.
void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, void *memory);

// The same for several layers with the same input, which is rounded once, single inputs in one parallel loop.
typedef struct LinearUse {
    const Linear *layer;
    float *y; // [n, rows]
    bool add;
} LinearUse;

enum { LINEAR_USES = 3 }; // at most
void linear_apply_all(const LinearUse *uses, int count, const float *x, int64_t n, void *memory);

// Two layers [rows, cols] with the same input of which one gates the other, in integers: out = activate(gate x, up x),
// n inputs, rounded as the next layer takes it (linear_input_bytes of `rows` columns), a few rows at a time, so that
// what is between never leaves the cache.
typedef struct LinearPair {
    const Linear *gate, *up;
    void (*activate)(const void *context, float *gate, const float *up, int64_t n); // gate = act(gate) * up
    const void *context;
} LinearPair;

bool linear_pair_can(const Linear *gate, const Linear *up, const Linear *next, int64_t n);
void linear_pair(const LinearPair *pair, const float *x, int64_t n, BlockAct *out, void *memory);

// linear_apply with inputs rounded already, of a layer that is multiplied in integers.
void linear_apply_acts(const Linear *layer, const BlockAct *acts, int64_t n, float *y, bool add, void *memory);

// The way back: dx [n, cols] = dy [n, rows] W; with `add`, dx += that. memory: linear_back_bytes.
size_t linear_back_bytes(int64_t rows, int64_t cols);
void linear_apply_back(const Linear *layer, const float *dy, int64_t n, float *dx, bool add, void *memory);

// A vector, or all of a tensor, in f32, checked against its hash. Free with mem_free.
float *vector_load(const Tensor *tensor, Error *err);

#endif
