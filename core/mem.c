#include "core/mem.h"

#include "core/size.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE = 1 << 20, PAGE = 1 << 16 }; // a multiple of every page size

static atomic_size_t made, fail_at;

size_t mem_fail_at(size_t n) {
    atomic_store(&fail_at, n);
    return atomic_exchange(&made, 0);
}

void *mem_alloc(size_t count, size_t size, Error *err) {
    size_t bytes, n = atomic_fetch_add(&made, 1) + 1;
    if (!size_mul(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        error_set(err, "out of memory: %zu items of %zu bytes are more than can be addressed", count, size);
        return NULL;
    }
    bool large = bytes >= LARGE;
    bytes = size_align(bytes ? bytes : 1, large ? PAGE : 64);
    void *p = n == atomic_load(&fail_at) ? NULL : aligned_alloc(large ? PAGE : 64, bytes);
    if (!p) {
        char text[32];
        error_set(err, "out of memory: cannot have %s; free some, or use fewer threads or windows",
                  size_text(bytes, text));
        return NULL;
    }
    // Pages given back are zero when they are next touched: by the thread that uses them, not all of them here.
    if (!large || madvise(p, bytes, MADV_DONTNEED) != 0) memset(p, 0, bytes);
    return p;
}

void mem_free(void *p) { free(p); }

char *mem_text(const char *s, size_t n, Error *err) {
    char *copy = mem_alloc(n + 1, 1, err);
    if (copy && n) memcpy(copy, s, n);
    return copy;
}

bool mem_grow(void *items, size_t count, size_t *capacity, size_t size, Error *err) {
    if (count < *capacity) return true;
    void **slot = items;
    size_t want = *capacity ? *capacity * 2 : 16;
    void *grown = mem_alloc(want, size, err);
    if (!grown) return false;
    if (*slot) memcpy(grown, *slot, *capacity * size);
    mem_free(*slot);
    *slot = grown;
    *capacity = want;
    return true;
}
