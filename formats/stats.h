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

const char *stats_kind_name(StatsKind kind); // "importance", "hessian", "fisher"

enum { STATS_TEXT_NAME = 128 };

typedef struct StatsInfo {
    StatsKind kind;
    Hash model;                      // model_fingerprint; zeros: not known (from another program's file)
    Hash text;                       // windows_hash: of the ids that passed; zeros: not known
    char text_name[STATS_TEXT_NAME]; // for people: the text's file name, without its directory; may be empty
    int64_t windows, ctx, tokens;
    int64_t experts; // of a layer of the model; 0: none
    uint64_t seed;   // of the sampled labels
} StatsInfo;

// One weight's. Matrices are symmetric and whole in memory, a triangle in the file. NULL: there is none.
typedef struct StatsTensor {
    char *name;                   // internal
    int64_t rows, cols;           // rows 0: not known
    double tokens;                // that passed it (of an expert, those that chose it)
    float *importance;            // [cols]: mean over these tokens of squared inputs
    float *hessian;               // [cols, cols]: sum over these tokens, divided by the tokens of the text
    float *row_weights;           // [rows]
    float *output;                // [rows, rows]: likewise
    bool has_hessian, has_output; // also where they are not loaded
    double loss[DT_COUNT];        // predicted when rounded to that type, nats a token; NAN: not tried
} StatsTensor;

typedef struct StatsWriter StatsWriter;

// path NULL: a file without a name in the directory for temporary files, gone when closed.
StatsWriter *stats_create(const char *path, const StatsInfo *info, Error *err);
// Copies. Refuses what a reader would: values that are not finite, negative weights (and, at the end, a name twice).
bool stats_add(StatsWriter *w, const StatsTensor *tensor, Error *err);
void stats_abort(StatsWriter *w); // NULL is fine

typedef struct Stats Stats;

// Finishes, syncs and renames the file, and opens it; w is freed also when it fails.
Stats *stats_commit(StatsWriter *w, Error *err);
bool stats_is(const char *path);                 // the file starts with the magic
Stats *stats_open(const char *path, Error *err); // checks all but the matrices' values; NULL with a message
void stats_close(Stats *s);                      // NULL is fine

const StatsInfo *stats_info(const Stats *s);
const char *stats_path(const Stats *s); // of one without a name: words for messages

// The entry of a weight, all but its matrices (these NULL), or NULL: owned by s. Entries are in the file's order.
const StatsTensor *stats_find(const Stats *s, const char *name);
size_t stats_count(const Stats *s);
const StatsTensor *stats_at(const Stats *s, size_t index);
// Loads the matrices too, each checked against its hash: free with stats_tensor_free. Any thread may.
bool stats_load(const Stats *s, const char *name, StatsTensor *out, Error *err);
// The same with the importance alone.
bool stats_load_importance(const Stats *s, const char *name, StatsTensor *out, Error *err);
void stats_tensor_free(StatsTensor *tensor);

// No loss is known: all NAN.
void stats_no_losses(double loss[DT_COUNT]);

#endif
