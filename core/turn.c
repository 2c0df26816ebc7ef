#include "core/turn.h"

void turn_init(Turn *turn) {
    pthread_mutex_init(&turn->lock, NULL);
    pthread_cond_init(&turn->passed, NULL);
    turn->next = 0;
}

void turn_destroy(Turn *turn) {
    pthread_cond_destroy(&turn->passed);
    pthread_mutex_destroy(&turn->lock);
}

void turn_wait(Turn *turn, size_t item) {
    pthread_mutex_lock(&turn->lock);
    while (turn->next != item) pthread_cond_wait(&turn->passed, &turn->lock);
    pthread_mutex_unlock(&turn->lock);
}

void turn_pass(Turn *turn) {
    pthread_mutex_lock(&turn->lock);
    turn->next++;
    pthread_cond_broadcast(&turn->passed);
    pthread_mutex_unlock(&turn->lock);
}
