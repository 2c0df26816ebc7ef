// Text to ids and back, as Hugging Face's `tokenizers` does it from a tokenizer.json, and transformers from other
// files.
#ifndef EVAL_TOKENIZER_H
#define EVAL_TOKENIZER_H

#include "formats/model.h"

typedef struct Tokenizer Tokenizer;

// From the tokenizer files that a model carries. NULL with a message that names the file and what is wrong or missing.
Tokenizer *tokenizer_new(const Model *model, Error *err);
void tokenizer_free(Tokenizer *t); // NULL is fine

typedef struct Ids {
    int32_t *ids;
    size_t count;
} Ids;
void ids_free(Ids *ids);

// Encodes UTF-8 text. Special and added tokens in the text are recognized, as transformers does.
// with_template: what the post-processor adds around a sequence (BOS for Llama 2 and 3) is added.
// Invalid UTF-8 is read as U+FFFD for each maximal invalid part, as Python's errors="replace" does.
bool tokenizer_encode(const Tokenizer *t, const char *text, size_t size, bool with_template, Ids *out, Error *err);

// Decodes ids; special tokens are left out unless keep_special. Free *text with mem_free.
bool tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, bool keep_special, char **text,
                      size_t *size, Error *err);

int64_t tokenizer_bos(const Tokenizer *t);  // the id that the template puts first; -1 where it adds none
int64_t tokenizer_size(const Tokenizer *t); // one more than the largest id
bool tokenizer_is_special(const Tokenizer *t, int32_t id);

#endif
