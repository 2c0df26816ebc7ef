// Tuning a quantized model's block scales end to end: small steps down the gradient of its divergence from the model
// that it was made from, codes as they are (the second phase of EfficientQAT, arXiv:2407.11062, with distillation).
#ifndef EVAL_TUNE_H
#define EVAL_TUNE_H

#include "eval/windows.h"
#include "formats/model.h"

typedef struct TuneOptions {
    int64_t epochs;   // over the windows
    int64_t batch;    // windows a step
    double rate;      // of Adam (arXiv:1412.6980), relative to each scale; falls to 0 as half a cosine
    size_t memory;    // bytes that the layers' inputs may take
    int64_t held_out; // the last so many windows are not tuned on: the best epoch is the one that is best there
} TuneOptions;

typedef struct TuneResult {
    int64_t tensors, scales; // tuned
    double before, after;    // mean divergence on the windows held out
    int64_t epoch;           // the one that was kept; 0: none was better than what was there
} TuneResult;

// Changes `model`, whose blocks then lie in memory of its own. Embedding, head and tensors without a grid
// (quant/grid.h) stay. The digits do not depend on the number of threads.
bool tune_scales(const Model *base, Model *model, const Windows *windows, const TuneOptions *options,
                 TuneResult *result, Error *err);

#endif
