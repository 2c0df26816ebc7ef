// Text from a model, token by token, with a cache of keys and values.
#ifndef EVAL_GENERATE_H
#define EVAL_GENERATE_H

#include "eval/tokenizer.h"

typedef struct Sampling {
    double temperature; // 0: always the most probable token (the first of equals)
    double top_p;       // nucleus sampling (arXiv:1904.09751): the fewest tokens that together have this probability
    uint64_t seed;      // the same seed gives the same tokens
} Sampling;

typedef struct Generated {
    int64_t prompt_tokens, tokens; // tokens: generated, the one that ended it included
    double prompt_seconds, seconds;
    bool ended; // by an end-of-text token rather than by the limit
} Generated;

// Receives text as it becomes complete UTF-8.
typedef void (*TextSink)(void *context, const char *text, size_t size);

// Continues the prompt by up to n tokens, or until a token that generation_config.json or config.json calls the end.
bool generate(const Model *model, const Tokenizer *tokenizer, const char *prompt, int64_t n, const Sampling *sampling,
              TextSink sink, void *context, Generated *out, Error *err);

#endif
