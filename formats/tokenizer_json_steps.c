// The steps around the model in a tokenizer.json: normalizers, pre-tokenizers, decoders, the template.
#include "formats/tokenizer_json_parts.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "formats/base64.h"
#include <string.h>

enum { MAX_NESTING = 16 };

typedef struct Name {
    const char *name;
    int value;
} Name;

static bool name_find(const Name *names, const char *name, const char *what, int *value, Error *err) {
    for (; names->name; names++)
        if (strcmp(names->name, name) == 0) {
            *value = names->value;
            return true;
        }
    return error_set(err, "%s\"%.40s\" is not supported", what, name);
}

typedef struct Steps {
    const cJSON **items;
    size_t count, capacity;
} Steps;

// The steps of root[key] in order, Sequences (whose members are in `list`) taken apart.
static bool steps_find(const cJSON *root, const char *key, const char *list, Steps *steps, Error *err) {
    const cJSON *stack[MAX_NESTING] = {json_member(root, key)};
    for (size_t depth = 1; depth;) {
        const cJSON *node = stack[depth - 1];
        if (!node) {
            depth--;
            continue;
        }
        // The first is a member of the root, whose neighbours are other things.
        stack[depth - 1] = depth > 1 ? node->next : NULL;
        const char *type = cJSON_IsObject(node) ? json_text(node, "type") : NULL;
        if (!type) return error_set(err, "\"%s\": a step is not an object with a \"type\"", key);
        if (strcmp(type, "Sequence") != 0) {
            if (!mem_grow(&steps->items, steps->count, &steps->capacity, sizeof *steps->items, err)) return false;
            steps->items[steps->count++] = node;
            continue;
        }
        const cJSON *members = json_member(node, list);
        if (!members || !cJSON_IsArray(members)) return error_set(err, "\"%s\": a Sequence has no \"%s\"", key, list);
        if (depth == MAX_NESTING)
            return error_set(err, "\"%s\": Sequences are nested deeper than %d", key, MAX_NESTING);
        stack[depth++] = members->child;
    }
    return true;
}

static bool read_pattern(const cJSON *step, Pattern *pattern, Error *err) {
    const cJSON *p = json_member(step, "pattern");
    pattern->regex = p && json_member(p, "Regex");
    const char *key = pattern->regex ? "Regex" : "String";
    if (!p || !json_text(p, key)) return error_set(err, "\"pattern\" is neither a String nor a Regex");
    if (!tokenizer_json_text(p, key, &pattern->text, err)) return false;
    return pattern->text.size != 0 || error_set(err, "\"pattern\" is empty, which is not supported");
}

static bool read_character(const cJSON *step, const char *key, Text *text, Error *err) {
    uint32_t c;
    if (!tokenizer_json_text(step, key, text, err)) return false;
    return (text->size && utf8_decode(text->data, &c) == text->size) ||
           error_set(err, "\"%s\" is not one character", key);
}

static bool read_required_bool(const cJSON *step, const char *key, bool *value, Error *err) {
    if (!json_member(step, key)) return error_set(err, "\"%s\" is missing", key);
    return json_bool(step, key, value, err);
}

static bool read_charsmap(const cJSON *step, Text *bytes, Error *err) {
    const char *text = json_text(step, "precompiled_charsmap");
    if (!text) return error_set(err, "\"precompiled_charsmap\" is missing or not a string");
    bytes->data = (char *)base64_decode(text, strlen(text), &bytes->size, err);
    return bytes->data || error_prefix(err, "\"precompiled_charsmap\"");
}

static bool read_normalizer(const cJSON *step, const char *type, void *item, Error *err) {
    Normalizer *n = item;
    static const Name kinds[] = {{"NFC", NORM_NFC},
                                 {"NFD", NORM_NFD},
                                 {"NFKC", NORM_NFKC},
                                 {"NFKD", NORM_NFKD},
                                 {"Lowercase", NORM_LOWERCASE},
                                 {"Prepend", NORM_PREPEND},
                                 {"Replace", NORM_REPLACE},
                                 {"Strip", NORM_STRIP},
                                 {"Precompiled", NORM_PRECOMPILED},
                                 {NULL, 0}};
    int kind = 0;
    if (!name_find(kinds, type, "", &kind, err)) return false;
    n->kind = (NormalizerKind)kind;
    switch (n->kind) {
    case NORM_PREPEND: return tokenizer_json_text(step, "prepend", &n->content, err);
    case NORM_REPLACE:
        return read_pattern(step, &n->pattern, err) && tokenizer_json_text(step, "content", &n->content, err);
    case NORM_STRIP:
        return read_required_bool(step, "strip_left", &n->left, err) &&
               read_required_bool(step, "strip_right", &n->right, err);
    case NORM_PRECOMPILED: return read_charsmap(step, &n->content, err);
    default: return true;
    }
}

