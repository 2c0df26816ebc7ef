// A file of tensors, whatever its format: what each reader of weights (safetensors.h, torch_file.h) hands on.
#ifndef FORMATS_TENSOR_FILE_H
#define FORMATS_TENSOR_FILE_H

#include "core/tensor.h"

typedef struct TensorFile {
    FileMap *map;
    Tensor *tensors;        // .source is the name, .name is NULL
    const Tensor **by_name; // the same, sorted by name
    size_t count;
    void **buffers; // owned memory that tensors point into instead of the map (their .file is NULL)
    size_t buffer_count, buffer_capacity;
} TensorFile;

void tensor_file_close(TensorFile *file); // NULL is fine

// Makes by_name of the tensors; an error names one whose name is there twice.
bool tensor_file_index(TensorFile *file, Error *err);

// The tensor of that name, or NULL.
const Tensor *tensor_file_find(const TensorFile *file, const char *source);

#endif
