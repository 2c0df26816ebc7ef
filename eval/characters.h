// Kinds of characters that tokenizers ask for one at a time (Unicode's general categories and White_Space). Where the
// tables behind `tokenizers` are of another Unicode version than utf8proc's, theirs count.
#ifndef EVAL_CHARACTERS_H
#define EVAL_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool character_is_space(uint32_t c);       // White_Space
bool character_is_number(uint32_t c);      // Nd, Nl, No
bool character_is_punctuation(uint32_t c); // P*, and ASCII's symbols
uint32_t character_lower(uint32_t c);      // the lower case, where that is one character (of U+0130 it is two)

typedef struct CharacterRange {
    uint32_t first, last;
} CharacterRange;

// Whether c is in one of the ranges, which are in order.
bool character_in(const CharacterRange *ranges, size_t count, uint32_t c);

#endif
