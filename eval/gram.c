#include "eval/gram.h"

#include "core/mem.h"
#include "core/size.h"
#include "eval/vector_squares.h"
#include "quant/kernels/kernels.h"
#include <cblas.h>
#include <math.h>

// Fixed by the width alone.
enum {
    TILE = 192,             // a tile's rows and columns, whole GEMM_ROWS
    TILE_SMALL = 96,        // of narrow matrices, so that there are enough of them
    NARROW = 1024,          // columns
    TOKENS = 1024,          // that are multiplied together, whole GEMM_COLS
    TOKENS_MIN = GEMM_COLS, // of wide matrices
    BLOCK_BYTES = 24 << 20, // what a block of tokens may take
    STRIP = GEMM_ROWS,      // columns that are transposed and packed in one task
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct Block {
    const Gemm *gemm;    // NULL: OpenBLAS
    const float *values; // [cols, tokens]
    uint8_t *packed;     // the same by tiles, as gemm wants weights
    size_t packed_tile;  // bytes
    int64_t cols, tokens, tile, tiles;
} Block;

static int64_t block_tokens(int64_t cols) {
    int64_t fit = BLOCK_BYTES / (cols * (int64_t)sizeof(float)) / TOKENS_MIN * TOKENS_MIN;
    return fit > TOKENS ? TOKENS : fit < TOKENS_MIN ? TOKENS_MIN : fit;
}

void gram_free(Gram *g) {
    mem_free(g->transposed);
    mem_free(g->packed);
    mem_free(g->scale);
    *g = (Gram){0};
}

static bool reserve(void *slot, size_t *have, size_t bytes, Error *err) {
    void **memory = slot;
    if (bytes <= *have) return true;
    mem_free(*memory);
    *have = 0;
    *memory = mem_alloc(bytes, 1, err);
    if (*memory) *have = bytes;
    return *memory != NULL;
}

// Columns as rows, each token by its scale, then packed: a strip of columns in each task.
static void block_load(const Block *b, const float *z, const float *scale, float *transposed) {
    const VectorSquares *math = vector_squares();
#pragma omp parallel for schedule(dynamic)
    for (int64_t col = 0; col < b->cols; col += STRIP) {
        int64_t count = min(STRIP, b->cols - col), at = col % b->tile;
        float *strip = transposed + col * b->tokens;
        math->transpose(z + col, b->cols, b->tokens, count, scale, strip, b->tokens);
        for (int64_t t = 0; b->gemm && t < b->tokens; t += GEMM_COLS) {
            GemmPiece piece = {at, count, t, min(GEMM_COLS, b->tokens - t)};
            b->gemm->pack(strip + t, b->tokens, piece, min(b->tile, b->cols - col + at), b->tokens,
                          b->packed + (size_t)(col / b->tile) * b->packed_tile);
        }
    }
}

static void tile_add(const Block *b, int64_t i, int64_t j, float *h) {
    int64_t row = i * b->tile, col = j * b->tile;
    int64_t rows = min(b->tile, b->cols - row), cols = min(b->tile, b->cols - col);
    float *to = h + row * b->cols + col;
    const float *a = b->values + row * b->tokens, *c = b->values + col * b->tokens;
    if (b->gemm)
        b->gemm->multiply(a, rows, b->tokens, b->packed + (size_t)j * b->packed_tile, cols, b->tokens, to, b->cols,
                          true);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)cols, (int)b->tokens, 1, a, (int)b->tokens,
                    c, (int)b->tokens, 1, to, (int)b->cols);
}

bool gram_add(Gram *g, const float *z, int64_t n, int64_t cols, const float *weight, float *h, Error *err) {
    int64_t step = block_tokens(cols);
    Block b = {.gemm = kernels_get()->gemm, .cols = cols, .tile = cols < NARROW ? TILE_SMALL : TILE};
    b.tiles = (cols + b.tile - 1) / b.tile;
    if (b.gemm) b.packed_tile = size_align(b.gemm->bytes(b.tile, step), 64);
    if (!reserve(&g->transposed, &g->transposed_bytes, (size_t)(cols * step) * sizeof(float), err) ||
        !reserve(&g->packed, &g->packed_bytes, (size_t)b.tiles * b.packed_tile, err) ||
        !reserve(&g->scale, &g->scale_bytes, (size_t)step * sizeof(float), err))
        return false;
    b.values = g->transposed;
    b.packed = g->packed;
    for (int64_t first = 0; first < n; first += step) {
        b.tokens = min(step, n - first);
        for (int64_t t = 0; weight && t < b.tokens; t++) g->scale[t] = sqrtf(weight[first + t]);
        block_load(&b, z + first * cols, weight ? g->scale : NULL, g->transposed);
#pragma omp parallel for schedule(dynamic)
        for (int64_t task = 0; task < b.tiles * b.tiles; task++)
            if (task / b.tiles <= task % b.tiles) tile_add(&b, task / b.tiles, task % b.tiles, h);
    }
    return true;
}

void gram_sum(float *to, const float *from, int64_t cols) {
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = i; j < cols; j++) to[i * cols + j] += from[i * cols + j];
}

void gram_finish(float *h, int64_t cols, float by) {
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = i; j < cols; j++) h[i * cols + j] *= by;
    // Tiles that stay in the cache, of which each belongs to one thread.
    enum { SQUARE = 64 };
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < cols; i += SQUARE)
        for (int64_t j = 0; j <= i; j += SQUARE)
            for (int64_t r = i; r < min(cols, i + SQUARE); r++)
                for (int64_t c = j; c < min(r, j + SQUARE); c++) h[r * cols + c] = h[c * cols + r];
}
