// Walks of a model over windows of text for calibration: one layer over all windows before the next, an observer
// (eval/observe.h) at every linear layer. Forward alone, or forward and then back, with the gradient of
//   sum over tokens t of -log p(y_t),
// y_t drawn from the model's own softmax at t: the gradients whose squares the Fisher information is the mean of.
#ifndef EVAL_WALK_H
#define EVAL_WALK_H

#include "eval/observe.h"
#include "eval/windows.h"
#include "formats/model.h"

typedef struct WalkOptions {
    uint64_t seed;         // of the labels; each is drawn by seed and index of its token alone
    const int32_t *labels; // [tokens]: these in place of drawn ones, -1 at tokens without a loss; NULL: draw
    size_t memory;         // bytes that the layers' inputs may take; what is beyond goes to a file in TMPDIR or /tmp
} WalkOptions;

typedef struct WalkResult {
    int64_t tokens; // that have a loss
    double nll;     // their summed -log p(y)
} WalkResult;

// Every token of every window passes; the observer's tokens are counted through all windows. Needs memory for all
// tokens' residual stream, tokens * dim floats, and a few hundred MiB.
bool walk_forward(const Model *model, const Windows *windows, const Observer *observer, Error *err);

// The same forward, storing every layer's input, then back. result may be NULL.
bool walk_backward(const Model *model, const Windows *windows, const WalkOptions *options, const Observer *observer,
                   WalkResult *result, Error *err);

#endif
