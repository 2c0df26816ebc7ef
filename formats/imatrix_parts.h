// What the two forms of llama.cpp's importance matrices have in common: entries by GGUF's names.
#ifndef FORMATS_IMATRIX_PARTS_H
#define FORMATS_IMATRIX_PARTS_H

#include "core/file.h"
#include "formats/imatrix.h"

enum { IMATRIX_NAME = 256 };

// One of GGUF's tensors.
typedef struct ImatrixEntry {
    char name[IMATRIX_NAME];
    int64_t matrices, cols; // matrices: experts, or 1
    const float **mean;     // [matrices]: mean squares [cols]; NULL: no token came
    double *tokens;         // [matrices]
} ImatrixEntry;

typedef struct ImatrixList {
    ImatrixEntry *items; // sorted by name
    size_t count, capacity;
    int64_t matrices; // in all
} ImatrixList;

// The entries of statistics, whose values they point to.
bool imatrix_list(const Stats *stats, ImatrixList *list, Error *err);
void imatrix_list_free(ImatrixList *list);

bool imatrix_write_gguf(const char *path, const StatsInfo *info, const ImatrixList *list, Error *err);
bool imatrix_write_dat(const char *path, const StatsInfo *info, const ImatrixList *list, Error *err);

// The names in a file that is read.
typedef struct ImatrixNames {
    char **items; // owned; sorted when all are there
    size_t count, capacity;
} ImatrixNames;
bool imatrix_name_add(ImatrixNames *names, const char *name, Error *err);
void imatrix_names_sort(ImatrixNames *names);
void imatrix_names_free(ImatrixNames *names);

// Adds what a file says of one of GGUF's tensors under our names: `sums` [matrices, cols] of squares over counts
// [matrices] tokens each. q, k and v that the file names take precedence over attn_qkv. Messages name the tensor.
bool imatrix_add(StatsWriter *w, const ImatrixNames *names, const char *name, int64_t matrices, int64_t cols,
                 const float *sums, const float *counts, Error *err);

// The last part of a path as the name of a text: cut to fit, without control characters.
void imatrix_text_name(const char *path, size_t size, char name[STATS_TEXT_NAME]);

// NAME_exps.weight
bool imatrix_name_is_experts(const char *name);

// Messages do not name the file.
bool imatrix_read_gguf(const FileMap *map, StatsInfo *info, StatsWriter **w, Error *err);
bool imatrix_read_dat(const FileMap *map, int64_t experts, StatsInfo *info, StatsWriter **w, Error *err);

#endif
