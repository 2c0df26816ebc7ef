#include "eval/unigram.h"

#include "core/mem.h"
#include "core/size.h"
#include "core/utf8.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_WORD_BYTES = 64,    // pieces up to this go through the cache
    MAX_TOKEN_BYTES = 1024, // a walk down the tree costs as much at each place in a text; real tokens have some 50
};
static const double UNKNOWN_PENALTY = 10; // below the lowest score (SentencePiece, unigram_model.cc, kUnkPenalty)

// The best way to reach a place in the piece.
struct UnigramStep {
    double score;
    size_t start; // of its last token; SIZE_MAX: not reached yet
    int32_t id;   // of that token
    size_t end;   // of the token that starts here, where this place is on the best way of all
};

// ---- the tree

typedef struct Token {
    const char *text;
    uint32_t size;
    int32_t id;
} Token;

static int by_text(const void *a, const void *b) {
    const Token *x = a, *y = b;
    int c = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return c ? c : (x->size > y->size) - (x->size < y->size);
}

// The tokens below a node: those of a range, which share its text.
typedef struct Range {
    uint32_t low, high;
} Range;

// Nodes in the order of breadth; `depth` bytes of the present level's tokens are in the tree.
static void grow(Unigram *u, const Token *tokens, uint32_t token_count, Range *below) {
    size_t level_end = 1, depth = 0;
    below[0] = (Range){0, token_count};
    u->count = 1;
    for (size_t node = 0; node < u->count; node++) {
        if (node == level_end) {
            level_end = u->count;
            depth++;
        }
        uint32_t at = below[node].low, high = below[node].high;
        u->ids[node] = -1;
        u->first[node] = (uint32_t)u->count;
        if (at < high && tokens[at].size == depth) u->ids[node] = tokens[at++].id;
        while (at < high) {
            uint32_t start = at;
            uint8_t byte = (uint8_t)tokens[at].text[depth];
            while (at < high && (uint8_t)tokens[at].text[depth] == byte) at++;
            u->bytes[u->count] = byte;
            below[u->count++] = (Range){start, at};
        }
    }
    u->first[u->count] = (uint32_t)u->count;
}

static bool make_tree(Unigram *u, Error *err) {
    const Vocab *vocab = &u->spec->vocab;
    size_t nodes;
    if (!size_add(vocab->pool_size, 2, &nodes) || nodes > UINT32_MAX)
        return error_set(err, "the vocabulary is too large");
    Token *tokens = mem_alloc(vocab->count, sizeof *tokens, err);
    Range *below = mem_alloc(nodes, sizeof *below, err);
    u->bytes = mem_alloc(nodes, sizeof *u->bytes, err);
    u->first = mem_alloc(nodes, sizeof *u->first, err);
    u->ids = mem_alloc(nodes, sizeof *u->ids, err);
    bool ok = tokens && below && u->bytes && u->first && u->ids;
    uint32_t count = 0;
    for (size_t i = 0; ok && i < vocab->count; i++) {
        const VocabEntry *e = &vocab->entries[i];
        if (e->size > MAX_TOKEN_BYTES)
            ok = error_set(err, "token %d is %u bytes long, more than the %d supported", e->id, e->size,
                           MAX_TOKEN_BYTES);
        else if (e->size)
            tokens[count++] = (Token){vocab->pool + e->start, e->size, e->id};
    }
    if (ok) {
        qsort(tokens, count, sizeof *tokens, by_text);
        grow(u, tokens, count, below);
    }
    mem_free(tokens);
    mem_free(below);
    return ok;
}

