#include "cli/text_input.h"

#include "core/file.h"
#include "core/mem.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

char *text_input(const char *path, size_t *size, Error *err) {
    if (strcmp(path, "-") != 0) return file_read(path, SIZE_MAX, size, err);
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    do {
        // Room for one more byte than is there, always: for the NUL at the end.
        if (!mem_grow(&text, *size + 1, &capacity, 1, err)) break;
        *size += fread(text + *size, 1, capacity - 1 - *size, stdin);
    } while (!feof(stdin) && !ferror(stdin));
    if (ferror(stdin)) error_set(err, "standard input: cannot be read: %s", strerror(errno));
    if (feof(stdin) && !ferror(stdin)) {
        text[*size] = '\0';
        return text;
    }
    mem_free(text);
    return NULL;
}
