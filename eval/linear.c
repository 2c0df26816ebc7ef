#include "eval/linear.h"

#include "core/mem.h"
#include "core/threads.h"
#include "eval/panel.h"
#include "quant/kernels/kernels.h"
#include <stdalign.h>

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

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
    if (layer->panels || layer->compute != COMPUTE_INT8 || !linear_digits(layer) || !kernels_get()->gemv[w->type])
        return true;
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

size_t linear_input_bytes(int64_t n, int64_t cols, int digits) {
    return (size_t)(n + INT8_TOKENS_MOST) * (size_t)((cols + BLOCK - 1) / BLOCK * digits) * sizeof(BlockAct);
}

int linear_digits(const Linear *layer) { return panel_digits(layer->weight, layer->compute, layer->fine); }

// ---- single inputs: the weights are read once, in place or repacked, 16 rows at a time

static void put(const Linear *layer, float value, int64_t row, bool add, float *y) {
    float v = layer->bias ? value + layer->bias[row] : value;
    y[row] = add ? y[row] + v : v;
}

// Inputs rounded for single ones: n after another of the highest digit, which may be the only one, then of the next.
static void few_round(const float *x, int64_t n, int64_t cols, int digits, BlockAct *acts) {
    const int64_t blocks = n * (cols / BLOCK);
    if (digits == 1) {
        gemm_int8_round(x, n * cols, 1, acts);
        return;
    }
    for (int64_t b = 0; b < blocks; b++) {
        BlockAct block[ACT_DIGITS];
        gemm_int8_round(x + b * BLOCK, BLOCK, digits, block);
        for (int k = 0; k < digits; k++) acts[k * blocks + b] = block[k];
    }
}

// Rows first .. first + count - 1 for each input.
static void few_rows(const LinearUse *use, const float *x, const BlockAct *acts, int64_t n, int64_t first,
                     int64_t count) {
    const Linear *layer = use->layer;
    const Tensor *w = layer->weight;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w), groups = cols / BLOCK;
    const Kernels *k = kernels_get();
    if (!layer->panels) {
        size_t row_bytes = w->bytes / (size_t)rows;
        for (int64_t r = first; r < first + count; r++)
            for (int64_t t = 0; t < n; t++)
                put(layer, k->dot_f32[w->type](w->data + (size_t)r * row_bytes, x + t * cols, cols), r, use->add,
                    use->y + t * rows);
        return;
    }
    const uint8_t *panel = layer->panels + (size_t)(first / GEMV_ROWS) * gemv_panel_bytes(w->type, cols);
    for (int64_t t = 0; t < n; t++) {
        float values[GEMV_ROWS], rest[GEMV_ROWS] = {0};
        k->gemv[w->type](panel, groups, acts + t * groups, values);
        if (layer->fine) k->gemv[w->type](panel, groups, acts + (n + t) * groups, rest); // the second digit
        for (int64_t i = 0; i < count; i++) put(layer, values[i] + rest[i], first + i, use->add, use->y + t * rows);
    }
}

// One loop over the rows of all.
static void apply_few(const LinearUse *uses, int count, const float *x, int64_t n, BlockAct *acts) {
    int64_t ends[LINEAR_USES], groups = 0;
    int64_t cols = tensor_cols(uses[0].layer->weight);
    int digits = 0;
    for (int u = 0; u < count; u++) {
        groups += (tensor_rows(uses[u].layer->weight) + GEMV_ROWS - 1) / GEMV_ROWS;
        ends[u] = groups;
        if (uses[u].layer->panels) digits = linear_digits(uses[u].layer);
    }
    if (digits) few_round(x, n, cols, digits, acts);
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        int u = 0;
        while (g >= ends[u]) u++;
        int64_t first = (g - (u ? ends[u - 1] : 0)) * GEMV_ROWS, rows = tensor_rows(uses[u].layer->weight);
        few_rows(&uses[u], x, acts, n, first, min(GEMV_ROWS, rows - first));
    }
}

// ---- many inputs: a panel of weights is made ready, then multiplied with all of them

static void add_bias(float *y, const float *bias, int64_t n, int64_t count, int64_t stride, bool add) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < count; r++) y[t * stride + r] = bias[r] + (add ? y[t * stride + r] : 0);
}

