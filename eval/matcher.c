#include "eval/matcher.h"

#include <string.h>

bool matcher_init(Matcher *matcher, const Pattern *pattern, Error *err) {
    *matcher = (Matcher){.pattern = pattern};
    if (pattern->regex) matcher->expression = expression_new(pattern->text.data, pattern->text.size, err);
    return !pattern->regex || matcher->expression;
}

void matcher_free(Matcher *matcher) { expression_free(matcher->expression); }

MatcherWalk matcher_walk(const Matcher *matcher, ExpressionScratch *scratch, const char *text, size_t size) {
    return (MatcherWalk){matcher, expression_walk(matcher->expression, scratch, text, size)};
}

ExpressionResult matcher_next(MatcherWalk *walk, size_t *start, size_t *end, Error *err) {
    if (walk->matcher->expression) return expression_next(&walk->walk, start, end, err);
    ExpressionWalk *w = &walk->walk;
    const Text *literal = &walk->matcher->pattern->text;
    const char *found = memmem(w->text + w->next, w->size - w->next, literal->data, literal->size);
    if (!found) return EXPRESSION_NONE;
    *start = (size_t)(found - w->text);
    *end = w->next = *start + literal->size;
    return EXPRESSION_FOUND;
}

bool matcher_replace(const Matcher *matcher, ExpressionScratch *scratch, const char *text, size_t size,
                     const Text *content, TextBuffer *out, MatchSpan *first, Error *err) {
    MatcherWalk walk = matcher_walk(matcher, scratch, text, size);
    MatchSpan unused;
    if (!first) first = &unused;
    *first = (MatchSpan){SIZE_MAX, SIZE_MAX};
    for (size_t done = 0;;) {
        size_t start, end;
        ExpressionResult result = matcher_next(&walk, &start, &end, err);
        if (result == EXPRESSION_FAILED) return false;
        if (result == EXPRESSION_NONE) return text_append(out, text + done, size - done, err);
        if (first->start == SIZE_MAX) *first = (MatchSpan){start, end};
        if (!text_append(out, text + done, start - done, err) || !text_append(out, content->data, content->size, err))
            return false;
        done = end;
    }
}
