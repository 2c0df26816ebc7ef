// Allocation that reports instead of failing silently, 64-byte aligned, and can be told to fail in tests.
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "core/error.h"
#include <stddef.h>

// count * size bytes, zeroed, aligned to 64. NULL with a message on overflow or when memory is out. Free with mem_free.
void *mem_alloc(size_t count, size_t size, Error *err);
void mem_free(void *p);

// A copy of a string (length n, then a NUL; s may be NULL where n is 0). NULL with a message when memory is out. Free
// with mem_free.
char *mem_text(const char *s, size_t n, Error *err);

// Grows *items (elements of `size` bytes, allocated by mem_alloc) so that one more than `count` fits; *capacity
// follows.
bool mem_grow(void *items, size_t count, size_t *capacity, size_t size, Error *err);

// Tests: the n-th allocation from now on fails once (n = 0: never). Returns how many were made since the last call.
size_t mem_fail_at(size_t n);

#endif
