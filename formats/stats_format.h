// What reader and writer of statistics files share: the numbers of the specification (formats/STATS.md).
#ifndef FORMATS_STATS_FORMAT_H
#define FORMATS_STATS_FORMAT_H

#include "core/size.h"
#include "formats/container.h"
#include "formats/stats.h"

enum {
    STATS_VERSION = 1,
    STATS_INDEX_MAX = 64 << 20,   // bytes of the index, uncompressed
    STATS_INDEX_VALUES = 2000000, // JSON values in it
    STATS_NAME_MAX = 255,         // bytes of a tensor's name
};

extern const ContainerKind stats_kind;

// The parts of an entry that are sections.
typedef enum StatsPart {
    STATS_PART_IMPORTANCE,
    STATS_PART_HESSIAN,
    STATS_PART_ROW_WEIGHTS,
    STATS_PART_OUTPUT,
    STATS_PARTS
} StatsPart;
extern const char *const stats_part_names[STATS_PARTS]; // in the index

static inline bool stats_part_is_matrix(StatsPart part) {
    return part == STATS_PART_HESSIAN || part == STATS_PART_OUTPUT;
}

// Where a part is in an entry, and its width.
float **stats_part_slot(StatsTensor *t, StatsPart part);
int64_t stats_part_width(const StatsTensor *t, StatsPart part);

// Bytes of a part in the file: n floats, or a triangle of n (n + 1) / 2. False where that overflows.
bool stats_part_bytes(StatsPart part, int64_t n, size_t *bytes);

// Every value is finite and, where they must be, none is negative.
bool stats_values_sane(const float *values, size_t n, bool negative);

// stats_open of a file that is mapped already; takes the map over, also on failure.
Stats *stats_open_map(FileMap *map, Error *err);

#endif
