// What a .nib has beside its tensors, as an upper bound that is known before it is written.
#ifndef CLI_FILE_OVERHEAD_H
#define CLI_FILE_OVERHEAD_H

#include "formats/model.h"

// Header, embedded files as they will be compressed, index; with tensors counted in whole steps of NIB_ALIGN. extra:
// bytes of text that the recipe gets beside what a plain step has. Compresses the files once.
bool file_overhead(const Model *model, size_t extra, uint64_t *bytes, Error *err);

#endif
