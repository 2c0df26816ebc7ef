// What an engine needs beside the weights to run a model at a context: its cache of keys and values, and the memory it
// computes in. Sized as llama.cpp does on a CPU, with its defaults (src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp,
// llama-context.cpp of October 2026): one sequence, 16-bit cache, 512 tokens at a time, flash attention.
#ifndef CONVERT_ENGINE_MEMORY_H
#define CONVERT_ENGINE_MEMORY_H

#include "formats/model.h"

typedef struct EngineMemory {
    uint64_t cache;   // keys and values
    uint64_t compute; // what passes between operations; the most that any layer or the head takes
    uint64_t margin;  // the program, its vocabulary, threads' own memory, buffers of results
} EngineMemory;

// The cache is to the byte what llama.cpp takes; compute is an upper estimate, 0 to 10 % above on the models measured
// (docs/quality.md). Fails when a number overflows.
bool engine_memory(const ModelDesc *desc, int64_t context, EngineMemory *memory, Error *err);

// What a tensor takes there: vectors are f32.
uint64_t engine_tensor_bytes(const Tensor *t);

#endif
