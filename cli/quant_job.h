// The streaming job of `nibble quant`: a model's tensors in, each in its planned type out, a slice at a time.
// It sits in cli/ because it joins two rooms that may not know each other: formats/ (models, .nib) and quant/.
#ifndef CLI_QUANT_JOB_H
#define CLI_QUANT_JOB_H

#include "cli/quant_choose.h"
#include "cli/quant_rounding.h"
#include "formats/model.h"
#include "quant/plan.h"

typedef struct QuantJob {
    Model *model;               // the source; its recipe grows by this step, a download's gets its sources' hashes
    const char *output;         // the .nib to write
    const PlanRequest *request; // what was asked, for the recipe
    const PlanEntry *plan;      // what each tensor becomes
    bool allow_nonfinite;       // else a NaN or infinity is an error naming the tensor and where in it
    int64_t *cleared;           // out, for each tensor: NaNs and infinities that became zero (blocks can hold neither)
    const Choice *choice;       // types were chosen to a budget; NULL: they were not
    const Rounding *rounding;   // NULL: to nearest, without statistics
    int *retries;               // out, with rounding, for each tensor: how often its Hessian was damped more
} QuantJob;

// Writes the output whole, or leaves what was there before. The hashes that the model states are verified on the way.
// The bytes do not depend on the number of threads. Memory: a slice for each thread. Shows a progress bar.
bool quant_job_run(const QuantJob *job, Error *err);

#endif
