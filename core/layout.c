#include "core/layout.h"

#include "core/mem.h"
#include "core/size.h"
#include <string.h>

typedef struct PartLayout {
    TensorLayout layout;
    Tensor source;
    Part part;
    size_t unit;  // bytes of one of its rows, or elements where it is transposed
    int64_t rows; // of the source: where it is transposed, how long a result's row is
} PartLayout;

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t source_row(const Part *p, int64_t r) { return p->first + r / p->run * p->stride + r % p->run; }

static bool is_contiguous(const Part *p) { return p->run >= p->rows || p->run == p->stride; }

static void part_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    const PartLayout *l = (const PartLayout *)layout;
    for (int64_t r = first, n; r < first + count; r += n) {
        n = min(l->part.run - r % l->part.run, first + count - r);
        const int64_t from = source_row(&l->part, r);
        uint8_t *to = out + (size_t)(r - first) * l->unit;
        if (l->source.layout)
            tensor_read(&l->source, from, n, to);
        else
            memcpy(to, l->source.data + (size_t)from * l->unit, (size_t)n * l->unit);
    }
}

static void part_release(const TensorLayout *layout, int64_t first, int64_t count) {
    const PartLayout *l = (const PartLayout *)layout;
    if (count < 1) return;
    int64_t from = source_row(&l->part, first), last = source_row(&l->part, first + count - 1);
    tensor_release(&l->source, from, last - from + 1);
}

// Columns from `first` on become rows; in tiles of source rows that stay in the cache while their columns are taken.
static void transposed_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    enum { TILE = 64 };
    const PartLayout *l = (const PartLayout *)layout;
    size_t size = l->unit, row = tensor_row_bytes(&l->source), length = (size_t)l->rows * size;
    for (int64_t i0 = 0; i0 < l->rows; i0 += TILE)
        for (int64_t r = 0; r < count; r++) {
            const uint8_t *from = l->source.data + (size_t)i0 * row + (size_t)source_row(&l->part, first + r) * size;
            uint8_t *to = out + (size_t)r * length + (size_t)i0 * size;
            for (int64_t i = i0; i < min(i0 + TILE, l->rows); i++, from += row, to += size) memcpy(to, from, size);
        }
}

// Each piece of the result touches the whole source: its pages go when the last has been read.
static void transposed_release(const TensorLayout *layout, int64_t first, int64_t count) {
    const PartLayout *l = (const PartLayout *)layout;
    if (first + count == l->part.rows) tensor_release(&l->source, 0, l->rows);
}

Part part_settle(Part p, int64_t source_rows) {
    if (!p.rows) p.rows = source_rows - p.first;
    if (!p.run) p.run = p.stride = p.rows;
    return p;
}

static bool part_fits(const Part *p, int64_t units) {
    if (p->rows < 1 || p->first < 0 || p->run < 1 || p->stride < 0 || p->rows > units) return false;
    int64_t gaps = (p->rows - 1) / p->run, rest = (p->rows - 1) % p->run, last;
    return !__builtin_mul_overflow(gaps, p->stride, &last) && !__builtin_add_overflow(last, p->first, &last) &&
           !__builtin_add_overflow(last, rest, &last) && last < units && (!gaps || p->first + p->run <= units);
}

static bool check_part(const Tensor *s, const Part *p, Error *err) {
    char text[96];
    bool vector = s->dims == 1;
    int64_t units = vector || p->transposed ? tensor_cols(s) : tensor_rows(s);
    if (s->dims != 1 && s->dims != 2)
        return error_set(err, "tensor %s: has shape %s where a matrix or a vector is needed", tensor_label(s),
                         tensor_shape_text(s, text));
    if (!part_fits(p, units))
        return error_set(err, "tensor %s: has shape %s, too small for the %lld rows that the config calls for",
                         tensor_label(s), tensor_shape_text(s, text), (long long)(p->first + p->rows));
    if ((vector || p->transposed) && (dtype_is_block(s->type) || s->layout))
        return error_set(err, "tensor %s: is %s, and cannot be taken apart", tensor_label(s),
                         s->layout ? "encoded" : dtype_name(s->type));
    return true;
}

// A vector's elements, in memory: there are few of them.
static void *elements_take(const Tensor *source, const Part *p, size_t size, Error *err) {
    uint8_t *elements = mem_alloc((size_t)p->rows, size, err);
    for (int64_t r = 0; elements && r < p->rows; r++)
        memcpy(elements + (size_t)r * size, source->data + (size_t)source_row(p, r) * size, size);
    return elements;
}

