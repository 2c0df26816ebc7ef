// Unigram (Kudo, arXiv:1804.10959): of all ways to cut a piece into tokens the one whose scores, logarithms of
// probabilities, have the greatest sum. A character that is no token costs more than any token does. Ties and rounding
// are those of `tokenizers`. Time is linear in a piece's length.
#ifndef EVAL_UNIGRAM_H
#define EVAL_UNIGRAM_H

#include "eval/word_cache.h"
#include "formats/tokenizer_spec.h"

// The vocabulary as a tree of bytes, breadth first: the children of node n are first[n] to first[n + 1] - 1, in order.
typedef struct Unigram {
    const TokenizerSpec *spec;
    uint8_t *bytes;  // [count] on the way to the node
    uint32_t *first; // [count + 1]
    int32_t *ids;    // [count] of the token that ends at the node, -1 where none does
    size_t count;
    double unknown;        // score of a character that is no token
    int32_t byte_ids[256]; // ids of <0x00> to <0xFF>, -1 where there is none
} Unigram;

bool unigram_init(Unigram *unigram, const TokenizerSpec *spec, Error *err); // spec must outlive it
void unigram_free(Unigram *unigram);

// What one thread needs to encode; all zeros at first.
typedef struct UnigramStep UnigramStep;
typedef struct UnigramWork {
    WordCache cache;
    UnigramStep *steps;
    size_t step_capacity;
} UnigramWork;
void unigram_work_free(UnigramWork *work);

// Appends the ids of a piece (valid UTF-8).
bool unigram_encode(const Unigram *unigram, UnigramWork *work, const char *text, size_t size, IdList *out, Error *err);

#endif
