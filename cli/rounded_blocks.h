// Tensors that are rounded already, kept in a directory: so that a quantization that was interrupted goes on where it
// was, and several machines can share the rounding (nibble quant --state, --shard). A file a tensor, named after what
// it was made of and how; a file whose content is not whole is as if it were not there.
#ifndef CLI_ROUNDED_BLOCKS_H
#define CLI_ROUNDED_BLOCKS_H

#include "cli/quant_rounding.h"

// Of which `bytes` the blocks are. False where there are none; memory that is out counts as that.
bool rounded_load(const char *directory, Hash key, size_t bytes, Rounded *out);
bool rounded_save(const char *directory, Hash key, size_t bytes, const Rounded *rounded, Error *err);
void rounded_remove(const char *directory, Hash key);

#endif
