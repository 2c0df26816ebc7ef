// The head over vocabulary tiles: logits, log-softmax, perplexity and divergence in one pass, with no array of
// positions x vocabulary ever whole in memory.
#ifndef EVAL_HEAD_H
#define EVAL_HEAD_H

#include "core/tensor.h"

// What one model says at one position, y the right token, natural logarithms.
typedef struct TokenScore {
    double nll;  // -log p(y)
    double kld;  // sum over v of p0(v) log(p0(v) / p(v)), p0 the first model's; 0 for the first model itself
    int32_t top; // the most probable token, the first of equals
} TokenScore;

typedef struct HeadInput {
    const Tensor *weight; // [vocab, dim]
    const float *hidden;  // [positions, dim], finally normed
    TokenScore *scores;   // [positions], filled in
} HeadInput;

// All models see the same positions and targets [positions]; their vocabularies are equal, their widths need not be.
// Fails when memory is out or when a model's logits are not finite (the message counts from model 0 as "model 1").
bool head_score(const HeadInput *models, int count, int64_t positions, const int32_t *targets, Error *err);

#endif
