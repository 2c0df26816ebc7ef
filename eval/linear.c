#include "eval/linear.h"

#include "core/mem.h"
#include "eval/panel.h"
#include "quant/kernels/kernels.h"

enum { TOKEN_BLOCK = 288 }; // inputs multiplied in one task: fixed; whole groups of every kernel (12, 32, 6, 4)

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

float *vector_load(const Tensor *tensor, Error *err) {
    if (!tensor_verify(tensor, err)) return NULL;
    int64_t n = tensor_elements(tensor);
    float *values = mem_alloc((size_t)n, sizeof *values, err);
    uint8_t *bytes = values && tensor->layout ? mem_alloc(tensor->bytes, 1, err) : NULL;
    if (!values || (tensor->layout && !bytes)) {
        mem_free(values);
        return NULL;
    }
    const uint8_t *source = tensor_read(tensor, 0, tensor_rows(tensor), bytes);
    kernels_get()->to_f32[tensor->type](source, values, n);
    mem_free(bytes);
    return values;
}

bool linear_open(Linear *layer, const Tensor *weight, const Tensor *bias, Compute compute, Error *err) {
    *layer = (Linear){.weight = weight, .compute = compute};
    if (tensor_rows(weight) > INT32_MAX || tensor_cols(weight) > INT32_MAX)
        return error_set(err, "tensor %s is too large to multiply with", tensor_label(weight));
    if (bias && !(layer->bias = layer->own_bias = vector_load(bias, err))) return false;
    if (!weight->layout) return true;
    layer->own = mem_alloc(1, sizeof *layer->own, err);
    if (!layer->own) return false;
    *layer->own = *weight;
    layer->weight = layer->own;
    return true;
}

void linear_close(Linear *layer) {
    if (layer->own) mem_free((void *)layer->own->data);
    mem_free(layer->own);
    mem_free(layer->own_bias);
    mem_free(layer->panels);
    *layer = (Linear){0};
}

static bool put_together(Tensor *t, Error *err) {
    enum { ROWS = 64 };
    uint8_t *bytes = mem_alloc(t->bytes, 1, err);
    int64_t rows = tensor_rows(t);
    size_t row = tensor_row_bytes(t);
    if (!bytes) return false;
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < rows; first += ROWS)
        tensor_read(t, first, min(ROWS, rows - first), bytes + (size_t)first * row);
    tensor_release(t, 0, rows);
    t->data = bytes;
    return true;
}

bool linear_take(Linear *layer, Error *err) {
    if (layer->own) return layer->own->data || put_together(layer->own, err);
    layer->verified = layer->verified || tensor_verify(layer->weight, err);
    return layer->verified;
}

void linear_drop(Linear *layer) {
    if (!layer->own) {
        tensor_release(layer->weight, 0, tensor_rows(layer->weight));
        return;
    }
    mem_free((void *)layer->own->data);
    layer->own->data = NULL;
}

bool linear_repack(Linear *layer, Error *err) {
    const Tensor *w = layer->weight;
    if (layer->panels || !panel_is_int8(w, layer->compute) || !kernels_get()->gemv[w->type]) return true;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w), panels = (rows + GEMV_ROWS - 1) / GEMV_ROWS;
    size_t bytes = gemv_panel_bytes(w->type, cols);
    if (!(layer->panels = mem_alloc((size_t)panels, bytes, err))) return false;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < panels; p++)
        gemv_pack(w->type, w->data, p * GEMV_ROWS, rows, cols, layer->panels + (size_t)p * bytes);
    tensor_release(w, 0, rows);
    return true;
}

static int64_t panel_rows(int64_t rows, int64_t cols) {
    int64_t groups = LINEAR_PANEL_BYTES / (int64_t)panel_bytes(GEMM_ROWS, cols ? cols : 1);
    return min(rows, (groups < 1 ? 1 : groups) * GEMM_ROWS);
}

size_t linear_panel_bytes(int64_t rows, int64_t cols) { return panel_bytes(panel_rows(rows, cols), cols); }

