// The names that llama.cpp gives to ways of cutting text before byte-pair encoding ("tokenizer.ggml.pre" in GGUF; the
// list is in its src/llama-vocab.cpp). Its converter recognizes a tokenizer by a hash of the ids of a text; here the
// steps of the tokenizer are compared with those that each name stands for.
#ifndef CONVERT_PRE_TOKENIZER_NAME_H
#define CONVERT_PRE_TOKENIZER_NAME_H

#include "formats/tokenizer_spec.h"

// A static string; NULL with a message that shows the steps where none of the names stands for them.
const char *pre_tokenizer_name(const TokenizerSpec *spec, Error *err);

#endif
