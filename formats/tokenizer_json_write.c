#include "formats/tokenizer_json_write.h"

#include "core/mem.h"
#include <string.h>

// Every function here returns NULL or false where memory is out, which tokenizer_json_write says in the end, or with a
// message of its own.

static cJSON *step_new(const char *type) {
    cJSON *step = cJSON_CreateObject();
    if (cJSON_AddStringToObject(step, "type", type)) return step;
    cJSON_Delete(step);
    return NULL;
}

// cJSON's strings end at a NUL.
static bool text_ok(const char *text, size_t size, Error *err) {
    return !memchr(text, 0, size) ||
           error_set(err, "\"%.40s...\" has a NUL character, which is not written", size ? text : "");
}

static bool add_text(cJSON *object, const char *key, const Text *text, Error *err) {
    return text_ok(text->data, text->size, err) && cJSON_AddStringToObject(object, key, text->data);
}

static bool add_pattern(cJSON *step, const Pattern *pattern, Error *err) {
    cJSON *p = cJSON_AddObjectToObject(step, "pattern");
    return p && add_text(p, pattern->regex ? "Regex" : "String", &pattern->text, err);
}

// ---- steps

static bool fill_normalizer(cJSON *step, const Normalizer *n, Error *err) {
    if (n->kind == NORM_PREPEND) return add_text(step, "prepend", &n->content, err);
    if (n->kind == NORM_REPLACE)
        return add_pattern(step, &n->pattern, err) && add_text(step, "content", &n->content, err);
    return true;
}

static cJSON *normalizer(const void *item, Error *err) {
    const Normalizer *n = item;
    const char *type = n->kind == NORM_NFC       ? "NFC"
                       : n->kind == NORM_PREPEND ? "Prepend"
                       : n->kind == NORM_REPLACE ? "Replace"
                                                 : NULL;
    if (!type) error_set(err, "a normalizer of kind %d cannot be written", (int)n->kind);
    cJSON *step = type ? step_new(type) : NULL;
    if (step && fill_normalizer(step, n, err)) return step;
    cJSON_Delete(step);
    return NULL;
}

static bool fill_split(cJSON *step, const PreTokenizer *p, Error *err) {
    if (p->behavior != SPLIT_ISOLATED) return error_set(err, "a Split that does not isolate cannot be written");
    return add_pattern(step, &p->pattern, err) && cJSON_AddStringToObject(step, "behavior", "Isolated") &&
           cJSON_AddBoolToObject(step, "invert", p->invert);
}

static bool fill_byte_level(cJSON *step, bool prefix_space, bool split) {
    return cJSON_AddBoolToObject(step, "add_prefix_space", prefix_space) &&
           cJSON_AddTrueToObject(step, "trim_offsets") && cJSON_AddBoolToObject(step, "use_regex", split);
}

static cJSON *pre_tokenizer(const void *item, Error *err) {
    const PreTokenizer *p = item;
    const char *type = p->kind == PRE_SPLIT ? "Split" : p->kind == PRE_BYTE_LEVEL ? "ByteLevel" : NULL;
    if (!type) error_set(err, "a pre-tokenizer of kind %d cannot be written", (int)p->kind);
    cJSON *step = type ? step_new(type) : NULL;
    if (step && (p->kind == PRE_SPLIT ? fill_split(step, p, err) : fill_byte_level(step, p->prefix_space, p->split)))
        return step;
    cJSON_Delete(step);
    return NULL;
}

static bool fill_decoder(cJSON *step, const TokenDecoder *d, Error *err) {
    switch (d->kind) {
    case DECODE_BYTE_LEVEL: return fill_byte_level(step, false, true);
    case DECODE_REPLACE: return add_pattern(step, &d->pattern, err) && add_text(step, "content", &d->content, err);
    case DECODE_STRIP:
        return add_text(step, "content", &d->content, err) &&
               cJSON_AddNumberToObject(step, "start", (double)d->start) &&
               cJSON_AddNumberToObject(step, "stop", (double)d->stop);
    default: return true;
    }
}

static cJSON *decoder(const void *item, Error *err) {
    const TokenDecoder *d = item;
    const char *type = d->kind == DECODE_BYTE_LEVEL      ? "ByteLevel"
                       : d->kind == DECODE_REPLACE       ? "Replace"
                       : d->kind == DECODE_BYTE_FALLBACK ? "ByteFallback"
                       : d->kind == DECODE_FUSE          ? "Fuse"
                       : d->kind == DECODE_STRIP         ? "Strip"
                                                         : NULL;
    if (!type) error_set(err, "a decoder of kind %d cannot be written", (int)d->kind);
    cJSON *step = type ? step_new(type) : NULL;
    if (step && fill_decoder(step, d, err)) return step;
    cJSON_Delete(step);
    return NULL;
}

