// A text as windows of a model's ids: what evaluation and calibration run over.
#ifndef CLI_TEXT_WINDOWS_H
#define CLI_TEXT_WINDOWS_H

#include "eval/tokenizer.h"
#include "eval/windows.h"
#include "formats/model.h"

// A text as the model tokenizes it.
typedef struct TextIds {
    const char *name; // for messages
    Ids ids;
    int64_t bos; // what windows_consecutive wants
} TextIds;

// What an option says as a path for below: NULL for "default".
const char *text_path(const char *given);
const char *text_base_name(const char *given); // without directories, for a statistics file

// path: a file, - for standard input, NULL for the text that the program carries (cli/carried_text.h). Free with
// text_ids_free, also after a failure.
bool text_ids(const Model *model, const char *path, TextIds *out, Error *err);
void text_ids_free(TextIds *text);

// Tokens in a window, unless asked: 512, or the model's limit where that is less.
int64_t text_ctx(const Model *model);

typedef struct TextWindows {
    const char *path; // as above
    int64_t ctx;      // tokens in a window; 0: text_ctx
    int64_t stride;   // 0: llama-perplexity's protocol
    int64_t limit;    // at most so many windows; 0: all
    int64_t least;    // fewer are too few to calibrate on: an error that says how much text is needed
} TextWindows;

// Warns where there are fewer windows than asked for, or ctx is beyond the model's.
bool text_windows(const Model *model, const TextWindows *asked, Windows *windows, Error *err);

#endif
