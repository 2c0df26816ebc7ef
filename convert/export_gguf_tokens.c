// A tokenizer in GGUF's keys, as one of the two kinds that engines know:
//   gpt2   byte-level BPE: merges, and the name of a pre-tokenizer
//   llama  SentencePiece's BPE: of two neighbours whose joint text is a token the highest score is merged first
#include "convert/export_gguf_parts.h"

#include "convert/pre_tokenizer_name.h"
#include "core/mem.h"
#include "formats/tokenizer_json.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

// tokenizer.ggml.token_type
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

static const char low_line[] = "\xE2\x96\x81"; // U+2581, SentencePiece's space

typedef struct Tokens {
    const TokenizerSpec *spec;
    bool sentencepiece;
    bool prefix_space; // SentencePiece's: a space before a text
    size_t count;      // rows of the embedding
    int32_t *types;
    float *scores;            // SentencePiece
    const AddedToken **added; // [count] NULL where it is none
} Tokens;

static bool same(const Text *text, const char *other) {
    return text->size == strlen(other) && memcmp(text->data, other, text->size) == 0;
}

// ---- which kind

static bool is_byte_level(const TokenizerSpec *spec) {
    for (size_t i = 0; i < spec->pre_tokenizer_count; i++)
        if (spec->pre_tokenizers[i].kind == PRE_BYTE_LEVEL) return true;
    return false;
}

// Spaces become U+2581, one more may come first, nothing else: what engines do for this kind. False for others.
static bool read_sentencepiece(const TokenizerSpec *spec, bool *prefix_space) {
    bool replaced = false;
    *prefix_space = false;
    for (size_t i = 0; i < spec->normalizer_count; i++) {
        const Normalizer *n = &spec->normalizers[i];
        if (n->kind == NORM_PREPEND && same(&n->content, low_line) && !replaced && !*prefix_space)
            *prefix_space = true;
        else if (n->kind == NORM_REPLACE && !n->pattern.regex && same(&n->pattern.text, " ") &&
                 same(&n->content, low_line) && !replaced)
            replaced = true;
        else
            return false;
    }
    if (spec->pre_tokenizer_count == 1 && !replaced && !*prefix_space) {
        const PreTokenizer *p = &spec->pre_tokenizers[0];
        *prefix_space = p->scheme != PREPEND_NEVER;
        return p->kind == PRE_METASPACE && same(&p->content, low_line) && !p->split && spec->byte_fallback;
    }
    return replaced && spec->pre_tokenizer_count == 0 && spec->byte_fallback;
}

// Engines do not compose characters (NFC), but those who train with it still ship for them; all else would be lost.
static bool check_byte_level(const TokenizerSpec *spec, Error *err) {
    for (size_t i = 0; i < spec->normalizer_count; i++)
        if (spec->normalizers[i].kind != NORM_NFC)
            return error_set(err,
                             "tokenizer.json: GGUF has no normalizers for byte-level tokenizers, this one has some");
    return true;
}

// ---- tokens, their types and scores

// Added tokens that engines must treat as special, whatever the file says.
static bool looks_special(const Text *t) {
    return t->size >= 4 && memcmp(t->data, "<|", 2) == 0 && memcmp(t->data + t->size - 2, "|>", 2) == 0;
}

// "<0x0A>"
static bool is_byte_token(const char *text, size_t size) {
    return size == 6 && memcmp(text, "<0x", 3) == 0 && isxdigit((unsigned char)text[3]) &&
           isxdigit((unsigned char)text[4]) && text[5] == '>';
}

static int32_t type_of(const Tokens *t, size_t id) {
    size_t size = 0;
    const char *text = vocab_text(&t->spec->vocab, (int64_t)id, &size);
    const AddedToken *added = t->added[id];
    if (t->sentencepiece && t->spec->unk == (int32_t)id) return UNKNOWN;
    if (added) return added->special || looks_special(&added->content) ? CONTROL : USER_DEFINED;
    if (!text) return UNUSED;
    return t->sentencepiece && is_byte_token(text, size) ? BYTE : NORMAL;
}

// The earlier a merge that makes it, the higher a token's score; what no merge makes comes last.
static void fill_scores(Tokens *t) {
    const TokenizerSpec *spec = t->spec;
    for (size_t id = 0; id < t->count; id++) t->scores[id] = t->types[id] == NORMAL ? -(float)spec->merge_count : 0;
    for (size_t m = spec->merge_count; m-- > 0;) t->scores[spec->merges[m].result] = -(float)m;
}

static bool check_ids(const Tokens *t, Error *err) {
    int64_t limit = t->spec->vocab.id_limit;
    for (size_t i = 0; i < t->spec->added_count; i++)
        if (t->spec->added[i].id >= limit) limit = t->spec->added[i].id + 1;
    return limit <= (int64_t)t->count ||
           error_set(err, "tokenizer.json has ids up to %lld, but the model has rows for %zu tokens only",
                     (long long)limit - 1, t->count);
}

static bool fill_tokens(Tokens *t, Error *err) {
    if (!check_ids(t, err)) return false;
    t->types = mem_alloc(t->count, sizeof *t->types, err);
    t->scores = t->types ? mem_alloc(t->count, sizeof *t->scores, err) : NULL;
    t->added = t->scores ? mem_alloc(t->count, sizeof *t->added, err) : NULL;
    if (!t->added) return false;
    for (size_t i = 0; i < t->spec->added_count; i++) t->added[t->spec->added[i].id] = &t->spec->added[i];
    for (size_t id = 0; id < t->count; id++) t->types[id] = type_of(t, id);
    fill_scores(t);
    return true;
}

