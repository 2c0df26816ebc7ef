// The streaming job of `nibble quant`: a model's tensors in, each in its planned type out, a slice at a time.
// It sits in cli/ because it joins two rooms that may not know each other: formats/ (models, .nib) and quant/.
#ifndef CLI_QUANT_JOB_H
#define CLI_QUANT_JOB_H

#include "convert/sources.h"
#include "formats/nib.h"
#include "quant/plan.h"

typedef struct QuantJob {
    const Model *model;    // hashes of its tensors, where it states them, are verified on the way
    const PlanEntry *plan; // one for each tensor
    bool allow_nonfinite;  // else a NaN or infinity is an error naming the tensor and where in it
    int64_t *cleared; // out, one for each tensor: NaNs and infinities that became zero (types in blocks hold neither)
} QuantJob;

// Writes all tensors in the model's order. The bytes do not depend on the number of threads. Memory: a slice for each
// thread. On failure w holds a part of the tensors and is to be aborted.
// sources: told what was read, in order.
bool quant_job_run(const QuantJob *job, NibWriter *w, SourceHash *sources, Error *err);

#endif
