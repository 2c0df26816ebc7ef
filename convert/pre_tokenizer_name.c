#include "convert/pre_tokenizer_name.h"

#include <stdio.h>
#include <string.h>

// Expressions of tokenizer.json files, as those files write them.
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL_SLASH   " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const char llama3[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" TAIL;
static const char qwen2[] = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" TAIL;
static const char qwen35[] = CONTRACTIONS
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char tekken[] =
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*|\\p{N}|" TAIL_SLASH;
static const char gpt4o[] = "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
                            "+" LOWER "*" CONTRACTIONS "?|\\p{N}{1,3}|" TAIL_SLASH;
static const char bloom[] = " ?[^(\\s|.,!?…。，、।۔،)]+";

// One step before the bytes become characters. The last of all steps is always ByteLevel.
typedef struct Step {
    PreTokenizerKind kind;
    SplitBehavior behavior;
    const char *expression; // of PRE_SPLIT
} Step;

typedef enum Whole { WHOLE_ANY, WHOLE_YES, WHOLE_NO } Whole; // a piece that is a token is not merged (ignore_merges)

typedef struct PreName {
    const char *name;
    Step steps[2];
    int count;
    bool gpt2; // then GPT-2's own expression (ByteLevel's use_regex)
    Whole whole;
} PreName;

static const PreName names[] = {
    {"gpt-2", {{0}}, 0, true, WHOLE_NO},
    {"smollm", {{PRE_DIGITS, SPLIT_ISOLATED, NULL}}, 1, true, WHOLE_NO},
    {"llama-bpe", {{PRE_SPLIT, SPLIT_ISOLATED, llama3}}, 1, false, WHOLE_YES},
    {"dbrx", {{PRE_SPLIT, SPLIT_ISOLATED, llama3}}, 1, false, WHOLE_NO}, // the same expression, merges always run
    {"qwen2", {{PRE_SPLIT, SPLIT_ISOLATED, qwen2}}, 1, false, WHOLE_NO},
    {"qwen35", {{PRE_SPLIT, SPLIT_ISOLATED, qwen35}}, 1, false, WHOLE_NO},
    {"tekken", {{PRE_SPLIT, SPLIT_ISOLATED, tekken}}, 1, false, WHOLE_YES},
    {"gpt-4o", {{PRE_SPLIT, SPLIT_ISOLATED, gpt4o}}, 1, false, WHOLE_ANY},
    {"bloom", {{PRE_SPLIT, SPLIT_ISOLATED, bloom}}, 1, false, WHOLE_NO},
};

static bool same_text(const Text *text, const char *other) {
    return text->size == strlen(other) && memcmp(text->data, other, text->size) == 0;
}

static bool same_step(const PreTokenizer *p, const Step *step) {
    if (p->kind != step->kind || p->behavior != step->behavior || p->invert) return false;
    return p->kind != PRE_SPLIT || (p->pattern.regex && same_text(&p->pattern.text, step->expression));
}

static bool matches(const TokenizerSpec *spec, const PreName *name) {
    size_t count = spec->pre_tokenizer_count;
    if (count != (size_t)name->count + 1) return false;
    const PreTokenizer *last = &spec->pre_tokenizers[count - 1];
    if (last->kind != PRE_BYTE_LEVEL || last->split != name->gpt2 || last->prefix_space) return false;
    for (int i = 0; i < name->count; i++)
        if (!same_step(&spec->pre_tokenizers[i], &name->steps[i])) return false;
    return name->whole == WHOLE_ANY || spec->ignore_merges == (name->whole == WHOLE_YES);
}

static const char *step_text(const PreTokenizer *p) {
    switch (p->kind) {
    case PRE_SPLIT: return "Split";
    case PRE_BYTE_LEVEL: return p->prefix_space ? "ByteLevel with a prefix space" : "ByteLevel";
    case PRE_DIGITS: return "Digits";
    case PRE_METASPACE: return "Metaspace";
    case PRE_WHITESPACE: return "Whitespace";
    case PRE_WHITESPACE_SPLIT: return "WhitespaceSplit";
    case PRE_PUNCTUATION: return "Punctuation";
    }
    return "?";
}

const char *pre_tokenizer_name(const TokenizerSpec *spec, Error *err) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (matches(spec, &names[i])) return names[i].name;
    char steps[512] = "none";
    size_t n = 0;
    for (size_t i = 0; i < spec->pre_tokenizer_count && n < sizeof steps; i++) {
        const PreTokenizer *p = &spec->pre_tokenizers[i];
        n += (size_t)snprintf(steps + n, sizeof steps - n, i ? ", %s" : "%s", step_text(p));
        if (p->kind == PRE_SPLIT && n < sizeof steps)
            n += (size_t)snprintf(steps + n, sizeof steps - n, " %.150s", p->pattern.text.data);
    }
    error_set(err,
              "none of the pre-tokenizers that are known from llama.cpp does the steps of tokenizer.json (%s; "
              "ignore_merges %s); give its name with --pre NAME",
              steps, spec->ignore_merges ? "true" : "false");
    return NULL;
}
