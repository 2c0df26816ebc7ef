// Provenance: what a file was made from, and the steps that made it (formats/NIB.md, "sources" and "recipe").
#ifndef CONVERT_SOURCES_H
#define CONVERT_SOURCES_H

#include "formats/model.h"

// Hashes a download's weight files whole while their tensors are read in order, so that nothing is read twice.
// For a model that has its sources already (a .nib) all of this does nothing.
typedef struct SourceHash SourceHash;

SourceHash *sources_begin(const Model *model, Error *err); // NULL with a message
// Everything up to `end`, in a file that the model maps, is in memory now: it may be hashed. Call it in the files'
// order. A NULL file (a tensor that does not lie in one as it is) is passed over.
void sources_reach(SourceHash *s, const FileMap *file, const void *end);
// Hashes the rest and sets model->sources; frees s also when it fails.
bool sources_end(SourceHash *s, Model *model, Error *err);
void sources_abort(SourceHash *s); // NULL is fine

// Appends a step to the model's recipe, which takes it, also when it fails: {"step", "program", ...}.
// Where the model is a .nib, the step says of which: "from" is its index's hash.
bool recipe_add(Model *model, cJSON *step, Error *err);

#endif
