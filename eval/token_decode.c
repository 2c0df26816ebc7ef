#include "eval/token_decode.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/byte_level.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD"; // U+FFFD

typedef struct Span {
    const char *data;
    size_t size;
} Span;

static Span texts_at(const TokenTexts *texts, size_t i) {
    size_t start = i ? texts->ends[i - 1] : 0;
    const char *data = texts->text.data ? texts->text.data : ""; // where all texts are empty
    return (Span){data + start, texts->ends[i] - start};
}

// Ends a text whose bytes are already in the buffer.
static bool texts_close(TokenTexts *texts, Error *err) {
    if (!mem_grow(&texts->ends, texts->count, &texts->capacity, sizeof *texts->ends, err)) return false;
    texts->ends[texts->count++] = texts->text.size;
    return true;
}

bool token_texts_add(TokenTexts *texts, const char *text, size_t size, Error *err) {
    return text_append(&texts->text, text, size, err) && texts_close(texts, err);
}

void token_texts_free(TokenTexts *texts) {
    text_free(&texts->text);
    mem_free(texts->ends);
    *texts = (TokenTexts){0};
}

bool text_append_repaired(TextBuffer *out, const char *bytes, size_t size, Error *err) {
    for (size_t at = 0; at < size;) {
        size_t good = utf8_valid_prefix(bytes + at, size - at);
        if (!text_append(out, bytes + at, good, err)) return false;
        at += good;
        bool valid;
        if (at == size) break;
        at += utf8_step(bytes + at, size - at, &valid);
        if (!text_append(out, replacement, sizeof replacement - 1, err)) return false;
    }
    return true;
}

bool decoder_chain_init(DecoderChain *chain, const TokenizerSpec *spec, Error *err) {
    *chain = (DecoderChain){.steps = spec->decoders, .count = spec->decoder_count};
    chain->matchers = mem_alloc(chain->count, sizeof *chain->matchers, err);
    if (!chain->matchers) return false;
    for (size_t i = 0; i < chain->count; i++)
        if (chain->steps[i].kind == DECODE_REPLACE && !matcher_init(&chain->matchers[i], &chain->steps[i].pattern, err))
            return error_prefix(err, "decoder Replace");
    return true;
}

void decoder_chain_free(DecoderChain *chain) {
    for (size_t i = 0; chain->matchers && i < chain->count; i++) matcher_free(&chain->matchers[i]);
    mem_free(chain->matchers);
    *chain = (DecoderChain){0};
}

// All bytes together first, since a character may be spread over tokens.
static bool decode_byte_level(const TokenTexts *in, TokenTexts *out, Error *err) {
    TextBuffer bytes = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < in->count; i++) {
        Span token = texts_at(in, i);
        ok = byte_level_decode(token.data, token.size, &bytes, err);
    }
    ok = ok && text_append_repaired(&out->text, bytes.data, bytes.size, err) && texts_close(out, err);
    text_free(&bytes);
    return ok;
}

// The byte of a token <0x00> to <0xFF>; -1 for another token.
static int fallback_byte(Span token) {
    if (token.size != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>') return -1;
    char digits[3] = {token.data[3], token.data[4]};
    if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1])) return -1;
    return (int)strtol(digits, NULL, 16);
}

// A run of byte tokens is one text if it is UTF-8, else a U+FFFD for each.
static bool decode_byte_fallback(const TokenTexts *in, TokenTexts *out, Error *err) {
    for (size_t i = 0; i < in->count;) {
        size_t start = out->text.size, run = 0;
        for (int byte; i + run < in->count && (byte = fallback_byte(texts_at(in, i + run))) >= 0; run++) {
            char c = (char)byte;
            if (!text_append(&out->text, &c, 1, err)) return false;
        }
        if (!run) {
            Span token = texts_at(in, i++);
            if (!token_texts_add(out, token.data, token.size, err)) return false;
            continue;
        }
        i += run;
        if (utf8_valid_prefix(out->text.data + start, run) == run) {
            if (!texts_close(out, err)) return false;
            continue;
        }
        out->text.size = start;
        for (; run; run--)
            if (!token_texts_add(out, replacement, sizeof replacement - 1, err)) return false;
    }
    return true;
}

static bool decode_strip(const TokenDecoder *step, Span token, TokenTexts *out, Error *err) {
    const Text *c = &step->content;
    size_t start = 0, end = token.size;
    for (size_t i = 0; i < step->start && token.size - start >= c->size; i++) {
        if (memcmp(token.data + start, c->data, c->size) != 0) break;
        start += c->size;
    }
    for (size_t i = 0; i < step->stop && end - start >= c->size; i++) {
        if (memcmp(token.data + end - c->size, c->data, c->size) != 0) break;
        end -= c->size;
    }
    return token_texts_add(out, token.data + start, end - start, err);
}

// The mark becomes a space again; those of the first token were put there, unless nothing ever is.
static bool decode_metaspace(const TokenDecoder *step, Span token, bool first, TokenTexts *out, Error *err) {
    const Text *mark = &step->content;
    bool drop = first && step->scheme != PREPEND_NEVER;
    for (size_t at = 0; at < token.size;) {
        const char *found = memmem(token.data + at, token.size - at, mark->data, mark->size);
        size_t end = found ? (size_t)(found - token.data) : token.size;
        if (!text_append(&out->text, token.data + at, end - at, err)) return false;
        if (found && !drop && !text_append(&out->text, " ", 1, err)) return false;
        at = end + (found ? mark->size : 0);
    }
    return texts_close(out, err);
}

static bool decode_token(const TokenDecoder *step, const Matcher *matcher, ExpressionScratch *scratch, Span token,
                         bool first, TokenTexts *out, Error *err) {
    switch (step->kind) {
    case DECODE_REPLACE:
        return matcher_replace(matcher, scratch, token.data, token.size, &step->content, &out->text, NULL, err) &&
               texts_close(out, err);
    case DECODE_STRIP: return decode_strip(step, token, out, err);
    default: return decode_metaspace(step, token, first, out, err);
    }
}

static bool run_step(const TokenDecoder *step, const Matcher *matcher, ExpressionScratch *scratch, const TokenTexts *in,
                     TokenTexts *out, Error *err) {
    if (step->kind == DECODE_BYTE_LEVEL) return decode_byte_level(in, out, err);
    if (step->kind == DECODE_BYTE_FALLBACK) return decode_byte_fallback(in, out, err);
    if (step->kind == DECODE_FUSE) return token_texts_add(out, in->text.data, in->text.size, err);
    for (size_t i = 0; i < in->count; i++)
        if (!decode_token(step, matcher, scratch, texts_at(in, i), i == 0, out, err)) return false;
    return true;
}

bool decoder_chain_run(const DecoderChain *chain, ExpressionScratch *scratch, TokenTexts *texts, TextBuffer *out,
                       Error *err) {
    TokenTexts spare = {0};
    bool ok = true;
    texts->text.limit = spare.text.limit = text_growth_limit(texts->text.size);
    for (size_t i = 0; ok && i < chain->count; i++) {
        TokenTexts in = *texts;
        *texts = spare;
        spare = in;
        texts->count = texts->text.size = 0;
        ok = run_step(&chain->steps[i], &chain->matchers[i], scratch, &spare, texts, err);
    }
    // Without decoders the tokens are shown as words.
    for (size_t i = 0; ok && i < texts->count; i++) {
        Span token = texts_at(texts, i);
        ok = (!i || chain->count || text_append(out, " ", 1, err)) && text_append(out, token.data, token.size, err);
    }
    token_texts_free(&spare);
    return ok;
}