// ---- into the file

// A token that users defined is looked for in the text as it came, where spaces are not U+2581 yet.
static bool add_with_spaces(GgufMeta *meta, const Text *text, Error *err) {
    char *copy = mem_text(text->data, text->size, err);
    if (!copy) return false;
    size_t to = 0, line = sizeof low_line - 1;
    for (size_t i = 0; i < text->size; to++) {
        bool space = text->size - i >= line && memcmp(text->data + i, low_line, line) == 0;
        copy[to] = space ? ' ' : text->data[i];
        i += space ? line : 1;
    }
    gguf_meta_item(meta, copy, to);
    mem_free(copy);
    return true;
}

static bool add_tokens(GgufMeta *meta, const Tokens *t, Error *err) {
    gguf_meta_texts(meta, "tokenizer.ggml.tokens", t->count);
    for (size_t id = 0; id < t->count; id++) {
        char pad[32];
        size_t size = 0;
        const char *text = vocab_text(&t->spec->vocab, (int64_t)id, &size);
        if (t->sentencepiece && t->types[id] == USER_DEFINED) {
            if (!add_with_spaces(meta, &t->added[id]->content, err)) return false;
            continue;
        }
        if (t->added[id]) {
            text = t->added[id]->content.data;
            size = t->added[id]->content.size;
        } else if (!text) {
            size = (size_t)snprintf(pad, sizeof pad, "[PAD%zu]", id);
            text = pad;
        }
        gguf_meta_item(meta, text, size);
    }
    gguf_meta_i32s(meta, "tokenizer.ggml.token_type", t->types, t->count);
    return true;
}

// "left right"; a space within either is written as byte-level tokenizers write it.
static bool add_merges(GgufMeta *meta, const TokenizerSpec *spec, Error *err) {
    static const char space[] = "\xC4\xA0"; // U+0120
    size_t longest = 0;
    for (size_t i = 0; i < spec->vocab.count; i++)
        if (spec->vocab.entries[i].size > longest) longest = spec->vocab.entries[i].size;
    char *line = mem_alloc(4 * longest + 1, 1, err);
    if (!line) return false;
    gguf_meta_texts(meta, "tokenizer.ggml.merges", spec->merge_count);
    for (size_t m = 0; m < spec->merge_count; m++) {
        const int32_t sides[2] = {spec->merges[m].left, spec->merges[m].right};
        size_t n = 0;
        for (int s = 0; s < 2; s++) {
            size_t size = 0;
            const char *text = vocab_text(&spec->vocab, sides[s], &size);
            if (s) line[n++] = ' ';
            for (size_t i = 0; i < size; i++) {
                line[n++] = text[i] == ' ' ? space[0] : text[i];
                if (text[i] == ' ') line[n++] = space[1];
            }
        }
        gguf_meta_item(meta, line, n);
    }
    mem_free(line);
    return true;
}

static bool add_kind(GgufMeta *meta, Tokens *t, const char *pre, Error *err) {
    if (t->spec->scores) return error_set(err, "tokenizer.json: GGUF's engines run no Unigram tokenizers of this kind");
    t->sentencepiece = read_sentencepiece(t->spec, &t->prefix_space);
    if (t->sentencepiece) {
        if (pre)
            return error_set(
                err, "--pre %s: the tokenizer is SentencePiece's, which has no pre-tokenizer; leave it out", pre);
        pre = "default";
    } else if (!is_byte_level(t->spec)) {
        return error_set(err,
                         "tokenizer.json: is neither byte-level BPE nor SentencePiece's BPE, the kinds that GGUF's "
                         "engines run");
    } else if (!check_byte_level(t->spec, err) || (!pre && !(pre = pre_tokenizer_name(t->spec, err)))) {
        return false;
    }
    const char *kind = t->sentencepiece ? "llama" : "gpt2";
    gguf_meta_text(meta, "tokenizer.ggml.model", kind, strlen(kind));
    gguf_meta_text(meta, "tokenizer.ggml.pre", pre, strlen(pre));
    gguf_meta_bool(meta, "tokenizer.ggml.add_space_prefix", t->sentencepiece && t->prefix_space);
    return true;
}

static bool add_vocabulary(GgufMeta *meta, Tokens *t, const char *pre, Error *err) {
    if (!add_kind(meta, t, pre, err) || !fill_tokens(t, err) || !add_tokens(meta, t, err)) return false;
    if (!t->sentencepiece) return add_merges(meta, t->spec, err);
    gguf_meta_f32s(meta, "tokenizer.ggml.scores", t->scores, t->count);
    return true;
}

bool gguf_add_tokenizer(GgufMeta *meta, const Model *model, const char *pre, Error *err) {
    const ModelFile *file = model_file(model, "tokenizer.json");
    if (!file) return error_set(err, "%s: has no tokenizer.json; put the one of the model beside it", model->path);
    TokenizerSpec spec;
    if (!tokenizer_json_read(file->data, file->size, &spec, err))
        return error_prefix(err, "%s: tokenizer.json", model->path);
    Tokens tokens = {.spec = &spec, .count = (size_t)model->desc.vocab};
    bool ok = (add_vocabulary(meta, &tokens, pre, err) && gguf_add_special_tokens(meta, model, &spec, err)) ||
              error_prefix(err, "%s", model->path);
    mem_free(tokens.types);
    mem_free(tokens.scores);
    mem_free(tokens.added);
    tokenizer_spec_free(&spec);
    return ok;
}
