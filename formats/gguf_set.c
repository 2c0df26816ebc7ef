// A GGUF file, or the parts that one was split into.
#include "formats/gguf.h"

#include "core/mem.h"
#include <stdio.h>
#include <string.h>

enum { PARTS_MAX = 65535, SUFFIX = sizeof "-00001-of-00003.gguf" - 1 };

static bool open_part(const char *path, Gguf *g, Error *err) {
    FileMap *map = file_map(path, err);
    return map && (gguf_read(map->data, map->size, map, g, err) || error_prefix(err, "%s", path));
}

static void suffix_of(char out[SUFFIX + 1], int64_t part, int64_t count) {
    snprintf(out, SUFFIX + 1, "-%05d-of-%05d.gguf", (int)part, (int)count);
}

// The path of a part, given that of the first. Free with mem_free.
static char *part_path(const char *first, int64_t part, int64_t count, Error *err) {
    size_t size = strlen(first);
    char *path = mem_text(first, size, err);
    if (path) suffix_of(path + size - SUFFIX, part, count);
    return path;
}

static bool check_part(const Gguf *g, int64_t part, int64_t count, Error *err) {
    int64_t no = -1, of = -1;
    if (!gguf_int(g, "split.no", 0, PARTS_MAX, &no, err) || !gguf_int(g, "split.count", 0, PARTS_MAX, &of, err))
        return false;
    if (no == part && of == count) return true;
    return error_set(err, "should be part %lld of %lld, but says it is %lld of %lld (split.no, split.count)",
                     (long long)part + 1, (long long)count, (long long)no + 1, (long long)of);
}

static bool open_others(const char *path, GgufSet *set, int64_t count, Error *err) {
    for (int64_t part = 1; part < count; part++) {
        char *name = part_path(path, part + 1, count, err);
        Gguf *g = &set->parts[set->count];
        bool ok = name && open_part(name, g, err);
        if (ok) set->count++;
        ok = ok && (check_part(g, part, count, err) || error_prefix(err, "%s", name));
        mem_free(name);
        if (!ok) return false;
    }
    int64_t tensors = 0, found = 0;
    for (size_t i = 0; i < set->count; i++) found += (int64_t)set->parts[i].tensor_count;
    if (!gguf_int(&set->parts[0], "split.tensors.count", 0, INT64_MAX, &tensors, err))
        return error_prefix(err, "%s", path);
    return !tensors || tensors == found ||
           error_set(err, "%s: its parts have %lld tensors together, but split.tensors.count is %lld", path,
                     (long long)found, (long long)tensors);
}

// How many parts there are, told by the first; an error where this is not the first, or is not called so.
static bool count_parts(const char *path, const Gguf *first, int64_t *count, Error *err) {
    char suffix[SUFFIX + 1];
    int64_t no = 0;
    size_t size = strlen(path);
    *count = 1;
    if (!gguf_int(first, "split.count", 0, PARTS_MAX, count, err) ||
        !gguf_int(first, "split.no", 0, PARTS_MAX, &no, err))
        return false;
    if (*count <= 1) {
        *count = 1;
        return true;
    }
    suffix_of(suffix, 1, *count);
    if (no != 0)
        return error_set(err, "is part %lld of %lld; name the first, whose name ends with %s", (long long)no + 1,
                         (long long)*count, suffix);
    return (size > SUFFIX && strcmp(path + size - SUFFIX, suffix) == 0) ||
           error_set(err, "is the first of %lld parts, so its name must end with %s, for the others to be found",
                     (long long)*count, suffix);
}

bool gguf_set_open(const char *path, GgufSet *set, Error *err) {
    Gguf first;
    int64_t count;
    *set = (GgufSet){0};
    if (!open_part(path, &first, err)) return false;
    bool ok = count_parts(path, &first, &count, err) || error_prefix(err, "%s", path);
    set->parts = ok ? mem_alloc((size_t)count, sizeof *set->parts, err) : NULL;
    if (!set->parts) {
        gguf_free(&first);
        return false;
    }
    set->parts[set->count++] = first;
    if (open_others(path, set, count, err)) return true;
    gguf_set_close(set);
    return false;
}

void gguf_set_close(GgufSet *set) {
    for (size_t i = 0; i < set->count; i++) gguf_free(&set->parts[i]);
    mem_free(set->parts);
    *set = (GgufSet){0};
}
