// What a user may say that types are to be chosen to.
#ifndef CLI_BUDGET_H
#define CLI_BUDGET_H

#include <stdint.h>

typedef enum BudgetKind {
    BUDGET_NONE, // types are asked for by name
    BUDGET_BITS, // a weight, over all tensors
    BUDGET_SIZE, // bytes of the tensors
    BUDGET_FILE, // of the .nib
    BUDGET_FIT,  // of an engine's memory, at a context
} BudgetKind;

typedef struct Budget {
    BudgetKind kind;
    const char *text;   // as given: "86MiB"
    const char *option; // what the command calls it; NULL: as budget_name does
    double bits;
    uint64_t bytes;
    int64_t context;
} Budget;

const char *budget_name(BudgetKind kind);        // "file-size"
const char *budget_option(const Budget *budget); // for messages, without dashes

#endif
