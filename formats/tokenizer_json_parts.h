// The parts of reading tokenizer.json: for its own files only.
#ifndef FORMATS_TOKENIZER_JSON_PARTS_H
#define FORMATS_TOKENIZER_JSON_PARTS_H

#include "core/json.h"
#include "formats/tokenizer_spec.h"

// NUL characters inside of JSON strings are carried through cJSON as the overlong form C0 80, which no valid file
// holds. Turns them back into NULs in place and returns the length; once for each string.
size_t tokenizer_json_unpack(char *string);

// A copy of a string member. Missing or of another kind: an error naming the key.
bool tokenizer_json_text(const cJSON *object, const char *key, Text *text, Error *err);

// A whole number from 0 to VOCAB_MAX_ID.
bool tokenizer_json_id(const cJSON *value, int64_t *id, Error *err);

bool tokenizer_json_read_bpe(const cJSON *model, TokenizerSpec *spec, Error *err);
bool tokenizer_json_read_unigram(const cJSON *model, TokenizerSpec *spec, Error *err);

// The steps of the pipeline; the member may be missing, one step or a Sequence of any.
bool tokenizer_json_read_normalizers(const cJSON *root, TokenizerSpec *spec, Error *err);
bool tokenizer_json_read_pre_tokenizers(const cJSON *root, TokenizerSpec *spec, Error *err);
bool tokenizer_json_read_decoders(const cJSON *root, TokenizerSpec *spec, Error *err);
bool tokenizer_json_read_template(const cJSON *root, TokenizerSpec *spec, Error *err);

#endif
