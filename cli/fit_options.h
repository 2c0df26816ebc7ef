// The options of `nibble fit`, read and checked against each other.
#ifndef CLI_FIT_OPTIONS_H
#define CLI_FIT_OPTIONS_H

#include "cli/quant_options.h"

typedef struct FitOptions {
    QuantOptions quant;    // calib, stats, budget, ... as `nibble quant` has them
    const char *out;       // NULL: after the model and the budget
    const char *eval_text; // NULL: the carried text
    int64_t eval_windows;
    bool context_given; // else the budget's is the usual one, and no longer than the model's
} FitOptions;

// Returns -1 to go on, with the model's path in *model, else the exit code. Free with quant_options_free either way.
int fit_options_parse(FitOptions *o, int argc, char **argv, const char **model);

#endif
