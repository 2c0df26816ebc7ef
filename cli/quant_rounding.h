// Rounding whole matrices under calibration statistics, several at a time, for the streaming job of `nibble quant`.
#ifndef CLI_QUANT_ROUNDING_H
#define CLI_QUANT_ROUNDING_H

#include "cli/shard.h"
#include "formats/model.h"
#include "formats/stats.h"
#include "quant/plan.h"
#include "quant/round.h"

typedef struct Rounding {
    const Stats *stats;
    RoundOptions options; // of the layers' weights
    RoundOptions ends;    // of the embedding and the head, whose rows do not interact
    bool importance_only; // weighted rounding, without Hessians
    bool allow_nonfinite; // as QuantJob
    const char *state;    // a directory where what is rounded is kept (cli/rounded_blocks.h); or NULL
    Shard shard;          // only this part of the tensors is rounded, for others' runs to find there
} Rounding;

// True where the tensor is rounded under statistics when it becomes this type; else the job rounds to nearest.
bool rounding_applies(const Rounding *r, const Tensor *t, DType type);

// True where rounding needs no whole matrices but the importance of columns alone: then slices are rounded where they
// are read, and the batches below are not needed. (What is kept in a directory is kept by whole tensors.)
bool rounding_streams(const Rounding *r);

// The importance to round slices of the tensor by; NULL where there is none. `kept` has what was loaded last, zeros at
// first: free with stats_tensor_free.
bool rounding_importance(const Rounding *r, const Tensor *t, DType type, StatsTensor *kept, const float **importance,
                         Error *err);

// What became of one tensor.
typedef struct Rounded {
    uint8_t *blocks; // free with mem_free
    int64_t cleared; // NaNs and infinities that became zero
    int retries;     // how often its Hessian had to be damped more, for it was not positive definite
} Rounded;

// How many tensors from `first` on go together, as memory allows, those among them that rounding does not apply to
// counted; at least 1.
size_t rounding_batch(const Rounding *r, const Model *model, const PlanEntry *plan, size_t first);

// What is kept of the tensors is needed no more.
void rounding_forget(const Rounding *r, const Model *model, const PlanEntry *plan);

// Rounds tensors first .. first + count - 1 into rounded[0 .. count - 1]; blocks do not depend on threads or on
// `count`. On failure blocks that were made are freed.
bool rounding_run(const Rounding *r, const Model *model, const PlanEntry *plan, size_t first, size_t count,
                  Rounded *rounded, Error *err);

#endif
