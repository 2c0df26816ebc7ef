#include "eval/word_cache.h"

#include <string.h>
#include <xxhash.h>

enum { MAX_WORDS = 1 << 17, FIRST_SLOTS = 1 << 10 }; // some 10 MB at most, for words of usual length

// A dispersed hash leaves long runs rare while at most half of the slots are taken.
static size_t slot_of(const WordCache *cache, const char *text, size_t size, uint64_t hash) {
    size_t mask = cache->slot_count - 1, slot = hash & mask;
    for (; cache->slots[slot]; slot = (slot + 1) & mask) {
        const CachedWord *w = &cache->words[cache->slots[slot] - 1];
        if (w->hash == hash && w->text_size == size && memcmp(cache->texts.data + w->text, text, size) == 0) break;
    }
    return slot;
}

const int32_t *word_cache_find(const WordCache *cache, const char *text, size_t size, size_t *count, uint64_t *hash) {
    *hash = XXH3_64bits(text, size);
    uint32_t found = cache->slot_count ? cache->slots[slot_of(cache, text, size, *hash)] : 0;
    if (!found) return NULL;
    static const int32_t none = 0; // of a word without ids, which is found all the same
    *count = cache->words[found - 1].id_count;
    return *count ? cache->ids.items + cache->words[found - 1].ids : &none;
}

static bool grow_slots(WordCache *cache, Error *err) {
    size_t count = cache->slot_count ? 2 * cache->slot_count : FIRST_SLOTS;
    uint32_t *slots = mem_alloc(count, sizeof *slots, err);
    if (!slots) return false;
    mem_free(cache->slots);
    cache->slots = slots;
    cache->slot_count = count;
    for (uint32_t i = 0; i < cache->count; i++) {
        size_t slot = cache->words[i].hash & (count - 1);
        while (slots[slot]) slot = (slot + 1) & (count - 1);
        slots[slot] = i + 1;
    }
    return true;
}

bool word_cache_add(WordCache *cache, const char *text, size_t size, uint64_t hash, const int32_t *ids, size_t count,
                    Error *err) {
    if (cache->count == MAX_WORDS) {
        memset(cache->slots, 0, cache->slot_count * sizeof *cache->slots);
        cache->count = cache->texts.size = cache->ids.count = 0;
    }
    if (2 * (cache->count + 1) > cache->slot_count && !grow_slots(cache, err)) return false;
    if (!mem_grow(&cache->words, cache->count, &cache->capacity, sizeof *cache->words, err)) return false;
    CachedWord word = {hash, cache->texts.size, cache->ids.count, (uint32_t)size, (uint32_t)count};
    if (!text_append(&cache->texts, text, size, err)) return false;
    for (size_t i = 0; i < count; i++)
        if (!id_list_add(&cache->ids, ids[i], err)) return false;
    // The text is found by its slot only from here on.
    size_t slot = hash & (cache->slot_count - 1);
    while (cache->slots[slot]) slot = (slot + 1) & (cache->slot_count - 1);
    cache->words[cache->count++] = word;
    cache->slots[slot] = (uint32_t)cache->count;
    return true;
}

void word_cache_free(WordCache *cache) {
    mem_free(cache->words);
    mem_free(cache->slots);
    text_free(&cache->texts);
    mem_free(cache->ids.items);
    *cache = (WordCache){0};
}