// Inputs of one task: whole groups, fewer where threads would be left without. OpenBLAS's digits depend on it.
static int64_t tokens_together(const Gemm *gemm, int64_t n) {
    enum { MOST = 288 };
    int64_t share = (n + threads_count() - 1) / threads_count();
    return gemm ? min(MOST, (share + gemm->inputs - 1) / gemm->inputs * gemm->inputs) : MOST;
}

static void multiply_plain(const LinearUse *use, const Panel *panel, int64_t first, const float *x, int64_t n) {
    const float *bias = use->layer->bias ? use->layer->bias + first : NULL;
    int64_t stride = tensor_rows(use->layer->weight), step = tokens_together(panel->gemm, n);
#pragma omp parallel for schedule(dynamic)
    for (int64_t t = 0; t < n; t += step) {
        int64_t tokens = min(step, n - t);
        float *y = use->y + t * stride + first;
        if (bias) add_bias(y, bias, tokens, panel->rows, stride, use->add);
        panel_multiply(panel, x + t * panel->cols, tokens, y, stride, use->add || bias);
    }
}

enum { ACTS_TOKENS = 48 }; // inputs of one task: whole groups of every kernel (6, 4, 1)

// Rows of one task: many, for each task brings its inputs into the cache; fewer where threads would be left without.
static int64_t task_rows(int64_t rows, int64_t cols, int64_t n) {
    enum { WEIGHTS = 1 << 20, TASKS = 8 }; // bytes that a task goes through; tasks that a thread has at least
    int64_t parts = (TASKS * threads_count() * ACTS_TOKENS + n - 1) / n;
    int64_t most = min(WEIGHTS / (cols + 1), (rows + parts - 1) / parts);
    return max((most + INT8_ROWS - 1) / INT8_ROWS, 1) * INT8_ROWS;
}

// One task: rows row .. row + rows - 1 of a panel, which starts at the layer's row `first`.
static void task_multiply(const Linear *layer, const Panel *panel, int64_t first, const BlockAct *acts, int64_t tokens,
                          int64_t row, int64_t rows, float *y, int64_t stride, bool add) {
    if (layer->bias) add_bias(y, layer->bias + first + row, tokens, rows, stride, add);
    panel_multiply_acts(panel, acts, tokens, row, rows, y, stride, add || layer->bias);
}

// Both rows and inputs are shared out: inputs are rounded already.
static void multiply_acts(const LinearUse *use, const Panel *panel, int64_t first, const BlockAct *acts, int64_t n) {
    int64_t stride = tensor_rows(use->layer->weight), blocks = panel->cols / BLOCK * panel->digits;
    int64_t height = task_rows(panel->rows, panel->cols, n);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t r = 0; r < panel->rows; r += height)
        for (int64_t t = 0; t < n; t += ACTS_TOKENS)
            task_multiply(use->layer, panel, first, acts + t * blocks, min(ACTS_TOKENS, n - t), r,
                          min(height, panel->rows - r), use->y + t * stride + first + r, stride, use->add);
}

static void apply_many(const LinearUse *use, const float *x, const BlockAct *acts, int64_t n, void *memory) {
    const Linear *layer = use->layer;
    int64_t rows = tensor_rows(layer->weight), height = panel_rows(rows, tensor_cols(layer->weight));
    for (int64_t first = 0; first < rows; first += height) {
        Panel panel =
            panel_load(layer->weight, layer->compute, linear_digits(layer), first, min(height, rows - first), memory);
        if (panel.digits)
            multiply_acts(use, &panel, first, acts, n);
        else
            multiply_plain(use, &panel, first, x, n);
    }
}

void linear_round(const float *x, int64_t n, int64_t cols, int digits, BlockAct *acts) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) gemm_int8_round(x + t * cols, cols, digits, acts + t * (cols / BLOCK) * digits);
}

void linear_apply_all(const LinearUse *uses, int count, const float *x, int64_t n, void *memory) {
    const int64_t cols = tensor_cols(uses[0].layer->weight);
    bool few = n <= LINEAR_FEW;
    int digits = 0;
    for (int u = 0; u < count; u++) {
        const Linear *layer = uses[u].layer;
        int own = linear_digits(layer);
        if (own) digits = own; // all that are in integers have the same
        few = few && (layer->panels || !own || layer->compute != COMPUTE_INT8);
    }
    BlockAct *acts = memory;
    if (few) {
        apply_few(uses, count, x, n, acts);
        return;
    }
    if (digits) linear_round(x, n, cols, digits, acts);
    uint8_t *panel = (uint8_t *)memory + linear_input_bytes(n, cols, digits);
    for (int u = 0; u < count; u++) apply_many(&uses[u], x, acts, n, panel);
}

