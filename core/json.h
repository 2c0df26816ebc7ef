// cJSON behind checks: every text is bounded, every value's kind and range is checked, messages name the key.
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/error.h"
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

// Parses exactly one value from `size` bytes (white space around it allowed). Refuses nesting deeper than cJSON's limit
// (1000), text after the value, and NUL bytes. NULL with a message. Free with cJSON_Delete.
cJSON *json_parse(const char *text, size_t size, Error *err);

// Whether the text can hold at most `values` JSON values: a cheap count of what separates them, made before parsing,
// since a parsed value takes some 30 times the memory of the byte or two that a hostile file spends on it.
bool json_bounded(const char *text, size_t size, size_t values, Error *err);

// Reads and parses a file of at most `limit` bytes.
cJSON *json_read(const char *path, size_t limit, Error *err);

// Members of an object. A missing or null member leaves *value as it is (its default) and is fine;
// one of another kind or outside [min, max] is an error naming the key.
bool json_int(const cJSON *object, const char *key, int64_t min, int64_t max, int64_t *value, Error *err);
bool json_double(const cJSON *object, const char *key, double min, double max, double *value, Error *err);
bool json_bool(const cJSON *object, const char *key, bool *value, Error *err);

// A string member; NULL where missing, null or not a string. Points into the object.
const char *json_text(const cJSON *object, const char *key);

// A member that is not null; NULL otherwise.
const cJSON *json_member(const cJSON *object, const char *key);

// A sorted index of an object's members by name, since cJSON's own look-up is linear: for large vocabularies.
// json_index_new fails on duplicate names, naming one. Free with mem_free. The object must outlive it.
typedef struct JsonIndex JsonIndex;
JsonIndex *json_index_new(const cJSON *object, Error *err);
const cJSON *json_index_find(const JsonIndex *index, const char *key);

#endif
