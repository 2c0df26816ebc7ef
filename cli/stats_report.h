// What `nibble stats` tells of statistics: for people and as JSON.
#ifndef CLI_STATS_REPORT_H
#define CLI_STATS_REPORT_H

#include "core/json.h"
#include "formats/stats.h"

void stats_print(const Stats *stats, const char *path);  // to stdout; path: the file's, as the user knows it
cJSON *stats_json(const Stats *stats, const char *path); // NULL when memory is out

#endif
