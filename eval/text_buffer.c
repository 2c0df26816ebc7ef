#include "eval/text_buffer.h"

#include "core/mem.h"
#include "core/size.h"
#include "core/utf8.h"
#include <string.h>

// Unicode's longest compatibility decomposition is 11 times as long as its character, and spaces become three bytes.
enum { GROWTH_BASE = 1024, GROWTH_FACTOR = 100 };

size_t text_growth_limit(size_t size) {
    size_t limit;
    return size_mul(size, GROWTH_FACTOR, &limit) && size_add(limit, GROWTH_BASE, &limit) ? limit : SIZE_MAX;
}

bool text_reserve(TextBuffer *buffer, size_t more, Error *err) {
    if (buffer->data && more <= buffer->capacity - buffer->size) return true;
    size_t want, twice;
    if (!size_add(buffer->size, more, &want))
        return error_set(err, "out of memory: a text is too long to be addressed");
    if (buffer->limit && want > buffer->limit)
        return error_set(err, "its steps make more than %zu bytes of a text of %zu", buffer->limit,
                         (buffer->limit - GROWTH_BASE) / GROWTH_FACTOR);
    if (size_mul(buffer->capacity, 2, &twice) && twice > want) want = twice;
    char *grown = mem_alloc(want, 1, err);
    if (!grown) return false;
    if (buffer->size) memcpy(grown, buffer->data, buffer->size);
    mem_free(buffer->data);
    buffer->data = grown;
    buffer->capacity = want;
    return true;
}

bool text_append(TextBuffer *buffer, const void *data, size_t size, Error *err) {
    if (!text_reserve(buffer, size, err)) return false;
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return true;
}

bool text_append_character(TextBuffer *buffer, uint32_t character, Error *err) {
    if (!text_reserve(buffer, UTF8_MAX_BYTES, err)) return false;
    buffer->size += utf8_encode(character, buffer->data + buffer->size);
    return true;
}

void text_free(TextBuffer *buffer) {
    mem_free(buffer->data);
    *buffer = (TextBuffer){0};
}
