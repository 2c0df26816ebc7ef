// Quantized checkpoints: each encoding's values against other people's decoding (scripts/make_encoding_goldens.py), and
// each of its tensors damaged.
#include "convert/encodings.h"
#include "core/json.h"
#include "core/mem.h"
#include "quant/kernels/kernels.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <zlib.h>

#define DATA "tests/data/encodings/"

static char scratch[64];

static int set_up(void **state) {
    (void)state;
    strcpy(scratch, tiny_directory());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tiny_remove(scratch);
    return 0;
}

// A checkpoint with its encodings applied.
typedef struct Opened {
    Model *model;
    HfWeights weights;
} Opened;

static void close_it(Opened *o) {
    hf_close_weights(&o->weights);
    model_free(o->model);
}

static bool open_it(const char *path, Opened *o, Error *err) {
    *o = (Opened){.model = model_new(path, err)};
    bool ok = o->model && hf_read_files(path, o->model, err) && hf_open_weights(path, &o->weights, err) &&
              encodings_apply(o->model, &o->weights, err);
    if (!ok) close_it(o);
    return ok;
}

// ---- values

static const cJSON *golden(void) {
    static cJSON *json;
    Error err = {0};
    if (!json) json = json_read(DATA "golden.json", 1 << 20, &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

// All of a tensor's rows, some at a time. Free with free.
static uint8_t *read_all(const Tensor *t, int64_t some) {
    int64_t rows = tensor_rows(t);
    size_t row = tensor_row_bytes(t);
    uint8_t *all = malloc(t->bytes + 1), *piece = malloc((size_t)some * row + 1);
    assert_true(all && piece);
    for (int64_t first = 0; first < rows; first += some) {
        int64_t n = rows - first < some ? rows - first : some;
        memcpy(all + (size_t)first * row, tensor_read(t, first, n, piece), (size_t)n * row);
        tensor_release(t, first, n);
    }
    free(piece);
    return all;
}

static uint32_t values_crc(const Tensor *t, const uint8_t *bytes) {
    int64_t n = tensor_elements(t);
    float *values = malloc((size_t)n * sizeof *values);
    assert_non_null(values);
    kernels_get()->to_f32[t->type](bytes, values, n);
    for (int64_t i = 0; i < n; i++) values[i] += 0.0f; // -0 becomes 0
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)values, (uInt)((size_t)n * sizeof *values));
    free(values);
    return crc;
}

static void check_tensor(const char *name, const cJSON *want, const Tensor *t) {
    char text[96];
    cJSON *shape = cJSON_CreateArray();
    for (int i = 0; i < t->dims; i++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[i]));
    if (!cJSON_Compare(shape, json_member(want, "shape"), true))
        fail_msg("%s: %s: %s", name, t->source, tensor_shape_text(t, text));
    cJSON_Delete(shape);
    assert_string_equal(dtype_name(t->type), json_text(want, "type"));
    uint8_t *whole = read_all(t, tensor_rows(t));
    if (values_crc(t, whole) != (uint32_t)json_member(want, "crc32")->valuedouble)
        fail_msg("%s: %s: other values", name, t->source);
    for (int64_t some = 1; some < tensor_rows(t); some += 6) {
        uint8_t *pieces = read_all(t, some);
        assert_memory_equal(whole, pieces, t->bytes);
        free(pieces);
    }
    free(whole);
}

static void test_values(void **state) {
    (void)state;
    const cJSON *checkpoint, *want;
    cJSON_ArrayForEach(checkpoint, golden()) {
        char path[128];
        Error err = {0};
        Opened o;
        snprintf(path, sizeof path, DATA "%s", checkpoint->string);
        if (!open_it(path, &o, &err)) fail_msg("%s", err.text);
        assert_int_equal(o.weights.count, 1);
        assert_int_equal(o.weights.shards[0]->count, cJSON_GetArraySize(checkpoint));
        cJSON_ArrayForEach(want, checkpoint) {
            const Tensor *t = tensor_file_find(o.weights.shards[0], want->string);
            if (!t) fail_msg("%s: %s is missing", path, want->string);
            check_tensor(path, want, t);
        }
        close_it(&o);
    }
}

