// Reader and writer of .nib files. The specification is formats/NIB.md.
#ifndef FORMATS_NIB_H
#define FORMATS_NIB_H

#include "formats/model.h"

bool nib_is(const char *path); // the file starts with the magic

// Maps the file and checks header, index, bounds, alignment and overlap, and the embedded files' hashes;
// tensors' bytes are checked by tensor_verify when used. NULL with a message.
Model *nib_open(const char *path, Error *err);

// Checks every byte: all of nib_open, all tensors, and that the padding is zero.
bool nib_verify(const char *path, Error *err);

typedef struct NibWriter NibWriter;

// Starts the file that will replace `path`. `model` gives description, files, sources and recipe (all copied at the
// end, so it must stay until commit); expected: about how many bytes of tensors will come.
NibWriter *nib_create(const char *path, const Model *model, uint64_t expected, Error *err);

// A tensor: begin (name, source, type, dims, shape of `like` are stored), its bytes in any number of pieces, end.
bool nib_tensor_begin(NibWriter *w, const Tensor *like, Error *err);
bool nib_tensor_write(NibWriter *w, const void *data, size_t size, Error *err);
bool nib_tensor_end(NibWriter *w, Error *err); // fails unless exactly the bytes of type and shape came

bool nib_commit(NibWriter *w, Error *err); // writes the index, syncs, renames; frees w also when it fails
void nib_abort(NibWriter *w);              // leaves what was there before; frees w. NULL is fine

#endif
