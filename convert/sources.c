#include "convert/sources.h"

#include "core/mem.h"
#include <string.h>

enum { PIECE = 4 << 20 }; // bytes hashed before their pages are given back, where nobody else will need them

struct SourceHash {
    const Model *model;
    bool idle;         // the model has its sources
    size_t file;       // of model->maps
    size_t done;       // bytes of that file hashed
    HashStream *state; // NULL: memory was out; said at the end
    cJSON *list;
};

static bool no_memory(Error *err) { return error_set(err, "out of memory"); }

void sources_abort(SourceHash *s) {
    if (!s) return;
    if (s->state) hash_stream_end(s->state);
    cJSON_Delete(s->list);
    mem_free(s);
}

SourceHash *sources_begin(const Model *model, Error *err) {
    SourceHash *s = mem_alloc(1, sizeof *s, err);
    if (!s) return NULL;
    s->model = model;
    s->idle = model->sources != NULL;
    if (s->idle) return s;
    s->state = hash_stream_new();
    s->list = cJSON_CreateArray();
    if (s->state && s->list) return s;
    no_memory(err);
    sources_abort(s);
    return NULL;
}

// The name inside the directory; of a model that is a file, or several beside each other, the last part of the path.
static const char *name_of(const Model *model, const char *path) {
    size_t n = strlen(model->path);
    if (strncmp(path, model->path, n) != 0 || (path[n] != '/' && (!n || path[n - 1] != '/'))) {
        const char *slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
    }
    for (path += n; *path == '/';) path++;
    return path;
}

// {"file", "bytes", "xxh3"} of the file that is complete now.
static bool list_file(SourceHash *s, Hash hash) {
    char hex[HASH_HEX];
    const FileMap *map = s->model->maps[s->file];
    cJSON *entry = cJSON_CreateObject();
    bool ok = entry && cJSON_AddStringToObject(entry, "file", name_of(s->model, map->path)) &&
              cJSON_AddNumberToObject(entry, "bytes", (double)map->size) &&
              cJSON_AddStringToObject(entry, "xxh3", hash_hex(hash, hex)) && cJSON_AddItemToArray(s->list, entry);
    if (!ok) cJSON_Delete(entry);
    return ok;
}

// Hashes the file's rest and goes to the next.
static void next_file(SourceHash *s) {
    const FileMap *map = s->model->maps[s->file];
    while (s->done < map->size) {
        size_t n = map->size - s->done < PIECE ? map->size - s->done : PIECE;
        hash_stream_add(s->state, map->data + s->done, n);
        file_release(map, map->data + s->done, n);
        s->done += n;
    }
    bool ok = list_file(s, hash_stream_end(s->state));
    s->state = ok ? hash_stream_new() : NULL;
    s->file++;
    s->done = 0;
}

void sources_reach(SourceHash *s, const FileMap *file, const void *end) {
    if (s->idle || !file) return;
    while (s->state && s->model->maps[s->file] != file) next_file(s);
    size_t to = (size_t)((const uint8_t *)end - file->data);
    if (!s->state || to <= s->done) return;
    hash_stream_add(s->state, file->data + s->done, to - s->done);
    s->done = to;
}

bool sources_end(SourceHash *s, Model *model, Error *err) {
    while (!s->idle && s->state && s->file < model->map_count) next_file(s);
    bool ok = s->idle || s->state || no_memory(err);
    if (ok && !s->idle) {
        model->sources = s->list;
        s->list = NULL;
    }
    sources_abort(s);
    return ok;
}

bool recipe_add(Model *model, cJSON *step, Error *err) {
    char hex[HASH_HEX];
    bool ok = step && (!model->has_identity || cJSON_AddStringToObject(step, "from", hash_hex(model->identity, hex))) &&
              cJSON_AddItemToArray(model->recipe, step);
    if (ok) return true;
    cJSON_Delete(step);
    return no_memory(err);
}