static void test_text(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"gptq-4-order", "gptq 4-bit, group 16, act-order, asymmetric"},
        {"gptq-8", "gptq 8-bit, one group a row, symmetric"},
        {"awq", "awq 4-bit, group 32"},
        {"packed-4", "compressed-tensors pack-quantized int4, group 32"},
        {"packed-4-order", "compressed-tensors pack-quantized int4, group 16, act-order"},
        {"int-quantized", "compressed-tensors int-quantized int8, a scale for each channel"},
        {"bnb-nf4", "bitsandbytes nf4, double quantization"},
        {"bnb-int8", "bitsandbytes int8"},
        {"fp8-blocks", "fp8 e4m3, blocks of 24 x 16"},
        {"gpt-oss", "mxfp4"},
        {"f8-e5m2", NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char path[128], text[ENCODING_TEXT];
        Error err = {0};
        snprintf(path, sizeof path, DATA "%s", texts[i][0]);
        Model *model = model_new(path, &err);
        assert_true(model && hf_read_files(path, model, &err));
        assert_int_equal(encodings_text(model, text), texts[i][1] != NULL);
        if (texts[i][1]) assert_string_equal(text, texts[i][1]);
        model_free(model);
    }
}

// ---- a checkpoint taken apart, to be damaged and written again

typedef struct Parts {
    char *config, *header;
    uint8_t *file; // header and data
    uint8_t *data;
    size_t data_bytes;
} Parts;

static Parts take_apart(const char *name) {
    char path[128];
    Parts p;
    size_t size;
    snprintf(path, sizeof path, DATA "%s/config.json", name);
    p.config = (char *)tiny_get(path, &size);
    snprintf(path, sizeof path, DATA "%s/model.safetensors", name);
    p.file = tiny_get(path, &size);
    uint64_t length;
    memcpy(&length, p.file, sizeof length);
    p.header = strndup((char *)p.file + 8, length);
    p.data = p.file + 8 + length;
    p.data_bytes = size - 8 - length;
    return p;
}

static void write_parts(const Parts *p) {
    char path[128];
    tiny_text(scratch, "config.json", p->config);
    snprintf(path, sizeof path, "%s/model.safetensors", scratch);
    tiny_safetensors(path, p->header, p->data, p->data_bytes);
}

static void free_parts(Parts *p) {
    free(p->config);
    free(p->header);
    free(p->file);
}

static void replace(char **text, const char *find, const char *by) {
    char *changed = tiny_replace(*text, find, by);
    free(*text);
    *text = changed;
}

// The start of a tensor's bytes, by its entry in the header; of its entry's text where `entry` is asked for.
static uint8_t *bytes_of(const Parts *p, const char *tensor, char **entry) {
    char quoted[160];
    snprintf(quoted, sizeof quoted, "\"%s\"", tensor);
    char *at = strstr(p->header, quoted);
    if (!at) fail_msg("%s: is not in %s", tensor, p->header);
    if (entry) *entry = at;
    const char *offsets = strstr(at, "\"data_offsets\":[");
    return p->data + atoll(offsets + strlen("\"data_offsets\":["));
}

// ---- what does not fit together

#define DOWN "model.layers.0.mlp.down_proj"

typedef struct Hostile {
    const char *name;          // of the checkpoint
    const char *tensor;        // DOWN's, by its suffix; NULL: the config is changed
    const char *find, *change; // in its entry or in the config; or
    int at, bytes;             // its bytes from here on
    const char *by;            // become these
    const char *says;
} Hostile;