static bool read_behavior(const cJSON *step, SplitBehavior *behavior, Error *err) {
    static const Name behaviors[] = {{"Removed", SPLIT_REMOVED},
                                     {"Isolated", SPLIT_ISOLATED},
                                     {"MergedWithPrevious", SPLIT_MERGED_WITH_PREVIOUS},
                                     {"MergedWithNext", SPLIT_MERGED_WITH_NEXT},
                                     {"Contiguous", SPLIT_CONTIGUOUS},
                                     {NULL, 0}};
    const char *name = json_text(step, "behavior");
    int value = 0;
    if (!name) return error_set(err, "\"behavior\" is missing");
    if (!name_find(behaviors, name, "behavior ", &value, err)) return false;
    *behavior = (SplitBehavior)value;
    return true;
}

// "prepend_scheme" came after "add_prefix_space", which stays beside it in newer files.
static bool read_scheme(const cJSON *step, PrependScheme *scheme, Error *err) {
    static const Name schemes[] = {
        {"always", PREPEND_ALWAYS}, {"first", PREPEND_FIRST}, {"never", PREPEND_NEVER}, {NULL, 0}};
    bool prefix = true;
    if (!json_bool(step, "add_prefix_space", &prefix, err)) return false;
    const char *name = json_text(step, "prepend_scheme");
    int value = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (name && !name_find(schemes, name, "prepend_scheme ", &value, err)) return false;
    if (!prefix && value != PREPEND_NEVER)
        return error_set(err, "\"add_prefix_space\" and \"prepend_scheme\" contradict each other");
    *scheme = (PrependScheme)value;
    return true;
}

static bool read_pre_tokenizer(const cJSON *step, const char *type, void *item, Error *err) {
    PreTokenizer *p = item;
    static const Name kinds[] = {{"Split", PRE_SPLIT},
                                 {"ByteLevel", PRE_BYTE_LEVEL},
                                 {"Digits", PRE_DIGITS},
                                 {"Metaspace", PRE_METASPACE},
                                 {"Whitespace", PRE_WHITESPACE},
                                 {"WhitespaceSplit", PRE_WHITESPACE_SPLIT},
                                 {"Punctuation", PRE_PUNCTUATION},
                                 {NULL, 0}};
    int kind = 0;
    bool individual = false;
    if (!name_find(kinds, type, "", &kind, err)) return false;
    p->kind = (PreTokenizerKind)kind;
    p->split = true;
    switch (p->kind) {
    case PRE_SPLIT:
        return read_pattern(step, &p->pattern, err) && read_behavior(step, &p->behavior, err) &&
               read_required_bool(step, "invert", &p->invert, err);
    case PRE_BYTE_LEVEL:
        return read_required_bool(step, "add_prefix_space", &p->prefix_space, err) &&
               json_bool(step, "use_regex", &p->split, err);
    case PRE_DIGITS:
        if (!read_required_bool(step, "individual_digits", &individual, err)) return false;
        p->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        return true;
    case PRE_METASPACE:
        return read_character(step, "replacement", &p->content, err) && read_scheme(step, &p->scheme, err) &&
               json_bool(step, "split", &p->split, err);
    case PRE_PUNCTUATION:
        p->behavior = SPLIT_ISOLATED;
        return !json_member(step, "behavior") || read_behavior(step, &p->behavior, err);
    default: return true;
    }
}

static bool read_decoder(const cJSON *step, const char *type, void *item, Error *err) {
    TokenDecoder *d = item;
    static const Name kinds[] = {{"ByteLevel", DECODE_BYTE_LEVEL},
                                 {"Replace", DECODE_REPLACE},
                                 {"ByteFallback", DECODE_BYTE_FALLBACK},
                                 {"Fuse", DECODE_FUSE},
                                 {"Strip", DECODE_STRIP},
                                 {"Metaspace", DECODE_METASPACE},
                                 {NULL, 0}};
    int kind = 0;
    int64_t start = 0, stop = 0;
    if (!name_find(kinds, type, "", &kind, err)) return false;
    d->kind = (DecoderKind)kind;
    switch (d->kind) {
    case DECODE_REPLACE:
        return read_pattern(step, &d->pattern, err) && tokenizer_json_text(step, "content", &d->content, err);
    case DECODE_STRIP:
        if (!read_character(step, "content", &d->content, err) || !json_int(step, "start", 0, INT32_MAX, &start, err) ||
            !json_int(step, "stop", 0, INT32_MAX, &stop, err))
            return false;
        d->start = (size_t)start;
        d->stop = (size_t)stop;
        return true;
    case DECODE_METASPACE:
        return read_character(step, "replacement", &d->content, err) && read_scheme(step, &d->scheme, err);
    default: return true;
    }
}

typedef bool StepReader(const cJSON *step, const char *type, void *item, Error *err);

