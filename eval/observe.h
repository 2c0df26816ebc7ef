// What calibration sees: every linear layer's inputs and, when the loss is taken back through the layers, the gradients
// at its outputs.
#ifndef EVAL_OBSERVE_H
#define EVAL_OBSERVE_H

#include "core/tensor.h"

typedef struct LinearSeen {
    const Tensor *weight;  // [rows, cols]; by its name (of a head that is the embedding, token_embd.weight)
    const float *x;        // [n, cols]
    const float *gradient; // [n, rows] of the summed loss; NULL on a pass that is forward only
    int64_t n;             // tokens; of an expert those that chose it
    int64_t first;         // index of the chunk's first token among all; an expert's tokens are in rising order
} LinearSeen;

typedef struct Observer {
    // Called from one thread, layers in the order of the walk; arrays are the caller's until it returns.
    bool (*linear)(void *context, const LinearSeen *seen, Error *err);
    // A layer is done for all tokens of the walk; layer -1: embedding and head.
    bool (*layer)(void *context, int64_t layer, Error *err);
    void *context;
} Observer;

#endif
