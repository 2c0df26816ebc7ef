// Types chosen to a budget: what may become of each tensor, what that takes and loses, and quant/allocate.h's choice.
// In cli/ because it joins models, statistics, engines' needs and quant/.
#ifndef CLI_QUANT_CHOOSE_H
#define CLI_QUANT_CHOOSE_H

#include "cli/quant_options.h"
#include "convert/engine_memory.h"
#include "formats/stats.h"
#include "quant/allocate.h"

typedef struct Choice {
    const Budget *budget; // the options'
    DType *types;         // [tensors]
    double *losses;       // [tensors], predicted; 0 where a tensor stays as it is or a rule names it
    double loss;          // their sum
    uint64_t asked;       // bytes of tensors that the budget comes to, as the budget counts them
    uint64_t taken;       // of these
    uint64_t smallest, largest;
    const Stats *stats;  // losses are by these, in nats a token; NULL: by the error of rounding alone
    size_t guessed;      // tensors that the statistics do not know
    EngineMemory engine; // of --fit
} Choice;

// Free with choice_free, also after a failure. Options and statistics, which may be NULL, must outlive it.
bool choice_make(const Model *model, const QuantOptions *options, const Stats *stats, Choice *out, Error *err);
void choice_free(Choice *choice);

// Before anything is chosen: the bytes of tensors that the budget comes to, and what they take as they are, both as the
// budget counts them.
bool choice_range(const Model *model, const QuantOptions *options, uint64_t *asked, uint64_t *now, Error *err);

#endif
