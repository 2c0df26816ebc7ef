// Byte-pair encoding (Sennrich et al., arXiv:1508.07909) of one piece: its characters become ids, and the neighbours
// whose merge has the lowest rank are merged (the leftmost first) until no merge is left. Time is O(n log n) in a
// piece's length.
#ifndef EVAL_BPE_H
#define EVAL_BPE_H

#include "eval/word_cache.h"
#include "formats/tokenizer_spec.h"

typedef struct PairMerge {
    uint64_t pair; // left id << 32 | right id
    uint32_t rank;
    int32_t result; // -1: this slot is empty
} PairMerge;

enum { BPE_DIRECT = 0x800 }; // characters whose ids are in a table: all of one or two bytes

typedef struct Bpe {
    const TokenizerSpec *spec;
    PairMerge *merges; // hash table with open addressing
    size_t merge_mask;
    uint64_t *
        joints; // hash set with open addressing: last character << 32 | first character of each merge's sides; 0: empty
    size_t joint_mask;
    int32_t direct[BPE_DIRECT]; // id of each character, -1 where there is none
    int32_t bytes[256];         // ids of <0x00> to <0xFF>, -1 where there is none
} Bpe;

bool bpe_init(Bpe *bpe, const TokenizerSpec *spec, Error *err); // spec must outlive it
void bpe_free(Bpe *bpe);

// What one thread needs to encode; all zeros at first.
typedef struct BpeSymbol BpeSymbol;
typedef struct BpeCandidate BpeCandidate;
typedef struct BpeWork {
    WordCache cache;
    BpeSymbol *symbols;
    size_t symbol_count, symbol_capacity;
    BpeCandidate *heap;
    size_t heap_count, heap_capacity;
} BpeWork;
void bpe_work_free(BpeWork *work);

// Appends the ids of a piece (valid UTF-8).
bool bpe_encode(const Bpe *bpe, BpeWork *work, const char *text, size_t size, IdList *out, Error *err);

#endif
