// A model written as .nib, its tensors as they are or in another plain type.
#ifndef CONVERT_WRITE_H
#define CONVERT_WRITE_H

#include "convert/cast.h"
#include "formats/model.h"

typedef struct WriteOptions {
    bool cast;   // to dtype; else each tensor keeps its type
    DType dtype; // f32, f16 or bf16
    CastKernels kernels;
    const char *program; // "nibble 0.1.0", for the recipe
    const cJSON *step;         // for the recipe, copied; NULL: {"step": "convert", ...}
} WriteOptions;

// Streams: a piece of a few MiB is in memory at a time. Adds to the model's recipe and, for a download, its
// sources. A .nib's tensors are verified on the way. A finite value that the new type cannot hold is an error naming
// the tensor. Shows a progress bar. On failure what was at `path` before is still there.
bool model_write_nib(Model *model, const char *path, const WriteOptions *options, Error *err);

#endif
