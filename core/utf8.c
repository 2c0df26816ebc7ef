#include "core/utf8.h"

#include <string.h>

size_t utf8_step(const char *text, size_t size, bool *valid) {
    const uint8_t *s = (const uint8_t *)text;
    // The range of the second byte is narrower after some first bytes: no overlong forms, surrogates or beyond
    // 0x10FFFF.
    uint8_t low = 0x80, high = 0xBF;
    size_t length;
    *valid = false;
    if (s[0] < 0x80)
        length = 1;
    else if (s[0] < 0xC2)
        return 1;
    else if (s[0] < 0xE0)
        length = 2;
    else if (s[0] < 0xF0) {
        length = 3;
        if (s[0] == 0xE0) low = 0xA0;
        if (s[0] == 0xED) high = 0x9F;
    } else if (s[0] < 0xF5) {
        length = 4;
        if (s[0] == 0xF0) low = 0x90;
        if (s[0] == 0xF4) high = 0x8F;
    } else
        return 1;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
        if (i >= size || s[i] < low || s[i] > high) return i;
    *valid = true;
    return length;
}

size_t utf8_valid_prefix(const char *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        // Eight ASCII bytes at a time, since most text is that.
        if (size - at >= sizeof eight && (memcpy(&eight, text + at, sizeof eight), !(eight & 0x8080808080808080u))) {
            at += sizeof eight;
            continue;
        }
        bool valid;
        size_t length = utf8_step(text + at, size - at, &valid);
        if (!valid) break;
        at += length;
    }
    return at;
}

size_t utf8_decode(const char *text, uint32_t *character) {
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80) {
        *character = s[0];
        return 1;
    }
    if (s[0] < 0xE0) {
        *character = (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
        return 2;
    }
    if (s[0] < 0xF0) {
        *character = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        return 3;
    }
    *character = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    return 4;
}

size_t utf8_previous(const char *text, size_t at) {
    do at--;
    while (at && ((uint8_t)text[at] & 0xC0) == 0x80);
    return at;
}

size_t utf8_encode(uint32_t c, char out[UTF8_MAX_BYTES]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
