#include "eval/newer.h"

#include "core/utf8.h"
#include "eval/newer_characters.h"
#include <string.h>

enum { RUNS = sizeof newer_characters / sizeof *newer_characters };

uint32_t newer_like(uint32_t c) {
    size_t low = 0, high = RUNS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > newer_characters[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < RUNS && c >= newer_characters[low].first ? newer_characters[low].like : c;
}

// Where the next newer character is, size where none is.
static size_t find(const char *text, size_t at, size_t size, uint32_t *older) {
    while (at < size) {
        uint64_t eight;
        if (size - at >= sizeof eight && (memcpy(&eight, text + at, sizeof eight), !(eight & 0x8080808080808080u))) {
            at += sizeof eight;
            continue;
        }
        uint32_t c;
        size_t length = utf8_decode(text + at, &c);
        if (c >= newer_characters[0].first && (*older = newer_like(c)) != c) return at;
        at += length;
    }
    return size;
}

bool newer_replace(const char **text, size_t size, TextBuffer *room, Error *err) {
    uint32_t older = 0;
    size_t at = find(*text, 0, size, &older);
    if (at == size) return true;
    room->size = 0;
    if (!text_append(room, *text, size, err)) return false;
    for (; at < size; at = find(*text, at, size, &older)) at += utf8_encode(older, room->data + at);
    *text = room->data;
    return true;
}
