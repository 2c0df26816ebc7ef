// A text as windows of a model's ids: what evaluation and calibration run over.
#ifndef CLI_TEXT_WINDOWS_H
#define CLI_TEXT_WINDOWS_H

#include "eval/windows.h"
#include "formats/model.h"

typedef struct TextWindows {
    const char *path; // - is standard input
    int64_t ctx;      // tokens in a window; 0: 512, or the model's limit where that is less
    int64_t stride;   // 0: llama-perplexity's protocol
    int64_t limit;    // at most so many windows; 0: all
} TextWindows;

// Tokenizes the text as the model does. Warns where there are fewer windows than asked for, or ctx is beyond the
// model's.
bool text_windows(const Model *model, const TextWindows *asked, Windows *windows, Error *err);

#endif
