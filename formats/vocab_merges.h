// vocab.json and merges.txt, the files of GPT-2's encoder (github.com/openai/gpt-2, src/encoder.py): ids by token, and
// merges, one a line, the most frequent first. How text is split is in neither of them: it follows from the tokenizer's
// class in tokenizer_config.json. Known are GPT2Tokenizer, which is also what no class means, and Qwen2Tokenizer.
#ifndef FORMATS_VOCAB_MERGES_H
#define FORMATS_VOCAB_MERGES_H

#include "core/json.h"
#include "formats/model.h"
#include "formats/tokenizer_spec.h"

// Fills *spec from the model's two files; free it with tokenizer_spec_free (also harmless after a failure).
// config: tokenizer_config.json or NULL. Messages name the file.
bool vocab_merges_read(const ModelFile *vocab, const ModelFile *merges, const cJSON *config, TokenizerSpec *spec,
                       Error *err);

#endif
