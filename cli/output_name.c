#include "cli/output_name.h"

#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Name {
    const char *at;
    size_t length;
} Name;

static Name last_part(const char *path) {
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    return (Name){path + start, end - start};
}

static bool ends_in(const char *name, size_t length, const char *ending) {
    size_t n = strlen(ending);
    return length > n && strncmp(name + length - n, ending, n) == 0;
}

size_t output_stem(const char *name, size_t length) {
    if (ends_in(name, length, ".nib")) length -= strlen(".nib");
    if (ends_in(name, length, ".gguf")) length -= strlen(".gguf");
    return length;
}

char *output_name(const char *model, const char *version, const char *ending, Error *err) {
    Name name = last_part(model);
    char *real = NULL;
    // "." and ".." are no names, but the directories that they stand for have some.
    if (strspn(name.at, ".") == name.length && (real = realpath(model, NULL))) name = last_part(real);
    name.length = output_stem(name.at, name.length);
    if (!name.length) name = (Name){"model", strlen("model")};
    size_t size = name.length + (version ? strlen(version) : 0) + strlen(ending) + 2;
    char *output = mem_alloc(size, 1, err);
    if (output)
        snprintf(output, size, "%.*s%s%s%s", (int)name.length, name.at, version ? "-" : "", version ? version : "",
                 ending);
    free(real);
    return output;
}

bool output_check(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is the model that is read; name another output with -o", output);
    return true;
}
