#include "eval/pretokenize.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/byte_level.h"
#include "eval/characters.h"
#include <string.h>

// The expression of GPT-2's encoder (github.com/openai/gpt-2, src/encoder.py), which ByteLevel splits by.
static const char gpt2_expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char whitespace_expression[] = "[" EXPRESSION_RUST_WORD "]+|[^" EXPRESSION_RUST_WORD "\\s]+";

void pieces_free(Pieces *pieces) {
    text_free(&pieces->text);
    text_free(&pieces->spare_text);
    mem_free(pieces->list.items);
    mem_free(pieces->spare_list.items);
    *pieces = (Pieces){0};
}

static Pattern constant(bool regex, const char *text, size_t size) {
    return (Pattern){regex, {(char *)(uintptr_t)text, size}};
}

// What a step splits by; false where it looks at characters one by one, or does not split.
static bool step_pattern(const PreTokenizer *step, Pattern *pattern) {
    switch (step->kind) {
    case PRE_SPLIT: *pattern = step->pattern; return true;
    case PRE_BYTE_LEVEL: *pattern = constant(true, gpt2_expression, sizeof gpt2_expression - 1); return step->split;
    case PRE_METASPACE: *pattern = constant(false, step->content.data, step->content.size); return step->split;
    case PRE_WHITESPACE:
        *pattern = constant(true, whitespace_expression, sizeof whitespace_expression - 1);
        return true;
    default: return false;
    }
}

bool pre_tokenizer_chain_init(PreTokenizerChain *chain, const TokenizerSpec *spec, Error *err) {
    *chain = (PreTokenizerChain){.steps = spec->pre_tokenizers, .count = spec->pre_tokenizer_count};
    chain->matchers = mem_alloc(chain->count, sizeof *chain->matchers, err);
    chain->patterns = mem_alloc(chain->count, sizeof *chain->patterns, err);
    if (!chain->matchers || !chain->patterns) return false;
    for (size_t i = 0; i < chain->count; i++)
        if (step_pattern(&chain->steps[i], &chain->patterns[i]) &&
            !matcher_init(&chain->matchers[i], &chain->patterns[i], err))
            return error_prefix(err, "pre_tokenizer");
    return true;
}

void pre_tokenizer_chain_free(PreTokenizerChain *chain) {
    for (size_t i = 0; chain->matchers && i < chain->count; i++) matcher_free(&chain->matchers[i]);
    mem_free(chain->matchers);
    mem_free(chain->patterns);
    *chain = (PreTokenizerChain){0};
}

static bool list_add(PieceList *list, size_t start, size_t end, Error *err) {
    if (start == end) return true;
    if (!mem_grow(&list->items, list->count, &list->capacity, sizeof *list->items, err)) return false;
    list->items[list->count++] = (Piece){start, end};
    return true;
}

// Takes matches and what is between them, from left to right, and makes pieces of them as the behavior says.
typedef struct Splitter {
    SplitBehavior behavior;
    bool invert;
    PieceList *out;
    size_t done;    // end of the last match
    bool open;      // `last` is not in out yet: it may still grow
    bool was_match; // what the last part was
    Piece last;
} Splitter;

static bool splitter_flush(Splitter *s, Error *err) {
    bool ok = !s->open || list_add(s->out, s->last.start, s->last.end, err);
    s->open = false;
    return ok;
}

static bool splitter_part(Splitter *s, size_t start, size_t end, bool match, Error *err) {
    match ^= s->invert;
    bool grows = false;
    switch (s->behavior) {
    case SPLIT_REMOVED: return match || list_add(s->out, start, end, err);
    case SPLIT_ISOLATED: return list_add(s->out, start, end, err);
    case SPLIT_CONTIGUOUS: grows = match == s->was_match; break;
    case SPLIT_MERGED_WITH_PREVIOUS: grows = match && !s->was_match; break;
    case SPLIT_MERGED_WITH_NEXT: grows = !match && s->was_match; break;
    }
    s->was_match = match;
    if (grows && s->open) {
        s->last.end = end;
        return true;
    }
    if (!splitter_flush(s, err)) return false;
    s->last = (Piece){start, end};
    s->open = true;
    return true;
}

static bool splitter_match(Splitter *s, size_t start, size_t end, Error *err) {
    if (start > s->done && !splitter_part(s, s->done, start, false, err)) return false;
    s->done = end;
    return splitter_part(s, start, end, true, err);
}

static bool splitter_finish(Splitter *s, size_t end, Error *err) {
    return (s->done == end || splitter_part(s, s->done, end, false, err)) && splitter_flush(s, err);
}

static bool split_by_matcher(const Matcher *matcher, ExpressionScratch *scratch, const char *text, Piece piece,
                             Splitter *s, Error *err) {
    MatcherWalk walk = matcher_walk(matcher, scratch, text + piece.start, piece.end - piece.start);
    for (;;) {
        size_t start, end;
        ExpressionResult result = matcher_next(&walk, &start, &end, err);
        if (result == EXPRESSION_FAILED) return false;
        if (result == EXPRESSION_NONE) return splitter_finish(s, piece.end, err);
        if (!splitter_match(s, piece.start + start, piece.start + end, err)) return false;
    }
}

static bool split_by_character(bool (*is_match)(uint32_t), const char *text, Piece piece, Splitter *s, Error *err) {
    for (size_t at = piece.start; at < piece.end;) {
        uint32_t c;
        size_t length = utf8_decode(text + at, &c);
        if (is_match(c) && !splitter_match(s, at, at + length, err)) return false;
        at += length;
    }
    return splitter_finish(s, piece.end, err);
}

