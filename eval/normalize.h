// The normalizers of a tokenizer, one after the other.
#ifndef EVAL_NORMALIZE_H
#define EVAL_NORMALIZE_H

#include "eval/charsmap.h"
#include "eval/matcher.h"

typedef struct NormalizerChain {
    const Normalizer *steps;
    Matcher *matchers;   // of each step; unused but where it replaces
    Charsmap *charsmaps; // of each step; unused but where it is compiled rules
    size_t count;
} NormalizerChain;

bool normalizer_chain_init(NormalizerChain *chain, const TokenizerSpec *spec, Error *err); // spec must outlive it
void normalizer_chain_free(NormalizerChain *chain);

// Replaces what is in out by the normalized text. spare is a second buffer to work with.
// *at_start, true on entry where the text is the start of the whole input, says whether its first character still comes
// from there; Metaspace's "first" asks.
bool normalizer_chain_run(const NormalizerChain *chain, ExpressionScratch *scratch, const char *text, size_t size,
                          TextBuffer *out, TextBuffer *spare, bool *at_start, Error *err);

// Appends a text in one of the Unicode normalization forms (UAX #15): NORM_NFC to NORM_NFKD. In linear time, whatever
// the text.
bool normalize_form(NormalizerKind form, const char *text, size_t size, TextBuffer *out, Error *err);

#endif
