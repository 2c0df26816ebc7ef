// Overflow-checked size arithmetic, and sizes as people write them (4GiB, 86MiB).
#ifndef CORE_SIZE_H
#define CORE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each returns false, leaving *out undefined, when the result does not fit. Use them on every number read from a file.
static inline bool size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

static inline size_t size_align(size_t n, size_t to) { return (n + to - 1) / to * to; } // n far below SIZE_MAX

// "98.87 MiB"; writes at most 32 bytes into buf and returns it.
const char *size_text(uint64_t bytes, char buf[32]);

// Parses "512", "86MiB", "1.5GiB", "2GB" (binary units with i, decimal without). False when it is not a size.
bool size_parse(const char *text, uint64_t *bytes);

#endif
