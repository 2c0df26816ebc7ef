// "I/N": part I, from 0, of N parts of the work.
#ifndef CLI_SHARD_H
#define CLI_SHARD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Shard {
    int64_t index, count; // count 0: all of it
} Shard;

bool shard_parse(const char *text, Shard *shard); // false where it is something else

#endif
