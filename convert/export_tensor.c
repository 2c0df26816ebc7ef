#include "convert/export_tensor.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/size.h"
#include <string.h>

enum { PIECE = 1 << 20 }; // elements: a multiple of every block

typedef struct Stream {
    const ExportItem *item;
    const CastKernels *kernels;
    ExportSink *sink;
    void *to;
    HashStream *check; // where the source states a hash
    uint8_t *source;   // a piece whose rows are put together
    uint8_t *rows;     // a piece in the source's type, its rows in their new order
    float *values;     // a piece, where the type changes
    uint8_t *result;   // a piece in the new type
} Stream;

// The rows of one head, their halves alternating: (2, n/2) becomes (n/2, 2); or back.
static void alternate(const uint8_t *source, uint8_t *out, int64_t n, bool back, size_t row_bytes) {
    for (int64_t r = 0; r < n; r++) {
        int64_t from = export_rotary_row(r, n, back);
        memcpy(out + (size_t)r * row_bytes, source + (size_t)from * row_bytes, row_bytes);
    }
}

bool export_is_rotated(const char *name) {
    static const char *const rotated[] = {".attn_q.weight", ".attn_q.bias", ".attn_k.weight", ".attn_k.bias"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof rotated / sizeof *rotated; i++)
        if (n > strlen(rotated[i]) && strcmp(name + n - strlen(rotated[i]), rotated[i]) == 0) return true;
    return false;
}

// n elements from `first` on, a whole head where rows are reordered.
static bool piece(const Stream *s, int64_t first, int64_t n, Error *err) {
    const Tensor *from = s->item->from;
    DType to = s->item->out.type;
    size_t bytes = cast_bytes(from->type, n);
    int64_t cols = tensor_cols(from), row = first / cols, rows = n / cols; // whole rows where there is a layout
    const uint8_t *source =
        from->layout ? tensor_read(from, row, rows, s->source) : from->data + cast_bytes(from->type, first);
    const uint8_t *data = source;
    if (s->check) hash_stream_add(s->check, source, bytes);
    if (s->item->rotary) {
        alternate(source, s->rows, s->item->rotary, s->item->rotary_back, bytes / (size_t)s->item->rotary);
        data = s->rows;
    }
    if (s->item->plus != 0) {
        s->kernels->widen(from->type, data, s->values, n);
        for (int64_t i = 0; i < n; i++) s->values[i] += s->item->plus;
        s->kernels->narrow(to, s->values, s->result, n);
        data = s->result;
    } else if (to != from->type) {
        if (!cast_values(s->kernels, from, data, first, n, to, s->values, s->result, err)) return false;
        data = s->result;
    }
    bool ok = s->sink(s->to, data, cast_bytes(to, n), err);
    if (from->layout)
        tensor_release(from, row, rows);
    else
        file_release(from->file, source, bytes);
    progress_add(bytes);
    return ok;
}

static bool pieces(const Stream *s, int64_t step, Error *err) {
    int64_t elements = tensor_elements(s->item->from);
    for (int64_t first = 0; first < elements; first += step)
        if (!piece(s, first, elements - first < step ? elements - first : step, err)) return false;
    return true;
}

// Elements of a head's rows; a vector (a bias) has rows of one.
static bool head_elements(const ExportItem *item, int64_t *n, Error *err) {
    const Tensor *t = item->from;
    size_t cols = t->dims > 1 ? (size_t)tensor_cols(t) : 1, size;
    if (!size_mul((size_t)item->rotary, cols, &size) || size > (size_t)tensor_elements(t) ||
        (size_t)tensor_elements(t) % size)
        return error_set(err, "tensor %s: its rows are no whole number of heads of %lld", tensor_label(t),
                         (long long)item->rotary);
    *n = (int64_t)size;
    return true;
}

static bool stream_buffers(Stream *s, int64_t step, Error *err) {
    const ExportItem *item = s->item;
    int64_t elements = tensor_elements(item->from), n = elements < step ? elements : step;
    if (item->from->layout && !(s->source = mem_alloc(cast_bytes(item->from->type, n), 1, err))) return false;
    if (item->rotary && !(s->rows = mem_alloc(cast_bytes(item->from->type, n), 1, err))) return false;
    if (item->out.type == item->from->type && item->plus == 0) return true;
    s->values = mem_alloc((size_t)n, sizeof *s->values, err);
    s->result = s->values ? mem_alloc(cast_bytes(item->out.type, n), 1, err) : NULL;
    return s->result != NULL;
}

bool export_tensor(const ExportItem *item, const CastKernels *kernels, ExportSink *sink, void *to, Error *err) {
    if (!item->from) return sink(to, item->values, item->out.bytes, err);
    Stream s = {.item = item, .kernels = kernels, .sink = sink, .to = to};
    int64_t step = PIECE;
    if (item->from->layout) { // whole rows
        int64_t cols = tensor_cols(item->from);
        step = cols && cols < PIECE ? PIECE / cols * cols : cols;
    }
    bool ok = (!item->rotary || head_elements(item, &step, err)) && stream_buffers(&s, step, err);
    if (ok && item->from->has_hash) ok = (s.check = hash_stream_new()) || error_set(err, "out of memory");
    ok = ok && pieces(&s, step, err);
    if (s.check) {
        Hash found = hash_stream_end(s.check);
        ok = ok && tensor_verify_hash(item->from, found, err);
    }
    mem_free(s.source);
    mem_free(s.rows);
    mem_free(s.values);
    mem_free(s.result);
    return ok;
}
