#include "eval/bpe.h"

#include "core/utf8.h"
#include <stdio.h>
#include <string.h>

// Longer pieces are cut where no merge can reach across; words up to this go through the cache.
enum { MAX_WORD_BYTES = 64 };

struct BpeSymbol {
    int32_t id; // -1: merged into the one before
    int32_t previous, next;
};

struct BpeCandidate {
    uint32_t rank;
    int32_t position; // of the left symbol
    int32_t result;
};

static uint64_t pair_key(uint32_t left, uint32_t right) { return (uint64_t)left << 32 | right; }

// The finalizer of MurmurHash3 (Appleby): ids that follow each other end up far apart.
static size_t pair_hash(uint64_t key) {
    key ^= key >> 33;
    key *= 0xFF51AFD7ED558CCDu;
    key ^= key >> 33;
    return (size_t)key;
}

static PairMerge *merge_slot(const Bpe *bpe, uint64_t pair) {
    size_t slot = pair_hash(pair) & bpe->merge_mask;
    while (bpe->merges[slot].result >= 0 && bpe->merges[slot].pair != pair) slot = (slot + 1) & bpe->merge_mask;
    return &bpe->merges[slot];
}

static uint64_t *joint_slot(const Bpe *bpe, uint64_t joint) {
    size_t slot = pair_hash(joint) & bpe->joint_mask;
    while (bpe->joints[slot] && bpe->joints[slot] != joint) slot = (slot + 1) & bpe->joint_mask;
    return &bpe->joints[slot];
}

static bool make_tables(Bpe *bpe, Error *err) {
    const TokenizerSpec *spec = bpe->spec;
    size_t slots = 16;
    while (slots < 2 * spec->merge_count) slots *= 2;
    bpe->merge_mask = bpe->joint_mask = slots - 1;
    bpe->merges = mem_alloc(slots, sizeof *bpe->merges, err);
    bpe->joints = mem_alloc(slots, sizeof *bpe->joints, err);
    if (!bpe->merges || !bpe->joints) return false;
    for (size_t i = 0; i < slots; i++) bpe->merges[i].result = -1;
    for (size_t i = 0; i < spec->merge_count; i++) {
        const Merge *m = &spec->merges[i];
        uint64_t pair = pair_key((uint32_t)m->left, (uint32_t)m->right);
        *merge_slot(bpe, pair) = (PairMerge){pair, (uint32_t)i, m->result}; // of two for one pair, the later counts
        size_t left_size, right_size;
        uint32_t last, first;
        const char *left = vocab_text(&spec->vocab, m->left, &left_size);
        const char *right = vocab_text(&spec->vocab, m->right, &right_size);
        if (!left_size || !right_size) continue;
        utf8_decode(left + utf8_previous(left, left_size), &last);
        utf8_decode(right, &first);
        // 0 marks an empty slot, so two NUL characters are taken for unjoined: bpe_encode looks out for them.
        *joint_slot(bpe, pair_key(last, first)) = pair_key(last, first);
    }
    return true;
}

bool bpe_init(Bpe *bpe, const TokenizerSpec *spec, Error *err) {
    *bpe = (Bpe){.spec = spec};
    char text[8];
    for (uint32_t c = 0; c < BPE_DIRECT; c++) bpe->direct[c] = vocab_find(&spec->vocab, text, utf8_encode(c, text));
    for (unsigned b = 0; b < 256; b++) {
        snprintf(text, sizeof text, "<0x%02X>", b);
        bpe->bytes[b] = vocab_find(&spec->vocab, text, strlen(text));
    }
    return make_tables(bpe, err);
}

void bpe_free(Bpe *bpe) {
    mem_free(bpe->merges);
    mem_free(bpe->joints);
    bpe->merges = NULL;
    bpe->joints = NULL;
}

void bpe_work_free(BpeWork *work) {
    word_cache_free(&work->cache);
    mem_free(work->symbols);
    mem_free(work->heap);
    *work = (BpeWork){0};
}

static int32_t character_id(const Bpe *bpe, uint32_t c, const char *text, size_t length) {
    return c < BPE_DIRECT ? bpe->direct[c] : vocab_find(&bpe->spec->vocab, text, length);
}

static bool add_symbol(BpeWork *work, int32_t id, Error *err) {
    if (work->symbol_count == INT32_MAX)
        return error_set(err, "a piece of the text has more than %d characters", INT32_MAX);
    if (!mem_grow(&work->symbols, work->symbol_count, &work->symbol_capacity, sizeof *work->symbols, err)) return false;
    int32_t at = (int32_t)work->symbol_count++;
    work->symbols[at] = (BpeSymbol){id, at - 1, at + 1};
    return true;
}

// Adds the byte tokens of a character where it has them all.
static bool add_bytes(const Bpe *bpe, BpeWork *work, const char *text, size_t length, bool *added, Error *err) {
    *added = false;
    for (size_t i = 0; i < length; i++)
        if (bpe->bytes[(uint8_t)text[i]] < 0) return true;
    for (size_t i = 0; i < length; i++)
        if (!add_symbol(work, bpe->bytes[(uint8_t)text[i]], err)) return false;
    *added = true;
    return true;
}

