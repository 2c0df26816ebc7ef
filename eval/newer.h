// Text for a library with older Unicode tables than the tokenizers' own. PCRE2 10.42 knows Unicode 14, the expressions
// of `tokenizers` are run by Unicode 16: a letter that came in between would be none here. So each such character is
// replaced by an older one with the same properties and as many bytes; matches are then where they should be.
#ifndef EVAL_NEWER_H
#define EVAL_NEWER_H

#include "eval/text_buffer.h"

uint32_t newer_like(uint32_t c); // the older character like it; c itself where it is not newer

// Where the text has newer characters, as nearly none has, *text becomes a copy in room, good until the next call with
// it.
bool newer_replace(const char **text, size_t size, TextBuffer *room, Error *err);

#endif
