// A model on its way out: as GGUF for llama.cpp and what is built on it, or as the Hugging Face directory it came from.
#ifndef CONVERT_EXPORT_H
#define CONVERT_EXPORT_H

#include "convert/cast.h"
#include "core/group_grid.h"
#include "formats/model.h"

// Linear layers as integers in groups, which vLLM and transformers run (convert/packed.h).
typedef enum PackLayout { PACK_COMPRESSED_TENSORS, PACK_GPTQ } PackLayout;
typedef struct ExportPack {
    PackLayout layout;
    GroupGrid grid;      // its scale is set by the export: the type of all else
    GroupsFn *round;     // quant/groups.h
    bool requantize;     // what is in blocks already may be rounded again
    bool keep_undivided; // matrices whose width the group does not divide stay in 16 bits; else they are an error
} ExportPack;

typedef struct ExportOptions {
    bool cast;   // tensors that are not in blocks (GGUF: but those always f32) or, Hugging Face, all take dtype
    DType dtype; // f32, f16 or bf16
    CastKernels kernels;
    uint64_t split;         // the most bytes that a file of weights may have; 0: GGUF any number, Hugging Face 5 GB
    const ExportPack *pack; // Hugging Face: NULL: all is plain
    int64_t context;        // GGUF: what the file says that the model is made for, if less; 0: what it is
    const char *pre;        // GGUF: the pre-tokenizer's name; NULL: by the tokenizer
} ExportOptions;

typedef struct ExportResult {
    size_t files;      // of weights
    size_t tensors;    // in them
    uint64_t bytes;    // of them
    bool yarn_rounded; // GGUF: engines round the range in which yarn blends, which the model does not
    // Hugging Face: the type of what is plain, and how many matrices were packed; of these, carried over as they were;
    // and left out since the group does not divide them.
    DType dtype;
    size_t packed, carried, undivided;
} ExportResult;

// Writes `path` or, where it is split, path-00001-of-0000N.gguf and so on (path without its .gguf), which appear
// together when all are written. Blocks are copied; rows of attn_q and attn_k move to GGUF's order. A model that came
// out of a GGUF file keeps its metadata as it is.
bool model_export_gguf(const Model *model, const char *path, const ExportOptions *options, ExportResult *result,
                       Error *err);

// Whether the model has a GGUF form; else the message says why not. Writes nothing.
bool model_gguf_possible(const Model *model, const ExportOptions *options, Error *err);

// Makes the directory, which must not be there yet or be empty: weights under the names that transformers gives them,
// fused and stacked as there, and the kept files as they were, but for the type of the weights in config.json and what
// is not a language model's in it. Blocks are dequantized, to bf16 where no type is given.
// With options->pack linear layers are integers, all else is f16 or bf16. For a model that came out of a GGUF file
// config.json, tokenizer.json and tokenizer_config.json are made.
bool model_export_hf(const Model *model, const char *directory, const ExportOptions *options, ExportResult *result,
                     Error *err);

#endif
