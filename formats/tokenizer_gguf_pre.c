// The pre-tokenizers that tokenizer.ggml.pre names. The expressions are those of the models' tokenizer.json files, as
// llama.cpp's src/llama-vocab.cpp records them (llm_tokenizer_bpe), in Oniguruma's syntax.
#include "formats/tokenizer_gguf.h"

#include <stdio.h>
#include <string.h>

// clang-format off
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define WORDS        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define OTHERS       " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define LLAMA3       CONTRACTIONS "|" WORDS "|\\p{N}{1,3}|" OTHERS "|" SPACES
#define QWEN2        CONTRACTIONS "|" WORDS "|\\p{N}|" OTHERS "|" SPACES
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end)   "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" end
#define SLASHES      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define DEEPSEEK     "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
                     " ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define HAN_KANA     "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define BLOOM        " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+"

static const GgufPre pres[] = {
    {"|default|", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false, false},
    {"|gpt-2|phi-2|gigachat|a.x-4.0|mellum|mpt|olmo|jais|trillion|granite-docling|exaone4|", {GPT2}, false, false, false},
    {"|smollm|starcoder|refact|command-r|codeshell|exaone|minerva-7b|", {"\\p{N}", GPT2}, false, false, false},
    {"|llama-bpe|llama3|llama-v3|falcon3|falcon-h1|pixtral|midm-2.0|lfm2|", {LLAMA3}, true, true, false},
    {"|dbrx|smaug-bpe|chatglm-bpe|", {LLAMA3}, false, false, false},
    {"|glm4|glm5|", {LLAMA3}, true, false, false},
    {"|qwen2|stablelm2|megrez|", {QWEN2}, false, false, true},
    {"|deepseek-r1-qwen|hunyuan|solar-open|grok-2|", {QWEN2}, false, false, false},
    {"|tekken|", {CASED("") "|\\p{N}|" SLASHES "|" SPACES}, true, true, false},
    {"|gpt-4o|llama4|kanana2|", {CASED(CONTRACTIONS "?") "|\\p{N}{1,3}|" SLASHES "|" SPACES}, false, false, false},
    {"|deepseek-v3|hunyuan-dense|", {"\\p{N}{1,3}", HAN_KANA, DEEPSEEK}, false, false, false},
    {"|falcon|", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}, false, false, false},
    {"|bloom|poro-chat|gpt3-finnish|", {BLOOM}, false, false, false},
    {"|viking|", {BLOOM, "\\p{N}"}, false, false, false},
    {"|seed-coder|", {CONTRACTIONS "|" WORDS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}, false, false, false},
};
// clang-format on
enum { PRES = sizeof pres / sizeof *pres };

static bool names_it(const char *names, GgufText name) {
    for (const char *at = names; (at = strchr(at, '|')) && at[1];) {
        at++;
        size_t size = strcspn(at, "|");
        if (size == name.size && memcmp(at, name.data, size) == 0) return true;
    }
    return false;
}

const GgufPre *gguf_pre_find(GgufText name, Error *err) {
    char list[700];
    size_t n = 0;
    for (int i = 0; i < PRES; i++) {
        if (names_it(pres[i].names, name)) return &pres[i];
        for (const char *c = pres[i].names + 1; *c && n + 3 < sizeof list; c++) {
            list[n++] = *c == '|' ? ',' : *c;
            if (*c == '|') list[n++] = ' ';
        }
    }
    list[n - 2] = 0; // without the last comma
    error_set(err, "the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not supported; those supported are: %s",
              name.size < 60 ? (int)name.size : 60, name.data, list);
    return NULL;
}
