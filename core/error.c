#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Names from files may hold anything: control characters would break the one-line promise (and the terminal).
static void text_clean(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

bool error_set(Error *err, const char *format, ...) {
    if (!err) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    text_clean(err->text);
    return false;
}

bool error_prefix(Error *err, const char *format, ...) {
    if (!err) return false;
    char old[sizeof err->text], prefix[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    if (snprintf(err->text, sizeof err->text, "%s: %s", prefix, old) < 0) err->text[0] = 0;
    text_clean(err->text);
    return false;
}
