// What the program's own kinds of file, .nib and statistics, have in common: a header of 128 bytes, sections at
// multiples of 64 with zeros between them, and at the end an index, compressed JSON, which holds the sections' hashes.
// formats/NIB.md writes it down.
#ifndef FORMATS_CONTAINER_H
#define FORMATS_CONTAINER_H

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"

enum {
    CONTAINER_ALIGN = 64,         // every section starts at a multiple of it
    CONTAINER_HEADER_BYTES = 128, // the header, its hash and zeros
    CONTAINER_HASHED_BYTES = 64,  // what the header's hash covers
    CONTAINER_MAGIC_BYTES = 8,
    CONTAINER_RATIO_MAX = 1032, // what zlib's format can compress at the very most (zlib.net/zlib_tech.html)
};

typedef struct ContainerHeader {
    uint32_t version;
    uint32_t flags; // none is defined: 0
    uint64_t file_bytes;
    uint64_t index_offset;
    uint64_t index_bytes;     // as stored, compressed
    uint64_t index_raw_bytes; // uncompressed
    Hash index_hash;          // of the stored bytes
} ContainerHeader;

// A kind of file.
typedef struct ContainerKind {
    uint8_t magic[CONTAINER_MAGIC_BYTES];
    const char *what;    // for messages: "a .nib file"
    const char *name;    // ".nib"
    uint32_t version;    // the newest
    size_t index_max;    // bytes of the index, uncompressed
    size_t index_values; // JSON values in it
} ContainerKind;

bool container_is(const ContainerKind *kind, const char *path); // the file starts with the magic

// The whole 128 bytes, hash included.
void container_header_write(const uint8_t magic[CONTAINER_MAGIC_BYTES], const ContainerHeader *header,
                            uint8_t out[CONTAINER_HEADER_BYTES]);

typedef enum ContainerHeaderState {
    CONTAINER_GOOD,
    CONTAINER_FOREIGN, // another magic
    CONTAINER_DAMAGED, // its hash does not match, or bytes that must be zero are not
} ContainerHeaderState;
ContainerHeaderState container_header_read(const uint8_t magic[CONTAINER_MAGIC_BYTES],
                                           const uint8_t in[CONTAINER_HEADER_BYTES], ContainerHeader *header);

// ---- reading. Messages do not name the file.

// Checks header and index of a mapped file; the index as JSON, NULL with a message. Free with cJSON_Delete.
cJSON *container_index(const ContainerKind *kind, const FileMap *map, ContainerHeader *header, Error *err);

// Walks the sections in their order: begins with end = CONTAINER_HEADER_BYTES and limit = the index's offset.
typedef struct ContainerWalk {
    const FileMap *map;
    uint64_t end;   // of the section before
    uint64_t limit; // where the index starts
} ContainerWalk;

// The next section must be [offset, offset + bytes), with zeros before it.
bool container_walk_to(ContainerWalk *w, const char *what, const char *name, uint64_t offset, uint64_t bytes,
                       Error *err);

// Inflates exactly `bytes` into exactly `raw_bytes`, with a NUL after them. Free with mem_free.
char *container_inflate(const uint8_t *data, uint64_t bytes, uint64_t raw_bytes, uint64_t limit, Error *err);

// Members of an index that must be there: a whole number from 0 to 2^53; "xxh3".
bool container_count(const cJSON *object, const char *key, uint64_t *value, Error *err);
bool container_hash(const cJSON *object, Hash *hash, Error *err);

// ---- writing

// Compressed bytes. Free .owned with mem_free.
typedef struct ContainerPacked {
    const uint8_t *data; // a zlib stream
    size_t bytes;
    Hash hash;   // of the stream
    void *owned; // its memory; NULL where it lies in a file
} ContainerPacked;
bool container_compress(const void *data, size_t size, ContainerPacked *packed, Error *err);

// Starts a file: the header's place, zeros.
bool container_begin(FileOut *out, Error *err);
// Appends a section; where it begins in *offset.
bool container_section(FileOut *out, const void *data, size_t bytes, uint64_t *offset, Error *err);
// Ends it: the index, given as text, and the header.
bool container_end(FileOut *out, const ContainerKind *kind, uint32_t version, const char *index, Error *err);

#endif