void linear_apply(const Linear *layer, const float *x, int64_t n, float *y, bool add, void *memory) {
    linear_apply_all(&(LinearUse){layer, y, add}, 1, x, n, memory);
}

// ---- what is rounded from one layer to the next

// Rows of two panels, side by side in the memory of one.
static int64_t pair_rows(const Linear *layer) {
    const Tensor *w = layer->weight;
    return panel_rows(tensor_rows(w), tensor_cols(w)) / 2 / INT8_ROWS * INT8_ROWS;
}

bool linear_pair_can(const Linear *gate, const Linear *up, const Linear *next, int64_t n) {
    int digits = linear_digits(next);
    return n >= INT8_TOKENS_MOST && digits && linear_digits(gate) == digits && linear_digits(up) == digits &&
           pair_rows(up) > 0;
}

// Some inputs by some rows of both, of which so many at a time are in f32.
static void pair_task(const LinearPair *pair, const Panel panels[2], int64_t first, const BlockAct *acts,
                      int64_t tokens, int64_t row, int64_t rows, BlockAct *out) {
    enum { ROWS = 128 };
    alignas(64) float gate[ACTS_TOKENS * ROWS], up[ACTS_TOKENS * ROWS];
    const int digits = panels[0].digits;
    const int64_t out_blocks = tensor_rows(pair->up->weight) / BLOCK * digits;
    for (int64_t r = row; r < row + rows; r += ROWS) {
        int64_t count = min(ROWS, row + rows - r);
        task_multiply(pair->gate, &panels[0], first, acts, tokens, r, count, gate, count, false);
        task_multiply(pair->up, &panels[1], first, acts, tokens, r, count, up, count, false);
        pair->activate(pair->context, gate, up, tokens * count);
        for (int64_t i = 0; i < tokens; i++)
            gemm_int8_round(gate + i * count, count, digits, out + i * out_blocks + (first + r) / BLOCK * digits);
    }
}

static void pair_multiply(const LinearPair *pair, const Panel panels[2], int64_t first, const BlockAct *acts, int64_t n,
                          BlockAct *out) {
    const int digits = panels[0].digits;
    int64_t all = panels[0].rows, blocks = panels[0].cols / BLOCK * digits;
    int64_t out_blocks = tensor_rows(pair->up->weight) / BLOCK * digits;
    int64_t height = task_rows(all, 2 * panels[0].cols, n);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t r = 0; r < all; r += height)
        for (int64_t t = 0; t < n; t += ACTS_TOKENS)
            pair_task(pair, panels, first, acts + t * blocks, min(ACTS_TOKENS, n - t), r, min(height, all - r),
                      out + t * out_blocks);
}

void linear_pair(const LinearPair *pair, const float *x, int64_t n, BlockAct *out, void *memory) {
    const Tensor *w = pair->up->weight;
    int64_t rows = tensor_rows(w), cols = tensor_cols(w), height = pair_rows(pair->up);
    const int digits = linear_digits(pair->up);
    BlockAct *acts = memory;
    uint8_t *weights = (uint8_t *)memory + linear_input_bytes(n, cols, digits);
    linear_round(x, n, cols, digits, acts);
    for (int64_t first = 0; first < rows; first += height) {
        int64_t count = min(height, rows - first);
        Panel panels[2] = {
            panel_load(pair->gate->weight, pair->gate->compute, digits, first, count, weights),
            panel_load(w, pair->up->compute, digits, first, count, weights + panel_bytes(height, cols)),
        };
        pair_multiply(pair, panels, first, acts, n, out);
    }
}

void linear_apply_acts(const Linear *layer, const BlockAct *acts, int64_t n, float *y, bool add, void *memory) {
    apply_many(&(LinearUse){layer, y, add}, NULL, acts, n, memory);
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
        int64_t step = tokens_together(panel.gemm, n);
#pragma omp parallel for schedule(dynamic)
        for (int64_t t = 0; t < n; t += step)
            panel_multiply_back(&panel, dy + t * rows + first, rows, min(step, n - t), dx + t * cols, add || first);
    }
}
