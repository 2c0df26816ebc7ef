#include "formats/base64.h"

#include "core/mem.h"

static int value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

uint8_t *base64_decode(const char *text, size_t length, size_t *size, Error *err) {
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') padding++;
    if (length % 4) {
        error_set(err, "is not base64: its length is not a multiple of 4");
        return NULL;
    }
    uint8_t *bytes = mem_alloc(length / 4 * 3, 1, err), *to = bytes;
    if (!bytes) return NULL;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        int v = i < length - padding ? value(text[i]) : 0;
        if (v < 0) {
            error_set(err, "is not base64 at character %zu", i);
            mem_free(bytes);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 3) continue;
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
    }
    *size = (size_t)(to - bytes) - padding;
    return bytes;
}
