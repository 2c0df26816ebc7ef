// The byte-level alphabet of GPT-2 (Radford et al. 2019): each byte as a printable character, so that vocabularies hold
// no spaces or control characters. Bytes that are visible in Latin-1 stand for themselves; the others, in order, are
// U+0100 on.
#ifndef EVAL_BYTE_LEVEL_H
#define EVAL_BYTE_LEVEL_H

#include "eval/text_buffer.h"

// Appends each byte as its character.
bool byte_level_encode(const char *bytes, size_t size, TextBuffer *out, Error *err);

// Appends the bytes of a text of such characters; the text as it is when it has any other character.
bool byte_level_decode(const char *text, size_t size, TextBuffer *out, Error *err);

#endif
