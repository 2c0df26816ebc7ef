// Perplexity and divergence of several models over the same windows: the walk, and what comes of it.
#ifndef EVAL_EVALUATE_H
#define EVAL_EVALUATE_H

#include "eval/head.h"
#include "eval/windows.h"
#include "formats/model.h"

// Against the first model. Standard errors here and below are over windows.
typedef struct Divergence {
    double delta_ln_ppl, delta_ln_ppl_se;                            // paired difference of mean nll
    double kld_mean, kld_se, kld_median, kld_p99, kld_p999, kld_max; // nats
    double top1;   // share of positions with the same most probable token
    double rms_dp; // root mean square change in the right token's probability
} Divergence;

// What a report says of a model itself.
typedef struct ModelSummary {
    char *path;
    double file_bytes, tensor_bytes, bits_per_weight;
    char identity[HASH_HEX]; // of a .nib: its hash in hexadecimal digits; else empty
} ModelSummary;

typedef struct ModelResult {
    ModelSummary model;
    double mean_nll, ppl, ppl_se;
    double *window_nll; // [windows], mean over the window's scored tokens
    TokenScore *scores; // [scored], windows one after another
    Divergence vs_base; // zeros for the first model
} ModelResult;

typedef struct Evaluation {
    const Model *const *models; // not owned
    ModelResult *results;       // one a model
    int count;
    const Windows *windows; // not owned
    double peak_rss;        // bytes
    double seconds;
    double tokens_per_second; // windows' tokens times models, by seconds
} Evaluation;

typedef struct EvaluateOptions {
    size_t memory; // bytes to keep to, about, weights in use included; 0: three quarters of what is available
    size_t most;   // windows in a group, at most; 0: as many as memory allows
    const Evaluation *before; // what was done in an earlier run, or NULL: the scores of the first `done` windows
    size_t done;
    // After each group: the first `done` windows have their scores now. NULL: nothing to do; false ends the evaluation.
    bool (*saved)(void *context, const Evaluation *e, size_t done, Error *err);
    void *context;
} EvaluateOptions;

// Runs all models over all windows, layer by layer, a group of windows at a time. All need the first one's vocabulary
// size. The digits do not depend on the options, which may be NULL. Free with evaluation_free also after failure.
bool evaluate(const Model *const *models, int count, const Windows *windows, const EvaluateOptions *options,
              Evaluation *out, Error *err);
void evaluation_free(Evaluation *e);

// An evaluation that has yet to run: results that only say of which models they are.
bool evaluation_name(Evaluation *e, const Model *const *models, int count, const Windows *windows, Error *err);

// The part of it that takes memory: results for so many models over the windows.
bool evaluation_init(Evaluation *e, int count, const Windows *windows, Error *err);

#endif
