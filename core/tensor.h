// A tensor: name, type, shape, and its bytes in a file, or how they are put together. Row-major, the last dimension
// contiguous.
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/dtype.h"
#include "core/file.h"
#include "core/hash.h"

enum { TENSOR_DIMS = 4 };

// Where the rows do not lie in a file one after the other as they are: taken out of a fused tensor, transposed, decoded
// from another format's codes (core/layout.h has the usual ones). Implementations begin with this struct.
typedef struct TensorLayout TensorLayout;
struct TensorLayout {
    // Puts rows first .. first + count - 1 together in `out`. Several threads may call it.
    void (*read)(const TensorLayout *layout, int64_t first, int64_t count, uint8_t *out);
    // The pages that these rows came from are not needed any more. NULL: nothing to give back.
    void (*release)(const TensorLayout *layout, int64_t first, int64_t count);
};

typedef struct Tensor {
    char *name;   // the internal name (formats/model.h): "blk.0.attn_q.weight"
    char *source; // its name in the file it was read from: "model.layers.0.self_attn.q_proj.weight"
    DType type;
    int dims;
    int64_t shape[TENSOR_DIMS];
    const uint8_t *data; // inside file, or in memory where that is NULL; NULL where there is a layout
    size_t bytes;
    const FileMap *file;        // not owned; NULL where there is a layout
    const TensorLayout *layout; // not owned; only of matrices; NULL: the bytes are at data
    Hash hash;                  // what the bytes must hash to, where has_hash (a .nib says)
    bool has_hash;
} Tensor;

// What messages call it: its name in the source, which people know; else the internal one.
static inline const char *tensor_label(const Tensor *t) { return t->source ? t->source : t->name ? t->name : "?"; }

static inline int64_t tensor_cols(const Tensor *t) { return t->dims ? t->shape[t->dims - 1] : 1; }
static inline int64_t tensor_rows(const Tensor *t) {
    int64_t n = 1;
    for (int i = 0; i + 1 < t->dims; i++) n *= t->shape[i];
    return n;
}
static inline int64_t tensor_elements(const Tensor *t) { return tensor_rows(t) * tensor_cols(t); }

// Sets t->bytes from type and shape; an error names what overflows or which width the block does not divide.
// After it, rows, columns, elements and bytes are known to fit in 63 bits.
bool tensor_size(Tensor *t, Error *err);

static inline size_t tensor_row_bytes(const Tensor *t) {
    int64_t rows = tensor_rows(t);
    return rows ? t->bytes / (size_t)rows : 0;
}

// Rows first .. first + count - 1 as contiguous bytes: where they lie, or put together in `memory`, which must have
// room for them (and may be NULL where the tensor has no layout). A vector has one row.
const uint8_t *tensor_read(const Tensor *t, int64_t first, int64_t count, void *memory);
// They will be needed soon: where they lie in a file, they are read in the background.
void tensor_prefetch(const Tensor *t);
// They are not needed any more for now: their pages may be given back.
void tensor_release(const Tensor *t, int64_t first, int64_t count);

// "[49152, 576]"; returns buf.
const char *tensor_shape_text(const Tensor *t, char buf[96]);

// Checks the bytes against the hash that the file states (nothing to do where it states none).
bool tensor_verify(const Tensor *t, Error *err);
// The same for a hash that the caller computed on the way (HashStream), where the file states one.
bool tensor_verify_hash(const Tensor *t, Hash found, Error *err);

#endif
