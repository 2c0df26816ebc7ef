// A model from a GGUF file. Its metadata is kept as the embedded file tokenizer.gguf, vocabulary and all, and its chat
// template as chat_template.jinja, which is where transformers looks for it.
#ifndef CONVERT_OPEN_GGUF_H
#define CONVERT_OPEN_GGUF_H

#include "formats/model.h"

Model *open_gguf(const char *path, Error *err);           // as model_open
Model *open_gguf_tokenizer(const char *path, Error *err); // as model_open_tokenizer

#endif
