#include "cli/text_input.h"

#include "core/mem.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

// By stdio and not by mmap: a pipe has a name too (/dev/stdin, or what a shell makes of <(command)).
static char *read_all(FILE *file, const char *name, size_t *size, Error *err) {
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    do {
        // Room for one more byte than is there, always: for the NUL at the end.
        if (!mem_grow(&text, *size + 1, &capacity, 1, err)) break;
        *size += fread(text + *size, 1, capacity - 1 - *size, file);
    } while (!feof(file) && !ferror(file));
    if (ferror(file)) error_set(err, "%s: cannot be read: %s", name, strerror(errno));
    if (feof(file) && !ferror(file)) return text; // mem_grow leaves zeros behind what is read
    mem_free(text);
    return NULL;
}

char *text_input(const char *path, size_t *size, Error *err) {
    if (strcmp(path, "-") == 0) return read_all(stdin, "standard input", size, err);
    FILE *file = fopen(path, "rb");
    if (!file) {
        error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    char *text = read_all(file, path, size, err);
    fclose(file);
    return text;
}
