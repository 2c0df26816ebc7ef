#include "formats/container.h"

#include "core/mem.h"
#include "core/size.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { LEVEL = 5 }; // 1.5 % more bytes than level 6 on a tokenizer.json, in two thirds of the time

bool container_is(const ContainerKind *kind, const char *path) {
    uint8_t start[CONTAINER_MAGIC_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(start, 1, sizeof start, f);
    fclose(f);
    return n == sizeof start && memcmp(start, kind->magic, sizeof start) == 0;
}

// ---- the header

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

void container_header_write(const uint8_t magic[CONTAINER_MAGIC_BYTES], const ContainerHeader *h,
                            uint8_t out[CONTAINER_HEADER_BYTES]) {
    memset(out, 0, CONTAINER_HEADER_BYTES);
    memcpy(out, magic, CONTAINER_MAGIC_BYTES);
    put(out + 8, h->version, 4);
    put(out + 12, h->flags, 4);
    put(out + 16, h->file_bytes, 8);
    put(out + 24, h->index_offset, 8);
    put(out + 32, h->index_bytes, 8);
    put(out + 40, h->index_raw_bytes, 8);
    put_hash(out + 48, h->index_hash);
    put_hash(out + CONTAINER_HASHED_BYTES, hash_bytes(out, CONTAINER_HASHED_BYTES));
}

ContainerHeaderState container_header_read(const uint8_t magic[CONTAINER_MAGIC_BYTES],
                                           const uint8_t in[CONTAINER_HEADER_BYTES], ContainerHeader *h) {
    if (memcmp(in, magic, CONTAINER_MAGIC_BYTES) != 0) return CONTAINER_FOREIGN;
    h->version = (uint32_t)get(in + 8, 4);
    h->flags = (uint32_t)get(in + 12, 4);
    h->file_bytes = get(in + 16, 8);
    h->index_offset = get(in + 24, 8);
    h->index_bytes = get(in + 32, 8);
    h->index_raw_bytes = get(in + 40, 8);
    h->index_hash = get_hash(in + 48);
    // The bytes must be just those that a writer would write: hash, zeros and all.
    uint8_t again[CONTAINER_HEADER_BYTES];
    container_header_write(magic, h, again);
    return memcmp(in, again, sizeof again) == 0 ? CONTAINER_GOOD : CONTAINER_DAMAGED;
}

static bool check_header(const ContainerKind *kind, const FileMap *map, ContainerHeader *h, Error *err) {
    if (map->size < CONTAINER_HEADER_BYTES)
        return error_set(err, "is too short (%zu bytes) to be %s: is it cut short?", map->size, kind->what);
    switch (container_header_read(kind->magic, map->data, h)) {
    case CONTAINER_FOREIGN: return error_set(err, "is not %s", kind->what);
    case CONTAINER_DAMAGED: return error_set(err, "its header is damaged; make or fetch the file again");
    case CONTAINER_GOOD: break;
    }
    if (h->version < 1 || h->version > kind->version || h->flags)
        return error_set(err, "is of %s version %u with flags %#x; this nibble reads versions 1 to %u: update it",
                         kind->name, h->version, h->flags, kind->version);
    if (h->file_bytes != map->size)
        return error_set(err, "should have %llu bytes but has %zu: is it cut short?", (unsigned long long)h->file_bytes,
                         map->size);
    if (h->index_offset % CONTAINER_ALIGN || h->index_offset < CONTAINER_HEADER_BYTES || h->index_offset > map->size ||
        h->index_bytes != map->size - h->index_offset)
        return error_set(err, "its header places the index outside the file");
    if (!hash_equal(hash_bytes(map->data + h->index_offset, h->index_bytes), h->index_hash))
        return error_set(err, "its index is damaged; make or fetch the file again");
    return true;
}

cJSON *container_index(const ContainerKind *kind, const FileMap *map, ContainerHeader *h, Error *err) {
    if (!check_header(kind, map, h, err)) return NULL;
    char *text =
        container_inflate(map->data + h->index_offset, h->index_bytes, h->index_raw_bytes, kind->index_max, err);
    cJSON *index = NULL;
    if (text && json_bounded(text, h->index_raw_bytes, kind->index_values, err))
        index = json_parse(text, h->index_raw_bytes, err);
    mem_free(text);
    if (!index) error_prefix(err, "the index");
    return index;
}

// ---- sections

bool container_walk_to(ContainerWalk *w, const char *what, const char *name, uint64_t offset, uint64_t bytes,
                       Error *err) {
    uint64_t at = size_align(w->end, CONTAINER_ALIGN);
    if (offset % CONTAINER_ALIGN)
        return error_set(err, "%s %s: its offset %llu is misaligned: no multiple of %d", what, name,
                         (unsigned long long)offset, CONTAINER_ALIGN);
    if (offset > w->limit || bytes > w->limit - offset)
        return error_set(err, "%s %s: its bytes lie outside the file's data", what, name);
    if (offset != at)
        return error_set(err, "%s %s: starts at %llu, but %llu is where the section before ends: they %s", what, name,
                         (unsigned long long)offset, (unsigned long long)at, offset < at ? "overlap" : "leave a hole");
    for (uint64_t i = w->end; i < at; i++)
        if (w->map->data[i])
            return error_set(err, "the padding before %s %s is not zero: the file is damaged", what, name);
    w->end = offset + bytes;
    return true;
}

char *container_inflate(const uint8_t *data, uint64_t bytes, uint64_t raw_bytes, uint64_t limit, Error *err) {
    if (raw_bytes > limit || raw_bytes / CONTAINER_RATIO_MAX > bytes) {
        error_set(err, "claims %llu bytes from %llu compressed ones: more than can be", (unsigned long long)raw_bytes,
                  (unsigned long long)bytes);
        return NULL;
    }
    char *raw = mem_alloc(raw_bytes + 1, 1, err);
    if (!raw) return NULL;
    uLongf got = (uLongf)raw_bytes;
    uLong used = (uLong)bytes;
    // One byte more than is claimed may be written, so that more than is claimed shows.
    got++;
    if (uncompress2((Bytef *)raw, &got, data, &used) == Z_OK && got == raw_bytes && used == bytes) {
        raw[raw_bytes] = 0;
        return raw;
    }
    error_set(err, "its compressed bytes are damaged");
    mem_free(raw);
    return NULL;
}

bool container_count(const cJSON *object, const char *key, uint64_t *value, Error *err) {
    const cJSON *m = json_member(object, key);
    if (!cJSON_IsNumber(m) || !(m->valuedouble >= 0 && m->valuedouble <= 0x1p53) ||
        m->valuedouble != floor(m->valuedouble))
        return error_set(err, "\"%s\" is missing or no whole number", key);
    *value = (uint64_t)m->valuedouble;
    return true;
}

bool container_hash(const cJSON *object, Hash *hash, Error *err) {
    const char *text = json_text(object, "xxh3");
    return (text && hash_parse(text, hash)) || error_set(err, "\"xxh3\" is missing or not 32 hexadecimal digits");
}

// ---- writing

bool container_compress(const void *data, size_t size, ContainerPacked *packed, Error *err) {
    uLongf bytes = compressBound((uLong)size);
    packed->data = packed->owned = mem_alloc(bytes, 1, err);
    if (!packed->owned) return false;
    if (compress2(packed->owned, &bytes, data, (uLong)size, LEVEL) != Z_OK) return error_set(err, "out of memory");
    packed->bytes = bytes;
    packed->hash = hash_bytes(packed->data, bytes);
    return true;
}

bool container_begin(FileOut *out, Error *err) {
    static const uint8_t header[CONTAINER_HEADER_BYTES];
    return file_out_write(out, header, sizeof header, err);
}

bool container_section(FileOut *out, const void *data, size_t bytes, uint64_t *offset, Error *err) {
    if (!file_out_pad(out, CONTAINER_ALIGN, err)) return false;
    *offset = file_out_size(out);
    return file_out_write(out, data, bytes, err);
}

bool container_end(FileOut *out, const ContainerKind *kind, uint32_t version, const char *index, Error *err) {
    ContainerHeader h = {.version = version, .index_raw_bytes = strlen(index)};
    if (h.index_raw_bytes > kind->index_max)
        return error_set(err, "the index has %llu bytes, above the format's limit of %zu",
                         (unsigned long long)h.index_raw_bytes, kind->index_max);
    ContainerPacked packed = {0};
    bool ok = container_compress(index, strlen(index), &packed, err) &&
              container_section(out, packed.data, packed.bytes, &h.index_offset, err);
    mem_free(packed.owned);
    if (!ok) return false;
    h.index_bytes = packed.bytes;
    h.index_hash = packed.hash;
    h.file_bytes = file_out_size(out);
    uint8_t header[CONTAINER_HEADER_BYTES];
    container_header_write(kind->magic, &h, header);
    return file_out_patch(out, 0, header, sizeof header, err);
}
