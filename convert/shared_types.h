// Which tensors must be of one type so that engines can have them: those that GGUF puts together (queries, keys and
// values of some families, gate and up, the experts of a layer).
#ifndef CONVERT_SHARED_TYPES_H
#define CONVERT_SHARED_TYPES_H

#include "formats/model.h"

// groups [tensors]: equal numbers, from 0 on, for tensors that share a type. A family that GGUF does not have shares
// within the experts of a layer all the same.
bool shared_types(const Model *model, size_t *groups, Error *err);

#endif
