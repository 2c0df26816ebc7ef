// tokenizer.model, SentencePiece's file: a protobuf message (github.com/google/sentencepiece,
// src/sentencepiece_model.proto) with pieces, their scores, and how text is normalized.
//
// Read are BPE models, as Llama's and Mistral's are, and Unigram models. What becomes of one is what transformers 5
// makes of it (LlamaTokenizer): of BPE, pairs of pieces that make a piece are merges, in the order of its score;
// "U+2581" stands for a space and is put before a text that does not start with one ("legacy" in tokenizer_config.json:
// also after special tokens); control and user-defined symbols are found in the text; compiled rules of normalization
// are run as `tokenizers` runs them (eval/charsmap.h). It differs from SentencePiece itself in that alone:
// SentencePiece finds no control symbols, puts "U+2581" before a space as well, and applies rules without regard to
// grapheme clusters.
#ifndef FORMATS_SENTENCEPIECE_H
#define FORMATS_SENTENCEPIECE_H

#include "core/json.h"
#include "formats/tokenizer_spec.h"

// Fills *spec; free it with tokenizer_spec_free (also harmless after a failure). config: tokenizer_config.json or NULL.
// What is not supported is an error that names it. BOS is put before a text unless the config says otherwise.
bool sentencepiece_read(const void *data, size_t size, const cJSON *config, TokenizerSpec *spec, Error *err);

#endif
