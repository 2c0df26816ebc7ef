// What `nibble quant` tells: the recipe step that goes into the file, the table for people, the same as JSON.
#ifndef CLI_QUANT_REPORT_H
#define CLI_QUANT_REPORT_H

#include "cli/quant_job.h"

typedef struct QuantReport {
    const QuantJob *job; // done, or only planned
    uint64_t file_bytes; // of the output, on disk; 0: a dry run
    double seconds;
} QuantReport;

// The step for the recipe: {"step": "quant", ...}. NULL when memory is out.
cJSON *quant_report_step(const QuantJob *job);

void quant_report_print(const QuantReport *r); // to stdout
void quant_report_notes(const QuantJob *job);  // the part of it that is known when the job is done

// The report as JSON; NULL when memory is out.
cJSON *quant_report_json(const QuantReport *r);

#endif
