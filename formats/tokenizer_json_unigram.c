// The "model" of a tokenizer.json: Unigram (Kudo, arXiv:1804.10959).
#include "formats/tokenizer_json_parts.h"

#include "core/mem.h"
#include <math.h>
#include <string.h>

// An entry is [text, score]; its id is its place.
static const char *entry_text(const cJSON *entry, double *score) {
    const cJSON *text = cJSON_IsArray(entry) ? entry->child : NULL, *number = text ? text->next : NULL;
    if (!number || number->next || !cJSON_IsString(text) || !cJSON_IsNumber(number)) return NULL;
    *score = number->valuedouble;
    return isfinite(*score) ? text->valuestring : NULL;
}

static bool read_vocab(const cJSON *model, TokenizerSpec *spec, Error *err) {
    const cJSON *vocab = json_member(model, "vocab"), *entry;
    if (!vocab || !cJSON_IsArray(vocab)) return error_set(err, "\"vocab\" is missing or not an array");
    size_t count = 0, bytes = 0;
    double score;
    cJSON_ArrayForEach(entry, vocab) {
        const char *text = entry_text(entry, &score);
        if (!text) return error_set(err, "\"vocab\": entry %zu is not an array of a text and a finite score", count);
        bytes += strlen(text);
        count++;
    }
    if (!count) return error_set(err, "\"vocab\" is empty");
    if (!vocab_init(&spec->vocab, count, bytes, (int64_t)count, err)) return error_prefix(err, "\"vocab\"");
    spec->scores = mem_alloc(count, sizeof *spec->scores, err);
    if (!spec->scores) return false;
    int64_t id = 0;
    cJSON_ArrayForEach(entry, vocab) {
        const char *text = entry_text(entry, &spec->scores[id]);
        size_t size = tokenizer_json_unpack(entry->child->valuestring);
        if (!vocab_add(&spec->vocab, text, size, id++, err)) return error_prefix(err, "\"vocab\"");
    }
    return true;
}

static bool set_unknown(const cJSON *model, TokenizerSpec *spec, Error *err) {
    int64_t id;
    const cJSON *unk = json_member(model, "unk_id");
    if (!unk) return true;
    if (!tokenizer_json_id(unk, &id, err)) return error_prefix(err, "\"unk_id\"");
    if (id >= spec->vocab.id_limit)
        return error_set(err, "\"unk_id\" is %lld, but \"vocab\" has %zu entries", (long long)id, spec->vocab.count);
    spec->unk = (int32_t)id;
    size_t size;
    const char *text = vocab_text(&spec->vocab, id, &size);
    spec->unk_token = (Text){mem_text(text, size, err), size};
    return spec->unk_token.data != NULL;
}

bool tokenizer_json_read_unigram(const cJSON *model, TokenizerSpec *spec, Error *err) {
    spec->fuse_unk = true;
    return json_bool(model, "byte_fallback", &spec->byte_fallback, err) && read_vocab(model, spec, err) &&
           set_unknown(model, spec, err);
}
