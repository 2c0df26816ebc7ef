// XXH3 with 128 bits (https://github.com/Cyan4973/xxHash), written as 32 hexadecimal digits, high half first.
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Hash {
    uint64_t high, low;
} Hash;

enum { HASH_HEX = 33 }; // digits and the NUL

Hash hash_bytes(const void *data, size_t size);
static inline bool hash_equal(Hash a, Hash b) { return a.high == b.high && a.low == b.low; }
static inline bool hash_is_zero(Hash h) { return !h.high && !h.low; } // what files say where they know none
const char *hash_hex(Hash h, char buf[HASH_HEX]);
bool hash_parse(const char *hex, Hash *h); // false unless it is exactly 32 lower-case hexadecimal digits

// The same hash over a stream. hash_stream_new returns NULL when memory is out; hash_stream_end also frees.
typedef struct HashStream HashStream;
HashStream *hash_stream_new(void);
void hash_stream_add(HashStream *s, const void *data, size_t size);
Hash hash_stream_end(HashStream *s);

#endif
