// What calibration sees of a walk through a model (eval/walk.h): every linear layer's inputs and, when the loss is
// taken back through the layers, the gradients at its outputs.
#ifndef EVAL_OBSERVE_H
#define EVAL_OBSERVE_H

#include "core/tensor.h"

typedef struct LinearSeen {
    const Tensor *weight;  // [rows, cols]
    const float *x;        // [n, cols]
    const float *gradient; // [n, rows] of the summed loss; NULL on a walk that is forward only
    int64_t n;             // tokens; of an expert those that chose it
    int64_t first;         // index of the chunk's first token among all of the walk
} LinearSeen;

// The head, whose gradients [n, vocab] are never in memory: what they come to, for the loss -log p(y) with y drawn from
// p. The expected square of the gradient of token t at vocabulary row v is p_tv (1 - p_tv).
typedef struct HeadSeen {
    const Tensor *weight;      // [vocab, width]: output.weight or, where tied, token_embd.weight
    const float *hidden;       // [n, width], finally normed
    const float *token_spread; // [n]: sum over v of p_tv (1 - p_tv); NULL on a walk that is forward only
    const double *row_spread;  // [vocab]: sum over these tokens of p_tv (1 - p_tv); or NULL
    int64_t n, first;
} HeadSeen;

typedef struct EmbeddingSeen {
    const Tensor *weight;  // token_embd.weight [vocab, width]
    const int32_t *ids;    // [n]
    const float *gradient; // [n, width] at the rows that were looked up
    int64_t n, first;
} EmbeddingSeen;

// Called from one thread, chunk by chunk; arrays are the caller's until a call returns. Forward: layers 0, 1, ... and
// the head. Backward: the head, layers last to first, the embedding. Linear layers that stand between embedding and
// layers are seen with them. Each member may be NULL; false, with a message, ends the walk.
typedef struct Observer {
    bool (*linear)(void *context, const LinearSeen *seen, Error *err);
    bool (*head)(void *context, const HeadSeen *seen, Error *err);
    bool (*embedding)(void *context, const EmbeddingSeen *seen, Error *err); // not on a walk that is forward only
    // A layer is done for all tokens of the walk; layer -1, the last to come: embedding and head.
    bool (*layer)(void *context, int64_t layer, Error *err);
    void *context;
} Observer;

#endif
