#include "formats/tokenizer_config.h"

#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONFIG_VALUES = 1 << 20,
    TOKENIZER_CONFIG_ADDED_MAX = 10000, // tokens, each looked for in a list; the most in use are some thousands
    SPECIAL_LIST_MAX = 2000,            // special tokens that are looked at for each token of added_tokens.json
};

static const char name[] = "tokenizer_config.json";

static const char added_name[] = "added_tokens.json", decoder[] = "added_tokens_decoder";

// The JSON object in a file of the model's; *json is NULL where it has none.
static bool read_file(const Model *model, const char *file_name, cJSON **json, Error *err) {
    const ModelFile *file = model_file(model, file_name);
    *json = NULL;
    if (!file) return true;
    const char *text = (const char *)file->data;
    if (json_bounded(text, file->size, CONFIG_VALUES, err)) *json = json_parse(text, file->size, err);
    if (*json && !cJSON_IsObject(*json)) {
        cJSON_Delete(*json);
        *json = NULL;
        error_set(err, "is not a JSON object");
    }
    return *json || error_prefix(err, "%s", file_name);
}

// ---- added_tokens.json

// The text of a special token, which is a string or an object that has it; NULL for anything else.
static const char *token_content(const cJSON *token) {
    return cJSON_IsString(token) ? token->valuestring : json_text(token, "content");
}

static const char *const special_lists[] = {"additional_special_tokens", "extra_special_tokens"};
enum { SPECIAL_LISTS = sizeof special_lists / sizeof *special_lists };

static bool check_special_lists(const cJSON *config, const char *file_name, Error *err) {
    for (size_t i = 0; i < SPECIAL_LISTS; i++) {
        int count = cJSON_GetArraySize(json_member(config, special_lists[i]));
        if (count > SPECIAL_LIST_MAX)
            return error_set(err, "%s: \"%s\" has %d tokens, more than the %d supported", file_name, special_lists[i],
                             count, SPECIAL_LIST_MAX);
    }
    return true;
}

static bool is_named_special(const cJSON *config, const char *text) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *content = token_content(json_member(config, keys[i]));
        if (content && strcmp(content, text) == 0) return true;
    }
    for (size_t i = 0; i < SPECIAL_LISTS; i++) {
        const cJSON *list = json_member(config, special_lists[i]), *item;
        if (!cJSON_IsArray(list)) continue;
        cJSON_ArrayForEach(item, list) {
            const char *content = token_content(item);
            if (content && strcmp(content, text) == 0) return true;
        }
    }
    return false;
}

// What an entry of added_tokens.json (text and id) is in "added_tokens_decoder".
static bool add_entry(cJSON *to, const cJSON *config, const cJSON *map, const cJSON *entry, Error *err) {
    char id[32];
    if (!cJSON_IsNumber(entry) || entry->valuedouble != (double)entry->valueint)
        return error_set(err, "\"%.80s\" has no whole number for an id", entry->string);
    snprintf(id, sizeof id, "%d", entry->valueint);
    bool special = is_named_special(config, entry->string) || is_named_special(map, entry->string);
    cJSON *token = cJSON_AddObjectToObject(to, id);
    return (cJSON_AddStringToObject(token, "content", entry->string) &&
            cJSON_AddBoolToObject(token, "normalized", !special) && cJSON_AddBoolToObject(token, "special", special)) ||
           error_set(err, "out of memory");
}

static bool add_entries(cJSON *to, const cJSON *config, const cJSON *map, const cJSON *added, Error *err) {
    size_t count = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, added) {
        if (++count > TOKENIZER_CONFIG_ADDED_MAX)
            return error_set(err, "has more than the %d tokens supported", TOKENIZER_CONFIG_ADDED_MAX);
        if (!add_entry(to, config, map, entry, err)) return false;
    }
    return true;
}

// Puts the tokens of the older added_tokens.json into the config where it has none itself, as transformers does.
static bool take_added(const Model *model, cJSON **config, Error *err) {
    static const char map_name[] = "special_tokens_map.json";
    cJSON *added, *map = NULL;
    if (json_member(*config, decoder) || !model_file(model, added_name)) return true;
    bool ok = read_file(model, added_name, &added, err) && read_file(model, map_name, &map, err) &&
              check_special_lists(*config, name, err) && check_special_lists(map, map_name, err);
    if (ok && !*config && !(*config = cJSON_CreateObject())) ok = error_set(err, "out of memory");
    // A null in its place goes.
    if (ok) cJSON_DeleteItemFromObjectCaseSensitive(*config, decoder);
    cJSON *to = ok ? cJSON_AddObjectToObject(*config, decoder) : NULL;
    if (ok && !to) ok = error_set(err, "out of memory");
    ok = ok && (add_entries(to, *config, map, added, err) || error_prefix(err, "%s", added_name));
    cJSON_Delete(added);
    cJSON_Delete(map);
    return ok;
}

bool tokenizer_config_read(const Model *model, cJSON **config, Error *err) {
    if (read_file(model, name, config, err) && take_added(model, config, err)) return true;
    cJSON_Delete(*config);
    *config = NULL;
    return false;
}