// The symbols that a piece starts as. An unknown character is held back until the next known one comes, so that it can
// grow; byte tokens do not end that (they overtake it), as in `tokenizers`.
static bool make_symbols(const Bpe *bpe, BpeWork *work, const char *text, size_t size, Error *err) {
    bool unknown = false;
    work->symbol_count = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        size_t length = utf8_decode(text + at, &c);
        int32_t id = character_id(bpe, c, text + at, length);
        if (id >= 0) {
            if (unknown && !add_symbol(work, bpe->spec->unk, err)) return false;
            unknown = false;
            if (!add_symbol(work, id, err)) return false;
        } else {
            bool added = false;
            if (bpe->spec->byte_fallback && !add_bytes(bpe, work, text + at, length, &added, err)) return false;
            if (!added && bpe->spec->unk_token.data) {
                if (bpe->spec->unk < 0)
                    return error_set(err, "the unknown token \"%.80s\" is not in the vocabulary",
                                     bpe->spec->unk_token.data);
                if (unknown && !bpe->spec->fuse_unk && !add_symbol(work, bpe->spec->unk, err)) return false;
                unknown = true;
            }
        }
        at += length;
    }
    if (unknown && !add_symbol(work, bpe->spec->unk, err)) return false;
    if (work->symbol_count) work->symbols[work->symbol_count - 1].next = -1;
    return true;
}

static bool comes_before(const BpeCandidate *a, const BpeCandidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static bool heap_push(BpeWork *work, BpeCandidate candidate, Error *err) {
    if (!mem_grow(&work->heap, work->heap_count, &work->heap_capacity, sizeof *work->heap, err)) return false;
    size_t at = work->heap_count++;
    while (at && comes_before(&candidate, &work->heap[(at - 1) / 2])) {
        work->heap[at] = work->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    work->heap[at] = candidate;
    return true;
}

static BpeCandidate heap_pop(BpeWork *work) {
    BpeCandidate *heap = work->heap, top = heap[0], last = heap[--work->heap_count];
    size_t at = 0, count = work->heap_count;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_before(&heap[child + 1], &heap[child])) child++;
        if (!comes_before(&heap[child], &last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

// Makes a candidate of a symbol and the one after it, where a merge joins them.
static bool push_pair(const Bpe *bpe, BpeWork *work, int32_t position, Error *err) {
    const BpeSymbol *left = &work->symbols[position];
    if (left->next < 0) return true;
    const PairMerge *m = merge_slot(bpe, pair_key((uint32_t)left->id, (uint32_t)work->symbols[left->next].id));
    return m->result < 0 || heap_push(work, (BpeCandidate){m->rank, position, m->result}, err);
}

static bool merge_symbols(const Bpe *bpe, BpeWork *work, Error *err) {
    BpeSymbol *symbols = work->symbols;
    work->heap_count = 0;
    for (size_t i = 0; i + 1 < work->symbol_count; i++)
        if (!push_pair(bpe, work, (int32_t)i, err)) return false;
    while (work->heap_count) {
        BpeCandidate top = heap_pop(work);
        BpeSymbol *left = &symbols[top.position];
        if (left->id < 0 || left->next < 0) continue;
        BpeSymbol *right = &symbols[left->next];
        // Candidates are not taken out when one side changes: such a pair makes another token, if any.
        if (merge_slot(bpe, pair_key((uint32_t)left->id, (uint32_t)right->id))->result != top.result) continue;
        left->id = top.result;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0) symbols[left->next].previous = top.position;
        if (left->previous >= 0 && !push_pair(bpe, work, left->previous, err)) return false;
        if (!push_pair(bpe, work, top.position, err)) return false;
    }
    return true;
}

// One stretch that no merge leaves.
static bool encode_word(const Bpe *bpe, BpeWork *work, const char *text, size_t size, IdList *out, Error *err) {
    size_t start = out->count, count;
    uint64_t hash;
    const int32_t *known = size <= MAX_WORD_BYTES ? word_cache_find(&work->cache, text, size, &count, &hash) : NULL;
    if (known) {
        for (size_t i = 0; i < count; i++)
            if (!id_list_add(out, known[i], err)) return false;
        return true;
    }
    if (!make_symbols(bpe, work, text, size, err) || !merge_symbols(bpe, work, err)) return false;
    for (size_t i = 0; i < work->symbol_count; i++)
        if (work->symbols[i].id >= 0 && !id_list_add(out, work->symbols[i].id, err)) return false;
    const int32_t *ids = out->items ? out->items + start : NULL; // none where all of it is unknown and vanishes
    return size > MAX_WORD_BYTES || word_cache_add(&work->cache, text, size, hash, ids, out->count - start, err);
}

// Whether two neighbouring characters can never end up in one token: no merge's left side ends with the one while its
// right side starts with the other. Only for characters that are symbols themselves: what unknown ones become (byte
// tokens, or one token for several) is joined by other rules.
static bool is_cut(const Bpe *bpe, uint32_t left, const char *left_text, uint32_t right, const char *right_text) {
    if ((!left && !right) || *joint_slot(bpe, pair_key(left, right))) return false;
    return character_id(bpe, left, left_text, (size_t)(right_text - left_text)) >= 0 &&
           character_id(bpe, right, right_text, utf8_decode(right_text, &right)) >= 0;
}

bool bpe_encode(const Bpe *bpe, BpeWork *work, const char *text, size_t size, IdList *out, Error *err) {
    if (bpe->spec->ignore_merges) {
        int32_t id = vocab_find(&bpe->spec->vocab, text, size);
        if (id >= 0) return id_list_add(out, id, err);
    }
    size_t done = 0, previous = 0;
    uint32_t left = 0, right;
    for (size_t at = 0; size > MAX_WORD_BYTES && at < size;) {
        size_t length = utf8_decode(text + at, &right);
        if (at && is_cut(bpe, left, text + previous, right, text + at)) {
            if (!encode_word(bpe, work, text + done, at - done, out, err)) return false;
            done = at;
        }
        previous = at;
        left = right;
        at += length;
    }
    return encode_word(bpe, work, text + done, size - done, out, err);
}
