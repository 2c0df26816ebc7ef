// What words became, for the words that come again: nearly all of them.
#ifndef EVAL_WORD_CACHE_H
#define EVAL_WORD_CACHE_H

#include "eval/id_list.h"
#include "eval/text_buffer.h"

typedef struct CachedWord {
    uint64_t hash;
    size_t text, ids; // where they start in the buffers below
    uint32_t text_size, id_count;
} CachedWord;

typedef struct WordCache {
    CachedWord *words;
    size_t count, capacity;
    uint32_t *slots; // hash table with open addressing: word + 1, 0 where empty
    size_t slot_count;
    TextBuffer texts;
    IdList ids;
} WordCache;

// NULL where the word is not there; else its ids, good until the next call of word_cache_add. *hash serves that call.
const int32_t *word_cache_find(const WordCache *cache, const char *text, size_t size, size_t *count, uint64_t *hash);

// Adds a word that is not there. A full cache starts anew.
bool word_cache_add(WordCache *cache, const char *text, size_t size, uint64_t hash, const int32_t *ids, size_t count,
                    Error *err);
void word_cache_free(WordCache *cache);

#endif
