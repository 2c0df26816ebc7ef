// A file of calibration statistics: what a model's linear layers saw of a text, with the hashes of both, so that a run
// can be repeated or continued without capturing again. Specification: formats/STATS.md.
#ifndef FORMATS_STATS_H
#define FORMATS_STATS_H

#include "core/dtype.h"
#include "core/error.h"
#include "core/hash.h"

typedef enum StatsKind {
    STATS_IMPORTANCE, // mean squared inputs alone
    STATS_HESSIAN,    // and X^T X
    STATS_FISHER,     // and X^T S X, S each token's weight by the gradients; rows' weights; the outputs' side
    STATS_KINDS
} StatsKind;

typedef struct StatsInfo {
    StatsKind kind;
    Hash model; // model_fingerprint
    Hash text;  // of the ids that passed
    int64_t windows, ctx, tokens;
    uint64_t seed; // of the sampled labels
} StatsInfo;

// One weight's. Matrices are symmetric and whole in memory, a triangle in the file. NULL: there is none.
typedef struct StatsTensor {
    char *name; // internal
    int64_t rows, cols;
    double tokens;                // that passed it (of an expert, those that chose it)
    float *importance;            // [cols]: mean of squared inputs
    float *hessian;               // [cols, cols]: mean over tokens
    float *row_weights;           // [rows]
    float *output;                // [rows, rows]
    bool has_hessian, has_output; // also where they are not loaded
    double loss[DT_COUNT];        // predicted when rounded to that type, nats a token; NAN: not tried
} StatsTensor;

typedef struct StatsWriter StatsWriter;

// path NULL: a file without a name in the directory for temporary files, gone when closed.
StatsWriter *stats_create(const char *path, const StatsInfo *info, Error *err);
bool stats_add(StatsWriter *w, const StatsTensor *tensor, Error *err); // copies
void stats_abort(StatsWriter *w);                                      // NULL is fine

typedef struct Stats Stats;

// Finishes, syncs and renames the file, and opens it; w is freed also when it fails.
Stats *stats_commit(StatsWriter *w, Error *err);
Stats *stats_open(const char *path, Error *err); // checks header, index and bounds; NULL with a message
void stats_close(Stats *s);                      // NULL is fine

const StatsInfo *stats_info(const Stats *s);
const char *stats_path(const Stats *s);

// The entry of a weight, all but its matrices (these NULL), or NULL: owned by s.
const StatsTensor *stats_find(const Stats *s, const char *name);
// Loads the matrices too, each checked against its hash: free with stats_tensor_free.
bool stats_load(const Stats *s, const char *name, StatsTensor *out, Error *err);
void stats_tensor_free(StatsTensor *tensor);

#endif
