#include "convert/compose.h"

#include "core/mem.h"
#include "core/size.h"
#include <string.h>

// Where a row of the whole comes from; of a transposed whole, a column.
typedef struct From {
    uint32_t piece;
    int64_t row;
} From;

typedef struct Compose {
    TensorLayout layout;
    const CastKernels *kernels;
    DType type;
    int64_t length;         // of a piece's rows
    int64_t rows;           // of the pieces together
    const Tensor **tensors; // [pieces]
    From *from;             // [rows]
    uint8_t *source;        // a row of any piece
    uint8_t *row;           // the same in the whole's type
    size_t size;            // of an element; of a transposed whole
} Compose;

static int64_t part_row(const Part *p, int64_t r) { return p->first + r / p->run * p->stride + r % p->run; }

// One row of a piece in the whole's type: where it lies, or in memory.
static const uint8_t *piece_row(const Compose *c, int64_t row) {
    const Tensor *t = c->tensors[c->from[row].piece];
    const uint8_t *source = tensor_read(t, c->from[row].row, 1, c->source);
    if (t->type == c->type) return source;
    c->kernels->widen(t->type, source, (float *)c->row, c->length);
    return c->row;
}

static void rows_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    const Compose *c = (const Compose *)layout;
    size_t bytes = cast_bytes(c->type, c->length);
    for (int64_t r = 0; r < count; r++) memcpy(out + (size_t)r * bytes, piece_row(c, first + r), bytes);
}

static void rows_release(const TensorLayout *layout, int64_t first, int64_t count) {
    const Compose *c = (const Compose *)layout;
    for (int64_t r = first; r < first + count; r++) tensor_release(c->tensors[c->from[r].piece], c->from[r].row, 1);
}

// Rows of the whole are columns of the pieces.
static void columns_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    const Compose *c = (const Compose *)layout;
    for (int64_t col = 0; col < c->rows; col++) {
        const uint8_t *row = piece_row(c, col) + (size_t)first * c->size;
        uint8_t *to = out + (size_t)col * c->size;
        for (int64_t i = 0; i < count; i++, row += c->size, to += (size_t)c->rows * c->size) memcpy(to, row, c->size);
    }
}

static void columns_release(const TensorLayout *layout, int64_t first, int64_t count) {
    const Compose *c = (const Compose *)layout;
    if (first + count == c->length) rows_release(layout, 0, c->rows);
}

bool compose_is_transposed(const Tensor *t) { return t->layout && t->layout->read == columns_read; }

// The type of the whole, and how many rows the pieces have together; their lengths are one.
static bool pieces_check(const Piece *pieces, size_t count, bool vector, Compose *c, bool *transposed, Error *err) {
    *transposed = !vector && pieces[0].part.transposed;
    c->type = pieces[0].tensor->type;
    c->length = vector ? 1 : tensor_cols(pieces[0].tensor);
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = pieces[i].tensor;
        if (t->type != c->type) c->type = DT_F32;
        c->rows += vector ? tensor_elements(t) : tensor_rows(t);
        if (t->dims != (vector ? 1 : 2) || (!vector && tensor_cols(t) != c->length) ||
            (!vector && pieces[i].part.transposed != *transposed))
            return error_set(err, "tensor %s: does not go together with %s", tensor_label(t),
                             tensor_label(pieces[0].tensor));
    }
    if ((*transposed || vector) && dtype_is_block(c->type)) c->type = DT_F32;
    return true;
}

// Each row of the whole must come from one piece.
static bool rows_map(const Piece *pieces, size_t count, bool vector, Compose *c, Error *err) {
    for (int64_t r = 0; r < c->rows; r++) c->from[r].row = -1;
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = pieces[i].tensor;
        int64_t rows = vector ? tensor_elements(t) : tensor_rows(t);
        Part p = part_settle(pieces[i].part, rows + pieces[i].part.first);
        c->tensors[i] = t;
        for (int64_t r = 0; r < rows; r++) {
            int64_t at = part_row(&p, r);
            if (at < 0 || at >= c->rows || c->from[at].row >= 0)
                return error_set(err, "tensor %s: has no place beside %s", tensor_label(t),
                                 tensor_label(pieces[0].tensor));
            c->from[at] = (From){(uint32_t)i, r};
        }
    }
    return true;
}

