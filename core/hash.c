#include "core/hash.h"

#include "core/cpu.h"
#include "core/hash_avx2.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#if defined(__x86_64__)
static bool has_avx2(void) { return cpu_get()->level != CPU_SCALAR; }
#endif

static Hash from_xxh(XXH128_hash_t h) { return (Hash){h.high64, h.low64}; }

Hash hash_bytes(const void *data, size_t size) {
#if defined(__x86_64__)
    if (has_avx2()) return hash_avx2_bytes(data, size);
#endif
    return from_xxh(XXH3_128bits(data, size));
}

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

// A stream is the library's state, or that of core/hash_avx2.h.
HashStream *hash_stream_new(void) {
#if defined(__x86_64__)
    if (has_avx2()) return hash_avx2_new();
#endif
    XXH3_state_t *state = XXH3_createState();
    if (state) XXH3_128bits_reset(state);
    return (HashStream *)state;
}

void hash_stream_add(HashStream *s, const void *data, size_t size) {
#if defined(__x86_64__)
    if (has_avx2()) {
        hash_avx2_add(s, data, size);
        return;
    }
#endif
    XXH3_128bits_update((XXH3_state_t *)s, data, size);
}

Hash hash_stream_end(HashStream *s) {
#if defined(__x86_64__)
    if (has_avx2()) return hash_avx2_end(s);
#endif
    XXH3_state_t *state = (XXH3_state_t *)s;
    Hash h = from_xxh(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return h;
}
