#include "eval/expression.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/newer.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <time.h>

enum {
    MATCH_LIMIT = 20000000,    // backtracks from one starting point: a second or so, then it is an error
    CHEAP_LIMIT = 10000,       // backtracks beyond which the clock is looked at,
    CLOCK_EVERY = 64,          // as it is after so many matches
    BASE_SECONDS = 1,          // of a thread's time that matching may take, with one expression after another,
    BYTES_A_SECOND = 200000,   // and how many bytes it must get through in each second more
    HEAP_LIMIT_KIB = 1 << 19,  // of the interpreter, where the compiled code's stack is not enough
    JIT_STACK_BYTES = 1 << 20, // grows to this from 32 KiB as needed
};

struct Expression {
    pcre2_code *code;
    char *pattern; // as it was given, for messages
};

struct ExpressionScratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; // NULL where PCRE2 has no JIT
    double started;         // the thread's clock when the first match was looked for; below 0: none was
    double bytes;           // that matches were looked for in, each time counted
    unsigned calls;
    TextBuffer older; // the walk's text, where it has characters that PCRE2 does not know (newer.h)
};

Expression *expression_new(const char *pattern, size_t size, Error *err) {
    TextBuffer translated = {0};
    if (!text_reserve(&translated, size + 1, err)) return NULL; // an empty expression is still a text
    Expression *e = mem_alloc(1, sizeof *e, err);
    if (!e) {
        text_free(&translated);
        return NULL;
    }
    e->pattern = mem_text(pattern, size, err);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!e->pattern || !context) {
        if (e->pattern) error_set(err, "out of memory");
    } else if (!expression_translate(pattern, size, &translated, err)) {
        error_prefix(err, "expression \"%.200s\"", e->pattern);
    } else {
        int code;
        PCRE2_SIZE at;
        PCRE2_UCHAR message[256];
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        e->code = pcre2_compile((PCRE2_SPTR)translated.data, translated.size,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
        if (e->code) {
            pcre2_jit_compile(e->code, PCRE2_JIT_COMPLETE); // where there is none, the interpreter does it
        } else {
            pcre2_get_error_message(code, message, sizeof message);
            error_set(err, "expression \"%.200s\": %s", e->pattern, (const char *)message);
        }
    }
    pcre2_compile_context_free(context);
    text_free(&translated);
    if (e->code) return e;
    expression_free(e);
    return NULL;
}

void expression_free(Expression *expression) {
    if (!expression) return;
    pcre2_code_free(expression->code);
    mem_free(expression->pattern);
    mem_free(expression);
}

ExpressionScratch *expression_scratch_new(Error *err) {
    ExpressionScratch *s = mem_alloc(1, sizeof *s, err);
    if (!s) return NULL;
    s->data = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    if (!s->data || !s->context) {
        expression_scratch_free(s);
        error_set(err, "out of memory");
        return NULL;
    }
    s->started = -1;
    pcre2_set_heap_limit(s->context, HEAP_LIMIT_KIB);
    s->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_BYTES, NULL);
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void expression_scratch_free(ExpressionScratch *scratch) {
    if (!scratch) return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    text_free(&scratch->older);
    mem_free(scratch);
}

ExpressionWalk expression_walk(const Expression *expression, ExpressionScratch *scratch, const char *text,
                               size_t size) {
    scratch->bytes += (double)size;
    return (ExpressionWalk){expression, scratch, text, size, 0, SIZE_MAX, false};
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int match(const ExpressionWalk *walk, uint32_t limit) {
    const ExpressionScratch *s = walk->scratch;
    pcre2_set_match_limit(s->context, limit);
    int rc = pcre2_match(walk->expression->code, (PCRE2_SPTR)walk->text, walk->size, walk->next, PCRE2_NO_UTF_CHECK,
                         s->data, s->context);
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(walk->expression->code, (PCRE2_SPTR)walk->text, walk->size, walk->next,
                       PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->data, s->context);
}

// A limit for each match bounds no text: an expression may stay right below it at every byte, or look ahead to the
// text's end. So the time that a thread has spent is looked at too, now and then.
static bool in_time(const ExpressionScratch *s) {
    return thread_seconds() - s->started <= BASE_SECONDS + s->bytes / BYTES_A_SECOND;
}

static int match_in_time(const ExpressionWalk *walk, bool *late) {
    ExpressionScratch *s = walk->scratch;
    if (s->started < 0) s->started = thread_seconds();
    *late = ++s->calls % CLOCK_EVERY == 0 && !in_time(s);
    int rc = *late ? PCRE2_ERROR_NOMATCH : match(walk, CHEAP_LIMIT);
    if (rc != PCRE2_ERROR_MATCHLIMIT) return rc;
    *late = !in_time(s);
    return *late ? PCRE2_ERROR_NOMATCH : match(walk, MATCH_LIMIT);
}

ExpressionResult expression_next(ExpressionWalk *walk, size_t *start, size_t *end, Error *err) {
    ExpressionScratch *s = walk->scratch;
    if (!walk->begun) {
        walk->begun = true;
        if (!newer_replace(&walk->text, walk->size, &s->older, err)) return EXPRESSION_FAILED;
    }
    while (walk->next <= walk->size) {
        bool late;
        int rc = match_in_time(walk, &late);
        if (late) {
            error_set(err,
                      "expression \"%.200s\" takes seconds for a text of %zu bytes; a tokenizer's must take no "
                      "longer than reading it",
                      walk->expression->pattern, walk->size);
            return EXPRESSION_FAILED;
        }
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
            PCRE2_UCHAR message[256];
            pcre2_get_error_message(rc, message, sizeof message);
            error_set(err, "expression \"%.200s\" fails at byte %zu of a text: %s", walk->expression->pattern,
                      walk->next, (const char *)message);
            return EXPRESSION_FAILED;
        }
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->data);
        *start = found[0];
        *end = found[1];
        if (*end == *start && *end == walk->before) {
            uint32_t c;
            walk->next += walk->next < walk->size ? utf8_decode(walk->text + walk->next, &c) : 1;
            continue;
        }
        walk->next = walk->before = *end;
        return EXPRESSION_FOUND;
    }
    walk->next = walk->size + 1;
    return EXPRESSION_NONE;
}