static bool vector_compose(const Compose *c, Tensor *out, void **owned, Error *err) {
    const Tensor *widest = c->tensors[0];
    int64_t longest = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        const Tensor *t = c->tensors[c->from[r].piece];
        if (tensor_elements(t) > longest) longest = tensor_elements((widest = t));
    }
    size_t size = cast_bytes(c->type, 1);
    float *values = mem_alloc((size_t)longest, sizeof *values, err);
    uint8_t *bytes = values ? mem_alloc((size_t)c->rows, size, err) : NULL;
    for (int64_t r = 0, last = -1; bytes && r < c->rows; r++) {
        const Tensor *t = c->tensors[c->from[r].piece];
        const uint8_t *source = t->data;
        if (t->type != c->type) {
            if (last != c->from[r].piece) c->kernels->widen(t->type, t->data, values, tensor_elements(t));
            last = c->from[r].piece;
            source = (const uint8_t *)values;
        }
        memcpy(bytes + (size_t)r * size, source + (size_t)c->from[r].row * size, size);
    }
    mem_free(values);
    if (!bytes) return false;
    *out = (Tensor){.type = c->type, .dims = 1, .shape = {c->rows}, .data = bytes};
    *owned = bytes;
    return tensor_size(out, err);
}

// Memory for the layout's parts, in one block.
static bool inner_alloc(Compose *c, size_t count, void **inner, Error *err) {
    size_t row = 0, tensors = size_align(count * sizeof *c->tensors, 64), from, total;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = tensor_row_bytes(c->tensors[i]);
        if (bytes > row) row = bytes;
    }
    row = size_align(row > (size_t)c->length * sizeof(float) ? row : (size_t)c->length * sizeof(float), 64);
    if (!size_mul((size_t)c->rows, sizeof *c->from, &from) ||
        !size_add(size_align(from, 64), tensors + 2 * row, &total))
        return error_set(err, "out of memory");
    uint8_t *at = mem_alloc(total, 1, err);
    if (!at) return false;
    *inner = at;
    memcpy(at, c->tensors, count * sizeof *c->tensors);
    memcpy(at + tensors, c->from, from);
    c->tensors = (const Tensor **)at;
    c->from = (From *)(at + tensors);
    c->source = at + tensors + size_align(from, 64);
    c->row = c->source + row;
    return true;
}

static bool matrix_compose(Compose *c, size_t count, bool transposed, Tensor *out, void **owned, void **inner,
                           Error *err) {
    *out = (Tensor){.type = c->type, .dims = 2};
    out->shape[0] = transposed ? c->length : c->rows;
    out->shape[1] = transposed ? c->rows : c->length;
    c->size = dtype_info(c->type)->block_bytes;
    c->layout = transposed ? (TensorLayout){columns_read, columns_release} : (TensorLayout){rows_read, rows_release};
    Compose *own = mem_alloc(1, sizeof *own, err);
    if (!own || !inner_alloc(c, count, inner, err)) {
        mem_free(own);
        return false;
    }
    *own = *c;
    *owned = own;
    out->layout = &own->layout;
    return tensor_size(out, err);
}

bool compose(const Piece *pieces, size_t count, int dims, const CastKernels *kernels, Tensor *out, void **owned,
             void **inner, Error *err) {
    Compose c = {.kernels = kernels};
    bool transposed, vector = dims == 1;
    *owned = *inner = NULL;
    if (!pieces_check(pieces, count, vector, &c, &transposed, err)) return false;
    c.tensors = mem_alloc(count, sizeof *c.tensors, err);
    c.from = c.tensors ? mem_alloc((size_t)c.rows, sizeof *c.from, err) : NULL;
    const Tensor **tensors = c.tensors;
    From *from = c.from;
    bool ok =
        from && rows_map(pieces, count, vector, &c, err) &&
        (vector ? vector_compose(&c, out, owned, err) : matrix_compose(&c, count, transposed, out, owned, inner, err));
    mem_free(tensors);
    mem_free(from);
    return ok;
}

bool compose_stack(const Tensor *const *tensors, size_t count, const CastKernels *kernels, Tensor *out, void **owned,
                   void **inner, Error *err) {
    const Tensor *first = tensors[0];
    Piece *pieces = mem_alloc(count, sizeof *pieces, err);
    Tensor *flat = pieces ? mem_alloc(count, sizeof *flat, err) : NULL;
    if (!flat) {
        mem_free(pieces);
        return false;
    }
    int64_t row = 0;
    for (size_t i = 0; i < count; i++) {
        flat[i] = *tensors[i]; // vectors are rows of the result
        if (flat[i].dims == 1) {
            flat[i].dims = 2;
            flat[i].shape[1] = flat[i].shape[0];
            flat[i].shape[0] = 1;
        }
        pieces[i] = (Piece){&flat[i], {.rows = tensor_rows(&flat[i]), .first = row}};
        row += tensor_rows(&flat[i]);
    }
    bool ok = compose(pieces, count, 2, kernels, out, owned, inner, err);
    if (ok) { // the layout shall not point at the copies
        Compose *c = *owned;
        for (size_t i = 0; i < count; i++) c->tensors[i] = tensors[i];
        memmove(out->shape + 1, first->shape, (size_t)first->dims * sizeof *first->shape);
        out->shape[0] = (int64_t)count;
        out->dims = first->dims + 1;
    }
    mem_free(flat);
    mem_free(pieces);
    return ok;
}