// Reads the steps of root[key] into a new array of elements of `size` bytes, whose address goes to the pointer at
// `items`; *count says how many were begun.
static bool steps_read(const cJSON *root, const char *key, const char *list, StepReader *reader, size_t size,
                       void *items, size_t *count, Error *err) {
    Steps steps = {0};
    char *array = NULL;
    bool ok = steps_find(root, key, list, &steps, err) && (array = mem_alloc(steps.count, size, err));
    memcpy(items, &array, sizeof array);
    for (*count = 0; ok && *count < steps.count;) {
        const char *type = json_text(steps.items[*count], "type");
        char *item = array + *count * size;
        ok = reader(steps.items[(*count)++], type, item, err) || error_prefix(err, "%s %.40s", key, type);
    }
    mem_free(steps.items);
    return ok;
}

bool tokenizer_json_read_normalizers(const cJSON *root, TokenizerSpec *spec, Error *err) {
    return steps_read(root, "normalizer", "normalizers", read_normalizer, sizeof *spec->normalizers, &spec->normalizers,
                      &spec->normalizer_count, err);
}

bool tokenizer_json_read_pre_tokenizers(const cJSON *root, TokenizerSpec *spec, Error *err) {
    return steps_read(root, "pre_tokenizer", "pretokenizers", read_pre_tokenizer, sizeof *spec->pre_tokenizers,
                      &spec->pre_tokenizers, &spec->pre_tokenizer_count, err);
}

bool tokenizer_json_read_decoders(const cJSON *root, TokenizerSpec *spec, Error *err) {
    return steps_read(root, "decoder", "decoders", read_decoder, sizeof *spec->decoders, &spec->decoders,
                      &spec->decoder_count, err);
}

// Those in use have four pieces with an id each; without a limit a file could name a long list of ids many times.
enum { TEMPLATE_MAX = 1000 };

// Appends the ids of one special token of a template.
static bool add_template_ids(const cJSON *processor, const char *name, int32_t **ids, size_t *count, size_t *capacity,
                             Error *err) {
    const cJSON *tokens = json_member(processor, "special_tokens"), *entry;
    const cJSON *token = tokens ? json_member(tokens, name) : NULL, *list = token ? json_member(token, "ids") : NULL;
    if (!list || !cJSON_IsArray(list)) return error_set(err, "\"special_tokens\" has no ids for \"%.80s\"", name);
    cJSON_ArrayForEach(entry, list) {
        int64_t id;
        if (!tokenizer_json_id(entry, &id, err)) return error_prefix(err, "\"special_tokens\": \"%.80s\"", name);
        if (*count == TEMPLATE_MAX) return error_set(err, "\"single\" has more than %d ids", TEMPLATE_MAX);
        if (!mem_grow(ids, *count, capacity, sizeof **ids, err)) return false;
        (*ids)[(*count)++] = (int32_t)id;
    }
    return true;
}

static bool read_template(const cJSON *processor, TokenizerSpec *spec, Error *err) {
    const cJSON *single = json_member(processor, "single"), *piece;
    size_t prefix_capacity = 0, suffix_capacity = 0;
    bool sequence = false;
    if (!single || !cJSON_IsArray(single)) return error_set(err, "\"single\" is missing or not an array");
    if (cJSON_GetArraySize(single) > TEMPLATE_MAX)
        return error_set(err, "\"single\" has more than %d pieces", TEMPLATE_MAX);
    cJSON_ArrayForEach(piece, single) {
        const cJSON *s = json_member(piece, "Sequence"), *t = json_member(piece, "SpecialToken");
        const char *id = s ? json_text(s, "id") : t ? json_text(t, "id") : NULL;
        if (!id) return error_set(err, "\"single\": a piece is neither a Sequence nor a SpecialToken");
        if (s && (sequence || strcmp(id, "A") != 0))
            return error_set(err, "\"single\" does not hold the sequence A just once, which is not supported");
        if (s)
            sequence = true;
        else if (!(sequence
                       ? add_template_ids(processor, id, &spec->suffix, &spec->suffix_count, &suffix_capacity, err)
                       : add_template_ids(processor, id, &spec->prefix, &spec->prefix_count, &prefix_capacity, err)))
            return false;
    }
    return sequence || error_set(err, "\"single\" leaves out the sequence");
}

bool tokenizer_json_read_template(const cJSON *root, TokenizerSpec *spec, Error *err) {
    Steps steps = {0};
    bool ok = steps_find(root, "post_processor", "processors", &steps, err), seen = false;
    for (size_t i = 0; ok && i < steps.count; i++) {
        const char *type = json_text(steps.items[i], "type");
        // ByteLevel trims offsets, which are not computed here.
        if (strcmp(type, "ByteLevel") == 0) continue;
        if (strcmp(type, "TemplateProcessing") != 0)
            ok = error_set(err, "is not supported");
        else if (seen)
            ok = error_set(err, "a second template is not supported");
        else
            ok = read_template(steps.items[i], spec, err);
        if (!ok) error_prefix(err, "post_processor %.40s", type);
        seen = true;
    }
    mem_free(steps.items);
    return ok;
}
