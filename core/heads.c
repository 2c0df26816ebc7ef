#include "core/heads.h"

#include "core/mem.h"
#include "core/size.h"
#include <string.h>

enum { PIECE = 256 }; // elements widened at a time: a multiple of every block

typedef struct Heads {
    TensorLayout layout;
    HeadsWiden *widen;
    int64_t heads, plain, values, rank;
    const Tensor *pairs[]; // keys of all heads, then values
} Heads;

static const uint8_t *element(const Tensor *t, int64_t row, int64_t col) {
    const DTypeInfo *info = dtype_info(t->type);
    return t->data + (size_t)row * tensor_row_bytes(t) + (size_t)(col / info->block) * info->block_bytes;
}

// Columns first .. first + count - 1 of a head's keys, as rows.
static void read_keys(const Heads *h, const Tensor *t, int64_t first, int64_t count, float *out) {
    float piece[PIECE];
    for (int64_t at = first / PIECE * PIECE; at < first + count; at += PIECE) {
        int64_t n = h->plain - at < PIECE ? h->plain - at : PIECE;
        int64_t from = at > first ? at : first, to = at + n < first + count ? at + n : first + count;
        for (int64_t r = 0; r < h->rank; r++) {
            h->widen(t->type, element(t, r, at), piece, n);
            for (int64_t c = from; c < to; c++) out[(c - first) * h->rank + r] = piece[c - at];
        }
    }
}

static void heads_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *bytes) {
    const Heads *h = (const Heads *)layout;
    float *out = (float *)(void *)bytes;
    int64_t both = h->plain + h->values;
    for (int64_t row = first, n; row < first + count; row += n, out += n * h->rank) {
        int64_t head = row / both, at = row % both, end = at < h->plain ? h->plain : both;
        n = first + count - row < end - at ? first + count - row : end - at;
        if (at < h->plain)
            read_keys(h, h->pairs[head], at, n, out);
        else
            h->widen(h->pairs[h->heads + head]->type, element(h->pairs[h->heads + head], at - h->plain, 0), out,
                     n * h->rank);
    }
}

static bool is_like(const Tensor *t, const Tensor *first, Error *err) {
    if (t->dims == 2 && !t->layout && t->shape[0] == first->shape[0] && t->shape[1] == first->shape[1]) return true;
    return error_set(err, "tensor %s: cannot be put together with %s", tensor_label(t), tensor_label(first));
}

bool heads_join(const Tensor *const *keys, const Tensor *const *values, int64_t heads, HeadsWiden *widen, Tensor *out,
                void **owned, Error *err) {
    const Tensor *k = keys[0], *v = values[0];
    *owned = NULL;
    for (int64_t i = 0; i < heads; i++)
        if (!is_like(keys[i], k, err) || !is_like(values[i], v, err)) return false;
    if (k->shape[0] != v->shape[1])
        return error_set(err, "tensor %s: cannot be put together with %s", tensor_label(k), tensor_label(v));
    Heads *h = mem_alloc(1, sizeof *h + 2 * (size_t)heads * sizeof *h->pairs, err);
    if (!h) return false;
    h->layout.read = heads_read;
    h->widen = widen;
    h->heads = heads;
    h->rank = k->shape[0];
    h->plain = k->shape[1];
    h->values = v->shape[0];
    memcpy(h->pairs, keys, (size_t)heads * sizeof *keys);
    memcpy(h->pairs + heads, values, (size_t)heads * sizeof *values);
    *out = (Tensor){.type = DT_F32, .dims = 2, .shape = {heads * (h->plain + h->values), h->rank}};
    out->layout = &h->layout;
    *owned = h;
    return tensor_size(out, err);
}

// ---- the way back

typedef struct Keys {
    TensorLayout layout;
    HeadsWiden *widen;
    const Tensor *matrix;
    int64_t plain, both, rank;
    size_t size;     // of an element of the result
    uint8_t *source; // a row of the matrix, where it has a layout
    float *values;   // the same, widened
} Keys;

// Of the matrix's row: in the type of the result.
static const uint8_t *matrix_row(const Keys *k, int64_t row) {
    const uint8_t *source = tensor_read(k->matrix, row, 1, k->source);
    if (!dtype_is_block(k->matrix->type)) return source;
    k->widen(k->matrix->type, source, k->values, k->rank);
    return (const uint8_t *)k->values;
}

static void keys_read(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out) {
    const Keys *k = (const Keys *)layout;
    size_t step = (size_t)k->plain * k->size;
    for (int64_t row = first, n; row < first + count; row += n, out += (size_t)n * step) {
        int64_t head = row / k->rank, at = row % k->rank;
        n = first + count - row < k->rank - at ? first + count - row : k->rank - at;
        for (int64_t j = 0; j < k->plain; j++) {
            const uint8_t *from = matrix_row(k, head * k->both + j) + (size_t)at * k->size;
            uint8_t *to = out + (size_t)j * k->size;
            for (int64_t r = 0; r < n; r++, from += k->size, to += step) memcpy(to, from, k->size);
        }
    }
}

static void keys_release(const TensorLayout *layout, int64_t first, int64_t count) {
    const Keys *k = (const Keys *)layout;
    int64_t head = first / k->rank, last = (first + count - 1) / k->rank;
    tensor_release(k->matrix, head * k->both, (last - head + 1) * k->both);
}

bool heads_split_keys(const Tensor *matrix, int64_t heads, int64_t plain, HeadsWiden *widen, Tensor *out, void **owned,
                      void **row, Error *err) {
    int64_t rows = tensor_rows(matrix), rank = tensor_cols(matrix);
    size_t source = matrix->layout ? size_align(tensor_row_bytes(matrix), 64) : 0;
    Keys *k = *owned = mem_alloc(1, sizeof *k, err);
    *row = NULL;
    if (!k || !(*row = mem_alloc(source + (size_t)rank * sizeof(float), 1, err))) return false;
    *out = (Tensor){.type = matrix->type, .dims = 3, .shape = {heads, rank, plain}, .layout = &k->layout};
    if (dtype_is_block(matrix->type)) out->type = DT_F32;
    *k = (Keys){.layout = {keys_read, keys_release}, .widen = widen, .matrix = matrix, .plain = plain, .rank = rank};
    k->both = rows / heads;
    k->size = dtype_info(out->type)->block_bytes;
    k->source = *row;
    k->values = (float *)(void *)((uint8_t *)*row + source);
    return tensor_size(out, err);
}
