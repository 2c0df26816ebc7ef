#include "formats/stats_format.h"

#include <math.h>

const ContainerKind stats_kind = {
    .magic = {0x89, 'N', 'S', 'T', '\r', '\n', 0x1a, '\n'},
    .what = "a statistics file",
    .name = "statistics",
    .version = STATS_VERSION,
    .index_max = STATS_INDEX_MAX,
    .index_values = STATS_INDEX_VALUES,
};

const char *const stats_part_names[STATS_PARTS] = {"importance", "hessian", "row_weights", "output"};

const char *stats_kind_name(StatsKind kind) {
    static const char *const names[STATS_KINDS] = {"importance", "hessian", "fisher"};
    return names[kind];
}

void stats_no_losses(double loss[DT_COUNT]) {
    for (int type = 0; type < DT_COUNT; type++) loss[type] = NAN;
}

float **stats_part_slot(StatsTensor *t, StatsPart part) {
    float **const slots[STATS_PARTS] = {&t->importance, &t->hessian, &t->row_weights, &t->output};
    return slots[part];
}

int64_t stats_part_width(const StatsTensor *t, StatsPart part) {
    return part == STATS_PART_IMPORTANCE || part == STATS_PART_HESSIAN ? t->cols : t->rows;
}

bool stats_part_bytes(StatsPart part, int64_t n, size_t *bytes) {
    size_t count = (size_t)n;
    if (stats_part_is_matrix(part)) {
        // One of n and n + 1 is even.
        size_t a = (size_t)n, b = (size_t)n + 1;
        *(a % 2 ? &b : &a) /= 2;
        if (!size_mul(a, b, &count)) return false;
    }
    return size_mul(count, sizeof(float), bytes);
}

bool stats_values_sane(const float *values, size_t n, bool negative) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]) || (!negative && values[i] < 0)) return false;
    return true;
}
