// Writer of safetensors files (https://github.com/huggingface/safetensors#format): the header is known before the first
// byte, so the file is written from start to end.
#ifndef FORMATS_SAFETENSORS_WRITE_H
#define FORMATS_SAFETENSORS_WRITE_H

#include "core/tensor.h"

typedef struct SafeTensorsWriter SafeTensorsWriter;

// Starts the file that will replace `path`, with the tensors' names, types and shapes (.source, .type, .dims, .shape,
// .bytes as tensor_size gives it). The tensors must stay until commit.
SafeTensorsWriter *safetensors_create(const char *path, const Tensor *tensors, size_t count, Error *err);

// The tensors' bytes, in the order of `tensors`, each in any number of pieces and then closed.
bool safetensors_write(SafeTensorsWriter *w, const void *data, size_t size, Error *err);
bool safetensors_tensor_end(SafeTensorsWriter *w, Error *err); // fails unless exactly the bytes of type and shape came

bool safetensors_commit(SafeTensorsWriter *w, Error *err); // syncs, renames; frees w also when it fails
void safetensors_abort(SafeTensorsWriter *w);              // leaves what was there before; frees w. NULL is fine

#endif
