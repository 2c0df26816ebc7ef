// The tokenizer of a model, from whichever files it carries, in this order: tokenizer.json; tokenizer.gguf
// (a GGUF's metadata, see convert/open_gguf.h); tokenizer.model (SentencePiece); vocab.json with merges.txt. The latter
// two with tokenizer_config.json and added_tokens.json, where they are there.
#ifndef FORMATS_TOKENIZER_FILES_H
#define FORMATS_TOKENIZER_FILES_H

#include "formats/model.h"
#include "formats/tokenizer_spec.h"

// Fills *spec; free it with tokenizer_spec_free (also harmless after a failure). Messages name the model and the file;
// *file is what later messages should call it.
bool tokenizer_files_read(const Model *model, TokenizerSpec *spec, const char **file, Error *err);

#endif
