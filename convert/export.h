// A model on its way out: as GGUF for llama.cpp and what is built on it, or as the Hugging Face directory it came from.
#ifndef CONVERT_EXPORT_H
#define CONVERT_EXPORT_H

#include "convert/cast.h"
#include "formats/model.h"

typedef struct ExportOptions {
    bool cast;   // tensors that are not in blocks (GGUF: but vectors, which are f32) or, Hugging Face, all take dtype
    DType dtype; // f32, f16 or bf16
    CastKernels kernels;
    uint64_t split;  // the most bytes that a file of weights may have; 0: GGUF any number, Hugging Face 5 GB
    const char *pre; // GGUF: the pre-tokenizer's name; NULL: by the tokenizer
} ExportOptions;

typedef struct ExportResult {
    size_t files;   // of weights
    size_t tensors; // in them
    uint64_t bytes; // of them
} ExportResult;

// Writes `path` or, where it is split, path-00001-of-0000N.gguf and so on (path without its .gguf), which appear
// together when all are written. Blocks are copied; rows of attn_q and attn_k move to GGUF's order.
bool model_export_gguf(const Model *model, const char *path, const ExportOptions *options, ExportResult *result,
                       Error *err);

// Makes the directory, which must not be there yet or be empty: weights under their source names, and the kept files as
// they were, but for the type of the weights in config.json. Blocks are dequantized, to bf16 where no type is given.
bool model_export_hf(const Model *model, const char *directory, const ExportOptions *options, ExportResult *result,
                     Error *err);

#endif