typedef cJSON *StepWriter(const void *item, Error *err);

// root[key]: a Sequence with its steps in `list`; null where there are none.
static bool add_steps(cJSON *root, const char *key, const char *list, const void *items, size_t count, size_t size,
                      StepWriter *writer, Error *err) {
    if (!count) return cJSON_AddNullToObject(root, key);
    cJSON *sequence = cJSON_AddObjectToObject(root, key);
    if (!sequence || !cJSON_AddStringToObject(sequence, "type", "Sequence")) return false;
    cJSON *steps = cJSON_AddArrayToObject(sequence, list);
    for (size_t i = 0; steps && i < count; i++) {
        cJSON *step = writer((const char *)items + i * size, err);
        if (!step || !cJSON_AddItemToArray(steps, step)) {
            cJSON_Delete(step);
            return false;
        }
    }
    return steps;
}

// ---- the template

static const char *token_text(const TokenizerSpec *spec, int32_t id, Error *err) {
    size_t size;
    const char *text = vocab_text(&spec->vocab, id, &size);
    if (!text) error_set(err, "token %d, which goes around a text, is not in the vocabulary", id);
    return text && text_ok(text, size, err) ? mem_text(text, size, err) : NULL;
}

// {"SpecialToken": {"id": NAME, "type_id": 0}} or {"Sequence": ...}
static bool add_piece(cJSON *list, const char *kind, const char *id, int type_id) {
    cJSON *piece = cJSON_CreateObject(), *inner = cJSON_AddObjectToObject(piece, kind);
    if (cJSON_AddStringToObject(inner, "id", id) && cJSON_AddNumberToObject(inner, "type_id", type_id) &&
        cJSON_AddItemToArray(list, piece))
        return true;
    cJSON_Delete(piece);
    return false;
}

static bool declare_token(cJSON *tokens, const char *name, int32_t id) {
    if (json_member(tokens, name)) return true;
    cJSON *token = cJSON_AddObjectToObject(tokens, name);
    cJSON *ids = cJSON_CreateIntArray(&id, 1), *names = cJSON_CreateStringArray(&name, 1);
    bool ok = cJSON_AddStringToObject(token, "id", name);
    // What was added belongs to the token; what was not is deleted here.
    if (!cJSON_AddItemToObject(token, "ids", ids)) cJSON_Delete(ids), ok = false;
    if (!cJSON_AddItemToObject(token, "tokens", names)) cJSON_Delete(names), ok = false;
    return ok;
}

static bool add_tokens_around(const TokenizerSpec *spec, const int32_t *ids, size_t count, int type_id, cJSON *list,
                              cJSON *tokens, Error *err) {
    for (size_t i = 0; i < count; i++) {
        const char *name = token_text(spec, ids[i], err);
        bool ok = name && add_piece(list, "SpecialToken", name, type_id) && declare_token(tokens, name, ids[i]);
        mem_free((void *)(uintptr_t)name);
        if (!ok) return false;
    }
    return true;
}

// One sequence (A) or two (A, B), each with what goes around it.
static bool add_form(const TokenizerSpec *spec, cJSON *template, const char *key, int sequences, cJSON *tokens,
                     Error *err) {
    static const char *const names[] = {"A", "B"};
    cJSON *list = cJSON_AddArrayToObject(template, key);
    bool ok = list;
    for (int i = 0; ok && i < sequences; i++)
        ok = add_tokens_around(spec, spec->prefix, spec->prefix_count, i, list, tokens, err) &&
             add_piece(list, "Sequence", names[i], i) &&
             add_tokens_around(spec, spec->suffix, spec->suffix_count, i, list, tokens, err);
    return ok;
}

static bool add_template(cJSON *root, const TokenizerSpec *spec, Error *err) {
    static const char key[] = "post_processor";
    if (!spec->prefix_count && !spec->suffix_count) return cJSON_AddNullToObject(root, key);
    cJSON *template = cJSON_AddObjectToObject(root, key), *tokens = cJSON_CreateObject();
    bool ok = tokens && cJSON_AddStringToObject(template, "type", "TemplateProcessing") &&
              add_form(spec, template, "single", 1, tokens, err) && add_form(spec, template, "pair", 2, tokens, err);
    if (cJSON_AddItemToObject(template, "special_tokens", tokens)) return ok;
    cJSON_Delete(tokens);
    return false;
}

// ---- vocabulary

