// Bytes that grow at their end.
#ifndef EVAL_TEXT_BUFFER_H
#define EVAL_TEXT_BUFFER_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct TextBuffer {
    char *data;
    size_t size, capacity;
    size_t limit; // the most bytes that it may come to hold; 0: any number
} TextBuffer;

// What a text of this size may grow to while it is normalized, cut and decoded: steps that each double it could
// otherwise fill any memory.
size_t text_growth_limit(size_t size);

// Makes room for `more` bytes behind the present ones; the caller may write there and add to size. data is then there,
// even for 0 bytes.
bool text_reserve(TextBuffer *buffer, size_t more, Error *err);
bool text_append(TextBuffer *buffer, const void *data, size_t size, Error *err);
bool text_append_character(TextBuffer *buffer, uint32_t character, Error *err); // as UTF-8
void text_free(TextBuffer *buffer);

#endif
