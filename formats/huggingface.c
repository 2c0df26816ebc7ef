#include "formats/huggingface.h"

#include "core/mem.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include <stdlib.h>
#include <string.h>

enum {
    FILE_MAX = 256 << 20,  // a kept file; the largest tokenizer.json so far has 33 MB
    INDEX_MAX = 64 << 20,  // model.safetensors.index.json
    INDEX_VALUES = 1 << 20 // tensors that it may name
};

static const char *const kept[] = {
    "config.json",     "generation_config.json",  "tokenizer.json",     "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json",  "vocab.json",
    "merges.txt",      "chat_template.jinja",     "chat_template.json",
};

bool hf_read_files(const char *directory, Model *model, Error *err) {
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char *path = file_join(directory, kept[i], err);
        if (!path) return false;
        bool ok = true;
        if (file_exists(path)) {
            size_t size;
            char *data = file_read(path, FILE_MAX, &size, err);
            ok = data && model_add_file(model, kept[i], data, size, err);
            mem_free(data);
        }
        mem_free(path);
        if (!ok) return false;
    }
    return true;
}

typedef TensorFile *OpenShard(const char *path, Error *err);

static bool add_shard(HfWeights *w, const char *directory, const char *name, OpenShard *open, Error *err) {
    char *path = file_join(directory, name, err);
    TensorFile *shard = path ? open(path, err) : NULL;
    mem_free(path);
    if (shard) w->shards[w->count++] = shard;
    return shard != NULL;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

// The distinct file names of the weight map, sorted. The names stay the map's.
static const char **shard_names(const cJSON *map, size_t *count, Error *err) {
    size_t n = 0, distinct = 0;
    const cJSON *m;
    cJSON_ArrayForEach(m, map) n++;
    const char **names = mem_alloc(n, sizeof *names, err);
    if (!names) return NULL;
    n = 0;
    cJSON_ArrayForEach(m, map) {
        if (!cJSON_IsString(m)) {
            error_set(err, "\"weight_map\": the shard of \"%.200s\" is not a file name", m->string);
            mem_free(names);
            return NULL;
        }
        names[n++] = m->valuestring;
    }
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[distinct - 1]) != 0) names[distinct++] = names[i];
    *count = distinct;
    return names;
}

static bool check_map(const cJSON *map, const char **names, const HfWeights *w, Error *err) {
    const cJSON *m;
    cJSON_ArrayForEach(m, map) {
        const char *key = m->valuestring;
        const char **at = bsearch(&key, names, w->count, sizeof *names, by_text);
        if (!tensor_file_find(w->shards[at - names], m->string))
            return error_set(err, "tensor %.200s is not in %.200s, where the index says it is", m->string, key);
    }
    return true;
}

static bool open_shards(HfWeights *w, const char *directory, const cJSON *index, OpenShard *open, Error *err) {
    const cJSON *map = json_member(index, "weight_map");
    if (!cJSON_IsObject(map) || !map->child) return error_set(err, "\"weight_map\" is missing or empty");
    JsonIndex *unique = json_index_new(map, err);
    if (!unique) return false;
    mem_free(unique);
    size_t n = 0;
    const char **names = shard_names(map, &n, err);
    bool ok = names && (w->shards = mem_alloc(n, sizeof(TensorFile *), err));
    for (size_t i = 0; ok && i < n; i++) ok = add_shard(w, directory, names[i], open, err);
    ok = ok && check_map(map, names, w, err);
    mem_free(names);
    return ok;
}

static bool open_index(HfWeights *w, const char *directory, const char *path, OpenShard *open, Error *err) {
    size_t size;
    char *text = file_read(path, INDEX_MAX, &size, err);
    if (!text) return false;
    cJSON *index = json_bounded(text, size, INDEX_VALUES, err) ? json_parse(text, size, err) : NULL;
    mem_free(text);
    bool ok = index && open_shards(w, directory, index, open, err);
    cJSON_Delete(index);
    return ok || error_prefix(err, "%s", path);
}

// Where weights may be, in the order of preference.
enum { SINGLE, INDEX, PICKLE, PICKLE_INDEX, NONE };
static const char *const places[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                     "pytorch_model.bin.index.json"};

// The first of them that is there: its path, to be freed, and which it is. NULL with NONE where there is none.
static char *find_weights(const char *directory, int *which, Error *err) {
    for (*which = 0; *which < NONE; ++*which) {
        char *path = file_join(directory, places[*which], err);
        if (!path || file_exists(path)) return path;
        mem_free(path);
    }
    return NULL;
}

static bool open_weights(HfWeights *w, const char *directory, int which, const char *path, Error *err) {
    OpenShard *open = which == PICKLE || which == PICKLE_INDEX ? torch_file_open : safetensors_open;
    if (which == INDEX || which == PICKLE_INDEX) return open_index(w, directory, path, open, err);
    w->shards = mem_alloc(1, sizeof *w->shards, err);
    return w->shards && add_shard(w, directory, places[which], open, err);
}

bool hf_open_weights(const char *directory, HfWeights *w, Error *err) {
    *w = (HfWeights){0};
    int which;
    char *path = find_weights(directory, &which, err);
    if (which == NONE)
        return error_set(err,
                         "%s: has no weights: neither model.safetensors nor pytorch_model.bin is there, nor an "
                         "index of shards",
                         directory);
    bool ok = path && open_weights(w, directory, which, path, err);
    mem_free(path);
    if (!ok) hf_close_weights(w);
    return ok;
}

void hf_close_weights(HfWeights *w) {
    for (size_t i = 0; i < w->count; i++) tensor_file_close(w->shards[i]);
    mem_free(w->shards);
    *w = (HfWeights){0};
}
