// The parts of an export to GGUF (convert/export_gguf.c puts them together). Names of keys are those of
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and of llama.cpp's src/llama-arch.cpp.
#ifndef CONVERT_EXPORT_GGUF_PARTS_H
#define CONVERT_EXPORT_GGUF_PARTS_H

#include "convert/gguf_arch.h"
#include "formats/model.h"
#include "formats/tokenizer_spec.h"

// Llama 3.1's scaling, and a yarn that GGUF's keys cannot say, are a tensor there: what each of the head_dim / 2 speeds
// is divided by (transformers' modeling_rope_utils.py defines them).
bool gguf_has_rope_factors(const ModelDesc *desc, const GgufArch *arch);

// What yarn multiplies cos and sin by.
double gguf_yarn_attention(const Rope *rope);

void gguf_rope_factors(const ModelDesc *desc, float *factors);

// tokenizer.*: vocabulary, merges or scores, special tokens, chat template. pre: the pre-tokenizer's name, NULL: found
// out from the tokenizer's steps.
bool gguf_add_tokenizer(GgufMeta *meta, const Model *model, const char *pre, Error *err);

// Its part with the ids that have a meaning, and the chat template.
bool gguf_add_special_tokens(GgufMeta *meta, const Model *model, const TokenizerSpec *spec, Error *err);

// Of a model that came out of a GGUF file: what that said, but for what depends on the new file (its types, alignment).
#define GGUF_KEPT_METADATA "tokenizer.gguf" // convert/open_gguf.h
bool gguf_add_copied(GgufMeta *meta, const Model *model, const char *pre, Error *err);

#endif
