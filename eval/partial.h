// A part of an evaluation in a file: what one of several machines did of it (nibble eval --shard), or what was done
// when it was interrupted (--state). It holds every scored token, digit for digit, and what the whole is known by.
#ifndef EVAL_PARTIAL_H
#define EVAL_PARTIAL_H

#include "eval/evaluate.h"

typedef struct Whole {
    int64_t shard, shards; // this one, from 0; of so many
    int64_t windows;       // of the whole evaluation
    int64_t first;         // of them, where this shard starts
    Hash text;             // windows_hash of the whole
    Compute compute;
} Whole;

// The windows of a shard: about as many as the others have, one after another.
void partial_range(Whole *whole, int64_t *count);

typedef struct Partial {
    Whole whole;
    int64_t done;          // windows of the shard that are there
    int64_t of;            // ... that it has
    Windows windows;       // those that are there, of ids only the scored tokens'
    Evaluation evaluation; // of them; its models are NULL, its results' summaries and scores are there
} Partial;

// Writes the first `done` windows of e, which is evaluated or being evaluated.
bool partial_write(const char *path, const Whole *whole, const Evaluation *e, size_t done, Error *err);

// Reads and checks one. Free with partial_free, also after a failure.
bool partial_read(const char *path, Partial *out, Error *err);
void partial_free(Partial *p);

// That two files are of the same evaluation: text, models, arithmetic, windows, number of shards. `name` and `other`
// are for the message.
bool partial_same(const Partial *a, const char *name, const Partial *b, const char *other, Error *err);

// Puts all shards together, in any order given: *windows and *out are as one run would have filled them, but for
// seconds, the sum of all, and tokens a second, by that sum. Free both.
bool partial_merge(Partial *parts, const char *const *names, size_t count, Windows *windows, Evaluation *out,
                   Error *err);

#endif
