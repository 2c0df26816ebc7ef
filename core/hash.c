#include "core/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static Hash from_xxh(XXH128_hash_t h) { return (Hash){h.high64, h.low64}; }

Hash hash_bytes(const void *data, size_t size) { return from_xxh(XXH3_128bits(data, size)); }

const char *hash_hex(Hash h, char buf[HASH_HEX]) {
    snprintf(buf, HASH_HEX, "%016llx%016llx", (unsigned long long)h.high, (unsigned long long)h.low);
    return buf;
}

bool hash_parse(const char *hex, Hash *h) {
    if (strlen(hex) != HASH_HEX - 1 || strspn(hex, "0123456789abcdef") != HASH_HEX - 1) return false;
    char half[17] = {0};
    memcpy(half, hex, 16);
    h->high = strtoull(half, NULL, 16);
    h->low = strtoull(hex + 16, NULL, 16);
    return true;
}

struct HashStream {
    XXH3_state_t *state;
};

HashStream *hash_stream_new(void) {
    HashStream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->state = XXH3_createState();
    if (!s->state) {
        free(s);
        return NULL;
    }
    XXH3_128bits_reset(s->state);
    return s;
}

void hash_stream_add(HashStream *s, const void *data, size_t size) { XXH3_128bits_update(s->state, data, size); }

Hash hash_stream_end(HashStream *s) {
    Hash h = from_xxh(XXH3_128bits_digest(s->state));
    XXH3_freeState(s->state);
    free(s);
    return h;
}
