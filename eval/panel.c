#include "eval/panel.h"

#include "quant/kernels/kernels.h"
#include <cblas.h>

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static const uint8_t *weight_row(const Tensor *weight, int64_t row) {
    return weight->data + (size_t)row * (weight->bytes / (size_t)tensor_rows(weight));
}

static size_t max(size_t a, size_t b) { return a > b ? a : b; }

static size_t gemm_bytes(const Gemm *gemm, int64_t rows, int64_t cols) { return gemm ? gemm->bytes(rows, cols) : 0; }

size_t panel_bytes(int64_t rows, int64_t cols) {
    const Kernels *k = kernels_get();
    size_t plain = (size_t)rows * (size_t)cols * sizeof(float), int8 = gemm_int8_bytes(rows, cols);
    return max(max(plain, int8), max(gemm_bytes(k->gemm, rows, cols), gemm_bytes(k->gemm_bf16, rows, cols)));
}

int panel_digits(const Tensor *weight, Compute compute, bool fine) {
    const Kernels *k = kernels_get();
    int digits = compute == COMPUTE_INT8 ? (fine ? 2 : 1) : k->exact ? 3 : 0;
    return digits && gemm_int8_can(k->int8, weight->type, tensor_cols(weight), digits) ? digits : 0;
}

static const Gemm *gemm_choose(const Tensor *weight, Compute compute) {
    const Kernels *k = kernels_get();
    bool round = compute == COMPUTE_INT8 && !dtype_is_block(weight->type);
    return round && k->gemm_bf16 ? k->gemm_bf16 : k->gemm;
}

static void int8_load(const Tensor *weight, int64_t first, int64_t count, void *packed) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < count; row += INT8_ROWS)
        gemm_int8_pack(kernels_get()->int8, weight->type, weight_row(weight, first), row, count, tensor_cols(weight),
                       packed);
}

static void plain_load(const Tensor *weight, int64_t first, int64_t count, float *values) {
    int64_t cols = tensor_cols(weight);
    ToF32Fn to_f32 = kernels_get()->to_f32[weight->type];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; r++) to_f32(weight_row(weight, first + r), values + r * cols, cols);
}

// Piece by piece through the cache.
static void packed_load(const Gemm *gemm, const Tensor *weight, int64_t first, int64_t count, void *packed) {
    int64_t cols = tensor_cols(weight);
    const DTypeInfo *type = dtype_info(weight->type);
    ToF32Fn to_f32 = kernels_get()->to_f32[weight->type];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < count; row += GEMM_ROWS)
        for (int64_t col = 0; col < cols; col += GEMM_COLS) {
            GemmPiece piece = {row, min(GEMM_ROWS, count - row), col, min(GEMM_COLS, cols - col)};
            size_t skip = (size_t)(col / type->block) * type->block_bytes;
            float values[GEMM_ROWS * GEMM_COLS];
            for (int64_t r = 0; r < piece.rows; r++)
                to_f32(weight_row(weight, first + row + r) + skip, values + r * GEMM_COLS, piece.cols);
            gemm->pack(values, GEMM_COLS, piece, count, cols, packed);
        }
}

Panel panel_load(const Tensor *weight, Compute compute, int digits, int64_t first, int64_t count, void *memory) {
    Panel panel = {.type = weight->type, .values = memory, .rows = count, .cols = tensor_cols(weight)};
    if (digits) {
        panel.int8 = kernels_get()->int8;
        panel.digits = digits;
        int8_load(weight, first, count, memory);
        return panel;
    }
    panel.gemm = gemm_choose(weight, compute);
    const uint8_t *rows = weight_row(weight, first);
    if (panel.gemm)
        packed_load(panel.gemm, weight, first, count, memory);
    else if (weight->type == DT_F32 && (uintptr_t)rows % sizeof(float) == 0)
        panel.values = rows;
    else
        plain_load(weight, first, count, memory);
    return panel;
}

void panel_multiply(const Panel *p, const float *x, int64_t n, float *y, int64_t y_stride, bool add) {
    if (p->gemm)
        p->gemm->multiply(x, n, p->cols, p->values, p->rows, p->cols, y, y_stride, add);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)p->rows, (int)p->cols, 1, x, (int)p->cols,
                    p->values, (int)p->cols, add ? 1 : 0, y, (int)y_stride);
}

void panel_multiply_acts(const Panel *p, const BlockAct *x, int64_t n, int64_t row, int64_t rows, float *y,
                         int64_t y_stride, bool add) {
    gemm_int8_multiply(p->int8, p->type, p->digits, x, n, p->values, row, rows, p->cols, y, y_stride, add);
}

// ---- the way back

size_t panel_back_bytes(int64_t rows, int64_t cols) {
    const Gemm *gemm = kernels_get()->gemm;
    size_t plain = (size_t)rows * (size_t)cols * sizeof(float), packed = gemm ? gemm->bytes(cols, rows) : 0;
    return packed > plain ? packed : plain;
}

// Packs W^T [cols, count], a square of W at a time.
static void packed_load_back(const Gemm *gemm, const Tensor *weight, int64_t first, int64_t count, void *packed) {
    enum { SIDE = GEMM_COLS };
    int64_t cols = tensor_cols(weight);
    const DTypeInfo *type = dtype_info(weight->type);
    ToF32Fn to_f32 = kernels_get()->to_f32[weight->type];
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t row = 0; row < count; row += SIDE)
        for (int64_t col = 0; col < cols; col += SIDE) {
            float square[SIDE * SIDE];
            int64_t rows = min(SIDE, count - row), width = min(SIDE, cols - col);
            size_t skip = (size_t)(col / type->block) * type->block_bytes;
            for (int64_t r = 0; r < rows; r++)
                to_f32(weight_row(weight, first + row + r) + skip, square + r * SIDE, width);
            for (int64_t c0 = 0; c0 < width; c0 += GEMM_ROWS) {
                GemmPiece piece = {col + c0, min(GEMM_ROWS, width - c0), row, rows};
                gemm->pack_turned(square + c0, SIDE, piece, cols, count, packed);
            }
        }
}

Panel panel_load_back(const Tensor *weight, int64_t first, int64_t count, void *memory) {
    const Gemm *gemm = kernels_get()->gemm;
    if (!gemm) return panel_load(weight, COMPUTE_F32, 0, first, count, memory);
    packed_load_back(gemm, weight, first, count, memory);
    return (Panel){.gemm = gemm, .values = memory, .rows = count, .cols = tensor_cols(weight)};
}

void panel_multiply_back(const Panel *p, const float *dy, int64_t dy_stride, int64_t n, float *dx, bool add) {
    if (p->gemm)
        p->gemm->multiply(dy, n, dy_stride, p->values, p->cols, p->rows, dx, p->cols, add);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)p->cols, (int)p->rows, 1, dy,
                    (int)dy_stride, p->values, (int)p->cols, add ? 1 : 0, dx, (int)p->cols);
}
