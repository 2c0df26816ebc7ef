#include "cli/eval_report.h"

#include "cli/cli.h"
#include "eval/report.h"
#include <stdlib.h>
#include <string.h>

bool eval_report(const Evaluation *e, Compute compute, const char *json, const char *per_token, Error *err) {
    if (per_token) {
        char *rows = NULL;
        size_t size;
        FILE *memory = open_memstream(&rows, &size);
        if (!memory) return error_set(err, "out of memory for the report");
        report_tokens(e, memory);
        bool ok = fclose(memory) == 0 && report_write(per_token, rows, err);
        free(rows);
        if (!ok) return false;
    }
    if (json) {
        cJSON *report = report_json(e, compute);
        bool ok = report_write_json(json, report, err);
        cJSON_Delete(report);
        if (!ok) return false;
    }
    if (!json || strcmp(json, "-") != 0) report_table(e, compute, stdout);
    return true;
}
