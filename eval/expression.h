// Regular expressions of tokenizers. They are written for Oniguruma in Ruby's syntax (github.com/kkos/oniguruma,
// doc/RE) and run by PCRE2, which reads some constructs differently: expression_translate.c makes them mean the same.
#ifndef EVAL_EXPRESSION_H
#define EVAL_EXPRESSION_H

#include "eval/text_buffer.h"

typedef struct Expression Expression;

// What \w is to Rust's regex crate, which `tokenizers` uses in places: Oniguruma's, and the two joiners.
#define EXPRESSION_RUST_WORD "\\w\\x{200C}\\x{200D}"

// NULL with a message that quotes the expression and PCRE2's complaint or the construct that is not supported.
Expression *expression_new(const char *pattern, size_t size, Error *err);
void expression_free(Expression *expression); // NULL is fine

// What one thread needs to match with any expression, in one walk at a time.
typedef struct ExpressionScratch ExpressionScratch;
ExpressionScratch *expression_scratch_new(Error *err);
void expression_scratch_free(ExpressionScratch *scratch); // NULL is fine

typedef enum ExpressionResult { EXPRESSION_FOUND, EXPRESSION_NONE, EXPRESSION_FAILED } ExpressionResult;

// One walk over the matches in a text, from left to right, not overlapping; as Oniguruma's Rust binding walks: an empty
// match right behind the match before it does not count.
typedef struct ExpressionWalk {
    const Expression *expression;
    ExpressionScratch *scratch;
    const char *text; // valid UTF-8
    size_t size;
    size_t next;   // where to search on
    size_t before; // end of the match before; SIZE_MAX at first
    bool begun;
} ExpressionWalk;

ExpressionWalk expression_walk(const Expression *expression, ExpressionScratch *scratch, const char *text, size_t size);

// EXPRESSION_FAILED: the expression backtracks beyond all measure on this text, or memory is out.
ExpressionResult expression_next(ExpressionWalk *walk, size_t *start, size_t *end, Error *err);

// Appends the same expression in PCRE2's syntax (for PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE).
bool expression_translate(const char *pattern, size_t size, TextBuffer *out, Error *err);

#endif
