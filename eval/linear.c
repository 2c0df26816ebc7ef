#include "eval/linear.h"

#include "quant/kernels/kernels.h"
#include <cblas.h>
#include <string.h>

enum {
    FEW = 4,           // up to so many inputs the weights are read in place, row by row: then memory is the limit
    TOKEN_BLOCK = 256, // inputs in one call of sgemm: fixed, so that digits do not depend on the number of threads
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t linear_panel_rows(int64_t rows, int64_t cols) {
    int64_t fit = LINEAR_PANEL_BYTES / ((int64_t)sizeof(float) * (cols ? cols : 1));
    return min(rows, fit < 1 ? 1 : fit);
}

size_t linear_panel_bytes(int64_t rows, int64_t cols) {
    return (size_t)linear_panel_rows(rows, cols) * (size_t)cols * sizeof(float);
}

const float *linear_panel(const Tensor *weight, int64_t first, int64_t count, float *panel) {
    int64_t cols = tensor_cols(weight);
    size_t row_bytes = weight->bytes / (size_t)tensor_rows(weight);
    const uint8_t *rows = weight->data + (size_t)first * row_bytes;
    if (weight->type == DT_F32 && (uintptr_t)rows % sizeof(float) == 0) return (const float *)rows;
    ToF32Fn to_f32 = kernels_get()->to_f32[weight->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; r++) to_f32(rows + (size_t)r * row_bytes, panel + r * cols, cols);
    return panel;
}

static void apply_few(const Linear *layer, const float *x, int64_t n, float *y, bool add) {
    const Tensor *w = layer->weight;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w);
    size_t row_bytes = w->bytes / (size_t)rows;
    DotF32Fn dot = kernels_get()->dot_f32[w->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t t = 0; t < n; t++) {
            float v = dot(w->data + (size_t)r * row_bytes, x + t * cols, cols) + (layer->bias ? layer->bias[r] : 0);
            y[t * rows + r] = add ? y[t * rows + r] + v : v;
        }
}

static void add_bias(float *y, const float *bias, int64_t n, int64_t count, int64_t stride, bool add) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < count; r++) y[t * stride + r] = bias[r] + (add ? y[t * stride + r] : 0);
}

void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, float *panel) {
    int64_t rows = tensor_rows(layer->weight), cols = tensor_cols(layer->weight);
    if (n <= FEW && kernels_get()->dot_f32[layer->weight->type]) {
        apply_few(layer, x, n, y, add);
        return;
    }
    int64_t height = linear_panel_rows(rows, cols);
    for (int64_t first = 0; first < rows; first += height) {
        int64_t count = min(height, rows - first);
        const float *w = linear_panel(layer->weight, first, count, panel);
#pragma omp parallel for schedule(dynamic)
        for (int64_t t = 0; t < n; t += TOKEN_BLOCK) {
            int64_t tokens = min(TOKEN_BLOCK, n - t);
            float *out = y + t * rows + first;
            if (layer->bias) add_bias(out, layer->bias + first, tokens, count, rows, add);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)tokens, (int)count, (int)cols, 1, x + t * cols,
                        (int)cols, w, (int)cols, add || layer->bias ? 1 : 0, out, (int)rows);
        }
    }
}
