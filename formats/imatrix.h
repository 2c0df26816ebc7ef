// llama.cpp's importance matrices: sums of squared inputs of each weight (its tools/imatrix). Two forms: a GGUF file of
// general.type "imatrix" with tensors NAME.in_sum2 [matrices, cols] and NAME.counts [matrices, 1], and the older .dat:
//   i32 entries; each: i32 length, name, i32 calls, i32 count, count f32 (sum / tokens * calls);
//   then, or not: i32 chunks, i32 length, the text's name.
// Names are GGUF's and so ours, but where GGUF has one tensor for several of ours: experts, NAME_exps.weight with a
// matrix each; and attn_qkv, which is q, k and v.
#ifndef FORMATS_IMATRIX_H
#define FORMATS_IMATRIX_H

#include "formats/stats.h"

// Whether the file is one: of GGUF by what it says it is, else by its name's ending, .dat.
bool imatrix_is(const char *path);

// As statistics of the kind importance in a file without a name; model and text are not known. experts: how many the
// model has, which a .dat does not say (0: not known; it is an error then where the file has experts). Experts that no
// token chose have no entry.
Stats *imatrix_read(const char *path, int64_t experts, Error *err);

// Writes the importance of statistics of any kind, in the older form where the name ends with .dat. attn_qkv is written
// too, since only engines know whether they have it; they pass over what they have not.
bool imatrix_write(const char *path, const Stats *stats, Error *err);

#endif
