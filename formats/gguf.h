// Reader of GGUF files, versions 2 and 3, little-endian, whole or split into parts
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A file is "GGUF", version, how many tensors and how many
// key-value pairs; the pairs; what the tensors are; their data, aligned. What is checked, each with a test that breaks
// it (tests/test_gguf.c):
//   - every count, length and text lies inside the file; nothing is allocated for what is claimed, only for what is
//   there;
//   - keys and tensor names are UTF-8 without NUL and appear once; value types are known; no arrays of arrays; bools
//   are
//     0 or 1;
//   - tensors have at most 4 dimensions, none of 0, a type that is known and whose block divides the width; their bytes
//   are
//     inside the file, aligned as general.alignment says (32 where it says nothing), and do not overlap.
#ifndef FORMATS_GGUF_H
#define FORMATS_GGUF_H

#include "core/tensor.h"

typedef enum GgufKind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
} GgufKind;

// Bytes in the file, not NUL-terminated; any bytes in values, UTF-8 in keys.
typedef struct GgufText {
    const char *data;
    size_t size;
} GgufText;

typedef struct GgufValue {
    GgufText key;
    GgufKind kind; // of the elements where it is an array; never GGUF_ARRAY
    bool array;
    uint64_t count;       // elements; 1 where it is no array
    const uint8_t *data;  // of the elements, one after the other; a text is its length in 8 bytes, then itself
    const uint8_t *start; // of the whole pair, key and all,
    size_t bytes;         // and its size
} GgufValue;

typedef struct Gguf {
    FileMap *map; // what data is in, owned; NULL where the caller owns the bytes
    const uint8_t *data;
    size_t size;
    uint32_t version;
    GgufValue *values; // in file order
    size_t value_count, value_capacity;
    const GgufValue **by_key; // the same, sorted by key
    Tensor *tensors;          // in file order; .source is the name, .name is NULL
    size_t tensor_count, tensor_capacity;
} Gguf;

bool gguf_is(const char *path); // whether the file starts as one

// Reads what describes the file; tensors' data is not touched. map: what the bytes are in, taken over, also on failure;
// NULL: they are the caller's and must outlive *gguf. On failure nothing needs freeing, and the message does not name
// the file.
bool gguf_read(const void *data, size_t size, FileMap *map, Gguf *gguf, Error *err);
void gguf_free(Gguf *gguf);

// A file that may be the first of several: NAME-00001-of-00003.gguf, whose split.count is 3 then. The others are read
// from beside it. Messages name the file. On failure nothing needs freeing.
typedef struct GgufSet {
    Gguf *parts; // [count]; the first has the metadata
    size_t count;
} GgufSet;
bool gguf_set_open(const char *path, GgufSet *set, Error *err);
void gguf_set_close(GgufSet *set);

// The bytes of a GGUF file with the same metadata (but for what is about parts) and no tensors: what is kept of a
// model's vocabulary. Free with mem_free.
uint8_t *gguf_metadata(const Gguf *gguf, size_t *size, Error *err);

// ---- values, by key. A missing one leaves *value as it is and is fine; one of another kind or outside [min, max] is
// an error naming the key.

const GgufValue *gguf_find(const Gguf *gguf, const char *key); // NULL where absent
bool gguf_int(const Gguf *gguf, const char *key, int64_t min, int64_t max, int64_t *value, Error *err);
bool gguf_double(const Gguf *gguf, const char *key, double min, double max, double *value, Error *err);
bool gguf_bool(const Gguf *gguf, const char *key, bool *value, Error *err);
bool gguf_text(const Gguf *gguf, const char *key, GgufText *value, Error *err);

// An array of this kind; NULL with a message where it is something else, NULL without one where it is absent.
const GgufValue *gguf_array(const Gguf *gguf, const char *key, GgufKind kind, Error *err);

// Elements: at index i for numbers; texts one after the other, *at being value->data at first.
bool gguf_int_at(const GgufValue *value, uint64_t i, int64_t *out); // false where it is no integer of 63 bits
double gguf_f32_at(const GgufValue *value, uint64_t i);             // of an array of GGUF_F32
GgufText gguf_text_next(const uint8_t **at);

bool gguf_text_is(GgufText text, const char *other);

#endif
