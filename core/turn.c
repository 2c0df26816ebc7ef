#include "core/turn.h"

#include "core/mem.h"

bool turn_init(Turn *turn, size_t slots, Error *err) {
    *turn = (Turn){.slots = slots, .ready = mem_alloc(slots, sizeof(bool), err)};
    pthread_mutex_init(&turn->lock, NULL);
    pthread_cond_init(&turn->passed, NULL);
    return turn->ready != NULL;
}

void turn_destroy(Turn *turn) {
    pthread_cond_destroy(&turn->passed);
    pthread_mutex_destroy(&turn->lock);
    mem_free(turn->ready);
}

void turn_claim(Turn *turn, size_t item) {
    pthread_mutex_lock(&turn->lock);
    turn->sleepers++;
    while (item >= turn->next + turn->slots) pthread_cond_wait(&turn->passed, &turn->lock);
    turn->sleepers--;
    pthread_mutex_unlock(&turn->lock);
}

// Under the lock: begins to hand on the next item where it is there.
static bool begin(Turn *turn) {
    bool *ready = &turn->ready[turn->next % turn->slots];
    turn->busy = *ready;
    *ready = false;
    return turn->busy;
}

bool turn_leave(Turn *turn, size_t item) {
    pthread_mutex_lock(&turn->lock);
    turn->ready[item % turn->slots] = true;
    bool ours = !turn->busy && begin(turn);
    pthread_mutex_unlock(&turn->lock);
    return ours;
}

bool turn_pass(Turn *turn) {
    pthread_mutex_lock(&turn->lock);
    turn->next++;
    if (turn->sleepers) pthread_cond_broadcast(&turn->passed);
    bool more = begin(turn);
    pthread_mutex_unlock(&turn->lock);
    return more;
}
