// What `nibble bench` measures: each function adds its lines to the table and its objects to the JSON.
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "core/json.h"
#include "formats/model.h"
#include <stdio.h>

typedef struct Bench {
    FILE *table;                     // NULL: none
    cJSON *json;                     // an object
    double seconds;                  // that each measurement lasts at least
    double bandwidth, bandwidth_one; // read, of all threads and of one, bytes a second; bench_machine sets them
} Bench;

// The CPU, how fast it reads memory, and its matrix multiply in f32.
bool bench_machine(Bench *b, Error *err);

// Each type's kernels: dequantizing, dot products, the integer matrix multiply; and quantizing.
bool bench_kernels(Bench *b, Error *err);

typedef struct BenchModel {
    int64_t prompt, gen; // tokens
    int repeat;
} BenchModel;

// Tokens a second of a prompt, and one by one after nothing, as llama-bench has them.
bool bench_model(Bench *b, const Model *model, const BenchModel *what, Error *err);

// The shortest of several runs of f(context) that take b->seconds together, at least three; in seconds.
double bench_shortest(const Bench *b, void (*f)(void *context), void *context);

#endif
