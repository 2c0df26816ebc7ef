// A quantization from options to a planned job: what `nibble quant` and `nibble fit` share.
#ifndef CLI_QUANTIZE_H
#define CLI_QUANTIZE_H

#include "cli/quant_job.h"
#include "cli/quant_options.h"

typedef struct Quantization {
    QuantJob job; // planned; points into the rest, so that it may not be moved
    PlanEntry *entries;
    int64_t *cleared;
    int *retries;
    Choice choice;
    Rounding rounding;
} Quantization;

// What becomes of each tensor, chosen where there is a budget. All that is given must outlive it; stats may be NULL
// where the method needs none. Free with quantization_free, also after a failure; it may be zeros.
bool quantization_plan(Quantization *q, Model *model, const char *output, QuantOptions *options, const Stats *stats,
                       Error *err);
void quantization_free(Quantization *q);

#endif
