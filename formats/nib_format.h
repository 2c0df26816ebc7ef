// What reader and writer of .nib share: the numbers of the specification (formats/NIB.md) and the header's bytes.
#ifndef FORMATS_NIB_FORMAT_H
#define FORMATS_NIB_FORMAT_H

#include "formats/container.h"

enum {
    NIB_VERSION = 2, // the newest; 1 where the model says nothing beyond Llama
    NIB_ALIGN = CONTAINER_ALIGN,
    NIB_HEADER_BYTES = CONTAINER_HEADER_BYTES,
    NIB_HASHED_BYTES = CONTAINER_HASHED_BYTES,
    NIB_MAGIC_BYTES = CONTAINER_MAGIC_BYTES,
    NIB_INDEX_MAX = 64 << 20,   // bytes of the index, uncompressed
    NIB_INDEX_VALUES = 2000000, // JSON values in it
    NIB_FILE_MAX = 256 << 20,   // bytes of all embedded files, uncompressed
    NIB_FILES_MAX = 256,        // embedded files
    NIB_RATIO_MAX = CONTAINER_RATIO_MAX,
    NIB_NAME_MAX = 255, // bytes of a tensor's or file's name
};

extern const ContainerKind nib_kind;

typedef ContainerHeader NibHeader;

static inline void nib_header_write(const NibHeader *header, uint8_t out[NIB_HEADER_BYTES]) {
    container_header_write(nib_kind.magic, header, out);
}
static inline ContainerHeaderState nib_header_read(const uint8_t in[NIB_HEADER_BYTES], NibHeader *header) {
    return container_header_read(nib_kind.magic, in, header);
}

#endif
