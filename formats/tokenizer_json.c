#include "formats/tokenizer_json.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "formats/tokenizer_json_parts.h"
#include <string.h>

enum { MAX_VALUES = 4000000 }; // Gemma 3's, the largest in use, holds two million

size_t tokenizer_json_unpack(char *string) {
    size_t length = strlen(string);
    if (!strstr(string, "\xC0\x80")) return length;
    size_t to = 0;
    for (size_t i = 0; i < length; i++, to++) {
        bool nul = string[i] == '\xC0';
        string[to] = nul ? '\0' : string[i];
        i += nul;
    }
    return to;
}

// The file with each \u0000 as C0 80 (see above); a copy, or NULL with nothing in err where there is none.
static char *pack_nuls(const char *data, size_t *size, Error *err) {
    static const char escape[] = "\\u0000";
    enum { ESCAPE = sizeof escape - 1 };
    if (!memmem(data, *size, escape, ESCAPE)) return NULL;
    char *copy = mem_alloc(*size, 1, err);
    if (!copy) return NULL;
    size_t to = 0;
    for (size_t i = 0; i < *size; i++) {
        if (*size - i >= ESCAPE && memcmp(data + i, escape, ESCAPE) == 0) {
            copy[to++] = '\xC0';
            copy[to++] = '\x80';
            i += ESCAPE - 1;
        } else {
            copy[to++] = data[i];
            // The second of two backslashes starts no escape.
            if (data[i] == '\\' && i + 1 < *size) copy[to++] = data[++i];
        }
    }
    *size = to;
    return copy;
}

bool tokenizer_json_text(const cJSON *object, const char *key, Text *text, Error *err) {
    const cJSON *member = json_member(object, key);
    if (!member || !cJSON_IsString(member)) return error_set(err, "\"%s\" is missing or not a string", key);
    text->size = tokenizer_json_unpack(member->valuestring);
    text->data = mem_text(member->valuestring, text->size, err);
    return text->data != NULL;
}

bool tokenizer_json_id(const cJSON *value, int64_t *id, Error *err) {
    if (!cJSON_IsNumber(value)) return error_set(err, "an id is not a number");
    double v = value->valuedouble;
    if (!(v >= 0 && v <= VOCAB_MAX_ID) || v != (double)(int64_t)v)
        return error_set(err, "id %g is not a whole number from 0 to %d", v, VOCAB_MAX_ID);
    *id = (int64_t)v;
    return true;
}

static bool read_added_token(const cJSON *entry, AddedToken *token, Error *err) {
    const struct {
        const char *key;
        bool *value;
    } flags[] = {{"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized},
                 {"special", &token->special}};
    int64_t id;
    if (!cJSON_IsObject(entry)) return error_set(err, "is not an object");
    if (!json_member(entry, "id")) return error_set(err, "has no \"id\"");
    if (!tokenizer_json_id(json_member(entry, "id"), &id, err)) return false;
    token->id = (int32_t)id;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_member(entry, flags[i].key)) return error_set(err, "has no \"%s\"", flags[i].key);
        if (!json_bool(entry, flags[i].key, flags[i].value, err)) return false;
    }
    return tokenizer_json_text(entry, "content", &token->content, err);
}

// `tokenizers` does not use a file's ids for added tokens: one that is in the vocabulary has its id there, the others
// are numbered on from the vocabulary's size. Where that and the file disagree, no choice would be right for everyone.
static bool check_added_id(const TokenizerSpec *spec, const AddedToken *token, int64_t *next, Error *err) {
    int64_t id = vocab_find(&spec->vocab, token->content.data, token->content.size);
    if (id < 0) id = (*next)++;
    if (id != token->id)
        return error_set(err, "has id %d, but its place in the vocabulary is %lld", token->id, (long long)id);
    return true;
}

static bool read_added(const cJSON *root, TokenizerSpec *spec, Error *err) {
    const cJSON *list = json_member(root, "added_tokens"), *entry;
    if (!list) return true;
    if (!cJSON_IsArray(list)) return error_set(err, "\"added_tokens\" is not an array");
    size_t count = 0;
    cJSON_ArrayForEach(entry, list) count++;
    spec->added = mem_alloc(count, sizeof *spec->added, err);
    if (!spec->added) return false;
    int64_t next = (int64_t)spec->vocab.count;
    cJSON_ArrayForEach(entry, list) {
        AddedToken *token = &spec->added[spec->added_count++];
        if (!read_added_token(entry, token, err) || (token->content.size && !check_added_id(spec, token, &next, err)))
            return error_prefix(err, "added token %zu", spec->added_count - 1);
        // An empty one can never be found; `tokenizers` drops it too.
        if (!token->content.size) {
            mem_free(token->content.data);
            *token = (AddedToken){0};
            spec->added_count--;
        }
    }
    return true;
}

static bool read_root(const cJSON *root, TokenizerSpec *spec, Error *err) {
    if (!cJSON_IsObject(root)) return error_set(err, "is not a JSON object");
    const char *version = json_text(root, "version");
    if (version && strcmp(version, "1.0") != 0)
        return error_set(err, "has version \"%.40s\"; supported is 1.0", version);
    const cJSON *model = json_member(root, "model");
    if (!model || !cJSON_IsObject(model)) return error_set(err, "\"model\" is missing or not an object");
    const char *type = json_text(model, "type");
    // Files from before models were tagged have no type.
    if (!type && !json_member(model, "merges")) return error_set(err, "\"model\" has no \"type\"");
    bool unigram = type && strcmp(type, "Unigram") == 0;
    if (type && !unigram && strcmp(type, "BPE") != 0)
        return error_set(err, "model type \"%.40s\" is not supported; supported are BPE and Unigram", type);
    if (!(unigram ? tokenizer_json_read_unigram(model, spec, err) : tokenizer_json_read_bpe(model, spec, err)))
        return error_prefix(err, "model");
    return read_added(root, spec, err) && tokenizer_json_read_normalizers(root, spec, err) &&
           tokenizer_json_read_pre_tokenizers(root, spec, err) && tokenizer_json_read_decoders(root, spec, err) &&
           tokenizer_json_read_template(root, spec, err);
}

bool tokenizer_json_read(const void *data, size_t size, TokenizerSpec *spec, Error *err) {
    Error inner = {0};
    *spec = (TokenizerSpec){.unk = -1};
    size_t valid = size ? utf8_valid_prefix(data, size) : 0;
    if (valid != size) return error_set(err, "is not UTF-8 at byte %zu", valid);
    char *packed = pack_nuls(data, &size, &inner);
    if (inner.text[0]) return error_set(err, "%s", inner.text);
    const char *text = packed ? packed : data;
    cJSON *root = json_bounded(text, size, MAX_VALUES, err) ? json_parse(text, size, err) : NULL;
    bool ok = root && read_root(root, spec, err);
    cJSON_Delete(root);
    mem_free(packed);
    if (!ok) tokenizer_spec_free(spec);
    return ok;
}