// The child of a node by a byte, 0 where there is none: nobody's child is the root.
static uint32_t child(const Unigram *u, uint32_t node, uint8_t byte) {
    uint32_t low = u->first[node], end = u->first[node + 1], high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (u->bytes[middle] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && u->bytes[low] == byte ? low : 0;
}

bool unigram_init(Unigram *u, const TokenizerSpec *spec, Error *err) {
    *u = (Unigram){.spec = spec};
    char text[8];
    double lowest = spec->scores[0];
    for (size_t i = 1; i < spec->vocab.count; i++)
        if (spec->scores[i] < lowest) lowest = spec->scores[i];
    u->unknown = lowest - UNKNOWN_PENALTY;
    for (unsigned b = 0; b < 256; b++) {
        snprintf(text, sizeof text, "<0x%02X>", b);
        u->byte_ids[b] = vocab_find(&spec->vocab, text, strlen(text));
    }
    return make_tree(u, err);
}

void unigram_free(Unigram *u) {
    mem_free(u->bytes);
    mem_free(u->first);
    mem_free(u->ids);
    *u = (Unigram){0};
}

void unigram_work_free(UnigramWork *work) {
    word_cache_free(&work->cache);
    mem_free(work->steps);
    *work = (UnigramWork){0};
}

// ---- the best way

static bool make_room(UnigramWork *work, size_t count, Error *err) {
    if (count <= work->step_capacity) return true;
    mem_free(work->steps);
    work->step_capacity = 0;
    work->steps = mem_alloc(count, sizeof *work->steps, err);
    if (!work->steps) return false;
    work->step_capacity = count;
    return true;
}

// Of two ways that are as good the one found first stays.
static void reach(UnigramStep *to, double score, size_t start, int32_t id) {
    if (to->start == SIZE_MAX || score > to->score) *to = (UnigramStep){score, start, id, 0};
}

static bool find_best(const Unigram *u, UnigramStep *steps, const char *text, size_t size, Error *err) {
    const double *scores = u->spec->scores;
    steps[0] = (UnigramStep){0, 0, -1, 0};
    for (size_t i = 1; i <= size; i++) steps[i].start = SIZE_MAX;
    for (size_t at = 0; at < size;) {
        uint32_t c, node = 0;
        size_t length = utf8_decode(text + at, &c);
        double here = steps[at].score;
        bool single = false; // the character is a token
        for (size_t end = at; end < size && (node = child(u, node, (uint8_t)text[end])); end++) {
            int32_t id = u->ids[node];
            if (id < 0) continue;
            reach(&steps[end + 1], scores[id] + here, at, id);
            if (end + 1 - at == length) single = true;
        }
        if (!single) {
            UnigramStep *to = &steps[at + length];
            double score = u->unknown + here;
            if (u->spec->unk < 0 && (to->start == SIZE_MAX || score > to->score))
                return error_set(err, "byte %zu of a piece is not in the vocabulary, and there is no unknown token",
                                 at);
            reach(to, score, at, u->spec->unk);
        }
        at += length;
    }
    return true;
}

// A token, or neighbouring unknown characters together.
static bool add_token(const Unigram *u, const char *text, size_t size, IdList *out, Error *err) {
    int32_t id = vocab_find(&u->spec->vocab, text, size);
    bool bytes = id < 0 && u->spec->byte_fallback;
    for (size_t i = 0; bytes && i < size; i++) bytes = u->byte_ids[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; bytes && i < size; i++)
        if (!id_list_add(out, u->byte_ids[(uint8_t)text[i]], err)) return false;
    return bytes || id_list_add(out, id < 0 ? u->spec->unk : id, err);
}

bool unigram_encode(const Unigram *u, UnigramWork *work, const char *text, size_t size, IdList *out, Error *err) {
    size_t first = out->count, count, room;
    uint64_t hash = 0;
    const int32_t *known = size <= MAX_WORD_BYTES ? word_cache_find(&work->cache, text, size, &count, &hash) : NULL;
    for (size_t i = 0; known && i < count; i++)
        if (!id_list_add(out, known[i], err)) return false;
    if (known) return true;
    if (!size_add(size, 1, &room)) return error_set(err, "out of memory: a piece is too long to be addressed");
    if (!make_room(work, room, err) || !find_best(u, work->steps, text, size, err)) return false;

    UnigramStep *steps = work->steps;
    for (size_t end = size; end; end = steps[end].start) steps[steps[end].start].end = end;
    for (size_t at = 0, end; at < size; at = end) {
        end = steps[at].end;
        bool unknown = steps[end].id == u->spec->unk;
        while (unknown && end < size && steps[steps[end].end].id == u->spec->unk) end = steps[end].end;
        if (!add_token(u, text + at, end - at, out, err)) return false;
    }
    return size > MAX_WORD_BYTES ||
           word_cache_add(&work->cache, text, size, hash, out->items + first, out->count - first, err);
}
