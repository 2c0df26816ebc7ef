// From token texts back to text: the decoders of a tokenizer, one after the other over the list of texts.
#ifndef EVAL_TOKEN_DECODE_H
#define EVAL_TOKEN_DECODE_H

#include "eval/matcher.h"

typedef struct TokenTexts {
    TextBuffer text; // all of them
    size_t *ends;
    size_t count, capacity;
} TokenTexts;

bool token_texts_add(TokenTexts *texts, const char *text, size_t size, Error *err);
void token_texts_free(TokenTexts *texts);

typedef struct DecoderChain {
    const TokenDecoder *steps;
    Matcher *matchers; // of each step; unused but where it replaces
    size_t count;
} DecoderChain;

bool decoder_chain_init(DecoderChain *chain, const TokenizerSpec *spec, Error *err); // spec must outlive it
void decoder_chain_free(DecoderChain *chain);

// Appends the text of all tokens. `texts` is used up.
bool decoder_chain_run(const DecoderChain *chain, ExpressionScratch *scratch, TokenTexts *texts, TextBuffer *out,
                       Error *err);

// Appends bytes as UTF-8, with U+FFFD for each maximal invalid part.
bool text_append_repaired(TextBuffer *out, const char *bytes, size_t size, Error *err);

#endif
