#include "formats/tokenizer_config.h"

#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

enum {
    CONFIG_VALUES = 1 << 20,
    TOKENIZER_CONFIG_ADDED_MAX = 10000, // tokens, each looked for in a list; the most in use are some hundreds
};

static const char name[] = "tokenizer_config.json";

bool tokenizer_config_read(const Model *model, cJSON **config, Error *err) {
    const ModelFile *file = model_file(model, name);
    *config = NULL;
    if (!file) return true;
    const char *text = (const char *)file->data;
    if (json_bounded(text, file->size, CONFIG_VALUES, err)) *config = json_parse(text, file->size, err);
    if (*config && !cJSON_IsObject(*config)) {
        cJSON_Delete(*config);
        *config = NULL;
        error_set(err, "is not a JSON object");
    }
    return *config || error_prefix(err, "%s", name);
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
    const cJSON *list = json_member(config, "added_tokens_decoder");
    if (!list) return true;
    if (!cJSON_IsObject(list)) return error_set(err, "%s: \"added_tokens_decoder\" is not an object", name);
    return add_tokens(list, spec, err) || error_prefix(err, "%s: \"added_tokens_decoder\"", name);
}

// A special token is its text, or an object that has it.
static bool find_token(const cJSON *config, const char *key, const TokenizerSpec *spec, int64_t *id, Error *err) {
    const cJSON *member = json_member(config, key);
    if (!member) return true;
    const char *text = cJSON_IsString(member) ? member->valuestring : json_text(member, "content");
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
