// The "model" of a tokenizer.json: byte-pair encoding (Sennrich et al., arXiv:1508.07909).
#include "formats/tokenizer_json_parts.h"

#include "core/mem.h"
#include <string.h>

static bool read_vocab(const cJSON *model, TokenizerSpec *spec, Error *err) {
    const cJSON *vocab = json_member(model, "vocab"), *entry;
    if (!vocab || !cJSON_IsObject(vocab)) return error_set(err, "\"vocab\" is missing or not an object");
    size_t count = 0, bytes = 0;
    int64_t id, limit = 0;
    cJSON_ArrayForEach(entry, vocab) {
        if (!tokenizer_json_id(entry, &id, err)) return error_prefix(err, "\"vocab\": \"%.80s\"", entry->string);
        if (id >= limit) limit = id + 1;
        bytes += strlen(entry->string);
        count++;
    }
    if (!count) return error_set(err, "\"vocab\" is empty");
    if (!vocab_init(&spec->vocab, count, bytes, limit, err)) return error_prefix(err, "\"vocab\"");
    cJSON_ArrayForEach(entry, vocab) {
        size_t size = tokenizer_json_unpack(entry->string);
        if (!vocab_add(&spec->vocab, entry->string, size, (int64_t)entry->valuedouble, err))
            return error_prefix(err, "\"vocab\"");
    }
    return true;
}

typedef struct Span {
    const char *data;
    size_t size;
} Span;

// A merge is ["left","right"] or, in older files, "left right".
static bool merge_sides(const cJSON *entry, Span *left, Span *right, Error *err) {
    if (cJSON_IsString(entry)) {
        size_t size = tokenizer_json_unpack(entry->valuestring);
        const char *space = memchr(entry->valuestring, ' ', size);
        if (!space || memchr(space + 1, ' ', size - (size_t)(space + 1 - entry->valuestring)))
            return error_set(err, "\"%.80s\" is not two texts with a space between", entry->valuestring);
        *left = (Span){entry->valuestring, (size_t)(space - entry->valuestring)};
        *right = (Span){space + 1, size - left->size - 1};
        return true;
    }
    const cJSON *a = cJSON_IsArray(entry) ? entry->child : NULL, *b = a ? a->next : NULL;
    if (!b || b->next || !cJSON_IsString(a) || !cJSON_IsString(b))
        return error_set(err, "is neither a string nor an array of two strings");
    left->data = a->valuestring;
    left->size = tokenizer_json_unpack(a->valuestring);
    right->data = b->valuestring;
    right->size = tokenizer_json_unpack(b->valuestring);
    return true;
}

static bool side_id(const Vocab *vocab, Span side, int32_t *id, Error *err) {
    *id = vocab_find(vocab, side.data, side.size);
    if (*id >= 0) return true;
    return error_set(err, "\"%.*s\" is not in the vocabulary", side.size < 80 ? (int)side.size : 80, side.data);
}

// joined: room for any token of the vocabulary; what is longer cannot be in it.
static bool read_merge(const cJSON *entry, const Vocab *vocab, char *joined, size_t longest, Merge *merge, Error *err) {
    Span left = {0}, right = {0};
    if (!merge_sides(entry, &left, &right, err) || !side_id(vocab, left, &merge->left, err) ||
        !side_id(vocab, right, &merge->right, err))
        return false;
    Span both = {joined, left.size + right.size};
    merge->result = -1;
    if (both.size <= longest) {
        memcpy(joined, left.data, left.size);
        memcpy(joined + left.size, right.data, right.size);
        merge->result = vocab_find(vocab, both.data, both.size);
    }
    if (merge->result >= 0) return true;
    return error_set(err, "\"%.80s\" and \"%.80s\" together are not in the vocabulary", left.data, right.data);
}

static bool read_merges(const cJSON *model, TokenizerSpec *spec, Error *err) {
    const cJSON *merges = json_member(model, "merges"), *entry;
    if (!merges || !cJSON_IsArray(merges)) return error_set(err, "\"merges\" is missing or not an array");
    size_t count = 0, longest = 0, index = 0;
    cJSON_ArrayForEach(entry, merges) count++;
    for (size_t i = 0; i < spec->vocab.count; i++)
        if (spec->vocab.entries[i].size > longest) longest = spec->vocab.entries[i].size;
    spec->merges = mem_alloc(count, sizeof *spec->merges, err);
    char *joined = mem_alloc(longest, 1, err);
    bool ok = spec->merges && joined;
    cJSON_ArrayForEach(entry, merges) {
        if (!ok) break;
        // What the head line of a merges.txt becomes.
        if (cJSON_IsString(entry) && strncmp(entry->valuestring, "#version", 8) == 0) continue;
        ok = read_merge(entry, &spec->vocab, joined, longest, &spec->merges[spec->merge_count++], err);
        if (!ok) error_prefix(err, "\"merges\": entry %zu", index);
        index++;
    }
    mem_free(joined);
    return ok;
}

// Options that would change the ids and that are not there yet must not be passed over.
static bool check_plain(const cJSON *model, Error *err) {
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *m = json_member(model, texts[i]);
        if (m && !(cJSON_IsString(m) && !m->valuestring[0])) return error_set(err, "\"%s\" is not supported", texts[i]);
    }
    double dropout = 0;
    if (!json_double(model, "dropout", 0, 1, &dropout, err)) return false;
    return dropout == 0 || error_set(err, "\"dropout\" makes the ids random; set it to null");
}

bool tokenizer_json_read_bpe(const cJSON *model, TokenizerSpec *spec, Error *err) {
    if (!check_plain(model, err) || !json_bool(model, "byte_fallback", &spec->byte_fallback, err) ||
        !json_bool(model, "fuse_unk", &spec->fuse_unk, err) ||
        !json_bool(model, "ignore_merges", &spec->ignore_merges, err) || !read_vocab(model, spec, err) ||
        !read_merges(model, spec, err))
        return false;
    if (json_member(model, "unk_token")) {
        if (!tokenizer_json_text(model, "unk_token", &spec->unk_token, err)) return false;
        spec->unk = vocab_find(&spec->vocab, spec->unk_token.data, spec->unk_token.size);
    }
    return true;
}
