// What reader and writer of .nib share: the numbers of the specification (formats/NIB.md) and the header's bytes.
#ifndef FORMATS_NIB_FORMAT_H
#define FORMATS_NIB_FORMAT_H

#include "core/hash.h"
#include <stddef.h>
#include <stdint.h>

enum {
    NIB_VERSION = 2,        // the newest; 1 where the model says nothing beyond Llama
    NIB_ALIGN = 64,         // every section starts at a multiple of it
    NIB_HEADER_BYTES = 128, // the header, its hash and zeros
    NIB_HASHED_BYTES = 64,  // what the header's hash covers
    NIB_MAGIC_BYTES = 8,
    NIB_INDEX_MAX = 64 << 20,   // bytes of the index, uncompressed
    NIB_INDEX_VALUES = 2000000, // JSON values in it
    NIB_FILE_MAX = 256 << 20,   // bytes of all embedded files, uncompressed
    NIB_FILES_MAX = 256,        // embedded files
    NIB_RATIO_MAX = 1032,       // what zlib's format can compress at the very most (zlib.net/zlib_tech.html)
    NIB_NAME_MAX = 255,         // bytes of a tensor's or file's name
};

// 0x89 shows a stripped eighth bit; CR LF, LF and ^Z show a transfer as text: as in PNG.
extern const uint8_t nib_magic[NIB_MAGIC_BYTES];

typedef struct NibHeader {
    uint32_t version;
    uint32_t flags; // none is defined: 0
    uint64_t file_bytes;
    uint64_t index_offset;
    uint64_t index_bytes;     // as stored, compressed
    uint64_t index_raw_bytes; // uncompressed
    Hash index_hash;          // of the stored bytes
} NibHeader;

// The whole 128 bytes, hash included.
void nib_header_write(const NibHeader *header, uint8_t out[NIB_HEADER_BYTES]);

typedef enum NibHeaderState {
    NIB_HEADER_GOOD,
    NIB_HEADER_FOREIGN, // another magic
    NIB_HEADER_DAMAGED, // its hash does not match, or bytes that must be zero are not
} NibHeaderState;
NibHeaderState nib_header_read(const uint8_t in[NIB_HEADER_BYTES], NibHeader *header);

#endif
