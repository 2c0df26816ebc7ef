// The way back through the head: labels drawn from the softmax, and the gradient of sum of -log p(y) at the finally
// normed hidden states, over tiles of the vocabulary, so that logits are never there as a whole.
#ifndef EVAL_HEAD_BACK_H
#define EVAL_HEAD_BACK_H

#include "eval/head.h"

typedef struct HeadBack {
    const Head *head;
    const float *hidden; // [n, the head's width]
    int64_t n;
    int32_t *labels; // [n]: filled in where `draw`, else given: -1 where there is no loss
    bool draw;
    uint64_t seed; // of what is drawn, together with the token's index among all:
    int64_t first; // that of the first
    // Filled in:
    float *d;            // [n, the head's width]: gradients
    float *token_spread; // [n]: sum over v of p_v (1 - p_v)
    double *row_spread;  // [vocab]: sum over tokens of that
    double nll;          // summed -log p(y)
    int64_t tokens;      // with a loss
} HeadBack;

// Fails when memory is out or logits are not finite.
bool head_back(HeadBack *b, Error *err);

#endif