static bool tensor_flat(const Tensor *source, Tensor *out, Error *err) {
    char text[96];
    if (source->dims > 2 || !source->dims || source->layout || dtype_is_block(source->type))
        return error_set(err, "tensor %s: has shape %s and type %s where plain numbers in 1 or 2 dimensions are needed",
                         tensor_label(source), tensor_shape_text(source, text), dtype_name(source->type));
    *out = *source;
    out->dims = 1;
    out->shape[0] = tensor_elements(source);
    out->has_hash = false;
    return true;
}

bool tensor_part(const Tensor *source, const Part *asked, Tensor *out, void **owned, Error *err) {
    bool flat = source->dims == 1 || asked->transposed;
    Part p = part_settle(*asked, flat ? tensor_cols(source) : tensor_rows(source));
    *owned = NULL;
    if (asked->flat) return tensor_flat(source, out, err);
    if (!check_part(source, &p, err)) return false;
    bool vector = source->dims == 1;
    *out = (Tensor){.type = source->type, .dims = source->dims, .file = source->file};
    if (vector) p.transposed = false;
    out->shape[0] = p.rows;
    if (!vector) out->shape[1] = p.transposed ? tensor_rows(source) : tensor_cols(source);
    out->source = source->source;
    bool ok = tensor_size(out, err);
    out->source = NULL;
    if (!ok) return false;

    size_t unit = vector || p.transposed ? dtype_info(source->type)->block_bytes : tensor_row_bytes(source);
    if (!p.transposed && is_contiguous(&p) && !source->layout) {
        out->data = source->data + (size_t)p.first * unit;
        return true;
    }
    if (vector) {
        out->file = NULL;
        out->data = *owned = elements_take(source, &p, unit, err);
        return *owned != NULL;
    }
    PartLayout *l = mem_alloc(1, sizeof *l, err);
    if (!l) return false;
    *l = (PartLayout){.source = *source, .part = p, .unit = unit, .rows = tensor_rows(source)};
    l->source.name = l->source.source = NULL; // the original may go
    l->layout =
        p.transposed ? (TensorLayout){transposed_read, transposed_release} : (TensorLayout){part_read, part_release};
    out->layout = &l->layout;
    out->file = NULL;
    *owned = l;
    return true;
}

void tensor_part_scatter(const Part *p, const uint8_t *rows, int64_t source_rows, int64_t source_cols, size_t element,
                         uint8_t *source) {
    int64_t cols = p->transposed ? source_rows : source_cols;
    size_t row = (size_t)source_cols * element;
    for (int64_t r = 0; r < p->rows; r++) {
        const uint8_t *from = rows + (size_t)(r * cols) * element;
        int64_t at = source_row(p, r);
        if (!p->transposed) {
            memcpy(source + (size_t)at * row, from, (size_t)cols * element);
            continue;
        }
        uint8_t *to = source + (size_t)at * element;
        for (int64_t i = 0; i < cols; i++, from += element, to += row) memcpy(to, from, element);
    }
}

bool tensor_slice(const Tensor *s, int64_t index, Tensor *out, void **owned, Error *err) {
    char text[96];
    *owned = NULL;
    if (s->dims < 2 || index < 0 || index >= s->shape[0])
        return error_set(err, "tensor %s: has shape %s, which has no part %lld", tensor_label(s),
                         tensor_shape_text(s, text), (long long)index);
    *out = (Tensor){.type = s->type, .dims = s->dims - 1, .file = s->file};
    memcpy(out->shape, s->shape + 1, (size_t)out->dims * sizeof *out->shape);
    out->bytes = s->bytes / (size_t)s->shape[0];
    if (!s->layout) {
        out->data = s->data + (size_t)index * out->bytes;
        return true;
    }
    int64_t rows = tensor_rows(out);
    PartLayout *l = mem_alloc(1, sizeof *l, err);
    if (!l) return false;
    *l = (PartLayout){.layout = {part_read, part_release},
                      .source = *s,
                      .part = {.rows = rows, .first = index * rows, .run = rows, .stride = rows},
                      .unit = tensor_row_bytes(s)};
    l->source.name = l->source.source = NULL;
    out->layout = &l->layout;
    *owned = l;
    return true;
}
