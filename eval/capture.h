// Calibration statistics (formats/stats.h) of a model over windows of text, by walks through it (eval/walk.h): layer by
// layer, so that one layer's matrices are in memory at a time.
#ifndef EVAL_CAPTURE_H
#define EVAL_CAPTURE_H

#include "eval/windows.h"
#include "formats/model.h"
#include "formats/stats.h"

enum { CAPTURE_OUTPUT_ROWS = 4096 }; // the usual limit of the outputs' side

typedef struct CaptureOptions {
    StatsKind kind;        // fisher walks backward too
    const char *path;      // of the file; NULL: one without a name
    const char *text_name; // for the file: the text's name; NULL: none
    uint64_t seed;         // of the labels that gradients are taken for
    size_t memory;         // bytes that the layers' inputs may take before they go to a file (fisher)
    int64_t output_rows;   // fisher: weights of at most so many rows get the outputs' side; 0: none
    // Called when a weight is finished, its matrices in memory, before they are written: may set losses. May be NULL.
    bool (*finished)(void *context, const Tensor *weight, StatsTensor *stats, Error *err);
    void *context;
} CaptureOptions;

// The statistics, to be closed with stats_close; NULL with a message. Weights that no token passed (of experts that
// none chose) have no entry. The walk shows its progress. The digits do not depend on the number of threads.
Stats *capture(const Model *model, const Windows *windows, const CaptureOptions *options, Error *err);

// Tokens below which statistics of a kind say too little.
int64_t capture_tokens_min(StatsKind kind);

#endif
