// What `nibble quant` tells: the recipe step that goes into the file, the table for people, the same as JSON.
#ifndef CLI_QUANT_REPORT_H
#define CLI_QUANT_REPORT_H

#include "formats/model.h"
#include "quant/plan.h"

typedef struct QuantReport {
    const Model *model;         // the source
    const char *output;         // path
    const PlanRequest *request; // what was asked
    const PlanEntry *plan;      // what each tensor became
    const int64_t *cleared;     // for each tensor: NaNs and infinities that became zero
    uint64_t file_bytes;        // of the output, on disk
    double seconds;
} QuantReport;

// The step for the recipe: {"step": "quant", ...}. NULL when memory is out. Uses model, request, plan and cleared
// alone.
cJSON *quant_report_step(const QuantReport *r);

void quant_report_print(const QuantReport *r); // to stdout

// The report as JSON text; NULL when memory is out. Free with cJSON_free.
char *quant_report_json(const QuantReport *r);

#endif
