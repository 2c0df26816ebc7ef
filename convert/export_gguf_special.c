// Tokens with a meaning, and the chat template, from where transformers looks for them.
#include "convert/export_gguf_parts.h"

#include <string.h>

enum { CONFIG_VALUES = 100000, NONE = -1 };

// A file of the model as JSON; NULL where it is not there (an empty message) or is none.
static cJSON *read_file(const Model *model, const char *name, Error *err) {
    const ModelFile *file = model_file(model, name);
    if (!file) return NULL;
    const char *text = (const char *)file->data;
    cJSON *json = json_bounded(text, file->size, CONFIG_VALUES, err) ? json_parse(text, file->size, err) : NULL;
    if (!json) error_prefix(err, "%s", name);
    return json;
}

typedef struct Configs {
    const TokenizerSpec *spec;
    int64_t vocab;
    const cJSON *tokenizer, *model; // NULL: not there
} Configs;

static int64_t id_of_text(const TokenizerSpec *spec, const char *text) {
    size_t size = strlen(text);
    for (size_t i = 0; i < spec->added_count; i++)
        if (spec->added[i].content.size == size && memcmp(spec->added[i].content.data, text, size) == 0)
            return spec->added[i].id;
    return vocab_find(&spec->vocab, text, size);
}

// tokenizer_config.json's NAME_token (a text, or an object with "content"), else config.json's NAME_token_id (an id, or
// a list of which the first counts). NONE where neither says one that there is.
static int64_t find_id(const Configs *c, const char *token_key, const char *id_key) {
    const char *text = json_text(c->tokenizer, token_key);
    if (!text) text = json_text(json_member(c->tokenizer, token_key), "content");
    int64_t id = text ? id_of_text(c->spec, text) : NONE;
    if (id != NONE) return id;
    const cJSON *v = json_member(c->model, id_key);
    if (cJSON_IsArray(v)) v = v->child;
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble < (double)c->vocab)) return NONE;
    return (int64_t)v->valuedouble;
}

static void add_id(GgufMeta *meta, const char *key, int64_t id) {
    if (id != NONE) gguf_meta_u32(meta, key, (uint32_t)id);
}

// What the tokenizer itself puts before and after a text is what engines are to put there; they can put one token.
static bool add_ends(GgufMeta *meta, const Configs *c, Error *err) {
    const TokenizerSpec *s = c->spec;
    if (s->prefix_count > 1 || s->suffix_count > 1)
        return error_set(err, "tokenizer.json puts %zu tokens before a text and %zu after it; GGUF can say one of each",
                         s->prefix_count, s->suffix_count);
    if ((s->prefix_count && s->prefix[0] >= c->vocab) || (s->suffix_count && s->suffix[0] >= c->vocab))
        return error_set(err, "tokenizer.json puts a token around texts that the model has no row for");
    int64_t bos = find_id(c, "bos_token", "bos_token_id"), eos = find_id(c, "eos_token", "eos_token_id");
    add_id(meta, "tokenizer.ggml.bos_token_id", s->prefix_count ? s->prefix[0] : bos);
    add_id(meta, "tokenizer.ggml.eos_token_id", s->suffix_count ? s->suffix[0] : eos);
    gguf_meta_bool(meta, "tokenizer.ggml.add_bos_token", s->prefix_count > 0);
    gguf_meta_bool(meta, "tokenizer.ggml.add_eos_token", s->suffix_count > 0);
    return true;
}

static void add_ids(GgufMeta *meta, const Configs *c) {
    int64_t unk = find_id(c, "unk_token", "unk_token_id");
    add_id(meta, "tokenizer.ggml.unknown_token_id", unk != NONE ? unk : c->spec->unk);
    add_id(meta, "tokenizer.ggml.padding_token_id", find_id(c, "pad_token", "pad_token_id"));
    // The key is misspelled in GGUF.
    add_id(meta, "tokenizer.ggml.seperator_token_id", find_id(c, "sep_token", "sep_token_id"));
    add_id(meta, "tokenizer.ggml.mask_token_id", find_id(c, "mask_token", "mask_token_id"));
}

// A template, or the one called "default" of a list of {"name", "template"}.
static const char *template_of(const cJSON *json) {
    const char *text = json_text(json, "chat_template");
    const cJSON *list = json_member(json, "chat_template"), *entry;
    if (!cJSON_IsArray(list)) return text;
    cJSON_ArrayForEach(entry, list) {
        const char *name = json_text(entry, "name");
        if (name && strcmp(name, "default") == 0) return json_text(entry, "template");
    }
    return NULL;
}

static bool add_chat_template(GgufMeta *meta, const Model *model, const Configs *c, Error *err) {
    static const char key[] = "tokenizer.chat_template";
    const char *text = template_of(c->tokenizer);
    const ModelFile *file = model_file(model, "chat_template.jinja");
    if (text || file) {
        gguf_meta_text(meta, key, text ? text : (const char *)file->data, text ? strlen(text) : file->size);
        return true;
    }
    cJSON *json = read_file(model, "chat_template.json", err);
    text = template_of(json);
    if (text) gguf_meta_text(meta, key, text, strlen(text));
    bool ok = json || !model_file(model, "chat_template.json");
    cJSON_Delete(json);
    return ok;
}

bool gguf_add_special_tokens(GgufMeta *meta, const Model *model, const TokenizerSpec *spec, Error *err) {
    static const char tokenizer_name[] = "tokenizer_config.json", config_name[] = "config.json";
    cJSON *tokenizer = read_file(model, tokenizer_name, err);
    bool ok = tokenizer || !model_file(model, tokenizer_name);
    cJSON *config = ok ? read_file(model, config_name, err) : NULL;
    ok = ok && (config || !model_file(model, config_name));
    Configs c = {.spec = spec, .vocab = model->desc.vocab, .tokenizer = tokenizer, .model = config};
    if (ok) ok = add_ends(meta, &c, err) && add_chat_template(meta, model, &c, err);
    if (ok) add_ids(meta, &c);
    cJSON_Delete(tokenizer);
    cJSON_Delete(config);
    return ok;
}
