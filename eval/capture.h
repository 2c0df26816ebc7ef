// Calibration: what a model's linear layers see of a text, gathered into a statistics file (formats/stats.h).
#ifndef EVAL_CAPTURE_H
#define EVAL_CAPTURE_H

#include "eval/windows.h"
#include "formats/model.h"
#include "formats/stats.h"

typedef struct CaptureOptions {
    StatsKind kind;
    const char *path;      // of the file to make; NULL: one without a name, gone when closed
    const char *text_name; // for people
    uint64_t seed;         // of the labels that gradients are taken for
    size_t memory;         // bytes that the layers' inputs may take; the rest goes to a file in TMPDIR or /tmp
    int64_t output_rows;   // weights of more rows get no outputs' side; 0: none does
    // Fills in entry->loss while the matrices are in memory; called from several threads. NULL: losses stay unknown.
    bool (*predict)(const Tensor *weight, StatsTensor *entry, Error *err);
} CaptureOptions;

// One layer's matrices are in memory at a time. Weights that no token reached, and those that are put together of
// others (formats/model.h, Latent.split), have no entry. NULL with a message.
Stats *capture(const Model *model, const Windows *windows, const CaptureOptions *options, Error *err);

#endif
