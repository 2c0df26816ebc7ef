// A .nib's embedded files, compressed by a thread of their own while the tensors are written; those that come out of
// another .nib stay as they were compressed there.
#ifndef FORMATS_NIB_PACK_H
#define FORMATS_NIB_PACK_H

#include "formats/model.h"

typedef struct NibPack NibPack;

typedef struct NibPacked {
    const uint8_t *data; // a zlib stream
    size_t bytes;
    Hash hash;   // of the stream
    void *owned; // its memory, freed with mem_free; NULL where it lies in a file
} NibPacked;

// Compresses in the calling thread. Free packed->owned.
bool nib_compress(const void *data, size_t size, NibPacked *packed, Error *err);

// Starts on all of the model's files, which must stay as they are until nib_pack_free. NULL with a message.
NibPack *nib_pack_start(const Model *model, Error *err);

// Waits until all are done: one for each of the model's files, in their order; NULL with a message when that failed.
const NibPacked *nib_pack_wait(NibPack *pack, Error *err);

void nib_pack_free(NibPack *pack); // waits; NULL is fine

#endif
