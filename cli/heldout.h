// Windows to measure on that calibration has not seen.
#ifndef CLI_HELDOUT_H
#define CLI_HELDOUT_H

#include "eval/windows.h"
#include "formats/model.h"
#include "formats/stats.h"

enum { HELDOUT_WINDOWS = 40 }; // unless asked

typedef struct Heldout {
    Windows windows; // free with windows_free
    int64_t skipped; // windows at the text's start that calibration took; 0: it took another text
} Heldout;

// The first `limit` windows of a text (of the carried one for NULL, as cli/text_windows.h) behind those that
// calibration took of it: `calibrated` says which text that was by its hash, how many windows of how many tokens. An
// error where none are left.
bool heldout_windows(const Model *model, const char *path, const StatsInfo *calibrated, int64_t limit, Heldout *out,
                     Error *err);

#endif
