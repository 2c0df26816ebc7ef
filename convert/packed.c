#include "convert/packed.h"

#include "core/mem.h"
#include "core/size.h"
#include <math.h>
#include <string.h>

enum { PIECE = 1 << 20 }; // elements rounded at a time, at least a row

static int64_t groups_of(const Packed *p) { return p->cols / p->grid.group; }

void packed_free(Packed *packed) {
    mem_free(packed->codes);
    mem_free(packed->scales);
    mem_free(packed->zeros);
    *packed = (Packed){0};
}

static bool packed_alloc(Packed *p, Error *err) {
    size_t groups, codes;
    if (!size_mul((size_t)p->rows, (size_t)groups_of(p), &groups) ||
        !size_mul((size_t)p->rows, (size_t)p->cols, &codes))
        return error_set(err, "out of memory");
    p->codes = mem_alloc(codes, 1, err);
    p->scales = p->codes ? mem_alloc(groups, sizeof *p->scales, err) : NULL;
    p->zeros = p->scales ? mem_alloc(groups, 1, err) : NULL;
    return p->zeros;
}

// ---- blocks that are groups already: an f16 scale, then 32 codes (GGUF's q4_0 and q8_0)

bool packed_carries(const Tensor *t, const GroupGrid *grid) {
    return grid->symmetric && grid->group == 32 && grid->scale == DT_F16 &&
           t->type == (grid->bits == 4 ? DT_Q4_0 : DT_Q8_0);
}

// q4_0 has element i in the low half of a byte, i + 16 in the high one; q8_0 has signed bytes.
static bool carry_block(const uint8_t *block, int bits, uint16_t *scale, uint8_t codes[32]) {
    const uint8_t *q = block + 2;
    *scale = (uint16_t)(block[0] | block[1] << 8);
    for (int i = 0; i < 32; i++) {
        if (bits == 4)
            codes[i] = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
        else
            codes[i] = (uint8_t)(q[i] + 128);
    }
    return (*scale & 0x7c00) != 0x7c00; // neither infinite nor NaN
}

static bool carry_rows(const Tensor *t, const uint8_t *source, int64_t row, Packed *p, Error *err) {
    int64_t groups = groups_of(p);
    for (int64_t g = 0; g < groups; g++) {
        int64_t at = row * groups + g;
        p->zeros[at] = (uint8_t)(1 << (p->grid.bits - 1));
        if (!carry_block(source + cast_bytes(t->type, 32 * g), p->grid.bits, &p->scales[at], p->codes + 32 * at))
            return error_set(err, "tensor %s: has an infinite scale or NaN at row %lld", tensor_label(t),
                             (long long)row);
    }
    return true;
}

// ---- all else is rounded

// What f16 scales can say is at most their largest number; half of that leaves room for what rounding adds.
static bool check_values(const Tensor *t, const GroupGrid *grid, const float *values, int64_t n, int64_t row,
                         Error *err) {
    float limit = grid->scale == DT_F16 ? 32752.0f : 1e38f, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(values[i]);
        if (!(a <= limit) && !isfinite(a))
            return error_set(err, "tensor %s: has a NaN or infinity at row %lld; the checkpoint is broken",
                             tensor_label(t), (long long)(row + i / tensor_cols(t)));
        if (a > largest) largest = a;
    }
    return largest <= limit || error_set(err, "tensor %s: has values up to %g, too large for scales in %s",
                                         tensor_label(t), (double)largest, dtype_name(grid->scale));
}

typedef struct Bench {
    float *values, *scales;
    uint8_t *source; // a row that is put together
} Bench;

static bool round_rows(const Tensor *t, int64_t row, int64_t n, const CastKernels *kernels, GroupsFn *round,
                       const Bench *bench, Packed *p, Error *err) {
    int64_t groups = groups_of(p);
    if (!check_values(t, &p->grid, bench->values, n * p->cols, row, err)) return false;
    round(&p->grid, bench->values, n * groups, p->codes + row * p->cols, bench->scales, p->zeros + row * groups);
    kernels->narrow(p->grid.scale, bench->scales, p->scales + row * groups, n * groups);
    return true;
}

static int64_t source_row(int64_t row, int64_t rotary, bool back) {
    return rotary ? row / rotary * rotary + export_rotary_row(row % rotary, rotary, back) : row;
}

static bool make_rows(const Tensor *t, int64_t rotary, bool back, const CastKernels *kernels, GroupsFn *round,
                      const Bench *bench, int64_t step, Packed *p, Error *err) {
    bool carries = packed_carries(t, &p->grid);
    for (int64_t row = 0; row < p->rows; row += step) {
        int64_t n = p->rows - row < step ? p->rows - row : step;
        for (int64_t r = 0; r < n; r++) {
            const uint8_t *source = tensor_read(t, source_row(row + r, rotary, back), 1, bench->source);
            if (!carries)
                kernels->widen(t->type, source, bench->values + r * p->cols, p->cols);
            else if (!carry_rows(t, source, row + r, p, err))
                return false;
        }
        if (!carries && !round_rows(t, row, n, kernels, round, bench, p, err)) return false;
    }
    return true;
}

bool packed_make(const Tensor *t, int64_t rotary, bool back, const GroupGrid *grid, const CastKernels *kernels,
                 GroupsFn *round, Packed *out, Error *err) {
    *out = (Packed){.rows = tensor_rows(t), .cols = tensor_cols(t), .grid = *grid};
    int64_t step = out->cols < PIECE ? PIECE / out->cols : 1;
    if (step > out->rows) step = out->rows;
    if (rotary && out->rows % rotary)
        return error_set(err, "tensor %s: its rows are no whole number of heads of %lld", tensor_label(t),
                         (long long)rotary);
    Bench bench = {0};
    bool ok = tensor_verify(t, err) && packed_alloc(out, err) &&
              (bench.values = mem_alloc((size_t)(step * out->cols), sizeof(float), err)) &&
              (bench.scales = mem_alloc((size_t)(step * groups_of(out)), sizeof(float), err)) &&
              (!t->layout || (bench.source = mem_alloc(tensor_row_bytes(t), 1, err))) &&
              make_rows(t, rotary, back, kernels, round, &bench, step, out, err);
    mem_free(bench.values);
    mem_free(bench.scales);
    mem_free(bench.source);
    tensor_release(t, 0, tensor_rows(t));
    return ok;
}
