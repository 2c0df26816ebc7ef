// Kinds of characters that tokenizers ask for one at a time (Unicode's general categories and White_Space).
#ifndef EVAL_CHARACTERS_H
#define EVAL_CHARACTERS_H

#include <stdbool.h>
#include <stdint.h>

bool character_is_space(uint32_t c);       // White_Space
bool character_is_number(uint32_t c);      // Nd, Nl, No
bool character_is_punctuation(uint32_t c); // P*, and ASCII's symbols

#endif
