// What is evaluated: windows of ids, and which of their tokens are scored.
#ifndef EVAL_WINDOWS_H
#define EVAL_WINDOWS_H

#include "core/error.h"
#include "core/hash.h"
#include <stddef.h>
#include <stdint.h>

// Tokens first .. length - 1 of a window are predicted (each from those before it) and scored; first >= 1.
typedef struct Window {
    int64_t start, length; // ids[start .. start + length - 1]
    int64_t first;
} Window;

typedef struct Windows {
    int32_t *ids; // windows one after another, overlapping text repeated
    Window *items;
    size_t count;
    int64_t ctx, stride; // 0 where the protocol has none
    int64_t longest;     // window
    int64_t scored;      // tokens, in all
} Windows;

void windows_free(Windows *w);

// llama-perplexity's protocol: consecutive runs of ctx ids; bos (if >= 0) replaces the first id of each; the tokens
// after the first ctx/2 + 1 are scored. limit: at most so many windows (0: all). Fails when the text is shorter than a
// window.
bool windows_consecutive(const int32_t *ids, size_t count, int64_t ctx, int64_t limit, int64_t bos, Windows *w,
                         Error *err);

// The protocol of transformers' documentation: a window every `stride` ids, each scoring the tokens that no window
// before it scored (https://huggingface.co/docs/transformers/perplexity).
bool windows_strided(const int32_t *ids, size_t count, int64_t ctx, int64_t stride, int64_t limit, Windows *w,
                     Error *err);

// Ids from text: separated by white space, one window a line (empty lines skipped), every position but the last scored.
// `name` is the file's, for messages.
bool windows_parse(const char *text, const char *name, int64_t limit, Windows *w, Error *err);

// Keeps windows first .. first + count - 1 alone; count > 0.
void windows_keep(Windows *w, size_t first, size_t count);

// Of lengths and ids: what statistics of a text are known by (formats/STATS.md).
Hash windows_hash(const Windows *w);

// Every id is below vocab.
bool windows_check(const Windows *w, int64_t vocab, Error *err);

#endif
