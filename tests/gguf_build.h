// GGUF files put together by hand, whole or broken on purpose: for tests. Written from the format's document, apart
// from the reader.
#ifndef TESTS_GGUF_BUILD_H
#define TESTS_GGUF_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Build {
    uint8_t *data;
    size_t size;
} Build;

static inline void build_bytes(Build *b, const void *data, size_t size) {
    b->data = realloc(b->data, b->size + size + 1);
    if (!b->data) abort();
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void build_number(Build *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
        build_bytes(b, &byte, 1);
    }
}

static inline void build_text(Build *b, const char *text) {
    build_number(b, strlen(text), 8);
    build_bytes(b, text, strlen(text));
}

static inline void build_align(Build *b, size_t to) {
    while (b->size % to) build_number(b, 0, 1);
}

static inline void build_free(Build *b) {
    free(b->data);
    *b = (Build){NULL, 0};
}

// A file in words: GGUF for itself, 4:7 for 7 in 4 bytes, s:text, z:16 for 16 zeros, a:32 for zeros up to a multiple
// of 32.
static inline void build_words(Build *b, const char *words) {
    char *copy = strdup(words), *rest = NULL;
    if (!copy) abort();
    for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        char *colon = strchr(w, ':');
        uint64_t value = colon ? strtoull(colon + 1, NULL, 0) : 0;
        if (!colon)
            build_bytes(b, w, strlen(w));
        else if (*w == 's')
            build_text(b, colon + 1);
        else if (*w == 'z')
            for (uint64_t i = 0; i < value; i++) build_number(b, 0, 1);
        else if (*w == 'a')
            build_align(b, (size_t)value);
        else
            build_number(b, value, atoi(w));
    }
    free(copy);
}

// Key-value pairs: uint32, float32, text.
static inline void build_u32(Build *b, const char *key, uint32_t value) {
    build_text(b, key);
    build_number(b, 4, 4);
    build_number(b, value, 4);
}

static inline void build_f32(Build *b, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    build_text(b, key);
    build_number(b, 6, 4);
    build_number(b, bits, 4);
}

static inline void build_key_text(Build *b, const char *key, const char *value) {
    build_text(b, key);
    build_number(b, 8, 4);
    build_text(b, value);
}

#endif
