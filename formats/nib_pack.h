// A .nib's embedded files, compressed by a thread of their own while the tensors are written; those that come out of
// another .nib stay as they were compressed there.
#ifndef FORMATS_NIB_PACK_H
#define FORMATS_NIB_PACK_H

#include "formats/container.h"
#include "formats/model.h"

typedef struct NibPack NibPack;

typedef ContainerPacked NibPacked;

// Starts on all of the model's files, which must stay as they are until nib_pack_free. NULL with a message.
NibPack *nib_pack_start(const Model *model, Error *err);

// Waits until all are done: one for each of the model's files, in their order; NULL with a message when that failed.
const NibPacked *nib_pack_wait(NibPack *pack, Error *err);

void nib_pack_free(NibPack *pack); // waits; NULL is fine

#endif