static const Hostile hostile[] = {
    // gptq: down_proj [32, 64], groups of 16 (of 32 without act-order)
    {"gptq-4", ".scales", ".scales", ".scalez", 0, 0, 0, "down_proj.scales, which it needs, is missing"},
    {"gptq-4", ".qzeros", ".qzeros", ".qzeroz", 0, 0, 0, "down_proj.qzeros, which it needs, is missing"},
    {"gptq-4", ".scales", "[2,32]", "[32,2]", 0, 0, 0,
     "down_proj.scales: has shape [32, 2] where its module calls for"},
    {"gptq-4", ".qzeros", "[2,4]", "[4,2]", 0, 0, 0, "down_proj.qzeros: has shape [4, 2]"},
    {"gptq-4", ".qzeros", "I32", "F32", 0, 0, 0, "down_proj.qzeros: is f32 where i32 is needed"},
    {"gptq-4", ".qweight", "[8,32]", "[256]", 0, 0, 0, "down_proj.qweight: is encoded, but has shape [256]"},
    {"gptq-4", ".qweight", "[8,32]", "[4,64]", 0, 0, 0, "down_proj.g_idx: has shape [64] where"},
    {"gptq-4", ".qweight", "I32", "F32", 0, 0, 0, "down_proj.qweight: is f32 where i32 is needed"},
    {"gptq-4", ".g_idx", "[64]", "[2,32]", 0, 0, 0, "down_proj.g_idx: has shape [2, 32] where"},
    {"gptq-4", ".g_idx", 0, 0, 12, 4, "\2\0\0\0", "down_proj.g_idx: column 3 is in group 2, but there are 2 groups"},
    {"gptq-4", ".g_idx", 0, 0, 0, 4, "\xff\xff\xff\xff", "column 0 is in group -1, but there are 2 groups"},
    {"gptq-4", ".scales", 0, 0, 2, 2, "\1\x7e", "down_proj.scales: the scale of row 1, group 0 is NaN"},
    {"gptq-4", ".scales", 0, 0, 64, 2, "\0\xfc", "down_proj.scales: the scale of row 0, group 1 is infinite"},
    {"gptq-4", NULL, "\"bits\": 4", "\"bits\": 5", 0, 0, 0, "gptq with 5 bits is not supported"},
    {"gptq-4", NULL, "\"bits\": 4", "\"bits\": 8", 0, 0, 0, "_proj.g_idx: has shape"},
    {"gptq-4", NULL, "\"bits\": 4", "\"bits\": 1e99", 0, 0, 0, "\"bits\""},
    {"gptq-4", NULL, "\"group_size\": 32", "\"group_size\": 0", 0, 0, 0, "\"group_size\" is 0"},
    {"gptq-4", NULL, "\"group_size\": 32", "\"group_size\": -7", 0, 0, 0, "\"group_size\""},
    {"gptq-4", NULL, "\"group_size\": 32", "\"group_size\": 2147483647", 0, 0, 0, "_proj.scales: has shape"},
    {"gptq-4", NULL, "\"group_size\": 32", "\"group_size\": 1", 0, 0, 0, "_proj.scales: has shape"},
    {"gptq-4", NULL, "\"gptq\",\n  \"bits\"", "\"hqq\",\n  \"bits\"", 0, 0, 0,
     "method \"hqq\" (quant_method) is not supported"},
    {"gptq-4", NULL, "\"checkpoint_format\": \"gptq\"", "\"checkpoint_format\": \"marlin\"", 0, 0, 0,
     "format \"marlin\""},
    {"gptq-4", NULL, "quantization_config", "quantization", 0, 0, 0, "config.json does not say so"},
    {"gptq-4", NULL, "{", "[", 0, 0, 0, "config.json: malformed JSON"},
    // awq: qweight [64, 4]
    {"awq", ".scales", ".scales", ".scalez", 0, 0, 0, "down_proj.scales, which it needs, is missing"},
    {"awq", ".qzeros", "[2,4]", "[8]", 0, 0, 0, "down_proj.qzeros: has shape [8]"},
    {"awq", ".qweight", "[64,4]", "[4,64]", 0, 0, 0, "down_proj.scales: has shape"},
    {"awq", ".scales", 0, 0, 0, 2, "\0\x7c", "the scale of row 0, group 0 is infinite"},
    {"awq", NULL, "\"gemm\"", "\"gemv\"", 0, 0, 0, "version \"gemv\" is not supported"},
    {"awq", NULL, "\"bits\": 4", "\"bits\": 3", 0, 0, 0, "awq with 3 bits"},
    {"awq", NULL, "\"group_size\": 32", "\"group_size\": 64", 0, 0, 0, "_proj.scales: has shape"},
    // pack-quantized: groups of 32, or 16
    {"packed-4", ".weight_scale", "_scale", "_scalx", 0, 0, 0, "down_proj.weight_scale, which it needs, is missing"},
    {"packed-4", ".weight_shape", "_shape", "_shapx", 0, 0, 0, "down_proj.weight_shape, which it needs, is missing"},
    {"packed-4", ".weight_shape", 0, 0, 8, 1, "\x41",
     "down_proj.weight_packed: its shape and its scales' agree with none"},
    {"packed-4", ".weight_shape", 0, 0, 15, 1, "\x80", "down_proj.weight_shape: says [32, -"},
    {"packed-4", ".weight_shape", 0, 0, 0, 1, "\x21", "down_proj.weight_shape: says [33, 64], which"},
    {"packed-4", ".weight_scale", "[32,2]", "[2,32]", 0, 0, 0, "down_proj.weight_scale: has shape [2, 32]"},
    {"packed-4", ".weight_scale", "[32,2]", "[16,4]", 0, 0, 0, "down_proj.weight_scale: has shape [16, 4]"},
    {"packed-4", ".weight_scale", "BF16", "I16", 0, 0, 0, "down_proj.weight_scale: is i16, which scales cannot be"},
    {"packed-4", ".weight_scale", 0, 0, 6, 2, "\xc0\x7f", "the scale of row 1, group 1 is NaN"},
    {"packed-4", NULL, "\"num_bits\": 4", "\"num_bits\": 8", 0, 0, 0, "agree with none of config_groups"},
    {"packed-4", NULL, "\"group_size\": 32", "\"group_size\": 99999999", 0, 0, 0, "agree with none"},
    {"packed-4", NULL, "\"group_size\": 32", "\"group_size\": \"x\"", 0, 0, 0, "\"group_size\""},
    {"packed-4-asymmetric", ".weight_zero_point", "[4,4]", "[16]", 0, 0, 0,
     "down_proj.weight_zero_point: has shape [16]"},
    {"packed-4-order", ".weight_g_idx", 0, 0, 4, 1, "\4", "column 1 is in group 4, but there are 4 groups"},
    {"packed-4-order", ".weight_g_idx", "[64]", "[32,2]", 0, 0, 0, "down_proj.weight_g_idx: has shape [32, 2]"},
    // elements of 8 bits
    {"fp8-blocks", ".weight_scale_inv", "[2,4]", "[8]", 0, 0, 0, "has shape [8], which scales of the [32, 64]"},
    {"fp8-blocks", ".weight_scale_inv", 0, 0, 0, 4, "\0\0\xc0\x7f",
     "down_proj.weight_scale_inv: the scale of row 0, group 0 is NaN"},
    {"fp8-blocks", NULL, "weight_block_size", "weight_black_size", 0, 0, 0, "which scales of the [64, 32]"},
    {"fp8-blocks", ".weight", "[32,64]", "[32,64,1]", 0, 0, 0, "down_proj.weight: is encoded, but has shape"},
    {"fp8-blocks", ".weight_scale_inv", "[2,4]", "[2,2,2]", 0, 0, 0, "which is none that scales have"},
    {"float-quantized", ".weight_scale", "[32,1]", "[1,32]", 0, 0, 0, "has shape [1, 32], which scales of"},
    {"float-quantized", ".weight_scale", 0, 0, 0, 2, "\x80\x7f", "is infinite"},
    {"int-quantized", ".weight_scale", "BF16", "I16", 0, 0, 0, "which scales cannot be"},
    {"bnb-int8", ".SCB", "[32]", "[32,1]", 0, 0, 0, "down_proj.SCB: has shape"},
    {"bnb-int8", ".weight_format", 0, 0, 0, 1, "\1", "layout other than rows"},
    // 4-bit floats
    {"nvfp4", ".weight_global_scale", 0, 0, 0, 4, "\0\0\0\0", "is infinite"},
    {"nvfp4", ".weight_scale", 0, 0, 0, 1, "\x7f", "down_proj.weight_scale: the scale of row 0, group 0 is NaN"},
    {"nvfp4", ".weight_global_scale", "global", "glibal", 0, 0, 0, "down_proj.weight_scale: has shape"},
    {"mxfp4", ".weight_scale", "[32,2]", "[64]", 0, 0, 0, "down_proj.weight_scale: has shape [64]"},
    // bitsandbytes
    {"bnb-nf4", ".weight.absmax", "absmax", "absmix", 0, 0, 0, "down_proj.weight.absmax, which it needs, is missing"},
    {"bnb-nf4", ".weight.nested_absmax", "nested_a", "nested_b", 0, 0, 0, "nested_absmax, which it needs, is missing"},
    {"bnb-nf4", ".weight.quant_map", "quant_map", "quant_mop", 0, 0, 0, "quant_map, which it needs, is missing"},
    {"bnb-nf4", ".weight.quant_map", 0, 0, 0, 4, "\0\0\x80\x7f", "down_proj.weight.quant_map: value 0 is not finite"},
    {"bnb-nf4", ".weight.nested_absmax", 0, 0, 0, 4, "\0\0\xc0\x7f", "the scale of row 0, group 0 is NaN"},
    {"bnb-nf4", ".weight.quant_state.bitsandbytes__nf4", 0, 0, 0, 1, "[", "down_proj.weight.quant_state"},
    {"bnb-fp4", ".weight.absmax", "[32]", "[2,16]", 0, 0, 0, "down_proj.weight.absmax: has shape"},
};

