// Checkpoints of tests/data/families, made again from what their goldens say: weights come from a seed, by the rule at
// the top of scripts/make_family_goldens.py, bit for bit. Failure to write ends the test program (tests/tiny.h).
#ifndef TESTS_GOLDEN_MODEL_H
#define TESTS_GOLDEN_MODEL_H

#include "core/json.h"
#include "tests/tiny.h"

static inline uint64_t golden_start(const char *name, uint64_t seed) { // FNV-1a of the name, then the seed
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++) h = (h ^ (uint8_t)*c) * 0x100000001b3u;
    return h + seed;
}

// Element i of the tensor that starts there: SplitMix64's number i + 1, its upper 24 bits as a number in [-1, 1).
static inline float golden_value(uint64_t start, uint64_t i, float scale, float offset) {
    uint64_t z = start + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    float u = (float)(z >> 40) * 0x1p-23f - 1;
    return u * scale + offset;
}

// What a golden must hold there; ends the program where it does not.
static inline const cJSON *golden_item(const cJSON *list, int i) {
    const cJSON *item = cJSON_GetArrayItem(list, i);
    if (!item) tiny_die("a golden lacks a value");
    return item;
}

static inline size_t golden_elements(const cJSON *shape) {
    size_t n = 1;
    const cJSON *size;
    cJSON_ArrayForEach(size, shape) n *= (size_t)size->valuedouble;
    return n;
}

// The weights as one safetensors file: [[name, [shape], scale, offset], ...].
static inline void golden_weights(const cJSON *tensors, uint64_t seed, const char *path) {
    size_t size = 0, at = 0;
    const cJSON *t;
    cJSON *header = cJSON_CreateObject();
    cJSON_ArrayForEach(t, tensors) {
        const cJSON *shape = golden_item(t, 1);
        size_t end = size + golden_elements(shape) * sizeof(float);
        const double ends[] = {(double)size, (double)end};
        cJSON *entry = cJSON_AddObjectToObject(header, golden_item(t, 0)->valuestring);
        cJSON_AddStringToObject(entry, "dtype", "F32");
        cJSON_AddItemToObject(entry, "shape", cJSON_Duplicate(shape, true));
        cJSON_AddItemToObject(entry, "data_offsets", cJSON_CreateDoubleArray(ends, 2));
        size = end;
    }
    float *data = malloc(size + 1);
    char *text = cJSON_PrintUnformatted(header);
    if (!data || !text) tiny_die("malloc");
    cJSON_ArrayForEach(t, tensors) {
        uint64_t start = golden_start(golden_item(t, 0)->valuestring, seed);
        size_t n = golden_elements(golden_item(t, 1));
        float scale = (float)golden_item(t, 2)->valuedouble, offset = (float)golden_item(t, 3)->valuedouble;
        for (size_t i = 0; i < n; i++) data[at++] = golden_value(start, i, scale, offset);
    }
    tiny_safetensors(path, text, data, size);
    free(data);
    cJSON_free(text);
    cJSON_Delete(header);
}

// What exports need of a tokenizer: byte-level BPE; ids that it does not have are padding there.
#define GOLDEN_TOKENIZER                                                                                               \
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","          \
    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":null,"                    \
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"           \
    "\"merges\":[\"a b\"]}}"

// Makes the directory anew: config.json, model.safetensors and tokenizer.json.
static inline void golden_write(const cJSON *golden, const char *directory) {
    char path[512];
    tiny_remove(directory);
    if (mkdir(directory, 0777) != 0) tiny_die(directory);
    char *config = cJSON_Print(json_member(golden, "config"));
    if (!config) tiny_die("malloc");
    tiny_text(directory, "config.json", config);
    cJSON_free(config);
    tiny_text(directory, "tokenizer.json", GOLDEN_TOKENIZER);
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    golden_weights(json_member(golden, "tensors"), (uint64_t)json_member(golden, "seed")->valuedouble, path);
}

// Its sequences as text for windows_parse: ids, one sequence a line. Free with free.
static inline char *golden_ids(const cJSON *golden) {
    const cJSON *sequence, *id;
    size_t count = 0;
    cJSON_ArrayForEach(sequence, json_member(golden, "sequences")) count +=
        (size_t)cJSON_GetArraySize(json_member(sequence, "ids"));
    char *text = calloc(count + 1, 12), *at = text;
    if (!text) tiny_die("calloc");
    cJSON_ArrayForEach(sequence, json_member(golden, "sequences")) {
        cJSON_ArrayForEach(id, json_member(sequence, "ids")) at += sprintf(at, "%d ", id->valueint);
        at[-1] = '\n';
    }
    return text;
}

#endif
