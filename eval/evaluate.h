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

typedef struct ModelResult {
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
    double seconds;
    double tokens_per_second; // windows' tokens times models, by seconds
} Evaluation;

// Runs all models over all windows, layer by layer, a group of windows at a time. All need the first one's vocabulary
// size. Free with evaluation_free also after failure.
// memory: bytes to keep to, about, weights in use included; 0: three quarters of what is available. The digits do not
// depend on it.
bool evaluate(const Model *const *models, int count, const Windows *windows, size_t memory, Evaluation *out,
              Error *err);
void evaluation_free(Evaluation *e);

#endif
