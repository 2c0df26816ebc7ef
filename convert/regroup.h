// A model's tensors under the names of a scheme (Hugging Face's of its family, GGUF's of an architecture): what was
// taken apart when it was read is put together again.
#ifndef CONVERT_REGROUP_H
#define CONVERT_REGROUP_H

#include "convert/cast.h"
#include "convert/names.h"

typedef struct Regroup {
    Tensor *items; // in the model's order; .source is the scheme's name, owned; .name that of the first it is made of
    const Tensor **single; // [count] the model's own tensor where an item is just that, else NULL
    size_t count;
    void **memory; // of those that are put together
    size_t memory_count, memory_capacity;
} Regroup;

// Names that the scheme does not have stay as they are, and those that begin otherwise in the source (`starts`) do so.
// Pieces of different types become f32 or, with `keep_types`, are an error: what is to go into one tensor must be of
// one type. The model must outlive the result. Free with regroup_free, also after a failure.
bool regroup(const Model *model, const NameMap *names, const NameStart *starts, bool keep_types,
             const CastKernels *kernels, Regroup *out, Error *err);
void regroup_free(Regroup *r);

// The same as numbers: groups [tensors] says of each of the model's tensors which one it goes into, counted from 0 by
// first appearance.
bool regroup_numbers(const Model *model, const NameMap *names, const NameStart *starts, size_t *groups, Error *err);

#endif
