#include "eval/added_tokens.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/characters.h"
#include <stdlib.h>
#include <string.h>

// Looking for a token costs at most its length at each place in a text, so that must not be long. Real ones have 30
// bytes.
enum { MAX_ADDED_BYTES = 1024 };

bool added_tokens_add(AddedTokens *set, const AddedToken *token, const char *text, size_t size, Error *err) {
    if (size > MAX_ADDED_BYTES)
        return error_set(err, "added token %d is %zu bytes long, more than the %d supported", token->id, size,
                         MAX_ADDED_BYTES);
    if (!size) return true; // normalized to nothing: it can never be found
    if (!mem_grow(&set->items, set->count, &set->capacity, sizeof *set->items, err)) return false;
    set->items[set->count++] = (AddedPattern){token, text, size};
    return true;
}

static int by_text(const void *a, const void *b) {
    const AddedPattern *x = a, *y = b;
    size_t common = x->size < y->size ? x->size : y->size;
    int c = memcmp(x->text, y->text, common);
    return c ? c : (x->size > y->size) - (x->size < y->size);
}

bool added_tokens_finish(AddedTokens *set, Error *err) {
    static const char word[] = "[" EXPRESSION_RUST_WORD "]";
    if (set->count) qsort(set->items, set->count, sizeof *set->items, by_text);
    for (size_t i = 0; i < set->count; i++) {
        const AddedPattern *p = &set->items[i];
        if (i && by_text(p - 1, p) == 0)
            return error_set(err, "added tokens %d and %d are the same text \"%.80s\"", p[-1].token->id, p->token->id,
                             p->token->content.data);
        set->first[(uint8_t)p->text[0] + 1] = i + 1;
        if (p->token->single_word && !set->word) set->word = expression_new(word, sizeof word - 1, err);
        if (p->token->single_word && !set->word) return false;
    }
    for (size_t b = 1; b <= 256; b++)
        if (set->first[b] < set->first[b - 1]) set->first[b] = set->first[b - 1];
    return true;
}

void added_tokens_free(AddedTokens *set) {
    mem_free(set->items);
    expression_free(set->word);
    *set = (AddedTokens){0};
}

// The first item of [low, high), all of which share `depth` bytes, whose next byte is at least `byte`.
static size_t narrow(const AddedTokens *set, size_t low, size_t high, size_t depth, int byte) {
    while (low < high) {
        size_t middle = (low + high) / 2;
        const AddedPattern *p = &set->items[middle];
        int at = p->size > depth ? (uint8_t)p->text[depth] : -1;
        if (at < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The longest token that starts at text, NULL for none.
static const AddedPattern *longest_at(const AddedTokens *set, const char *text, size_t size) {
    size_t low = set->first[(uint8_t)text[0]], high = set->first[(uint8_t)text[0] + 1];
    const AddedPattern *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        // Of those that share the text so far, one that ends here sorts first.
        if (set->items[low].size == depth) best = &set->items[low];
        if (depth == size) break;
        int byte = (uint8_t)text[depth];
        low = narrow(set, low, high, depth, byte);
        high = narrow(set, low, high, depth, byte + 1);
    }
    return best;
}

// Whether a single-word token at [start, end) has a word character beside it.
static ExpressionResult word_beside(const AddedTokens *set, ExpressionScratch *scratch, const char *text, size_t size,
                                    size_t start, size_t end, Error *err) {
    size_t previous = start ? utf8_previous(text, start) : 0, from, to;
    uint32_t c;
    ExpressionWalk before = expression_walk(set->word, scratch, text + previous, start - previous);
    ExpressionResult result = start ? expression_next(&before, &from, &to, err) : EXPRESSION_NONE;
    if (result != EXPRESSION_NONE || end == size) return result;
    ExpressionWalk after = expression_walk(set->word, scratch, text + end, utf8_decode(text + end, &c));
    return expression_next(&after, &from, &to, err);
}

static bool add_part(AddedParts *parts, const AddedToken *token, size_t start, size_t end, Error *err) {
    if (!mem_grow(&parts->items, parts->count, &parts->capacity, sizeof *parts->items, err)) return false;
    parts->items[parts->count++] = (AddedPart){token, start, end};
    return true;
}

static size_t spaces_before(const char *text, size_t from, size_t at) {
    while (at > from) {
        uint32_t c;
        size_t previous = utf8_previous(text, at);
        utf8_decode(text + previous, &c);
        if (!character_is_space(c)) break;
        at = previous;
    }
    return at;
}

static size_t spaces_after(const char *text, size_t at, size_t size) {
    while (at < size) {
        uint32_t c;
        size_t length = utf8_decode(text + at, &c);
        if (!character_is_space(c)) break;
        at += length;
    }
    return at;
}

bool added_tokens_split(const AddedTokens *set, ExpressionScratch *scratch, const char *text, size_t size,
                        AddedParts *parts, Error *err) {
    size_t done = 0;                   // end of the last part
    size_t run_start = 0, run_end = 0; // spaces that a token took behind itself, lest they be walked again for each
    parts->count = 0;
    for (size_t at = 0; set->count && at < size;) {
        const AddedPattern *found = longest_at(set, text + at, size - at);
        if (!found) {
            at++;
            continue;
        }
        const AddedToken *token = found->token;
        size_t start = at, end = at + found->size;
        at = end;
        if (token->single_word) {
            ExpressionResult beside = word_beside(set, scratch, text, size, start, end, err);
            if (beside == EXPRESSION_FAILED) return false;
            if (beside == EXPRESSION_FOUND) continue;
        }
        // A token before may have taken these spaces already, and the search goes on behind the token itself, not
        // behind the spaces it takes: a token made of spaces is found among them once more. `tokenizers` does that.
        if (token->lstrip && start > done) start = spaces_before(text, done, start);
        if (token->lstrip && start < done) start = done;
        if (token->rstrip) {
            if (end < run_start || end > run_end) run_start = end, run_end = spaces_after(text, end, size);
            end = run_end;
        }
        if (done < start && !add_part(parts, NULL, done, start, err)) return false;
        if (start < end && !add_part(parts, token, start, end, err)) return false;
        if (start <= end) done = end;
    }
    return done == size || add_part(parts, NULL, done, size, err);
}
