// Writer of tokenizer.json, for a tokenizer that came from another file (https://huggingface.co/docs/tokenizers).
#ifndef FORMATS_TOKENIZER_JSON_WRITE_H
#define FORMATS_TOKENIZER_JSON_WRITE_H

#include "core/json.h"
#include "formats/tokenizer_spec.h"

// What tokenizer_json_read makes *spec from again: byte-pair encoding with the steps that a GGUF's vocabulary can have.
// Another step is an error that names it. Free with cJSON_Delete.
cJSON *tokenizer_json_write(const TokenizerSpec *spec, Error *err);

#endif
