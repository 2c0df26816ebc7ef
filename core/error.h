// Errors as values. A function that can fail returns false (or NULL) and leaves one line in an Error: what is wrong,
// where (file, tensor), what to do. Library code never prints and never exits; only cli/ does.
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include <stdbool.h>

typedef struct Error {
    char text[1024]; // one line, no newline at the end; empty while nothing is wrong
} Error;

// Sets the message; always returns false, so that `return error_set(err, ...)` reads well. err may be NULL.
bool error_set(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "prefix: " before the message that is there (a file's name before what its parser said). Returns false.
bool error_prefix(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
