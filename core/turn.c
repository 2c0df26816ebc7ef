#include "core/turn.h"

void turn_init(Turn *turn) {
    pthread_mutex_init(&turn->lock, NULL);
    pthread_cond_init(&turn->passed, NULL);
    atomic_init(&turn->next, 0);
}

void turn_destroy(Turn *turn) {
    pthread_cond_destroy(&turn->passed);
    pthread_mutex_destroy(&turn->lock);
}

// Most waits are for a write of some tens of microseconds, as long as it takes to wake up.
enum { LOOKS = 3000 };

static void breathe(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

void turn_wait(Turn *turn, size_t item) {
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&turn->next, memory_order_acquire) == item) return;
        breathe();
    }
    pthread_mutex_lock(&turn->lock);
    while (atomic_load(&turn->next) != item) pthread_cond_wait(&turn->passed, &turn->lock);
    pthread_mutex_unlock(&turn->lock);
}

void turn_pass(Turn *turn) {
    pthread_mutex_lock(&turn->lock);
    atomic_fetch_add(&turn->next, 1);
    pthread_cond_broadcast(&turn->passed);
    pthread_mutex_unlock(&turn->lock);
}
