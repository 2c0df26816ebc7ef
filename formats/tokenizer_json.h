// tokenizer.json, the file of Hugging Face's `tokenizers`. Its schema is that library's serialization; there is no
// other document (https://github.com/huggingface/tokenizers, tokenizers/src, the serde types).
#ifndef FORMATS_TOKENIZER_JSON_H
#define FORMATS_TOKENIZER_JSON_H

#include "formats/tokenizer_spec.h"

// Fills *spec from the file's bytes; free it with tokenizer_spec_free (also harmless after a failure). A construct that
// is not supported is an error that names it. Not read: "truncation" and "padding", which transformers too only applies
// when asked to; the second-sequence template; trim_offsets, since there are no offsets here.
bool tokenizer_json_read(const void *data, size_t size, TokenizerSpec *spec, Error *err);

#endif
