// Added tokens (special ones and others) found in a text, before the model sees any of it.
#ifndef EVAL_ADDED_TOKENS_H
#define EVAL_ADDED_TOKENS_H

#include "eval/expression.h"
#include "formats/tokenizer_spec.h"

typedef struct AddedPattern {
    const AddedToken *token;
    const char *text; // what to look for: the token's content, normalized where it wants that
    size_t size;
} AddedPattern;

// A set that is looked for together: the leftmost, and of those there the longest, goes first.
typedef struct AddedTokens {
    AddedPattern *items; // sorted by text
    size_t count, capacity;
    size_t first[257]; // where the items with each first byte start
    Expression *word;  // one word character; only where a token is to be a single word
} AddedTokens;

bool added_tokens_add(AddedTokens *set, const AddedToken *token, const char *text, size_t size, Error *err);
bool added_tokens_finish(AddedTokens *set, Error *err); // after the last one; two of the same text are an error
void added_tokens_free(AddedTokens *set);

// A part of a text: an added token, or what is between them (token NULL; never empty).
typedef struct AddedPart {
    const AddedToken *token;
    size_t start, end;
} AddedPart;

typedef struct AddedParts {
    AddedPart *items;
    size_t count, capacity;
} AddedParts;

// Cuts a text (valid UTF-8) into parts, replacing those in the list.
bool added_tokens_split(const AddedTokens *set, ExpressionScratch *scratch, const char *text, size_t size,
                        AddedParts *parts, Error *err);

#endif