static void put(const Linear *layer, float value, int64_t row, bool add, float *y) {
    float v = layer->bias ? value + layer->bias[row] : value;
    y[row] = add ? y[row] + v : v;
}

// The weights are read in place, row by row.
static void apply_few(const Linear *layer, const float *x, int64_t n, float *y, bool add) {
    const Tensor *w = layer->weight;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w);
    size_t row_bytes = w->bytes / (size_t)rows;
    DotF32Fn dot = kernels_get()->dot_f32[w->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t t = 0; t < n; t++)
            put(layer, dot(w->data + (size_t)r * row_bytes, x + t * cols, cols), r, add, y + t * rows);
}

static void apply_repacked(const Linear *layer, const float *x, int64_t n, float *y, bool add, GemvInput *inputs) {
    const Tensor *w = layer->weight;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w), groups = cols / BLOCK;
    size_t bytes = gemv_panel_bytes(w->type, cols);
    GemvFn gemv = kernels_get()->gemv[w->type];
    gemv_input(x, n * cols, inputs);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r += GEMV_ROWS)
        for (int64_t t = 0; t < n; t++) {
            float values[GEMV_ROWS];
            gemv(layer->panels + (size_t)(r / GEMV_ROWS) * bytes, groups, inputs + t * groups, values);
            for (int64_t i = 0; i < min(GEMV_ROWS, rows - r); i++) put(layer, values[i], r + i, add, y + t * rows);
        }
}

static void add_bias(float *y, const float *bias, int64_t n, int64_t count, int64_t stride, bool add) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < count; r++) y[t * stride + r] = bias[r] + (add ? y[t * stride + r] : 0);
}

void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, void *memory) {
    int64_t rows = tensor_rows(layer->weight), cols = tensor_cols(layer->weight);
    if (n <= LINEAR_FEW && layer->panels) {
        apply_repacked(layer, x, n, y, add, memory);
        return;
    }
    if (n <= LINEAR_FEW && !panel_is_int8(layer->weight, layer->compute)) {
        apply_few(layer, x, n, y, add);
        return;
    }
    int64_t height = panel_rows(rows, cols);
    for (int64_t first = 0; first < rows; first += height) {
        int64_t count = min(height, rows - first);
        Panel panel = panel_load(layer->weight, layer->compute, first, count, memory);
#pragma omp parallel for schedule(dynamic)
        for (int64_t t = 0; t < n; t += TOKEN_BLOCK) {
            int64_t tokens = min(TOKEN_BLOCK, n - t);
            float *out = y + t * rows + first;
            if (layer->bias) add_bias(out, layer->bias + first, tokens, count, rows, add);
            panel_multiply(&panel, x + t * cols, tokens, out, rows, add || layer->bias);
        }
    }
}

// ---- the way back

static int64_t panel_back_rows(int64_t rows, int64_t cols) {
    int64_t groups = LINEAR_PANEL_BYTES / (int64_t)panel_back_bytes(GEMM_COLS, cols ? cols : 1);
    return min(rows, (groups < 1 ? 1 : groups) * GEMM_COLS);
}

size_t linear_back_bytes(int64_t rows, int64_t cols) { return panel_back_bytes(panel_back_rows(rows, cols), cols); }

void linear_apply_back(const Linear *layer, const float *dy, int64_t n, float *dx, bool add, void *memory) {
    int64_t rows = tensor_rows(layer->weight), cols = tensor_cols(layer->weight);
    int64_t height = panel_back_rows(rows, cols);
    for (int64_t first = 0; first < rows; first += height) {
        Panel panel = panel_load_back(layer->weight, first, min(height, rows - first), memory);
#pragma omp parallel for schedule(dynamic)
        for (int64_t t = 0; t < n; t += TOKEN_BLOCK)
            panel_multiply_back(&panel, dy + t * rows + first, rows, min(TOKEN_BLOCK, n - t), dx + t * cols,
                                add || first);
    }
}
