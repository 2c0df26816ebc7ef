#include "formats/vocab.h"

#include "core/mem.h"
#include <string.h>
#include <xxhash.h>

bool vocab_init(Vocab *vocab, size_t count, size_t bytes, int64_t id_limit, Error *err) {
    *vocab = (Vocab){.capacity = count, .pool_capacity = bytes, .id_limit = id_limit};
    if (count > VOCAB_MAX_ID + 1)
        return error_set(err, "has %zu entries, more than the %d supported", count, VOCAB_MAX_ID + 1);
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    vocab->slot_mask = slots - 1;
    vocab->pool = mem_alloc(bytes, 1, err);
    vocab->entries = mem_alloc(count, sizeof *vocab->entries, err);
    vocab->by_id = mem_alloc((size_t)id_limit, sizeof *vocab->by_id, err);
    vocab->slots = mem_alloc(slots, sizeof *vocab->slots, err);
    if (!vocab->pool || !vocab->entries || !vocab->by_id || !vocab->slots) {
        vocab_free(vocab);
        return false;
    }
    memset(vocab->by_id, 0xFF, (size_t)id_limit * sizeof *vocab->by_id);
    return true;
}

void vocab_free(Vocab *vocab) {
    mem_free(vocab->pool);
    mem_free(vocab->entries);
    mem_free(vocab->by_id);
    mem_free(vocab->slots);
    *vocab = (Vocab){0};
}

// The slot of a text: where it is, or the empty one where it would go.
static size_t slot_of(const Vocab *vocab, const char *text, size_t size) {
    size_t slot = XXH3_64bits(text, size) & vocab->slot_mask;
    for (; vocab->slots[slot]; slot = (slot + 1) & vocab->slot_mask) {
        const VocabEntry *e = &vocab->entries[vocab->slots[slot] - 1];
        if (e->size == size && memcmp(vocab->pool + e->start, text, size) == 0) break;
    }
    return slot;
}

bool vocab_add(Vocab *vocab, const char *text, size_t size, int64_t id, Error *err) {
    int shown = size < 80 ? (int)size : 80;
    if (id < 0 || id >= vocab->id_limit)
        return error_set(err, "token \"%.*s\" has id %lld, outside 0 to %lld", shown, text, (long long)id,
                         (long long)vocab->id_limit - 1);
    if (vocab->count == vocab->capacity || size > vocab->pool_capacity - vocab->pool_size)
        return error_set(err, "token \"%.*s\" is more than the vocabulary was sized for", shown, text);
    if (vocab->by_id[id] >= 0)
        return error_set(err, "id %lld is given to two tokens, one \"%.*s\"", (long long)id, shown, text);
    size_t slot = slot_of(vocab, text, size);
    if (vocab->slots[slot]) return error_set(err, "token \"%.*s\" is there twice", shown, text);
    memcpy(vocab->pool + vocab->pool_size, text, size);
    vocab->entries[vocab->count] = (VocabEntry){vocab->pool_size, (uint32_t)size, (int32_t)id};
    vocab->by_id[id] = (int32_t)vocab->count;
    vocab->pool_size += size;
    vocab->slots[slot] = (uint32_t)++vocab->count;
    return true;
}

int32_t vocab_find(const Vocab *vocab, const char *text, size_t size) {
    uint32_t slot = vocab->slots[slot_of(vocab, text, size)];
    return slot ? vocab->entries[slot - 1].id : -1;
}

const char *vocab_text(const Vocab *vocab, int64_t id, size_t *size) {
    if (id < 0 || id >= vocab->id_limit || vocab->by_id[id] < 0) return NULL;
    const VocabEntry *e = &vocab->entries[vocab->by_id[id]];
    *size = e->size;
    return vocab->pool + e->start;
}
