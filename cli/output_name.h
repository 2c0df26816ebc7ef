// What commands call their outputs when they are not told, and what they may not write over.
#ifndef CLI_OUTPUT_NAME_H
#define CLI_OUTPUT_NAME_H

#include "formats/model.h"

// In the current directory: "dir/smol.nib", "q4_0" and ".nib" give "smol-q4_0.nib"; without a version (NULL)
// "smol.nib". Free with mem_free.
char *output_name(const char *model, const char *version, const char *ending, Error *err);

size_t output_stem(const char *name, size_t length); // its length without .nib or .gguf

bool output_check(const Model *model, const char *output, Error *err); // it is no file of the model's

#endif
