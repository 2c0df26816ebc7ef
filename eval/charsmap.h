// SentencePiece's compiled normalization rules (the normalizer "Precompiled"; normalizer_spec.precompiled_charsmap): a
// double-array trie (github.com/s-yata/darts-clone) from characters to where in a pool of texts their replacement
// starts. Run as `tokenizers` runs it: by grapheme cluster, and of a short cluster only the shortest beginning that has
// a rule counts, for all of it.
#ifndef EVAL_CHARSMAP_H
#define EVAL_CHARSMAP_H

#include "eval/text_buffer.h"
#include "formats/tokenizer_spec.h"

// Of the bytes of a map: how many there are of trie, and that the pool is UTF-8. What the trie's units point to is
// checked as it is followed.
typedef struct Charsmap {
    const uint8_t *units; // [count] little-endian, 4 bytes each
    size_t count;
    const char *pool;
    size_t pool_size;
} Charsmap;

bool charsmap_init(Charsmap *map, const Text *bytes, Error *err); // the bytes must outlive it

// Appends the normalized text (valid UTF-8).
bool charsmap_run(const Charsmap *map, const char *text, size_t size, TextBuffer *out, Error *err);

#endif