static bool add_added(cJSON *root, const TokenizerSpec *spec, Error *err) {
    cJSON *list = cJSON_AddArrayToObject(root, "added_tokens");
    for (size_t i = 0; list && i < spec->added_count; i++) {
        const AddedToken *a = &spec->added[i];
        cJSON *token = cJSON_CreateObject();
        bool ok = cJSON_AddNumberToObject(token, "id", a->id) && add_text(token, "content", &a->content, err) &&
                  cJSON_AddBoolToObject(token, "single_word", a->single_word) &&
                  cJSON_AddBoolToObject(token, "lstrip", a->lstrip) &&
                  cJSON_AddBoolToObject(token, "rstrip", a->rstrip) &&
                  cJSON_AddBoolToObject(token, "normalized", a->normalized) &&
                  cJSON_AddBoolToObject(token, "special", a->special) && cJSON_AddItemToArray(list, token);
        if (!ok) {
            cJSON_Delete(token);
            return false;
        }
    }
    return list;
}

// A copy with a NUL at its end, in buf.
static const char *vocab_copy(const Vocab *vocab, int32_t id, char *buf, Error *err) {
    size_t size = 0;
    const char *text = vocab_text(vocab, id, &size);
    if (size) memcpy(buf, text, size);
    buf[size] = 0;
    return text_ok(buf, size, err) ? buf : NULL;
}

static bool add_vocab(cJSON *model, const Vocab *vocab, char *buf, Error *err) {
    cJSON *object = cJSON_AddObjectToObject(model, "vocab");
    for (size_t i = 0; object && i < vocab->count; i++) {
        const char *text = vocab_copy(vocab, vocab->entries[i].id, buf, err);
        if (!text || !cJSON_AddNumberToObject(object, text, vocab->entries[i].id)) return false;
    }
    return object;
}

static bool add_merges(cJSON *model, const TokenizerSpec *spec, char *left, char *right, Error *err) {
    cJSON *list = cJSON_AddArrayToObject(model, "merges");
    for (size_t i = 0; list && i < spec->merge_count; i++) {
        const char *sides[] = {vocab_copy(&spec->vocab, spec->merges[i].left, left, err),
                               vocab_copy(&spec->vocab, spec->merges[i].right, right, err)};
        cJSON *merge = sides[0] && sides[1] ? cJSON_CreateStringArray(sides, 2) : NULL;
        if (!merge || !cJSON_AddItemToArray(list, merge)) {
            cJSON_Delete(merge);
            return false;
        }
    }
    return list;
}

static bool add_model(cJSON *root, const TokenizerSpec *spec, Error *err) {
    size_t longest = 0;
    for (size_t i = 0; i < spec->vocab.count; i++)
        if (spec->vocab.entries[i].size > longest) longest = spec->vocab.entries[i].size;
    char *left = mem_alloc(longest + 1, 1, err), *right = mem_alloc(longest + 1, 1, err);
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    bool ok = left && right && cJSON_AddStringToObject(model, "type", "BPE") &&
              cJSON_AddNullToObject(model, "dropout") &&
              (spec->unk_token.data ? add_text(model, "unk_token", &spec->unk_token, err)
                                    : cJSON_AddNullToObject(model, "unk_token") != NULL) &&
              cJSON_AddBoolToObject(model, "fuse_unk", spec->fuse_unk) &&
              cJSON_AddBoolToObject(model, "byte_fallback", spec->byte_fallback) &&
              cJSON_AddBoolToObject(model, "ignore_merges", spec->ignore_merges) &&
              add_vocab(model, &spec->vocab, left, err) && add_merges(model, spec, left, right, err);
    mem_free(left);
    mem_free(right);
    return ok;
}

cJSON *tokenizer_json_write(const TokenizerSpec *spec, Error *err) {
    Error inner = {0};
    cJSON *root = cJSON_CreateObject();
    if (cJSON_AddStringToObject(root, "version", "1.0") && add_added(root, spec, &inner) &&
        add_steps(root, "normalizer", "normalizers", spec->normalizers, spec->normalizer_count,
                  sizeof *spec->normalizers, normalizer, &inner) &&
        add_steps(root, "pre_tokenizer", "pretokenizers", spec->pre_tokenizers, spec->pre_tokenizer_count,
                  sizeof *spec->pre_tokenizers, pre_tokenizer, &inner) &&
        add_template(root, spec, &inner) &&
        add_steps(root, "decoder", "decoders", spec->decoders, spec->decoder_count, sizeof *spec->decoders, decoder,
                  &inner) &&
        add_model(root, spec, &inner))
        return root;
    cJSON_Delete(root);
    error_set(err, "%s", inner.text[0] ? inner.text : "out of memory");
    return NULL;
}
