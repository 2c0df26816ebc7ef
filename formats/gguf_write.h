// Writer of GGUF files, version 3, little-endian (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Counts
// and offsets are known before the first byte, so the file is written from start to end.
#ifndef FORMATS_GGUF_WRITE_H
#define FORMATS_GGUF_WRITE_H

#include "core/tensor.h"

enum { GGUF_WRITE_ALIGN = 32, GGUF_NAME_MAX = 63 }; // what engines take as a tensor's name: 64 bytes with the NUL

// Metadata: key-value pairs in the order in which they are added; keys and texts are UTF-8. Running out of memory is
// remembered and said when the file is created, so that a list of additions reads as one.
typedef struct GgufMeta {
    uint8_t *data;
    size_t size, capacity;
    uint64_t count;
    bool failed;
} GgufMeta;

void gguf_meta_free(GgufMeta *meta);
void gguf_meta_u16(GgufMeta *meta, const char *key, uint16_t value);
void gguf_meta_u32(GgufMeta *meta, const char *key, uint32_t value);
void gguf_meta_i32(GgufMeta *meta, const char *key, int32_t value);
void gguf_meta_f32(GgufMeta *meta, const char *key, float value);
void gguf_meta_bool(GgufMeta *meta, const char *key, bool value);
void gguf_meta_text(GgufMeta *meta, const char *key, const char *text, size_t size);
void gguf_meta_i32s(GgufMeta *meta, const char *key, const int32_t *values, size_t count);
void gguf_meta_f32s(GgufMeta *meta, const char *key, const float *values, size_t count);
// An array of `count` texts: this, then gguf_meta_item for each.
void gguf_meta_texts(GgufMeta *meta, const char *key, size_t count);
void gguf_meta_item(GgufMeta *meta, const char *text, size_t size);
// A whole pair as another file has it: key, type and value.
void gguf_meta_pair(GgufMeta *meta, const void *pair, size_t size);

// How many bytes a file with these tensors has.
uint64_t gguf_file_bytes(const GgufMeta *meta, const Tensor *tensors, size_t count);

typedef struct GgufWriter GgufWriter;

// Starts the file that will replace `path`, with the tensors' names, types and shapes (.name, .type, .dims, .shape,
// .bytes as tensor_size gives it). The tensors must stay until commit.
GgufWriter *gguf_create(const char *path, const GgufMeta *meta, const Tensor *tensors, size_t count, Error *err);

// The tensors' bytes, in the order of `tensors`, each in any number of pieces and then closed.
bool gguf_write(GgufWriter *w, const void *data, size_t size, Error *err);
bool gguf_tensor_end(GgufWriter *w, Error *err); // fails unless exactly the bytes of type and shape came

bool gguf_commit(GgufWriter *w, Error *err); // syncs, renames; frees w also when it fails
void gguf_abort(GgufWriter *w);              // leaves what was there before; frees w. NULL is fine

#endif
