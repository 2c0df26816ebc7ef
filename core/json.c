#include "core/json.h"

#include "core/file.h"
#include "core/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

cJSON *json_parse(const char *text, size_t size, Error *err) {
    const char *end = NULL;
    if (memchr(text, 0, size)) {
        error_set(err, "malformed JSON: a NUL byte at %zu", (size_t)((const char *)memchr(text, 0, size) - text));
        return NULL;
    }
    // White space after the value is cut here, so that what the parser has not read must be the file's end.
    while (size && strchr(" \t\r\n", text[size - 1])) size--;
    cJSON *value = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!value || end != text + size) {
        error_set(err, "malformed JSON near byte %zu", end ? (size_t)(end - text) : (size_t)0);
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

bool json_bounded(const char *text, size_t size, size_t values, Error *err) {
    size_t count = 1;
    for (size_t i = 0; i < size; i++) count += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return count <= values || error_set(err, "its JSON has more than %zu values", values);
}

cJSON *json_read(const char *path, size_t limit, Error *err) {
    size_t size;
    char *text = file_read(path, limit, &size, err);
    if (!text) return NULL;
    cJSON *value = json_parse(text, size, err);
    if (!value) error_prefix(err, "%s", path);
    mem_free(text);
    return value;
}

const cJSON *json_member(const cJSON *object, const char *key) {
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);
    return m && !cJSON_IsNull(m) ? m : NULL;
}

const char *json_text(const cJSON *object, const char *key) {
    const cJSON *m = json_member(object, key);
    return m && cJSON_IsString(m) ? m->valuestring : NULL;
}

bool json_double(const cJSON *object, const char *key, double min, double max, double *value, Error *err) {
    const cJSON *m = json_member(object, key);
    if (!m) return true;
    if (!cJSON_IsNumber(m)) return error_set(err, "\"%s\" is not a number", key);
    if (!(m->valuedouble >= min && m->valuedouble <= max))
        return error_set(err, "\"%s\" is %g, outside %g to %g", key, m->valuedouble, min, max);
    *value = m->valuedouble;
    return true;
}

bool json_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t *value, Error *err) {
    double v = (double)*value;
    if (!json_double(object, key, (double)min, (double)max, &v, err)) return false;
    if (json_member(object, key) && v != floor(v)) return error_set(err, "\"%s\" is %g, not a whole number", key, v);
    if (json_member(object, key)) *value = (int64_t)v;
    return true;
}

bool json_bool(const cJSON *object, const char *key, bool *value, Error *err) {
    const cJSON *m = json_member(object, key);
    if (!m) return true;
    if (!cJSON_IsBool(m)) return error_set(err, "\"%s\" is neither true nor false", key);
    *value = cJSON_IsTrue(m);
    return true;
}

struct JsonIndex {
    size_t count;
    const cJSON *items[];
};

static int by_name(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

JsonIndex *json_index_new(const cJSON *object, Error *err) {
    size_t n = 0;
    const cJSON *m;
    cJSON_ArrayForEach(m, object) n++;
    JsonIndex *index = mem_alloc(1, sizeof *index + n * sizeof *index->items, err);
    if (!index) return NULL;
    cJSON_ArrayForEach(m, object) index->items[index->count++] = m;
    qsort(index->items, n, sizeof *index->items, by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&index->items[i - 1], &index->items[i]) == 0) {
            error_set(err, "\"%.200s\" is there twice", index->items[i]->string);
            mem_free(index);
            return NULL;
        }
    return index;
}

const cJSON *json_index_find(const JsonIndex *index, const char *key) {
    size_t lo = 0, hi = index->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(index->items[mid]->string, key);
        if (c == 0) return index->items[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
