#include "eval/normalize.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/characters.h"

bool normalizer_chain_init(NormalizerChain *chain, const TokenizerSpec *spec, Error *err) {
    *chain = (NormalizerChain){.steps = spec->normalizers, .count = spec->normalizer_count};
    chain->matchers = mem_alloc(chain->count, sizeof *chain->matchers, err);
    chain->charsmaps = mem_alloc(chain->count, sizeof *chain->charsmaps, err);
    if (!chain->matchers || !chain->charsmaps) return false;
    for (size_t i = 0; i < chain->count; i++) {
        const Normalizer *step = &chain->steps[i];
        if (step->kind == NORM_REPLACE && !matcher_init(&chain->matchers[i], &step->pattern, err))
            return error_prefix(err, "normalizer Replace");
        if (step->kind == NORM_PRECOMPILED && !charsmap_init(&chain->charsmaps[i], &step->content, err))
            return error_prefix(err, "normalizer Precompiled");
    }
    return true;
}

void normalizer_chain_free(NormalizerChain *chain) {
    for (size_t i = 0; chain->matchers && i < chain->count; i++) matcher_free(&chain->matchers[i]);
    mem_free(chain->matchers);
    mem_free(chain->charsmaps);
    *chain = (NormalizerChain){0};
}

// Character by character, without regard to neighbours (a final sigma is like any other).
static bool lowercase(const char *text, size_t size, TextBuffer *out, Error *err) {
    enum { CAPITAL_I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_decode(text + at, &c);
        // The one character whose lower case is two (SpecialCasing.txt).
        uint32_t lower = c == CAPITAL_I_WITH_DOT ? 'i' : character_lower(c);
        if (!text_append_character(out, lower, err)) return false;
        if (c == CAPITAL_I_WITH_DOT && !text_append_character(out, DOT_ABOVE, err)) return false;
    }
    return true;
}

static bool strip(const Normalizer *step, const char *text, size_t size, TextBuffer *out, bool *at_start, Error *err) {
    size_t start = 0, end = size;
    uint32_t c;
    while (step->left && start < end) {
        size_t length = utf8_decode(text + start, &c);
        if (!character_is_space(c)) break;
        start += length;
    }
    while (step->right && end > start) {
        size_t previous = utf8_previous(text, end);
        utf8_decode(text + previous, &c);
        if (!character_is_space(c)) break;
        end = previous;
    }
    if (start) *at_start = false;
    return text_append(out, text + start, end - start, err);
}

// What replaces a match at the start counts as coming from the last character that it replaces.
static bool replaced_start(const char *text, const Text *content, MatchSpan first) {
    uint32_t c;
    if (first.start != 0 || first.end == 0) return true;
    return content->size && utf8_decode(text, &c) == first.end;
}

static bool run_step(const NormalizerChain *chain, size_t i, ExpressionScratch *scratch, const char *text, size_t size,
                     TextBuffer *out, bool *at_start, Error *err) {
    const Normalizer *step = &chain->steps[i];
    MatchSpan first;
    switch (step->kind) {
    case NORM_LOWERCASE: return lowercase(text, size, out, err);
    case NORM_STRIP: return strip(step, text, size, out, at_start, err);
    case NORM_PREPEND:
        return (!size || text_append(out, step->content.data, step->content.size, err)) &&
               text_append(out, text, size, err);
    case NORM_REPLACE:
        if (!matcher_replace(&chain->matchers[i], scratch, text, size, &step->content, out, &first, err)) return false;
        if (!replaced_start(text, &step->content, first)) *at_start = false;
        return true;
    // What a rule makes of the start counts as coming from there, and so does what follows what it removes.
    case NORM_PRECOMPILED: return charsmap_run(&chain->charsmaps[i], text, size, out, err);
    default: return normalize_form(step->kind, text, size, out, err);
    }
}

bool normalizer_chain_run(const NormalizerChain *chain, ExpressionScratch *scratch, const char *text, size_t size,
                          TextBuffer *out, TextBuffer *spare, bool *at_start, Error *err) {
    out->size = 0;
    out->limit = spare->limit = text_growth_limit(size);
    if (!chain->count) return text_append(out, text, size, err);
    for (size_t i = 0; i < chain->count; i++) {
        TextBuffer previous = *out;
        *out = *spare;
        *spare = previous;
        out->size = 0;
        if (i) text = spare->data ? spare->data : "", size = spare->size;
        if (!run_step(chain, i, scratch, text, size, out, at_start, err)) return false;
    }
    return true;
}
