#include "cli/budget.h"

const char *budget_name(BudgetKind kind) {
    static const char *const names[] = {"none", "bits", "size", "file-size", "fit"};
    return names[kind];
}

const char *budget_option(const Budget *budget) { return budget->option ? budget->option : budget_name(budget->kind); }
