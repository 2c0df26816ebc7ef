// A tensor as it lies in a file: name, type, shape, bytes. Row-major, the last dimension contiguous.
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/dtype.h"
#include "core/file.h"
#include "core/hash.h"

enum { TENSOR_DIMS = 4 };

typedef struct Tensor {
    char *name;   // the internal name (formats/model.h): "blk.0.attn_q.weight"
    char *source; // its name in the file it was read from: "model.layers.0.self_attn.q_proj.weight"
    DType type;
    int dims;
    int64_t shape[TENSOR_DIMS];
    const uint8_t *data; // inside file, or in memory where that is NULL
    size_t bytes;
    const FileMap *file; // not owned
    Hash hash;           // what the bytes must hash to, where has_hash (a .nib says)
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

// "[49152, 576]"; returns buf.
const char *tensor_shape_text(const Tensor *t, char buf[96]);

// Checks the bytes against the hash that the file states (nothing to do where it states none).
bool tensor_verify(const Tensor *t, Error *err);
// The same for a hash that the caller computed on the way (HashStream), where the file states one.
bool tensor_verify_hash(const Tensor *t, Hash found, Error *err);

#endif
