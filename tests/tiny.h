// Tiny random Llamas in Hugging Face's layout, whole or broken on purpose: for tests, which thus need no data of
// others. Failure to write ends the test program: there is nothing to test then.
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Tiny {
    const char *dtype;          // in the safetensors header; NULL: F32
    const char *config;         // members added to config.json: "\"rope_theta\": 5e5"; NULL: none
    bool untied, bias;          // an own head; biases in attention and MLP
    bool small;                 // the smallest that there can be
    int shards;                 // 0: model.safetensors; else that many with an index
    const char *without;        // the name of a tensor to leave out
    const char *find, *replace; // in the (last) safetensors header, once
    const char *infinite;       // the name of a tensor whose second value is to be infinite
    const char *large;          // ... 1e30
} Tiny;

typedef struct TinyTensor {
    char name[128];
    int64_t rows, cols; // rows 0: a vector
} TinyTensor;

enum { TINY_TENSORS = 64, TINY_LAYERS = 2 };

static inline void tiny_die(const char *what) {
    perror(what);
    exit(1);
}

static inline void tiny_put(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) tiny_die(path);
}

// A file's bytes, with a NUL after them. Free with free.
static inline uint8_t *tiny_get(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) tiny_die(path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = calloc(*size + 1, 1);
    if (!data || fread(data, 1, *size, f) != *size) tiny_die(path);
    fclose(f);
    return data;
}

static inline void tiny_text(const char *directory, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    tiny_put(path, text, strlen(text));
}

// text with the first `find` replaced. Free with free.
static inline char *tiny_replace(const char *text, const char *find, const char *replace) {
    const char *at = strstr(text, find);
    if (!at) {
        fprintf(stderr, "%s: is not in %s\n", find, text);
        exit(1);
    }
    char *out = calloc(strlen(text) + strlen(replace) + 1, 1);
    if (!out) tiny_die("calloc");
    memcpy(out, text, (size_t)(at - text));
    strcat(strcpy(out + (at - text), replace), at + strlen(find));
    return out;
}

// A safetensors file: this header, then these bytes.
static inline void tiny_safetensors(const char *path, const char *header, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f) tiny_die(path);
    uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) fputc((int)(length >> 8 * i & 255), f);
    fputs(header, f);
    if (size && fwrite(data, 1, size, f) != size) tiny_die(path);
    if (fclose(f) != 0) tiny_die(path);
}

static inline size_t tiny_dtype_bytes(const char *dtype) {
    if (strcmp(dtype, "BOOL") == 0) return 1;
    return (size_t)atoi(dtype + strcspn(dtype, "0123456789")) / 8;
}

// A value in a type's bytes; floats of 16 bits are cut, not rounded.
static inline void tiny_value(const char *dtype, double value, uint8_t *out) {
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t half = (uint16_t)(bits >> 16);
    if (strcmp(dtype, "F16") == 0) {
        int exponent = (int)(bits >> 23 & 255) - 127 + 15;
        half = (uint16_t)(bits >> 16 & 0x8000);
        if (exponent >= 31)
            half |= 0x7c00;
        else if (exponent > 0)
            half = (uint16_t)(half | exponent << 10 | (bits >> 13 & 0x3ff));
    }
    int64_t whole = value > -100 && value < 100 ? (int64_t)(value * 100) : 0;
    size_t n = tiny_dtype_bytes(dtype);
    if (strcmp(dtype, "F64") == 0)
        memcpy(out, &value, n);
    else if (strcmp(dtype, "F32") == 0)
        memcpy(out, &f, n);
    else if (dtype[0] == 'F' || strcmp(dtype, "BF16") == 0)
        memcpy(out, &half, n);
    else if (strcmp(dtype, "BOOL") == 0)
        *out = whole > 0;
    else
        memcpy(out, &whole, n); // integers, little-endian
}

static inline void tiny_tensor(TinyTensor *list, int *count, int64_t rows, int64_t cols, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(list[*count].name, sizeof list->name, format, args);
    va_end(args);
    list[*count].rows = rows;
    list[(*count)++].cols = cols;
}

static inline int tiny_list(const Tiny *o, TinyTensor *t) {
    int64_t dim = o->small ? 8 : 32, ffn = 2 * dim, vocab = o->small ? 8 : 48, kv = dim / 2;
    int n = 0;
    tiny_tensor(t, &n, vocab, dim, "model.embed_tokens.weight");
    tiny_tensor(t, &n, 0, dim, "model.norm.weight");
    if (o->untied) tiny_tensor(t, &n, vocab, dim, "lm_head.weight");
    for (int l = 0; l < (o->small ? 1 : TINY_LAYERS); l++) {
        const struct {
            const char *name;
            int64_t rows, cols;
        } linear[] = {{"self_attn.q_proj", dim, dim}, {"self_attn.k_proj", kv, dim}, {"self_attn.v_proj", kv, dim},
                      {"self_attn.o_proj", dim, dim}, {"mlp.gate_proj", ffn, dim},   {"mlp.up_proj", ffn, dim},
                      {"mlp.down_proj", dim, ffn}};
        tiny_tensor(t, &n, 0, dim, "model.layers.%d.input_layernorm.weight", l);
        tiny_tensor(t, &n, 0, dim, "model.layers.%d.post_attention_layernorm.weight", l);
        for (int i = 0; i < 7; i++) {
            tiny_tensor(t, &n, linear[i].rows, linear[i].cols, "model.layers.%d.%s.weight", l, linear[i].name);
            if (o->bias) tiny_tensor(t, &n, 0, linear[i].rows, "model.layers.%d.%s.bias", l, linear[i].name);
        }
    }
    return n;
}

