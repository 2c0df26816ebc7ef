// A Hugging Face checkpoint directory: the files beside the weights, and the weights, single or sharded.
#ifndef FORMATS_HUGGINGFACE_H
#define FORMATS_HUGGINGFACE_H

#include "formats/model.h"
#include "formats/tensor_file.h"

// Adds the files that are kept verbatim (config, tokenizer, chat template), as far as the directory has them.
bool hf_read_files(const char *directory, Model *model, Error *err);

typedef struct HfWeights {
    TensorFile **shards; // in the order of their names
    size_t count;
} HfWeights;

// model.safetensors, or the shards that model.safetensors.index.json names: each shard is there, and each tensor is in
// the shard that the index gives. Where neither is there, the same of pytorch_model.bin. On failure nothing needs
// freeing.
bool hf_open_weights(const char *directory, HfWeights *weights, Error *err);
void hf_close_weights(HfWeights *weights);

#endif