static void test_hostile(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const Hostile *h = &hostile[i];
        Parts p = take_apart(h->name);
        if (h->by) {
            char name[160];
            snprintf(name, sizeof name, DOWN "%s", h->tensor);
            memcpy(bytes_of(&p, name, NULL) + h->at, h->by, (size_t)h->bytes);
        } else if (h->tensor) {
            char name[160], *entry;
            snprintf(name, sizeof name, DOWN "%s", h->tensor);
            bytes_of(&p, name, &entry);
            char *changed = tiny_replace(entry, h->find, h->change);
            *entry = 0;
            char *header = calloc(strlen(p.header) + strlen(changed) + 1, 1);
            assert_non_null(header);
            strcat(strcpy(header, p.header), changed);
            free(changed);
            free(p.header);
            p.header = header;
        } else {
            replace(&p.config, h->find, h->change);
        }
        write_parts(&p);
        free_parts(&p);
        Error err = {0};
        Opened o;
        bool ok = open_it(scratch, &o, &err);
        if (ok) close_it(&o);
        if (ok != !h->says || (h->says && !strstr(err.text, h->says)) || strchr(err.text, '\n'))
            fail_msg("case %zu (%s): wanted \"%s\", got \"%s\"", i, h->name, h->says ? h->says : "", err.text);
    }
}

