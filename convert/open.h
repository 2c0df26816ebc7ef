// Any model argument: a .nib file, a GGUF file (of several parts, the first) or a Hugging Face directory.
#ifndef CONVERT_OPEN_H
#define CONVERT_OPEN_H

#include "formats/model.h"

// Opens and checks everything but the tensors' own bytes (tensor_verify does that, tensor by tensor, as they are used).
// NULL with a one-line message. Free with model_free.
Model *model_open(const char *path, Error *err);

// Only the tokenizer's files (and config.json, where present): for a directory without weights, or a GGUF file with a
// vocabulary alone. desc and tensors stay empty.
Model *model_open_tokenizer(const char *path, Error *err);

#endif
