// The options of `nibble quant`, read and checked against each other.
#ifndef CLI_QUANT_OPTIONS_H
#define CLI_QUANT_OPTIONS_H

#include "cli/budget.h"
#include "cli/cli.h"
#include "cli/shard.h"
#include "quant/plan.h"

enum { MAX_RULES = sizeof((OptionList *)0)->items / sizeof *((OptionList *)0)->items };

// How weights are rounded into blocks.
typedef enum QuantMethod {
    METHOD_RTN,        // to nearest, scales searched
    METHOD_IMPORTANCE, // scales searched with weights by input
    METHOD_GPTQ,       // under the inputs' Hessian
    METHOD_FISHER,     // under the loss's
    METHOD_COUNT
} QuantMethod;

const char *quant_method_name(QuantMethod method);

typedef struct QuantOptions {
    const char *output, *json; // NULL: not given
    bool allow_nonfinite, dry_run;
    PlanRequest request;
    PlanRule rules[MAX_RULES]; // request.rules
    Budget budget;
    DType allowed[DT_COUNT]; // what a budget chooses from
    size_t allowed_count;
    bool allow_given; // else a tensor may stay as it is, too
    QuantMethod method;
    bool method_given;         // else it is what the statistics allow
    const char *calib, *stats; // a text, a file of statistics; NULL: not given
    const char *state;         // a directory (cli/rounded_blocks.h)
    Shard shard;
    int64_t calib_windows; // 0: not given
    int64_t seed;
} QuantOptions;

// Texts as they were given; NULL: they were not.
typedef struct QuantGiven {
    const char *type, *embed_type, *output_type, *fallback, *size, *file_size, *fit, *allow, *method, *shard;
    const char *fit_option; // what the command calls `fit`, for messages
    OptionList only;
    double bits;
    int64_t context, seed; // 0, -1
} QuantGiven;

// Checks them against each other and fills in the rest of o, which has what is not in `given`.
bool quant_options_read(const QuantGiven *given, QuantOptions *o, Error *err);

// Returns -1 to go on, with the model's path in *model, else the exit code. Free with quant_options_free either way.
int quant_options_parse(QuantOptions *o, int argc, char **argv, const char **model);
void quant_options_free(QuantOptions *o);

#endif