// The state of bitsandbytes' tensors is JSON of its own.
static void test_hostile_state(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"\"blocksize\": 64", "\"blocksize\": 0 ", "\"blocksize\""},
        {"\"blocksize\": 64", "\"blocksize\": 16", "down_proj.weight.absmax: has shape"},
        {"\"shape\": [32, 64]", "\"shape\": [64, 64]", "but its quant_state gives the shape [64, 64]"},
        {"\"shape\": [32, 64]", "\"shape\": [3e9, 6]", "something else than sizes"},
        {"\"shape\": [32, 64]", "\"shape\": [32, .5]", "malformed JSON"},
        {"\"shape\": [32, 64]", "\"shape\": [32, -4]", "something else than sizes"},
        {"\"shape\": [32, 64]", "\"shape\":  1234567", "no matrix's"},
        {"\"nested_blocksize\": 256", "\"nested_blocksize\": 16 ", NULL}, // 32 scales: two that are needed
        {"\"nested_offset\"", "\"nested_offsat\"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Parts p = take_apart("bnb-nf4");
        char *at = (char *)bytes_of(&p, DOWN ".weight.quant_state.bitsandbytes__nf4", NULL);
        at = memmem(at, 400, cases[i][0], strlen(cases[i][0]));
        assert_non_null(at);
        assert_int_equal(strlen(cases[i][0]), strlen(cases[i][1]));
        memcpy(at, cases[i][1], strlen(cases[i][1]));
        write_parts(&p);
        free_parts(&p);
        Error err = {0};
        Opened o;
        bool ok = open_it(scratch, &o, &err);
        if (ok) close_it(&o);
        if (cases[i][2] ? ok || !strstr(err.text, cases[i][2]) : !ok && !strstr(err.text, "nested_absmax"))
            fail_msg("case %zu: got \"%s\"", i, err.text);
    }
}

