#include "formats/vocab_merges.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "formats/tokenizer_config.h"
#include "formats/tokenizer_json_parts.h"
#include <string.h>

enum { MAX_VALUES = 2000000 }; // tokens, and merges

typedef struct SplitStyle {
    const char *class;      // in tokenizer_config.json, a "Fast" after it or not
    const char *expression; // NULL: ByteLevel's own, GPT-2's
    bool nfc;
    const char *special; // a special token that the class has by itself
} SplitStyle;

static const SplitStyle styles[] = {
    {"GPT2Tokenizer", NULL, false, "<|endoftext|>"},
    // transformers' convert_slow_tokenizer.py, Qwen2Converter
    {"Qwen2Tokenizer",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
     "\\s+(?!\\S)|\\s+",
     true, "<|endoftext|>"},
};

static const SplitStyle *find_style(const cJSON *config, Error *err) {
    const char *class = json_text(config, "tokenizer_class");
    if (!class) return &styles[0];
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        size_t n = strlen(styles[i].class);
        if (strncmp(class, styles[i].class, n) == 0 && (!class[n] || strcmp(class + n, "Fast") == 0)) return &styles[i];
    }
    error_set(err,
              "tokenizer_config.json: how a \"%.80s\" splits text is not known; known are GPT2Tokenizer and "
              "Qwen2Tokenizer; put the model's tokenizer.json beside it",
              class);
    return NULL;
}

// The lines as an array of texts, which is what a tokenizer.json has.
static cJSON *read_lines(const char *text, size_t size, Error *err) {
    if (size && (utf8_valid_prefix(text, size) != size || memchr(text, 0, size))) {
        error_set(err, "is not UTF-8 text");
        return NULL;
    }
    cJSON *lines = cJSON_CreateArray();
    size_t count = 0;
    for (size_t at = 0, next; lines && at < size; at = next) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - text) : size;
        next = end + 1;
        if (end > at && text[end - 1] == '\r') end--;
        if (end == at) continue;
        char *line = ++count > MAX_VALUES ? NULL : mem_text(text + at, end - at, err);
        cJSON *item = line ? cJSON_CreateString(line) : NULL;
        mem_free(line);
        if (item && cJSON_AddItemToArray(lines, item)) continue;
        cJSON_Delete(lines);
        if (count > MAX_VALUES)
            error_set(err, "has more than %d lines", MAX_VALUES);
        else
            error_set(err, "out of memory");
        return NULL;
    }
    if (!lines) error_set(err, "out of memory");
    return lines;
}

// {"vocab": ..., "merges": [...]}, a tokenizer.json's model.
static cJSON *make_model(const ModelFile *vocab, const ModelFile *merges, Error *err) {
    const char *text = (const char *)vocab->data;
    size_t valid = vocab->size ? utf8_valid_prefix(text, vocab->size) : 0;
    cJSON *entries = NULL, *model = NULL;
    if (valid != vocab->size)
        error_set(err, "is not UTF-8 at byte %zu", valid);
    else if (json_bounded(text, vocab->size, MAX_VALUES, err))
        entries = json_parse(text, vocab->size, err);
    if (!entries) {
        error_prefix(err, "vocab.json");
        return NULL;
    }
    cJSON *lines = read_lines((const char *)merges->data, merges->size, err);
    if (!lines) error_prefix(err, "merges.txt");
    if (lines && !(model = cJSON_CreateObject())) error_set(err, "out of memory");
    if (model && cJSON_AddItemToObject(model, "vocab", entries)) {
        if (cJSON_AddItemToObject(model, "merges", lines)) return model;
        entries = NULL;
    }
    if (model) error_set(err, "out of memory");
    cJSON_Delete(model);
    cJSON_Delete(entries);
    cJSON_Delete(lines);
    return NULL;
}

static bool set_text(Text *text, const char *data, Error *err) {
    text->size = strlen(data);
    text->data = mem_text(data, text->size, err);
    return text->data != NULL;
}

static bool set_steps(const SplitStyle *style, const cJSON *config, TokenizerSpec *spec, Error *err) {
    bool prefix = false;
    if (!json_bool(config, "add_prefix_space", &prefix, err)) return error_prefix(err, "tokenizer_config.json");
    spec->normalizers = mem_alloc(1, sizeof *spec->normalizers, err);
    spec->pre_tokenizers = mem_alloc(2, sizeof *spec->pre_tokenizers, err);
    spec->decoders = mem_alloc(1, sizeof *spec->decoders, err);
    if (!spec->normalizers || !spec->pre_tokenizers || !spec->decoders) return false;
    spec->normalizers[0].kind = NORM_NFC;
    spec->normalizer_count = style->nfc;
    spec->decoders[0].kind = DECODE_BYTE_LEVEL;
    spec->decoder_count = 1;
    if (style->expression) {
        PreTokenizer *split = &spec->pre_tokenizers[spec->pre_tokenizer_count++];
        *split = (PreTokenizer){.kind = PRE_SPLIT, .behavior = SPLIT_ISOLATED, .pattern.regex = true};
        if (!set_text(&split->pattern.text, style->expression, err)) return false;
    }
    spec->pre_tokenizers[spec->pre_tokenizer_count++] =
        (PreTokenizer){.kind = PRE_BYTE_LEVEL, .prefix_space = prefix, .split = !style->expression};
    return true;
}

static bool add_special(const SplitStyle *style, TokenizerSpec *spec, Error *err) {
    int32_t id = vocab_find(&spec->vocab, style->special, strlen(style->special));
    if (id < 0) return true;
    spec->added = mem_alloc(1, sizeof *spec->added, err);
    if (!spec->added) return false;
    spec->added[0] = (AddedToken){.id = id, .special = true};
    return set_text(&spec->added[spec->added_count++].content, style->special, err);
}

bool vocab_merges_read(const ModelFile *vocab, const ModelFile *merges, const cJSON *config, TokenizerSpec *spec,
                       Error *err) {
    *spec = (TokenizerSpec){.unk = -1};
    const SplitStyle *style = find_style(config, err);
    cJSON *model = style ? make_model(vocab, merges, err) : NULL;
    bool ok = model && (tokenizer_json_read_bpe(model, spec, err) || error_prefix(err, "vocab.json and merges.txt"));
    cJSON_Delete(model);
    if (!ok) return false;
    int64_t bos = vocab_find(&spec->vocab, style->special, strlen(style->special));
    return set_steps(style, config, spec, err) && add_special(style, spec, err) &&
           tokenizer_config_add_tokens(config, spec, err) &&
           tokenizer_config_set_template(config, false, bos, bos, spec, err);
}
