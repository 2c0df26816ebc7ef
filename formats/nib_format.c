#include "formats/nib_format.h"

#include <string.h>

const uint8_t nib_magic[NIB_MAGIC_BYTES] = {0x89, 'N', 'I', 'B', '\r', '\n', 0x1a, '\n'};

static void put(uint8_t *p, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

// A hash lies in the file as its hexadecimal digits read: the high half first, each half big-endian.
static void put_hash(uint8_t *p, Hash h) {
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(h.high >> (56 - 8 * i));
        p[8 + i] = (uint8_t)(h.low >> (56 - 8 * i));
    }
}

static Hash get_hash(const uint8_t *p) {
    Hash h = {0, 0};
    for (int i = 0; i < 8; i++) {
        h.high = h.high << 8 | p[i];
        h.low = h.low << 8 | p[8 + i];
    }
    return h;
}

void nib_header_write(const NibHeader *h, uint8_t out[NIB_HEADER_BYTES]) {
    memset(out, 0, NIB_HEADER_BYTES);
    memcpy(out, nib_magic, sizeof nib_magic);
    put(out + 8, h->version, 4);
    put(out + 12, h->flags, 4);
    put(out + 16, h->file_bytes, 8);
    put(out + 24, h->index_offset, 8);
    put(out + 32, h->index_bytes, 8);
    put(out + 40, h->index_raw_bytes, 8);
    put_hash(out + 48, h->index_hash);
    put_hash(out + NIB_HASHED_BYTES, hash_bytes(out, NIB_HASHED_BYTES));
}

NibHeaderState nib_header_read(const uint8_t in[NIB_HEADER_BYTES], NibHeader *h) {
    if (memcmp(in, nib_magic, sizeof nib_magic) != 0) return NIB_HEADER_FOREIGN;
    h->version = (uint32_t)get(in + 8, 4);
    h->flags = (uint32_t)get(in + 12, 4);
    h->file_bytes = get(in + 16, 8);
    h->index_offset = get(in + 24, 8);
    h->index_bytes = get(in + 32, 8);
    h->index_raw_bytes = get(in + 40, 8);
    h->index_hash = get_hash(in + 48);
    // The bytes must be just those that a writer would write: hash, zeros and all.
    uint8_t again[NIB_HEADER_BYTES];
    nib_header_write(h, again);
    return memcmp(in, again, sizeof again) == 0 ? NIB_HEADER_GOOD : NIB_HEADER_DAMAGED;
}
