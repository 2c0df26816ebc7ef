// The merges of a vocabulary in a GGUF file: written down, or to be found by the tokens' scores.
#include "formats/tokenizer_gguf.h"

#include "core/mem.h"
#include "core/utf8.h"
#include <stdlib.h>
#include <string.h>

static int shown(size_t size) { return size < 80 ? (int)size : 80; }

// "left right"; a left side may not be empty, so that the space after the first character is looked for.
static bool read_merge(GgufText text, const Vocab *vocab, char *joined, size_t longest, Merge *merge, Error *err) {
    const char *space = text.size > 1 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
    if (!space) return error_set(err, "\"%.*s\" is not two texts with a space between", shown(text.size), text.data);
    size_t left = (size_t)(space - text.data), right = text.size - left - 1;
    merge->left = vocab_find(vocab, text.data, left);
    merge->right = vocab_find(vocab, space + 1, right);
    merge->result = -1;
    if (left + right <= longest) { // what is longer is no token
        memcpy(joined, text.data, left);
        memcpy(joined + left, space + 1, right);
        merge->result = vocab_find(vocab, joined, left + right);
    }
    if (merge->left >= 0 && merge->right >= 0 && merge->result >= 0) return true;
    return error_set(err, "a side of \"%.*s\", or both together, are not in the vocabulary", shown(text.size),
                     text.data);
}

bool gguf_merges_given(const Gguf *g, TokenizerSpec *spec, Error *err) {
    static const char key[] = "tokenizer.ggml.merges";
    Error inner = {0};
    const GgufValue *merges = gguf_array(g, key, GGUF_TEXT, &inner);
    if (!merges)
        return error_set(err, "%s", inner.text[0] ? inner.text : "metadata \"tokenizer.ggml.merges\" is missing");
    size_t longest = 0;
    for (size_t i = 0; i < spec->vocab.count; i++)
        if (spec->vocab.entries[i].size > longest) longest = spec->vocab.entries[i].size;
    spec->merges = mem_alloc((size_t)merges->count, sizeof *spec->merges, err); // each has 8 bytes in the file
    char *joined = mem_alloc(longest, 1, err);
    bool ok = spec->merges && joined;
    const uint8_t *at = merges->data;
    for (uint64_t i = 0; ok && i < merges->count; i++) {
        ok = read_merge(gguf_text_next(&at), &spec->vocab, joined, longest, &spec->merges[i], err) ||
             error_prefix(err, "metadata \"%s\": entry %llu", key, (unsigned long long)i);
        if (ok) spec->merge_count++;
    }
    mem_free(joined);
    return ok;
}

// ---- by score: two neighbours merge where their joined text is a token, the one with the highest score first

// Finding a token's merges takes its length squared, so that must not be long; SentencePiece's are of some 50 bytes.
enum { MAX_PIECE_BYTES = 256 };

typedef struct ScoredMerge {
    Merge merge;
    double score;
} ScoredMerge;

// Between equal scores the order is that of transformers' conversion from SentencePiece: by id, then by the left side.
static int by_score(const void *a, const void *b) {
    const ScoredMerge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->merge.result != y->merge.result) return x->merge.result < y->merge.result ? -1 : 1;
    return (x->merge.left > y->merge.left) - (x->merge.left < y->merge.left);
}

static bool add_splits(const Vocab *vocab, int32_t id, double score, ScoredMerge **list, size_t *count,
                       size_t *capacity, Error *err) {
    size_t size;
    const char *text = vocab_text(vocab, id, &size);
    if (!text) return true;
    if (size > MAX_PIECE_BYTES)
        return error_set(err, "token %d is %zu bytes long, more than the %d supported", id, size, MAX_PIECE_BYTES);
    uint32_t c;
    for (size_t at = size ? utf8_decode(text, &c) : 0; at < size; at += utf8_decode(text + at, &c)) {
        int32_t left = vocab_find(vocab, text, at), right = left < 0 ? -1 : vocab_find(vocab, text + at, size - at);
        if (right < 0) continue;
        if (!mem_grow(list, *count, capacity, sizeof **list, err)) return false;
        (*list)[(*count)++] = (ScoredMerge){{left, right, id}, score};
    }
    return true;
}

bool gguf_merges_by_score(const Gguf *g, const GgufValue *types, TokenizerSpec *spec, Error *err) {
    static const char key[] = "tokenizer.ggml.scores";
    Error inner = {0};
    const GgufValue *scores = gguf_array(g, key, GGUF_F32, &inner);
    if (!scores)
        return error_set(err, "%s", inner.text[0] ? inner.text : "metadata \"tokenizer.ggml.scores\" is missing");
    if ((int64_t)scores->count != spec->vocab.id_limit)
        return error_set(err, "metadata \"%s\" has %llu entries for %lld tokens", key,
                         (unsigned long long)scores->count, (long long)spec->vocab.id_limit);
    ScoredMerge *list = NULL;
    size_t count = 0, capacity = 0;
    bool ok = true;
    for (int32_t id = 0; ok && id < spec->vocab.id_limit; id++) {
        int64_t type = gguf_token_type(types, id);
        double score = gguf_f32_at(scores, (uint64_t)id);
        if (type != GGUF_NORMAL && type != GGUF_USER_DEFINED) continue;
        ok = score == score ? add_splits(&spec->vocab, id, score, &list, &count, &capacity, err)
                            : error_set(err, "metadata \"%s\": token %d has no number for a score", key, id);
    }
    if (ok && count) qsort(list, count, sizeof *list, by_score);
    ok = ok && (spec->merges = mem_alloc(count, sizeof *spec->merges, err));
    for (size_t i = 0; ok && i < count; i++) spec->merges[i] = list[i].merge;
    spec->merge_count = ok ? count : 0;
    mem_free(list);
    return ok;
}
