// What people see on stderr while work goes on: warnings, notes, a progress bar. Results go to stdout, not here.
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum LogLevel { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE } LogLevel;

void log_set_level(LogLevel level); // LOG_NORMAL until set
LogLevel log_level(void);
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2))); // always shown, "warning: " before it
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2))); // not with -q
void log_more(const char *format, ...) __attribute__((format(printf, 1, 2))); // only with -v

// A bar with rate and time left on a terminal; a line at most every ten seconds elsewhere; nothing with -q.
// One at a time; progress_add may be called from any thread.
typedef enum ProgressUnit { PROGRESS_BYTES, PROGRESS_TOKENS } ProgressUnit;
void progress_start(const char *label, uint64_t total, ProgressUnit unit);
void progress_add(uint64_t done);
void progress_end(void);

double log_seconds(void); // a monotonic clock, in seconds

#endif
