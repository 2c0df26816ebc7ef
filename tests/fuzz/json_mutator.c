// How libFuzzer changes the inputs of targets that read JSON: half of the time byte by byte, as it does by itself; else
// one value of the JSON text is taken out, doubled, replaced or renamed, so that what comes out is JSON still and a
// reader goes on to look at what it says. The text starts where the input does, or behind eight bytes that are its
// length, as in safetensors; what follows it in the input stays.
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, STRING_MAX = 64 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max); // libFuzzer's own
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static unsigned below(unsigned *seed, size_t n) {
    *seed = *seed * 1664525u + 1013904223u;
    return (unsigned)((*seed >> 8) % n);
}

static size_t count_values(const cJSON *value) {
    size_t n = 1;
    for (const cJSON *c = value->child; c; c = c->next) n += count_values(c);
    return n;
}

typedef struct Place {
    cJSON *parent, *value; // parent NULL: the root
} Place;

// The value of that number, counted from the root down.
static Place find(cJSON *parent, cJSON *value, size_t *number) {
    if (!*number) return (Place){parent, value};
    --*number;
    for (cJSON *c = value->child; c; c = c->next) {
        Place found = find(value, c, number);
        if (found.value) return found;
    }
    return (Place){NULL, NULL};
}

static Place any(cJSON *root, unsigned *seed) {
    size_t number = below(seed, count_values(root));
    return find(NULL, root, &number);
}

// A text, changed as libFuzzer would, without the NUL that cJSON could not hold.
static char *changed_text(const char *text) {
    size_t n = strlen(text);
    uint8_t *copy = malloc(n + STRING_MAX + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    n = LLVMFuzzerMutate(copy, n, n + STRING_MAX);
    copy[n] = 0;
    return (char *)copy;
}

static cJSON *changed(const cJSON *value, unsigned *seed) {
    static const double numbers[] = {0,          -1,         1,    2,     3,     4,      7,   8,    16,   63,   64,
                                     127,        128,        255,  256,   1024,  4096,   0.5, 1e-9, 1e9,  1e18, 1e308,
                                     2147483647, 4294967296, -0.5, 65535, 65536, 100000, 1e6, 1e7,  1e-30};
    if (cJSON_IsString(value)) {
        char *text = changed_text(value->valuestring);
        cJSON *made = text ? cJSON_CreateString(text) : NULL;
        free(text);
        return made;
    }
    if (cJSON_IsNumber(value) && below(seed, 2)) return cJSON_CreateNumber(value->valuedouble + (below(seed, 5) - 2.0));
    switch (below(seed, 6)) {
    case 0: return cJSON_CreateBool(!cJSON_IsTrue(value));
    case 1: return cJSON_CreateNull();
    case 2: return cJSON_CreateObject();
    case 3: return cJSON_CreateArray();
    default: return cJSON_CreateNumber(numbers[below(seed, sizeof numbers / sizeof *numbers)]);
    }
}

static void put(Place at, cJSON *value) {
    if (!value) return;
    if (cJSON_IsObject(at.parent))
        cJSON_AddItemToObject(at.parent, at.value->string, value); // whose name is there twice then
    else
        cJSON_AddItemToArray(at.parent, value);
}

static void replace(Place at, cJSON *value) {
    if (!value) return;
    if (at.value->string) {
        char *name = strdup(at.value->string);
        free(value->string);
        value->string = name;
    }
    cJSON_ReplaceItemViaPointer(at.parent, at.value, value);
}

static void rename_value(Place at, cJSON *root, unsigned *seed) {
    Place other = any(root, seed);
    const char *name = at.value->string;
    if (!name) return;
    char *made = other.value->string && other.value != at.value ? strdup(other.value->string) : changed_text(name);
    if (!made) return;
    free(at.value->string);
    at.value->string = made;
}

static void change(cJSON *root, unsigned *seed) {
    Place at = any(root, seed);
    if (!at.parent) return;
    switch (below(seed, 6)) {
    case 0: cJSON_Delete(cJSON_DetachItemViaPointer(at.parent, at.value)); break;
    case 1: put(at, cJSON_Duplicate(at.value, 1)); break;
    case 2: replace(at, cJSON_Duplicate(any(root, seed).value, 1)); break;
    case 3: rename_value(at, root, seed); break;
    default: replace(at, changed(at.value, seed)); break;
    }
}

// The text changed; NULL where it is no JSON. *end: what was read.
static char *change_text(const char *text, size_t size, const char **end, unsigned *seed) {
    cJSON *root = cJSON_ParseWithLengthOpts(text, size, end, 0);
    if (!root) return NULL;
    for (unsigned n = 1 + below(seed, 3); n; n--) change(root, seed);
    char *printed = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return printed;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    size_t start = size > LENGTH_BYTES && data[0] != '{' && data[LENGTH_BYTES] == '{' ? LENGTH_BYTES : 0;
    const char *end = NULL, *text = (const char *)data + start;
    char *made = below(&seed, 2) ? change_text(text, size - start, &end, &seed) : NULL;
    size_t length = made ? strlen(made) : 0, rest = made ? (size_t)((const char *)data + size - end) : 0;
    if (!made || start + length + rest > max) {
        cJSON_free(made);
        return LLVMFuzzerMutate(data, size, max);
    }
    memmove(data + start + length, end, rest);
    memcpy(data + start, made, length);
    for (size_t i = 0; i < start; i++) data[i] = (uint8_t)(length >> 8 * i);
    cJSON_free(made);
    return start + length + rest;
}