// Bytes of headers, configs and data flipped at random: whatever opens can be read to its end.
static void test_damage(void **state) {
    (void)state;
    uint32_t seed = 1;
    int opened = 0;
    const cJSON *checkpoint;
    cJSON_ArrayForEach(checkpoint, golden()) for (int round = 0; round < 60; round++) {
        Parts p = take_apart(checkpoint->string);
        for (int flips = 0; flips < 1 + round % 3; flips++) {
            seed = seed * 1664525u + 1013904223u;
            char *text = round % 2 ? p.header : p.config;
            uint8_t *at =
                round % 5 == 4 ? p.data + (seed >> 8) % p.data_bytes : (uint8_t *)text + (seed >> 8) % strlen(text);
            *at = round % 5 == 4 ? (uint8_t)(seed >> 4) : (uint8_t)("0123456789,:[]{}\"x8FIU"[seed >> 4 & 15]);
        }
        write_parts(&p);
        free_parts(&p);
        Error err = {0};
        Opened o;
        if (!open_it(scratch, &o, &err)) {
            assert_true(err.text[0] && !strchr(err.text, '\n'));
            continue;
        }
        opened++;
        for (size_t i = 0; i < o.weights.shards[0]->count; i++) {
            const Tensor *t = &o.weights.shards[0]->tensors[i];
            if (t->bytes) free(read_all(t, tensor_rows(t)));
        }
        close_it(&o);
    }
    assert_true(opened > 100);
}

// A module's tensors may lie in different files.
static void test_shards(void **state) {
    (void)state;
    Parts p = take_apart("packed-4");
    write_parts(&p);
    char *scale, path[128];
    const uint8_t *bytes = bytes_of(&p, DOWN ".weight_scale", &scale);
    // The second file has the scales under the name that the first one's are looked for by.
    snprintf(path, sizeof path, "%s/two.safetensors", scratch);
    tiny_safetensors(path, "{\"" DOWN ".weight_scale\":{\"dtype\":\"BF16\",\"shape\":[32,2],\"data_offsets\":[0,128]}}",
                     bytes, 128);
    memcpy(strstr(scale, "down_proj"), "down_prej", 9);
    snprintf(path, sizeof path, "%s/one.safetensors", scratch);
    tiny_safetensors(path, p.header, p.data, p.data_bytes);
    free_parts(&p);
    tiny_text(scratch, "model.safetensors.index.json",
              "{\"weight_map\":{\"" DOWN ".weight_packed\":\"one.safetensors\",\"" DOWN
              ".weight_scale\":\"two.safetensors\"}}");
    snprintf(path, sizeof path, "%s/model.safetensors", scratch);
    remove(path);
    Error err = {0};
    Opened o;
    if (!open_it(scratch, &o, &err)) fail_msg("%s", err.text);
    const Tensor *t = tensor_file_find(o.weights.shards[0], DOWN ".weight");
    assert_non_null(t);
    check_tensor("shards", json_member(json_member(golden(), "packed-4"), DOWN ".weight"), t);
    assert_int_equal(o.weights.shards[1]->count, 0);
    close_it(&o);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", scratch);
    remove(path);
}

static void test_memory(void **state) {
    (void)state;
    static const char *const names[] = {DATA "gptq-4-order", DATA "bnb-nf4", DATA "gpt-oss"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t n = 1, made = n; made >= n; n++) {
            Error err = {0};
            Opened o;
            mem_fail_at(0);
            mem_fail_at(n);
            bool ok = open_it(names[i], &o, &err);
            made = mem_fail_at(0);
            assert_int_equal(ok, made < n);
            if (ok) close_it(&o);
            if (!ok) assert_non_null(strstr(err.text, "out of memory"));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_text),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_hostile_state), cmocka_unit_test(test_damage), cmocka_unit_test(test_shards),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