typedef struct Splitting {
    SplitBehavior behavior;
    bool invert;
    const Matcher *matcher;     // or:
    bool (*is_match)(uint32_t); // one character
} Splitting;

static bool split_pieces(const Splitting *how, ExpressionScratch *scratch, Pieces *pieces, Error *err) {
    PieceList in = pieces->list;
    pieces->spare_list.count = 0;
    for (size_t i = 0; i < in.count; i++) {
        Piece piece = in.items[i];
        Splitter s = {how->behavior, how->invert, &pieces->spare_list, .done = piece.start};
        if (!(how->is_match ? split_by_character(how->is_match, pieces->text.data, piece, &s, err)
                            : split_by_matcher(how->matcher, scratch, pieces->text.data, piece, &s, err)))
            return false;
    }
    pieces->list = pieces->spare_list;
    pieces->spare_list = in;
    return true;
}

// Appends what becomes of one piece. first: it is the start of the whole input.
typedef bool PieceRewriter(const PreTokenizer *step, const char *text, size_t size, bool first, TextBuffer *out,
                           Error *err);

static bool rewrite_pieces(const PreTokenizer *step, PieceRewriter *rewriter, Pieces *pieces, Error *err) {
    TextBuffer in = pieces->text, *out = &pieces->spare_text;
    PieceList *list = &pieces->list;
    // Where an earlier step has removed the start, what is first now is not the start of the input.
    if (list->count && list->items[0].start != 0) pieces->at_start = false;
    out->size = 0;
    for (size_t i = 0; i < list->count; i++) {
        Piece *piece = &list->items[i];
        size_t start = out->size;
        if (!rewriter(step, in.data + piece->start, piece->end - piece->start, i == 0 && pieces->at_start, out, err))
            return false;
        *piece = (Piece){start, out->size};
    }
    pieces->text = *out;
    pieces->spare_text = in;
    return true;
}

static bool prefix_with_space(const PreTokenizer *step, const char *text, size_t size, bool first, TextBuffer *out,
                              Error *err) {
    (void)step, (void)first;
    return (text[0] == ' ' || text_append(out, " ", 1, err)) && text_append(out, text, size, err);
}

static bool to_byte_level(const PreTokenizer *step, const char *text, size_t size, bool first, TextBuffer *out,
                          Error *err) {
    (void)step, (void)first;
    return byte_level_encode(text, size, out, err);
}

static bool to_metaspace(const PreTokenizer *step, const char *text, size_t size, bool first, TextBuffer *out,
                         Error *err) {
    const Text *mark = &step->content;
    bool marked = text[0] == ' ' || (size >= mark->size && memcmp(text, mark->data, mark->size) == 0);
    bool wanted = step->scheme == PREPEND_ALWAYS || (step->scheme == PREPEND_FIRST && first);
    if (wanted && !marked && !text_append(out, mark->data, mark->size, err)) return false;
    for (size_t at = 0; at < size;) {
        const char *space = memchr(text + at, ' ', size - at);
        size_t end = space ? (size_t)(space - text) : size;
        if (!text_append(out, text + at, end - at, err)) return false;
        if (space && !text_append(out, mark->data, mark->size, err)) return false;
        at = end + (space ? 1 : 0);
    }
    return true;
}

static bool run_step(const PreTokenizer *step, const Matcher *matcher, ExpressionScratch *scratch, Pieces *pieces,
                     Error *err) {
    Splitting how = {step->behavior, step->invert, matcher, NULL};
    switch (step->kind) {
    case PRE_SPLIT: break;
    case PRE_BYTE_LEVEL:
        how.behavior = SPLIT_ISOLATED;
        if (step->prefix_space && !rewrite_pieces(step, prefix_with_space, pieces, err)) return false;
        if (step->split && !split_pieces(&how, scratch, pieces, err)) return false;
        return rewrite_pieces(step, to_byte_level, pieces, err);
    case PRE_METASPACE:
        how.behavior = SPLIT_MERGED_WITH_NEXT;
        if (!rewrite_pieces(step, to_metaspace, pieces, err)) return false;
        if (!step->split) return true;
        break;
    case PRE_DIGITS: how.is_match = character_is_number; break;
    case PRE_PUNCTUATION: how.is_match = character_is_punctuation; break;
    case PRE_WHITESPACE:
        how.behavior = SPLIT_REMOVED;
        how.invert = true;
        break;
    case PRE_WHITESPACE_SPLIT:
        how.behavior = SPLIT_REMOVED;
        how.is_match = character_is_space;
        break;
    }
    return split_pieces(&how, scratch, pieces, err);
}

bool pre_tokenizer_chain_run(const PreTokenizerChain *chain, ExpressionScratch *scratch, const char *text, size_t size,
                             bool at_start, Pieces *pieces, Error *err) {
    pieces->text.size = pieces->list.count = 0;
    pieces->at_start = at_start;
    pieces->text.limit = pieces->spare_text.limit = text_growth_limit(size);
    if (!text_append(&pieces->text, text, size, err) || !list_add(&pieces->list, 0, size, err)) return false;
    for (size_t i = 0; i < chain->count; i++)
        if (!run_step(&chain->steps[i], &chain->matchers[i], scratch, pieces, err)) return false;
    return true;
}
