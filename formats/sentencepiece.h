// tokenizer.model, SentencePiece's file: a protobuf message (github.com/google/sentencepiece,
// src/sentencepiece_model.proto) with pieces, their scores, and how text is normalized.
//
// Read are BPE models whose normalization is the identity, as Llama's and Mistral's are. What becomes of one is what
// transformers 5 makes of it (LlamaTokenizer): pairs of pieces that make a piece are merges, in the order of its score;
// "U+2581" stands for a space and is put before a text that does not start with one ("legacy" in tokenizer_config.json:
// also after special tokens); control and user-defined symbols are found in the text. It differs from SentencePiece
// itself in that alone: SentencePiece finds no control symbols and puts "U+2581" before a space as well.
#ifndef FORMATS_SENTENCEPIECE_H
#define FORMATS_SENTENCEPIECE_H

#include "core/json.h"
#include "formats/tokenizer_spec.h"

// Fills *spec; free it with tokenizer_spec_free (also harmless after a failure). config: tokenizer_config.json or NULL.
// What is not supported is an error that names it. BOS is put before a text unless the config says otherwise.
bool sentencepiece_read(const void *data, size_t size, const cJSON *config, TokenizerSpec *spec, Error *err);

#endif