// Tensors first to last - 1 into one safetensors file.
static inline void tiny_weights(const Tiny *o, const TinyTensor *list, int first, int last, const char *path,
                                uint32_t seed) {
    const char *dtype = o->dtype ? o->dtype : "F32";
    size_t width = tiny_dtype_bytes(dtype), size = 0;
    uint8_t *data = NULL;
    char *header = calloc(TINY_TENSORS, 300), *h = header;
    if (!header) tiny_die("calloc");
    h += sprintf(h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = first; i < last; i++) {
        const TinyTensor *t = &list[i];
        if (o->without && strcmp(t->name, o->without) == 0) continue;
        size_t n = (size_t)((t->rows ? t->rows : 1) * t->cols);
        data = realloc(data, size + n * width);
        if (!data) tiny_die("realloc");
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            double v = (double)(seed >> 8) / (1 << 24) - 0.5;
            if (k == 1 && o->infinite && strcmp(t->name, o->infinite) == 0) v = 1e300 * 1e300;
            if (k == 1 && o->large && strcmp(t->name, o->large) == 0) v = 1e30;
            tiny_value(dtype, v, data + size + k * width);
        }
        char shape[64];
        snprintf(shape, sizeof shape, t->rows ? "%lld,%lld" : "%.0lld%lld", (long long)t->rows, (long long)t->cols);
        h += sprintf(h, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", t->name, dtype, shape,
                     size, size + n * width);
        size += n * width;
    }
    strcpy(h, "}");
    char *text = o->find ? tiny_replace(header, o->find, o->replace) : strdup(header);
    tiny_safetensors(path, text, data, size);
    free(text);
    free(header);
    free(data);
}

static inline void tiny_remove(const char *directory) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) tiny_die(directory);
}

// Makes the directory anew: config.json, a tokenizer.json that is none, and the weights.
static inline void tiny_write(const char *directory, const Tiny *o) {
    TinyTensor list[TINY_TENSORS];
    char path[512], config[2048];
    int n = tiny_list(o, list);
    tiny_remove(directory);
    if (mkdir(directory, 0777) != 0) tiny_die(directory);
    snprintf(
        config, sizeof config,
        "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d,\n"
        " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"vocab_size\": %d, \"tie_word_embeddings\": %s,\n"
        " \"attention_bias\": %s, \"mlp_bias\": %s, \"hidden_act\": \"silu\"%s%s}\n",
        o->small ? 8 : 32, o->small ? 16 : 64, o->small ? 1 : TINY_LAYERS, o->small ? 8 : 48,
        o->untied ? "false" : "true", o->bias ? "true" : "false", o->bias ? "true" : "false", o->config ? ", " : "",
        o->config ? o->config : "");
    tiny_text(directory, "config.json", config);
    tiny_text(directory, "tokenizer.json", "{\"kept\": \"as it is\"}\n");
    if (!o->shards) {
        snprintf(path, sizeof path, "%s/model.safetensors", directory);
        tiny_weights(o, list, 0, n, path, 1);
        return;
    }
    char *index = calloc(TINY_TENSORS, 300), *p = index;
    if (!index) tiny_die("calloc");
    p += sprintf(p, "{\"metadata\": {}, \"weight_map\": {");
    for (int s = 0; s < o->shards; s++) {
        int first = n * s / o->shards, last = n * (s + 1) / o->shards;
        char name[64];
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", s + 1, o->shards);
        snprintf(path, sizeof path, "%s/%s", directory, name);
        tiny_weights(o, list, first, last, path, (uint32_t)s + 1);
        for (int i = first; i < last; i++) p += sprintf(p, "%s\"%s\": \"%s\"", i ? ",\n" : "", list[i].name, name);
    }
    strcpy(p, "}}\n");
    tiny_text(directory, "model.safetensors.index.json", index);
    free(index);
}

// A new empty directory; the text lives until the next call.
static inline const char *tiny_directory(void) {
    static char path[64];
    strcpy(path, "/tmp/nibble-test-XXXXXX");
    if (!mkdtemp(path)) tiny_die(path);
    return path;
}

#endif
