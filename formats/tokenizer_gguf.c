#include "formats/tokenizer_gguf.h"

#include "core/mem.h"
#include "core/utf8.h"
#include <stdio.h>
#include <string.h>

static const char space_mark[] = "\xE2\x96\x81"; // U+2581, which SentencePiece writes for a space

int64_t gguf_token_type(const GgufValue *types, int64_t id) {
    int64_t type = GGUF_NORMAL;
    if (types && (uint64_t)id < types->count) gguf_int_at(types, (uint64_t)id, &type);
    return type;
}

// ---- the vocabulary

static bool read_vocab(const Gguf *g, TokenizerSpec *spec, Error *err) {
    static const char key[] = "tokenizer.ggml.tokens";
    const GgufValue *tokens = gguf_find(g, key);
    if (!tokens || !tokens->count) return error_set(err, "metadata \"%s\" is missing or empty", key);
    if (!gguf_array(g, key, GGUF_TEXT, err)) return false;
    if (tokens->count > VOCAB_MAX_ID)
        return error_set(err, "has %llu tokens, more than the %d supported", (unsigned long long)tokens->count,
                         VOCAB_MAX_ID);
    size_t bytes = tokens->bytes; // an upper limit: the whole pair in the file
    if (!vocab_init(&spec->vocab, (size_t)tokens->count, bytes, (int64_t)tokens->count, err)) return false;
    const uint8_t *at = tokens->data;
    for (int64_t id = 0; id < (int64_t)tokens->count; id++) {
        GgufText text = gguf_text_next(&at);
        if (utf8_valid_prefix(text.data, text.size) != text.size)
            return error_set(err, "metadata \"%s\": token %lld is not UTF-8", key, (long long)id);
        // An empty one can never be found.
        if (text.size && !vocab_add(&spec->vocab, text.data, text.size, id, err))
            return error_prefix(err, "metadata \"%s\"", key);
    }
    return true;
}

static bool copy_text(const char *data, size_t size, Text *text, Error *err) {
    text->data = mem_text(data, size, err);
    text->size = size;
    return text->data != NULL;
}

// Control and user-defined tokens, and the unknown one, are looked for in text before all else.
static bool read_added(const GgufValue *types, TokenizerSpec *spec, Error *err) {
    size_t count = 0;
    for (size_t i = 0; types && i < spec->vocab.count; i++) {
        int64_t type = gguf_token_type(types, spec->vocab.entries[i].id);
        count += type == GGUF_CONTROL || type == GGUF_USER_DEFINED || type == GGUF_UNKNOWN;
    }
    spec->added = mem_alloc(count, sizeof *spec->added, err);
    if (!spec->added) return false;
    for (size_t i = 0; types && i < spec->vocab.count; i++) {
        const VocabEntry *e = &spec->vocab.entries[i];
        int64_t type = gguf_token_type(types, e->id);
        if (type != GGUF_CONTROL && type != GGUF_USER_DEFINED && type != GGUF_UNKNOWN) continue;
        AddedToken *token = &spec->added[spec->added_count++];
        *token = (AddedToken){.id = e->id, .special = type != GGUF_USER_DEFINED};
        if (!copy_text(spec->vocab.pool + e->start, e->size, &token->content, err)) return false;
    }
    return true;
}

static const GgufValue *read_types(const Gguf *g, const TokenizerSpec *spec, Error *err) {
    static const char key[] = "tokenizer.ggml.token_type";
    const GgufValue *types = gguf_array(g, key, GGUF_I32, err);
    if (!types || (int64_t)types->count == spec->vocab.id_limit) return types;
    error_set(err, "metadata \"%s\" has %llu entries for %lld tokens", key, (unsigned long long)types->count,
              (long long)spec->vocab.id_limit);
    return NULL;
}

// ---- what goes around a text

// The id of a special token; -1 where there is none.
static bool read_id(const Gguf *g, const char *key, const TokenizerSpec *spec, int64_t *id, Error *err) {
    *id = -1;
    return gguf_int(g, key, 0, spec->vocab.id_limit - 1, id, err);
}

static bool read_end(const Gguf *g, const char *flag_key, const char *id_key, bool wanted, const TokenizerSpec *spec,
                     int32_t **ids, size_t *count, Error *err) {
    int64_t id;
    if (!gguf_bool(g, flag_key, &wanted, err)) return false;
    if (!wanted) return true;
    if (!read_id(g, id_key, spec, &id, err)) return false;
    if (id < 0) return error_set(err, "metadata \"%s\" is wanted but \"%s\" is missing", flag_key, id_key);
    *ids = mem_alloc(1, sizeof **ids, err);
    if (!*ids) return false;
    **ids = (int32_t)id;
    *count = 1;
    return true;
}

static bool read_template(const Gguf *g, bool add_bos, TokenizerSpec *spec, Error *err) {
    return read_end(g, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", add_bos, spec, &spec->prefix,
                    &spec->prefix_count, err) &&
           read_end(g, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false, spec, &spec->suffix,
                    &spec->suffix_count, err);
}

// ---- byte-level BPE

