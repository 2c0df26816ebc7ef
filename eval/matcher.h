// A pattern of a tokenizer, literal or an expression, found again and again in a text.
#ifndef EVAL_MATCHER_H
#define EVAL_MATCHER_H

#include "eval/expression.h"
#include "formats/tokenizer_spec.h"

typedef struct Matcher {
    const Pattern *pattern;
    Expression *expression; // NULL for a literal
} Matcher;

bool matcher_init(Matcher *matcher, const Pattern *pattern, Error *err); // the pattern must outlive it
void matcher_free(Matcher *matcher);

typedef struct MatcherWalk {
    const Matcher *matcher;
    ExpressionWalk walk; // text, size and next serve literals too
} MatcherWalk;

MatcherWalk matcher_walk(const Matcher *matcher, ExpressionScratch *scratch, const char *text, size_t size);
ExpressionResult matcher_next(MatcherWalk *walk, size_t *start, size_t *end, Error *err);

// Appends the text with every match replaced by content. *first: where the first match was, both SIZE_MAX where none
// was; may be NULL.
typedef struct MatchSpan {
    size_t start, end;
} MatchSpan;
bool matcher_replace(const Matcher *matcher, ExpressionScratch *scratch, const char *text, size_t size,
                     const Text *content, TextBuffer *out, MatchSpan *first, Error *err);

#endif
