#include "core/size.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char *size_text(uint64_t bytes, char buf[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1024 && u < 6; u++) v /= 1024;
    snprintf(buf, 32, u ? "%.2f %s" : "%.0f %s", v, units[u]);
    return buf;
}

bool size_parse(const char *text, uint64_t *bytes) {
    static const struct {
        const char *name;
        double scale;
    } units[] = {{"", 1},       {"B", 1},        {"K", 1024.0},   {"KiB", 1024.0}, {"KB", 1e3},
                 {"M", 0x1p20}, {"MiB", 0x1p20}, {"MB", 1e6},     {"G", 0x1p30},   {"GiB", 0x1p30},
                 {"GB", 1e9},   {"T", 0x1p40},   {"TiB", 0x1p40}, {"TB", 1e12}};
    if (!isdigit((unsigned char)text[0])) return false;
    char *end;
    double v = strtod(text, &end);
    while (*end == ' ') end++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcasecmp(end, units[i].name) == 0) {
            v *= units[i].scale;
            if (!isfinite(v) || v >= 0x1p63) return false;
            *bytes = (uint64_t)v;
            return true;
        }
    return false;
}
