// core/turn.h: every item is handed on once, in order, never more than the slots ahead, whoever is slow.
#include "core/mem.h"
#include "core/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

enum { ITEMS = 400, SLOTS = 5, THREADS = 4 };

typedef enum Slow { NOBODY, COMPUTING, HANDING_ON, SLOW_KINDS } Slow;

typedef struct Work {
    Turn turn;
    Slow slow;
    atomic_size_t taken;
    size_t slot[SLOTS], came[ITEMS], count;
    atomic_int handing, most; // who hand on at the same time
} Work;

static void rest(size_t item) {
    struct timespec t = {0, (long)(item * 7919 % 13) * 20000};
    nanosleep(&t, NULL);
}

static void *work(void *context) {
    Work *w = context;
    size_t item;
    while ((item = atomic_fetch_add(&w->taken, 1)) < ITEMS) {
        turn_claim(&w->turn, item);
        if (w->slow == COMPUTING) rest(item);
        w->slot[item % SLOTS] = item;
        if (!turn_leave(&w->turn, item)) continue;
        do {
            if (atomic_fetch_add(&w->handing, 1) > 0) atomic_store(&w->most, 2);
            if (w->slow == HANDING_ON) rest(w->turn.next);
            w->came[w->count++] = w->slot[w->turn.next % SLOTS];
            atomic_fetch_sub(&w->handing, 1);
        } while (turn_pass(&w->turn));
    }
    return NULL;
}

static void in_order(void **state) {
    (void)state;
    for (Slow slow = NOBODY; slow < SLOW_KINDS; slow++) {
        static Work w;
        pthread_t threads[THREADS];
        Error err = {0};
        w = (Work){.slow = slow};
        if (!turn_init(&w.turn, SLOTS, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &w), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        turn_destroy(&w.turn);
        assert_int_equal(w.count, ITEMS);
        for (size_t i = 0; i < ITEMS; i++) assert_int_equal(w.came[i], i);
        assert_int_equal(w.most, 0);
    }
}

static void out_of_memory(void **state) {
    (void)state;
    Turn turn;
    Error err = {0};
    mem_fail_at(1);
    assert_false(turn_init(&turn, SLOTS, &err));
    mem_fail_at(0);
    turn_destroy(&turn);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_order), cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
