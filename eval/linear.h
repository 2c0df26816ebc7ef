// A linear layer whose weight lies in a file in any type: y = W x + b in f32, weights dequantized a panel at a time.
#ifndef EVAL_LINEAR_H
#define EVAL_LINEAR_H

#include "core/tensor.h"

typedef struct Linear {
    const Tensor *weight; // [rows, cols], rows = outputs
    const float *bias;    // [rows], or NULL
} Linear;

enum { LINEAR_PANEL_BYTES = 8 << 20 };

// Rows of a weight with `cols` columns that a panel holds: at least one, at most `rows`.
int64_t linear_panel_rows(int64_t rows, int64_t cols);

// Bytes of the panel that linear_apply needs for a weight of this shape.
size_t linear_panel_bytes(int64_t rows, int64_t cols);

// Dequantizes rows first .. first + count - 1 into panel [count, cols]; all threads take part.
// Returns the panel, or the file's own bytes where they are f32 and aligned.
const float *linear_panel(const Tensor *weight, int64_t first, int64_t count, float *panel);

// y [n, rows] = x [n, cols] W^T + b; with `add`, y += that. The digits do not depend on the number of threads.
void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, float *panel);

#endif
