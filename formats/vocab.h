// A vocabulary: texts by id and ids by text. Texts are bytes with a length (a token may be a NUL character).
#ifndef FORMATS_VOCAB_H
#define FORMATS_VOCAB_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

// Ids beyond this are refused as mistakes: the largest vocabularies in use have a quarter of a million entries.
enum { VOCAB_MAX_ID = 10000000 };

typedef struct VocabEntry {
    size_t start; // in pool
    uint32_t size;
    int32_t id;
} VocabEntry;

typedef struct Vocab {
    char *pool; // all texts, one after the other
    size_t pool_size, pool_capacity;
    VocabEntry *entries;
    size_t count, capacity;
    int32_t *by_id;   // [id_limit] entry of each id, -1 where there is none
    int64_t id_limit; // one more than the largest id
    uint32_t *slots;  // hash table with open addressing: entry + 1, 0 where empty
    size_t slot_mask;
} Vocab;

// An empty vocabulary for exactly known totals: `count` entries of `bytes` bytes of text in all, ids below id_limit.
bool vocab_init(Vocab *vocab, size_t count, size_t bytes, int64_t id_limit, Error *err);
void vocab_free(Vocab *vocab); // of what vocab_init filled, or all zeros

// Adds an entry within those totals. A text or an id that is there already is an error.
bool vocab_add(Vocab *vocab, const char *text, size_t size, int64_t id, Error *err);

int32_t vocab_find(const Vocab *vocab, const char *text, size_t size); // -1 where absent

// The text of an id (not NUL-terminated), NULL where it has none. Any id may be asked for.
const char *vocab_text(const Vocab *vocab, int64_t id, size_t *size);

#endif
