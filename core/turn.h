// An ordered section: threads that computed items in any order hand them on one after another. Like OpenMP's `ordered`,
// which however spins all the time that it waits, and takes the CPU from whoever would end the wait.
#ifndef CORE_TURN_H
#define CORE_TURN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct Turn {
    pthread_mutex_t lock;
    pthread_cond_t passed;
    atomic_size_t next; // whose turn it is
} Turn;

void turn_init(Turn *turn);
void turn_destroy(Turn *turn);

// Waits, soon asleep, until every item before this one was passed. Items must be taken up in order, as OpenMP's
// schedule(monotonic : dynamic, 1) does, and each must be passed, or the others wait for ever.
void turn_wait(Turn *turn, size_t item);
void turn_pass(Turn *turn);

#endif