static bool read_gpt2(const Gguf *g, const GgufValue *types, TokenizerSpec *spec, Error *err) {
    GgufText name = {"default", 7};
    (void)types;
    if (!gguf_text(g, "tokenizer.ggml.pre", &name, err)) return false;
    const GgufPre *pre = gguf_pre_find(name, err);
    if (!pre || !gguf_merges_given(g, spec, err)) return false;
    spec->ignore_merges = pre->ignore_merges;

    size_t steps = 0;
    while (steps < sizeof pre->expressions / sizeof *pre->expressions && pre->expressions[steps]) steps++;
    spec->pre_tokenizers = mem_alloc(steps + 1, sizeof *spec->pre_tokenizers, err);
    spec->decoders = mem_alloc(1, sizeof *spec->decoders, err);
    spec->normalizers = mem_alloc(1, sizeof *spec->normalizers, err);
    if (!spec->pre_tokenizers || !spec->decoders || !spec->normalizers) return false;
    for (size_t i = 0; i < steps; i++) {
        PreTokenizer *step = &spec->pre_tokenizers[spec->pre_tokenizer_count++];
        *step = (PreTokenizer){.kind = PRE_SPLIT, .pattern.regex = true, .behavior = SPLIT_ISOLATED, .split = true};
        if (!copy_text(pre->expressions[i], strlen(pre->expressions[i]), &step->pattern.text, err)) return false;
    }
    spec->pre_tokenizers[spec->pre_tokenizer_count++] = (PreTokenizer){.kind = PRE_BYTE_LEVEL};
    spec->decoders[spec->decoder_count++] = (TokenDecoder){.kind = DECODE_BYTE_LEVEL};
    if (pre->nfc) spec->normalizers[spec->normalizer_count++] = (Normalizer){.kind = NORM_NFC};
    return read_template(g, pre->add_bos, spec, err);
}

// ---- SentencePiece's BPE

static bool read_unknown(const Gguf *g, TokenizerSpec *spec, Error *err) {
    int64_t id;
    size_t size;
    if (!read_id(g, "tokenizer.ggml.unknown_token_id", spec, &id, err)) return false;
    const char *text = vocab_text(&spec->vocab, id, &size);
    if (!text) return true;
    spec->unk = (int32_t)id;
    return copy_text(text, size, &spec->unk_token, err);
}

// Spaces become marks, one more goes in front; decoding undoes both.
static bool add_spaces(bool prefix, TokenizerSpec *spec, Error *err) {
    spec->normalizers = mem_alloc(2, sizeof *spec->normalizers, err);
    spec->decoders = mem_alloc(4, sizeof *spec->decoders, err);
    if (!spec->normalizers || !spec->decoders) return false;
    if (prefix) {
        Normalizer *n = &spec->normalizers[spec->normalizer_count++];
        n->kind = NORM_PREPEND;
        if (!copy_text(space_mark, strlen(space_mark), &n->content, err)) return false;
    }
    Normalizer *n = &spec->normalizers[spec->normalizer_count++];
    n->kind = NORM_REPLACE;
    TokenDecoder *d = &spec->decoders[0];
    d->kind = DECODE_REPLACE;
    spec->decoder_count = 1;
    if (!copy_text(" ", 1, &n->pattern.text, err) || !copy_text(space_mark, strlen(space_mark), &n->content, err) ||
        !copy_text(space_mark, strlen(space_mark), &d->pattern.text, err) || !copy_text(" ", 1, &d->content, err))
        return false;
    spec->decoders[spec->decoder_count++] = (TokenDecoder){.kind = DECODE_BYTE_FALLBACK};
    spec->decoders[spec->decoder_count++] = (TokenDecoder){.kind = DECODE_FUSE};
    if (!prefix) return true;
    d = &spec->decoders[spec->decoder_count++];
    *d = (TokenDecoder){.kind = DECODE_STRIP, .start = 1};
    return copy_text(" ", 1, &d->content, err);
}

static bool read_llama(const Gguf *g, const GgufValue *types, TokenizerSpec *spec, Error *err) {
    bool prefix = true;
    spec->byte_fallback = spec->fuse_unk = true;
    return gguf_bool(g, "tokenizer.ggml.add_space_prefix", &prefix, err) && read_unknown(g, spec, err) &&
           gguf_merges_by_score(g, types, spec, err) && add_spaces(prefix, spec, err) &&
           read_template(g, true, spec, err);
}

static bool read_all(const Gguf *g, TokenizerSpec *spec, Error *err) {
    GgufText model = {"", 0};
    if (!gguf_text(g, "tokenizer.ggml.model", &model, err)) return false;
    if (!model.size) return error_set(err, "has no vocabulary (tokenizer.ggml.model)");
    bool gpt2 = gguf_text_is(model, "gpt2");
    if (!gpt2 && !gguf_text_is(model, "llama"))
        return error_set(err,
                         "the tokenizer \"%.*s\" (tokenizer.ggml.model) is not supported; those supported are: gpt2, "
                         "llama",
                         model.size < 60 ? (int)model.size : 60, model.data);
    Error inner = {0};
    if (!read_vocab(g, spec, err)) return false;
    const GgufValue *types = read_types(g, spec, &inner);
    if (inner.text[0]) return error_set(err, "%s", inner.text);
    return read_added(types, spec, err) && (gpt2 ? read_gpt2 : read_llama)(g, types, spec, err);
}

bool tokenizer_gguf_read(const void *data, size_t size, TokenizerSpec *spec, Error *err) {
    Gguf g;
    *spec = (TokenizerSpec){.unk = -1};
    if (!gguf_read(data, size, NULL, &g, err)) return false;
    bool ok = read_all(&g, spec, err);
    gguf_free(&g);
    if (!ok) tokenizer_spec_free(spec);
    return ok;
}
