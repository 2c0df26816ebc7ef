#include "eval/byte_level.h"

#include "core/utf8.h"

// Two stretches of Latin-1 stand for themselves besides ASCII's: all but the control characters, space and soft hyphen.
static bool is_visible(uint32_t c) { return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD); }

// The others are numbered from U+0100: 0x00-0x20, 0x7F-0xA0, 0xAD.
enum { HIDDEN_START = 0x100, HIDDEN_LOW = 0x21, HIDDEN_MIDDLE = 0x22, HIDDEN_COUNT = HIDDEN_LOW + HIDDEN_MIDDLE + 1 };

static uint32_t byte_character(uint8_t b) {
    if (is_visible(b)) return b;
    if (b < HIDDEN_LOW) return HIDDEN_START + b;
    if (b == 0xAD) return HIDDEN_START + HIDDEN_COUNT - 1;
    return HIDDEN_START + HIDDEN_LOW + (b - 0x7Fu);
}

// -1 where the character stands for no byte.
static int character_byte(uint32_t c) {
    if (is_visible(c)) return (int)c;
    if (c < HIDDEN_START || c >= HIDDEN_START + HIDDEN_COUNT) return -1;
    c -= HIDDEN_START;
    if (c < HIDDEN_LOW) return (int)c;
    return c == HIDDEN_COUNT - 1 ? 0xAD : (int)(c - HIDDEN_LOW + 0x7F);
}

bool byte_level_encode(const char *bytes, size_t size, TextBuffer *out, Error *err) {
    if (!text_reserve(out, 2 * size, err)) return false; // U+0143 at most: two bytes
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i++) to += utf8_encode(byte_character((uint8_t)bytes[i]), to);
    out->size = (size_t)(to - out->data);
    return true;
}

bool byte_level_decode(const char *text, size_t size, TextBuffer *out, Error *err) {
    if (!text_reserve(out, size, err)) return false;
    char *to = out->data + out->size;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_decode(text + at, &c);
        int byte = character_byte(c);
        if (byte < 0) return text_append(out, text, size, err);
        *to++ = (char)byte;
    }
    out->size = (size_t)(to - out->data);
    return true;
}