// The key is the id, in decimal.
static bool read_id(const cJSON *entry, int32_t *id, Error *err) {
    char *end;
    long v = entry->string[0] >= '0' && entry->string[0] <= '9' ? strtol(entry->string, &end, 10) : -1;
    if (v < 0 || v > VOCAB_MAX_ID || *end)
        return error_set(err, "\"%.40s\" is no id from 0 to %d", entry->string, VOCAB_MAX_ID);
    *id = (int32_t)v;
    return true;
}

static bool read_token(const cJSON *entry, AddedToken *token, Error *err) {
    const char *content = json_text(entry, "content");
    if (!read_id(entry, &token->id, err)) return false;
    if (!content || !*content) return error_set(err, "token %d: \"content\" is missing or empty", token->id);
    if (!json_bool(entry, "single_word", &token->single_word, err) ||
        !json_bool(entry, "lstrip", &token->lstrip, err) || !json_bool(entry, "rstrip", &token->rstrip, err) ||
        !json_bool(entry, "normalized", &token->normalized, err) || !json_bool(entry, "special", &token->special, err))
        return error_prefix(err, "token %d", token->id);
    token->content.size = strlen(content);
    token->content.data = mem_text(content, token->content.size, err);
    return token->content.data != NULL;
}

// `tokenizers` numbers what is not in the vocabulary from its size on, in the order of the ids.
static bool check_id(const TokenizerSpec *spec, const AddedToken *token, size_t fresh, Error *err) {
    int64_t id = vocab_find(&spec->vocab, token->content.data, token->content.size);
    size_t first = spec->vocab.count;
    if (id < 0 ? token->id >= (int64_t)first && token->id < (int64_t)(first + fresh) : id == token->id) return true;
    return error_set(err, "token %d: \"%.80s\" has another place in the vocabulary", token->id, token->content.data);
}

// Where the token is there already it takes that one's place.
static void put_token(TokenizerSpec *spec, const AddedToken *token) {
    size_t i = 0;
    while (i < spec->added_count && spec->added[i].id != token->id) i++;
    if (i == spec->added_count)
        spec->added_count++;
    else
        mem_free(spec->added[i].content.data);
    spec->added[i] = *token;
}

static bool add_tokens(const cJSON *list, TokenizerSpec *spec, Error *err) {
    size_t count = 0, fresh = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, list) {
        const char *content = json_text(entry, "content");
        fresh += content && vocab_find(&spec->vocab, content, strlen(content)) < 0;
        count++;
    }
    if (count > TOKENIZER_CONFIG_ADDED_MAX)
        return error_set(err, "has %zu tokens, more than the %d supported", count, TOKENIZER_CONFIG_ADDED_MAX);
    AddedToken *grown = mem_alloc(spec->added_count + count, sizeof *grown, err);
    if (!grown) return false;
    if (spec->added_count) memcpy(grown, spec->added, spec->added_count * sizeof *grown);
    mem_free(spec->added);
    spec->added = grown;
    cJSON_ArrayForEach(entry, list) {
        AddedToken token = {0};
        if (!read_token(entry, &token, err) || !check_id(spec, &token, fresh, err)) {
            mem_free(token.content.data);
            return false;
        }
        put_token(spec, &token);
    }
    return true;
}

bool tokenizer_config_add_tokens(const cJSON *config, TokenizerSpec *spec, Error *err) {
    const cJSON *list = json_member(config, decoder);
    if (!list) return true;
    if (!cJSON_IsObject(list)) return error_set(err, "%s: \"added_tokens_decoder\" is not an object", name);
    return add_tokens(list, spec, err) || error_prefix(err, "%s: \"added_tokens_decoder\"", name);
}

// A special token is its text, or an object that has it.
static bool find_token(const cJSON *config, const char *key, const TokenizerSpec *spec, int64_t *id, Error *err) {
    const cJSON *member = json_member(config, key);
    if (!member) return true;
    const char *text = token_content(member);
    *id = text ? vocab_find(&spec->vocab, text, strlen(text)) : -1;
    for (size_t i = 0; text && *id < 0 && i < spec->added_count; i++)
        if (strcmp(spec->added[i].content.data, text) == 0) *id = spec->added[i].id;
    return *id >= 0 || error_set(err, "%s: \"%s\" is not in the vocabulary", name, key);
}

static bool set_one(int64_t id, const char *key, int32_t **ids, size_t *count, Error *err) {
    if (id < 0) return error_set(err, "%s: \"add_%s\" is true, but there is no such token", name, key);
    *ids = mem_alloc(1, sizeof **ids, err);
    if (!*ids) return false;
    (*ids)[(*count)++] = (int32_t)id;
    return true;
}

bool tokenizer_config_set_template(const cJSON *config, bool add_bos, int64_t bos, int64_t eos, TokenizerSpec *spec,
                                   Error *err) {
    bool add_eos = false;
    if (!json_bool(config, "add_bos_token", &add_bos, err) || !json_bool(config, "add_eos_token", &add_eos, err))
        return error_prefix(err, "%s", name);
    if (add_bos && !(find_token(config, "bos_token", spec, &bos, err) &&
                     set_one(bos, "bos_token", &spec->prefix, &spec->prefix_count, err)))
        return false;
    return !add_eos || (find_token(config, "eos_token", spec, &eos, err) &&
                        set_one(eos, "eos_token", &spec->suffix, &spec->suffix_count, err));
}
