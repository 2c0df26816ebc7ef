// An ordered section that nobody waits for: threads compute items in any order and leave each in a slot; whoever leaves
// one while nobody hands on does so, in order, with all that have come until then, and the others compute on.
#ifndef CORE_TURN_H
#define CORE_TURN_H

#include "core/error.h"
#include <pthread.h>
#include <stddef.h>

typedef struct Turn {
    pthread_mutex_t lock;
    pthread_cond_t passed;
    size_t slots;
    size_t next;  // whose turn it is: the items before it were handed on
    bool *ready;  // [slots]: of next, next + 1, ..., item i at i % slots
    bool busy;    // somebody hands on
    int sleepers; // who wait for a slot
} Turn;

// With fewer slots than threads some would only wait. turn_destroy is fine also where this failed.
bool turn_init(Turn *turn, size_t slots, Error *err);
void turn_destroy(Turn *turn);

// Waits, asleep, until slot item % slots is free. Items must be taken up in order, as OpenMP's schedule(monotonic :
// dynamic, 1) does, and each must be left, or others wait for ever.
void turn_claim(Turn *turn, size_t item);

// The item is in its slot. Where it returns true, the caller hands on:
//     if (turn_leave(turn, item)) do ... turn->next ...; while (turn_pass(turn));
// and between the two turn->next and what those who hand on share are its own.
bool turn_leave(Turn *turn, size_t item);
bool turn_pass(Turn *turn); // whether the one after it has come

#endif
