// The vocabulary inside of a GGUF file: the metadata tokenizer.ggml.*, as llama.cpp's src/llama-vocab.cpp reads it.
// Models "gpt2" (byte-level BPE, its pre-tokenizer named by tokenizer.ggml.pre) and "llama" (SentencePiece's BPE,
// merging by score) are supported; ids are those of the `tokenizers` library on the tokenizer.json that the file was
// made from.
#ifndef FORMATS_TOKENIZER_GGUF_H
#define FORMATS_TOKENIZER_GGUF_H

#include "formats/gguf.h"
#include "formats/tokenizer_spec.h"

// Fills *spec from a GGUF file's bytes; free it with tokenizer_spec_free (also harmless after a failure). What is not
// supported is an error that names it.
bool tokenizer_gguf_read(const void *data, size_t size, TokenizerSpec *spec, Error *err);

// ---- its parts, for its own files

// Which expressions split text before a vocabulary of model "gpt2" merges, and what else goes by their name.
typedef struct GgufPre {
    const char *names;          // those that mean this, "|" before, between and after
    const char *expressions[4]; // in this order, each splitting what the one before left; NULL after the last
    bool ignore_merges;         // a piece that is in the vocabulary is that token
    bool add_bos;               // where tokenizer.ggml.add_bos_token says nothing
    bool nfc;                   // text is normalized first
} GgufPre;
const GgufPre *gguf_pre_find(GgufText name, Error *err); // NULL with a message that names those supported

// Merges of each kind, the vocabulary being there. types: tokenizer.ggml.token_type or NULL.
bool gguf_merges_given(const Gguf *gguf, TokenizerSpec *spec, Error *err);
bool gguf_merges_by_score(const Gguf *gguf, const GgufValue *types, TokenizerSpec *spec, Error *err);

// llama.cpp's token types.
enum { GGUF_NORMAL = 1, GGUF_UNKNOWN, GGUF_CONTROL, GGUF_USER_DEFINED, GGUF_UNUSED, GGUF_BYTE };
int64_t gguf_token_type(const GgufValue *types, int64_t id); // GGUF_NORMAL where there are none

#endif
