// UTF-8 (RFC 3629): checking it, and walking text that has been checked.
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX_BYTES = 4 };

// Length of the character at text (size > 0), *valid true; or of the maximal invalid part there, *valid false: what one
// U+FFFD stands for in Unicode's recommended practice (Unicode 15, 3.9, table 3-8), in Python and in Rust.
size_t utf8_step(const char *text, size_t size, bool *valid);

// How many bytes from the start are valid; size itself when all are.
size_t utf8_valid_prefix(const char *text, size_t size);

// Reads one character of valid text (at least one byte of it) and returns its length.
size_t utf8_decode(const char *text, uint32_t *character);

// Start of the character that ends before text + at (at > 0, valid text).
size_t utf8_previous(const char *text, size_t at);

// Writes a character (at most 0x10FFFF) and returns its length.
size_t utf8_encode(uint32_t character, char out[UTF8_MAX_BYTES]);

#endif
