#include "core/log.h"

#include "core/size.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static LogLevel level = LOG_NORMAL;

static struct {
    pthread_mutex_t lock;
    char label[64];
    uint64_t total, done;
    double start, shown;
    ProgressUnit unit;
    bool active, terminal, drawn;
} bar = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_set_level(LogLevel l) { level = l; }
LogLevel log_level(void) { return level; }

double log_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_line(const char *prefix, const char *format, va_list args) {
    pthread_mutex_lock(&bar.lock);
    if (bar.drawn && bar.terminal) fputs("\r\033[K", stderr);
    fputs(prefix, stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    pthread_mutex_unlock(&bar.lock);
}

#define LINE(prefix)                                                                                                   \
    do {                                                                                                               \
        va_list args;                                                                                                  \
        va_start(args, format);                                                                                        \
        print_line(prefix, format, args);                                                                              \
        va_end(args);                                                                                                  \
    } while (0)

void log_warn(const char *format, ...) { LINE("warning: "); }

void log_note(const char *format, ...) {
    if (level >= LOG_NORMAL) LINE("");
}

void log_more(const char *format, ...) {
    if (level >= LOG_VERBOSE) LINE("");
}

static void draw(double now) {
    double seconds = now - bar.start, share = bar.total ? (double)bar.done / (double)bar.total : 1;
    double rate = seconds > 0 ? (double)bar.done / seconds : 0;
    double left = rate > 0 ? (double)(bar.total - bar.done) / rate : 0;
    char speed[48], text[32];
    if (bar.unit == PROGRESS_BYTES)
        snprintf(speed, sizeof speed, "%s/s", size_text((uint64_t)rate, text));
    else
        snprintf(speed, sizeof speed, "%.0f tokens/s", rate);
    if (bar.terminal) {
        char cells[21];
        int full = (int)(share * 20);
        for (int i = 0; i < 20; i++) cells[i] = i < full ? '#' : '.';
        cells[20] = 0;
        fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %s  %.0f s left", bar.label, cells, share * 100, speed, left);
    } else {
        fprintf(stderr, "%s: %.0f %%, %s, %.0f s left\n", bar.label, share * 100, speed, left);
    }
    fflush(stderr);
    bar.shown = now;
    bar.drawn = true;
}

void progress_start(const char *label, uint64_t total, ProgressUnit unit) {
    pthread_mutex_lock(&bar.lock);
    snprintf(bar.label, sizeof bar.label, "%s", label);
    bar.total = total;
    bar.done = 0;
    bar.unit = unit;
    bar.start = bar.shown = log_seconds();
    bar.terminal = isatty(STDERR_FILENO);
    bar.active = level >= LOG_NORMAL;
    bar.drawn = false;
    pthread_mutex_unlock(&bar.lock);
}

void progress_add(uint64_t done) {
    pthread_mutex_lock(&bar.lock);
    bar.done += done;
    if (bar.done > bar.total) bar.done = bar.total;
    double now = log_seconds();
    if (bar.active && now - bar.shown > (bar.terminal ? 0.2 : 10.0)) draw(now);
    pthread_mutex_unlock(&bar.lock);
}

void progress_end(void) {
    pthread_mutex_lock(&bar.lock);
    if (bar.active && bar.drawn && bar.terminal) fputs("\r\033[K", stderr);
    bar.active = bar.drawn = false;
    pthread_mutex_unlock(&bar.lock);
}
