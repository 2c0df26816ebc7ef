// Exports, read back by a reader written here from the formats' documents alone, so that a mistake in a writer is not
// shared by a reader.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "convert/export.h"
#include "convert/export_gguf_parts.h"
#include "convert/export_split.h"
#include "convert/open.h"
#include "convert/pre_tokenizer_name.h"
#include "core/mem.h"
#include "core/outdir.h"
#include "formats/safetensors_write.h"
#include "formats/tokenizer_json.h"
#include "quant/kernels/kernels.h"
#include "quant/quant.h"
#include "tests/tiny.h"

static char directory[64], model_path[128], gguf_path[128];

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }
static const ExportOptions as_it_is = {.kernels = {widen, narrow}};

// Byte-level: "<s>" before a text, one merge, ids up to 9 of the model's 48.
#define BYTE_LEVEL                                                                                                     \
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,"     \
    "\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":4,\"content\":\"<x>\",\"single_word\":false,"     \
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":false}],\"normalizer\":null,"                  \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"  \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}" \
    "},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[3],"          \
    "\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"ByteLevel\"},"                                                    \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3},\"merges\":[\"a b\"]}}"

// SentencePiece's: U+2581 before a text and for its spaces, bytes for what is unknown.
#define SENTENCEPIECE                                                                                                  \
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"single_word\":false,\"lstrip\":false,"   \
    "\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":7,\"content\":\"\u2581x\",\"single_word\":false," \
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":false}],\"normalizer\":{\"type\":\"Sequence\"," \
    "\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},{\"type\":\"Replace\",\"pattern\":{\"String\":"    \
    "\" \"},\"content\":\"\u2581\"}]},\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":null,\"model\":{"     \
    "\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<0x00>\":1,\"a\":2,"     \
    "\"b\":3,\"ab\":4,\"aba\":5,\"\u2581\":6},\"merges\":[\"a b\",\"ab a\"]}}"

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(model_path, sizeof model_path, "%s/model", directory);
    snprintf(gguf_path, sizeof gguf_path, "%s/out.gguf", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    tiny_remove(directory);
    return 0;
}

static Model *open_tiny(const Tiny *o, const char *tokenizer) {
    Error err = {0};
    tiny_write(model_path, o);
    tiny_text(model_path, "tokenizer.json", tokenizer);
    tiny_text(model_path, "tokenizer_config.json",
              "{\"bos_token\": {\"content\": \"<s>\"}, \"chat_template\": \"{{ x }}\"}");
    Model *model = model_open(model_path, &err);
    if (!model) fail_msg("%s", err.text);
    return model;
}

// ---- a little GGUF reader

typedef struct Read {
    uint8_t *data;
    size_t size, at;
    uint64_t tensors, keys;
    size_t keys_at, infos_at, data_at;
} Read;

static uint64_t number(Read *r, int bytes) {
    uint64_t v = 0;
    assert_true(r->at + (size_t)bytes <= r->size);
    for (int i = 0; i < bytes; i++) v |= (uint64_t)r->data[r->at + (size_t)i] << 8 * i;
    r->at += (size_t)bytes;
    return v;
}

static const char *text(Read *r, size_t *size) {
    *size = number(r, 8);
    assert_true(*size <= r->size - r->at);
    const char *t = (const char *)r->data + r->at;
    r->at += *size;
    return t;
}

static bool is_text(Read *r, const char *wanted) {
    size_t size;
    const char *t = text(r, &size);
    return size == strlen(wanted) && memcmp(t, wanted, size) == 0;
}

static void skip_value(Read *r, uint64_t type) {
    static const int width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    size_t size;
    assert_true(type <= 12);
    if (type == 8) {
        text(r, &size);
    } else if (type == 9) {
        uint64_t of = number(r, 4), count = number(r, 8);
        assert_true(of != 9);
        while (count--) skip_value(r, of);
    } else {
        number(r, width[type]);
    }
}

static void read_open(Read *r, const char *path) {
    *r = (Read){0};
    r->data = tiny_get(path, &r->size);
    assert_memory_equal(r->data, "GGUF", 4);
    r->at = 4;
    assert_int_equal(number(r, 4), 3);
    r->tensors = number(r, 8);
    r->keys = number(r, 8);
    r->keys_at = r->at;
    for (uint64_t k = 0; k < r->keys; k++) {
        size_t size;
        text(r, &size);
        skip_value(r, number(r, 4));
    }
    r->infos_at = r->at;
    for (uint64_t t = 0; t < r->tensors; t++) {
        size_t size;
        text(r, &size);
        r->at += 8 * number(r, 4) + 4 + 8;
    }
    r->data_at = (r->at + 31) / 32 * 32;
    assert_int_equal(r->size % 32, 0);
}

// Goes to a key's value, which has the type; false where there is none.
static bool find_key(Read *r, const char *key, uint64_t type) {
    r->at = r->keys_at;
    for (uint64_t k = 0; k < r->keys; k++) {
        bool found = is_text(r, key);
        uint64_t t = number(r, 4);
        if (found) assert_int_equal(t, type);
        if (found) return true;
        skip_value(r, t);
    }
    return false;
}

static int64_t key_number(Read *r, const char *key, uint64_t type, int bytes) {
    if (!find_key(r, key, type)) fail_msg("%s is missing", key);
    return (int64_t)number(r, bytes);
}

static float key_f32(Read *r, const char *key) {
    uint32_t bits = (uint32_t)key_number(r, key, 6, 4);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static bool key_is(Read *r, const char *key, const char *value) { return find_key(r, key, 8) && is_text(r, value); }

// Goes to the n-th element of an array of texts or numbers.
static void find_item(Read *r, const char *key, uint64_t type, uint64_t count, uint64_t n) {
    if (!find_key(r, key, 9)) fail_msg("%s is missing", key);
    assert_int_equal(number(r, 4), type);
    assert_int_equal(number(r, 8), count);
    while (n--) skip_value(r, type);
}

// A tensor's bytes, its type and dimensions (innermost first).
static const uint8_t *find_tensor(Read *r, const char *name, uint64_t type, uint64_t cols, uint64_t rows) {
    r->at = r->infos_at;
    for (uint64_t t = 0; t < r->tensors; t++) {
        bool found = is_text(r, name);
        uint64_t dims = number(r, 4), shape[4] = {1, 1, 1, 1};
        for (uint64_t d = 0; d < dims; d++) shape[d] = number(r, 8);
        uint64_t of = number(r, 4), offset = number(r, 8);
        assert_int_equal(offset % 32, 0);
        if (!found) continue;
        assert_int_equal(of, type);
        assert_int_equal(dims, rows ? 2 : 1);
        assert_int_equal(shape[0], cols);
        assert_int_equal(shape[1], rows ? rows : 1);
        assert_true(r->data_at + offset < r->size);
        return r->data + r->data_at + offset;
    }
    fail_msg("%s is missing", name);
    return NULL;
}

static void export_gguf(const Model *model, const ExportOptions *options, Read *r) {
    Error err = {0};
    ExportResult result;
    if (!model_export_gguf(model, gguf_path, options, &result, &err)) fail_msg("%s", err.text);
    read_open(r, gguf_path);
    assert_int_equal(result.bytes, r->size);
    assert_int_equal(result.tensors, r->tensors);
}

// ---- tests

static void test_gguf_keys(void **state) {
    (void)state;
    Read r;
    Model *model =
        open_tiny(&(Tiny){.bias = true, .config = "\"rope_theta\": 5e5, \"rms_norm_eps\": 0.25"}, BYTE_LEVEL);
    export_gguf(model, &as_it_is, &r);
    assert_true(key_is(&r, "general.architecture", "llama"));
    assert_true(key_is(&r, "general.name", "model"));
    assert_int_equal(key_number(&r, "general.file_type", 4, 4), 0);
    assert_int_equal(key_number(&r, "general.alignment", 4, 4), 32);
    assert_int_equal(key_number(&r, "general.quantization_version", 4, 4), 2);
    const struct {
        const char *key;
        int value;
    } sizes[] = {{"llama.vocab_size", 48},
                 {"llama.context_length", 2048},
                 {"llama.embedding_length", 32},
                 {"llama.block_count", 2},
                 {"llama.feed_forward_length", 64},
                 {"llama.attention.head_count", 2},
                 {"llama.attention.head_count_kv", 1},
                 {"llama.attention.key_length", 16},
                 {"llama.attention.value_length", 16},
                 {"llama.rope.dimension_count", 16}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(key_number(&r, sizes[i].key, 4, 4), sizes[i].value);
    assert_true(key_f32(&r, "llama.rope.freq_base") == 5e5f);
    assert_true(key_f32(&r, "llama.attention.layer_norm_rms_epsilon") == 0.25f);
    assert_false(find_key(&r, "llama.rope.scaling.type", 8));
    free(r.data);
    model_free(model);
}

static void test_gguf_byte_level(void **state) {
    (void)state;
    Read r;
    Model *model = open_tiny(&(Tiny){0}, BYTE_LEVEL);
    export_gguf(model, &as_it_is, &r);
    assert_true(key_is(&r, "tokenizer.ggml.model", "gpt2"));
    assert_true(key_is(&r, "tokenizer.ggml.pre", "gpt-2"));
    static const char *const tokens[] = {"a", "b", "ab", "<s>", "<x>", "[PAD5]"};
    static const int types[] = {1, 1, 1, 3, 4, 5};
    for (uint64_t i = 0; i < 6; i++) {
        find_item(&r, "tokenizer.ggml.tokens", 8, 48, i);
        assert_true(is_text(&r, tokens[i]));
        find_item(&r, "tokenizer.ggml.token_type", 5, 48, i);
        assert_int_equal(number(&r, 4), types[i]);
    }
    find_item(&r, "tokenizer.ggml.merges", 8, 1, 0);
    assert_true(is_text(&r, "a b"));
    assert_false(find_key(&r, "tokenizer.ggml.scores", 9));
    assert_int_equal(key_number(&r, "tokenizer.ggml.bos_token_id", 4, 4), 3);
    assert_int_equal(key_number(&r, "tokenizer.ggml.add_bos_token", 7, 1), 1);
    assert_int_equal(key_number(&r, "tokenizer.ggml.add_eos_token", 7, 1), 0);
    assert_int_equal(key_number(&r, "tokenizer.ggml.add_space_prefix", 7, 1), 0);
    assert_true(key_is(&r, "tokenizer.chat_template", "{{ x }}"));
    free(r.data);
    model_free(model);
}

static void test_gguf_sentencepiece(void **state) {
    (void)state;
    Read r;
    Model *model = open_tiny(&(Tiny){0}, SENTENCEPIECE);
    export_gguf(model, &as_it_is, &r);
    assert_true(key_is(&r, "tokenizer.ggml.model", "llama"));
    assert_true(key_is(&r, "tokenizer.ggml.pre", "default"));
    assert_int_equal(key_number(&r, "tokenizer.ggml.add_space_prefix", 7, 1), 1);
    assert_int_equal(key_number(&r, "tokenizer.ggml.unknown_token_id", 4, 4), 0);
    static const int types[] = {2, 6, 1, 1, 1, 1, 1, 4, 5};
    static const float scores[] = {0, 0, -2, -2, 0, -1, -2, 0, 0}; // "ab" comes from the first merge, "aba" the second
    for (uint64_t i = 0; i < 9; i++) {
        find_item(&r, "tokenizer.ggml.token_type", 5, 48, i);
        assert_int_equal(number(&r, 4), types[i]);
        find_item(&r, "tokenizer.ggml.scores", 6, 48, i);
        uint32_t bits = (uint32_t)number(&r, 4);
        float score;
        memcpy(&score, &bits, sizeof score);
        assert_true(score == scores[i]);
    }
    find_item(&r, "tokenizer.ggml.tokens", 8, 48, 7);
    assert_true(is_text(&r, " x")); // users' tokens are looked for in the text as it came
    assert_false(find_key(&r, "tokenizer.ggml.merges", 9));
    free(r.data);
    model_free(model);
}

// Rows i and i + 8 of a head (of 16) are neighbours in GGUF.
static void assert_rotated(const uint8_t *out, const Tensor *in, int heads, size_t row) {
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < 8; i++) {
            assert_memory_equal(out + (size_t)(16 * h + 2 * i) * row, in->data + (size_t)(16 * h + i) * row, row);
            assert_memory_equal(out + (size_t)(16 * h + 2 * i + 1) * row, in->data + (size_t)(16 * h + i + 8) * row,
                                row);
        }
}

static void test_gguf_tensors(void **state) {
    (void)state;
    Read r;
    Model *model = open_tiny(&(Tiny){.bias = true, .untied = true}, BYTE_LEVEL);
    export_gguf(model, &as_it_is, &r);
    assert_int_equal(r.tensors, model->tensor_count);
    assert_rotated(find_tensor(&r, "blk.1.attn_q.weight", 0, 32, 32), model_tensor(model, "blk.1.attn_q.weight"), 2,
                   128);
    assert_rotated(find_tensor(&r, "blk.1.attn_k.weight", 0, 32, 16), model_tensor(model, "blk.1.attn_k.weight"), 1,
                   128);
    assert_rotated(find_tensor(&r, "blk.0.attn_q.bias", 0, 32, 0), model_tensor(model, "blk.0.attn_q.bias"), 2, 4);
    const struct {
        const char *name;
        uint64_t cols, rows;
    } same[] = {{"blk.0.attn_v.weight", 32, 16},
                {"output.weight", 32, 48},
                {"blk.1.ffn_down.weight", 64, 32},
                {"blk.1.ffn_norm.weight", 32, 0},
                {"blk.0.attn_v.bias", 16, 0}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const Tensor *t = model_tensor(model, same[i].name);
        assert_memory_equal(find_tensor(&r, same[i].name, 0, same[i].cols, same[i].rows), t->data, t->bytes);
    }
    free(r.data);
    model_free(model);
}

static void test_gguf_types(void **state) {
    (void)state;
    Read r;
    Error err = {0};
    ExportResult result;
    // Matrices keep 16 bits, vectors become f32.
    Model *model = open_tiny(&(Tiny){.dtype = "BF16"}, BYTE_LEVEL);
    export_gguf(model, &as_it_is, &r);
    const Tensor *norm = model_tensor(model, "output_norm.weight");
    const uint8_t *wide = find_tensor(&r, "output_norm.weight", 0, 32, 0);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(wide[4 * i] | wide[4 * i + 1], 0);
        assert_memory_equal(wide + 4 * i + 2, norm->data + 2 * i, 2);
    }
    find_tensor(&r, "token_embd.weight", 30, 32, 48);
    assert_int_equal(key_number(&r, "general.file_type", 4, 4), 32);
    free(r.data);
    export_gguf(model, &(ExportOptions){.cast = true, .dtype = DT_F16, .kernels = {widen, narrow}}, &r);
    find_tensor(&r, "token_embd.weight", 1, 32, 48);
    find_tensor(&r, "output_norm.weight", 0, 32, 0);
    free(r.data);

    // Blocks are copied, rows of q in their new order.
    Tensor *q = (Tensor *)(uintptr_t)model_tensor(model, "blk.0.attn_q.weight"), plain = *q;
    float values[32 * 32];
    uint8_t blocks[32 * 18];
    widen(DT_BF16, q->data, values, 32 * 32);
    quant_function(DT_Q4_0)(values, blocks, 32, 32, NULL);
    *q = (Tensor){.name = q->name, .source = q->source, .type = DT_Q4_0, .dims = 2, .shape = {32, 32}, .data = blocks};
    assert_true(tensor_size(q, &err));
    export_gguf(model, &(ExportOptions){.cast = true, .dtype = DT_F16, .kernels = {widen, narrow}}, &r);
    assert_rotated(find_tensor(&r, "blk.0.attn_q.weight", 2, 32, 32), q, 2, 18);
    free(r.data);
    *q = plain;
    model_free(model);

    model = open_tiny(&(Tiny){.dtype = "F64"}, BYTE_LEVEL);
    assert_false(model_export_gguf(model, gguf_path, &as_it_is, &result, &err));
    assert_non_null(strstr(err.text, "is f64, which engines do not run; choose with --dtype"));
    model_free(model);
}

// Values of llama.cpp's convert_hf_to_gguf for the same settings.
static void test_rope_factors(void **state) {
    (void)state;
    ModelDesc desc = {.head_dim = 8,
                      .rope = {.theta = 10000,
                               .scaling = ROPE_LLAMA3,
                               .factor = 8,
                               .original_context = 64,
                               .low_freq_factor = 1,
                               .high_freq_factor = 4}};
    float factors[4];
    static const GgufArch arch = {.name = "llama"};
    static const float wanted[] = {1.0f, 7.667385101f, 8.0f, 8.0f};
    assert_true(gguf_has_rope_factors(&desc, &arch));
    gguf_rope_factors(&desc, factors);
    for (int i = 0; i < 4; i++) assert_float_equal(factors[i], wanted[i], 1e-5);

    // yarn as engines have it is said with keys; other settings become factors, from 1 up to the whole factor.
    desc.rope = (Rope){.theta = 10000,
                       .scaling = ROPE_YARN,
                       .factor = 4,
                       .original_context = 64,
                       .beta_fast = 32,
                       .beta_slow = 1,
                       .truncate = true};
    assert_false(gguf_has_rope_factors(&desc, &arch));
    desc.rope.truncate = false;
    assert_true(gguf_has_rope_factors(&desc, &arch));
    gguf_rope_factors(&desc, factors);
    assert_true(factors[0] == 1 && factors[3] == 4 && factors[1] > 1 && factors[1] < factors[2] && factors[2] <= 4);
}

static void test_gguf_split(void **state) {
    (void)state;
    Error err = {0};
    ExportResult result;
    ExportOptions options = as_it_is;
    Model *model = open_tiny(&(Tiny){0}, BYTE_LEVEL);
    options.split = 16384;
    remove(gguf_path);
    assert_true(model_export_gguf(model, gguf_path, &options, &result, &err));
    assert_true(result.files > 2);
    uint64_t bytes = 0, tensors = 0;
    for (size_t i = 0; i < result.files; i++) {
        char path[256];
        Read r;
        snprintf(path, sizeof path, "%s/out-%05zu-of-%05zu.gguf", directory, i + 1, result.files);
        read_open(&r, path);
        assert_true(r.size <= options.split);
        assert_int_equal(key_number(&r, "split.no", 2, 2), i);
        assert_int_equal(key_number(&r, "split.count", 2, 2), result.files);
        assert_int_equal(key_number(&r, "split.tensors.count", 5, 4), model->tensor_count);
        assert_int_equal(find_key(&r, "tokenizer.ggml.model", 8), i == 0);
        bytes += r.size;
        tensors += r.tensors;
        free(r.data);
    }
    assert_int_equal(bytes, result.bytes);
    assert_int_equal(tensors, model->tensor_count);
    assert_false(file_exists(gguf_path));

    options.split = 4096;
    assert_false(model_export_gguf(model, gguf_path, &options, &result, &err));
    assert_non_null(strstr(err.text, "alone makes a file of"));
    model_free(model);
}

static void test_pre_tokenizers(void **state) {
    (void)state;
    static const char *const files[][2] = {{"tests/data/tokenizers/llama3.json", "llama-bpe"},
                                           {"tests/data/kjv/tokenizer.json", "dbrx"}};
    for (int i = 0; i < 2; i++) {
        TokenizerSpec spec;
        Error err = {0};
        size_t size;
        char *json = file_read(files[i][0], 1 << 24, &size, &err);
        assert_non_null(json);
        assert_true(tokenizer_json_read(json, size, &spec, &err));
        assert_string_equal(pre_tokenizer_name(&spec, &err), files[i][1]);
        spec.pre_tokenizers[0].behavior = SPLIT_REMOVED;
        assert_null(pre_tokenizer_name(&spec, &err));
        assert_non_null(strstr(err.text, "--pre NAME"));
        tokenizer_spec_free(&spec);
        mem_free(json);
    }
}

// ---- Hugging Face

static void read_safetensors(const char *path, cJSON **header, uint8_t **data, size_t *size, size_t *start) {
    *data = tiny_get(path, size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (*data)[i];
    assert_true(length + 8 <= *size);
    *header = cJSON_ParseWithLength((const char *)*data + 8, length);
    assert_non_null(*header);
    *start = 8 + length;
    assert_int_equal(*start % 8, 0);
}

static void test_hf(void **state) {
    (void)state;
    Error err = {0};
    ExportResult result;
    char out[128], path[256];
    Model *model = open_tiny(&(Tiny){.bias = true, .config = "\"torch_dtype\": \"float32\""}, BYTE_LEVEL);
    snprintf(out, sizeof out, "%s/hf/", directory);
    if (!model_export_hf(model, out, &as_it_is, &result, &err)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%smodel.safetensors", out);
    cJSON *header;
    uint8_t *data;
    size_t size, start, end = 0, count = 0;
    read_safetensors(path, &header, &data, &size, &start);
    for (const cJSON *m = header->child; m; m = m->next) {
        if (strcmp(m->string, "__metadata__") == 0) continue;
        const cJSON *offsets = json_member(m, "data_offsets");
        const Tensor *t = NULL;
        for (size_t i = 0; i < model->tensor_count; i++)
            if (strcmp(model->tensors[i].source, m->string) == 0) t = &model->tensors[i];
        assert_non_null(t);
        assert_string_equal(json_text(m, "dtype"), "F32");
        assert_int_equal(cJSON_GetArraySize(json_member(m, "shape")), t->dims);
        assert_int_equal(offsets->child->valuedouble, end);
        end = (size_t)offsets->child->next->valuedouble;
        assert_memory_equal(data + start + (end - t->bytes), t->data, t->bytes);
        count++;
    }
    assert_int_equal(start + end, size);
    assert_int_equal(count, model->tensor_count);
    cJSON_Delete(header);
    free(data);
    // Files as they were.
    for (size_t i = 0; i < model->file_count; i++) {
        snprintf(path, sizeof path, "%s%s", out, model->files[i].name);
        data = tiny_get(path, &size);
        assert_int_equal(size, model->files[i].size);
        assert_memory_equal(data, model->files[i].data, size);
        free(data);
    }
    assert_false(model_export_hf(model, out, &as_it_is, &result, &err));
    assert_non_null(strstr(err.text, "is not empty"));
    model_free(model);
}

// Sharded and in another type; opened again as any download.
static void test_hf_shards(void **state) {
    (void)state;
    Error err = {0};
    ExportResult result;
    char out[128];
    ExportOptions options = {.cast = true, .dtype = DT_BF16, .kernels = {widen, narrow}, .split = 10000};
    Model *model =
        open_tiny(&(Tiny){.config = "\"torch_dtype\": \"float32\", \"quantization_config\": {}"}, BYTE_LEVEL);
    snprintf(out, sizeof out, "%s/shards", directory);
    if (!model_export_hf(model, out, &options, &result, &err)) fail_msg("%s", err.text);
    assert_true(result.files > 2);
    Model *again = model_open(out, &err);
    if (!again) fail_msg("%s", err.text);
    assert_int_equal(again->tensor_count, model->tensor_count);
    for (size_t i = 0; i < again->tensor_count; i++) assert_int_equal(again->tensors[i].type, DT_BF16);
    const char *config = (const char *)model_file(again, "config.json")->data;
    assert_non_null(strstr(config, "\"bfloat16\""));
    assert_null(strstr(config, "quantization_config"));
    model_free(again);
    model_free(model);
}

// ---- what must not be written

static void test_writers_refuse(void **state) {
    (void)state;
    Error err = {0};
    GgufMeta meta = {0};
    char path[128], name[80];
    memset(name, 'n', sizeof name);
    name[70] = 0;
    snprintf(path, sizeof path, "%s/refused", directory);
    Tensor t = {.name = name, .source = name, .type = DT_F32, .dims = 1, .shape = {2}, .bytes = 8};
    assert_null(gguf_create(path, &meta, &t, 1, &err));
    assert_non_null(strstr(err.text, "at most 63 bytes"));
    name[3] = 0;
    t.type = DT_U8;
    assert_null(gguf_create(path, &meta, &t, 1, &err));
    assert_non_null(strstr(err.text, "GGUF has no type u8"));
    t.type = DT_F32;
    GgufWriter *w = gguf_create(path, &meta, &t, 1, &err);
    assert_true(gguf_write(w, "1234", 4, &err));
    assert_false(gguf_tensor_end(w, &err));
    assert_non_null(strstr(err.text, "4 bytes were written where it has 8"));
    gguf_abort(w);
    w = gguf_create(path, &meta, &t, 1, &err);
    assert_false(gguf_commit(w, &err)); // its tensor did not come

    SafeTensorsWriter *s = safetensors_create(path, &t, 1, &err);
    assert_true(safetensors_write(s, "123456789", 9, &err));
    assert_false(safetensors_tensor_end(s, &err));
    safetensors_abort(s);
    t.type = DT_Q4_0;
    assert_null(safetensors_create(path, &t, 1, &err));
    assert_non_null(strstr(err.text, "safetensors has no type q4_0"));
    assert_false(file_exists(path));
}

static void test_tokenizers_refused(void **state) {
    (void)state;
    const struct {
        const char *find, *replace, *says;
    } cases[] = {
        {"\"ByteLevel\",\"add_prefix_space\":false", "\"ByteLevel\",\"add_prefix_space\":true", "with --pre NAME"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}", "no normalizers"},
        {"\"ab\":2", "\"ab\":99", "but the model has rows for 48 tokens only"},
        {"\"ids\":[3]", "\"ids\":[3,3]", "puts 2 tokens before a text"},
        {"\"ids\":[3]", "\"ids\":[77]", "the model has no row for"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"
         "true}",
         "\"pre_tokenizer\":null", "neither byte-level BPE nor SentencePiece's"},
        {"\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3},\"merges\":[\"a b\"]",
         "\"Unigram\",\"vocab\":[[\"a\",0],[\"b\",0],[\"ab\",0],[\"<s>\",0]]", "no Unigram tokenizers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        ExportResult result;
        char *json = tiny_replace(BYTE_LEVEL, cases[i].find, cases[i].replace);
        Model *model = open_tiny(&(Tiny){0}, json);
        remove(gguf_path);
        assert_false(model_export_gguf(model, gguf_path, &as_it_is, &result, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s, not: %s", err.text, cases[i].says);
        assert_false(file_exists(gguf_path));
        model_free(model);
        free(json);
    }
}

// Any allocation may fail: an error, and nothing written. cJSON's own are not reached by this.
static void test_memory_out(void **state) {
    (void)state;
    ExportResult result;
    char out[128];
    ExportOptions options = {.cast = true, .dtype = DT_F16, .kernels = {widen, narrow}, .split = 8192};
    Model *model = open_tiny(&(Tiny){0}, SENTENCEPIECE);
    snprintf(out, sizeof out, "%s/none", directory);
    for (int hf = 0; hf < 2; hf++) {
        mem_fail_at(0);
        for (size_t n = 1;; n++) {
            Error err = {0};
            mem_fail_at(n);
            bool ok = hf ? model_export_hf(model, out, &options, &result, &err)
                         : model_export_gguf(model, out, &options, &result, &err);
            size_t made = mem_fail_at(0);
            if (ok) {
                assert_true(made < n && n > 10);
                break;
            }
            assert_true(err.text[0] != 0);
            assert_false(file_exists(out));
        }
    }
    model_free(model);
}

static void test_out_dir(void **state) {
    (void)state;
    Error err = {0};
    char path[128], inside[256];
    snprintf(path, sizeof path, "%s/file", directory);
    tiny_put(path, "x", 1);
    assert_null(out_dir_open(path, &err));
    assert_non_null(strstr(err.text, "is not a directory"));
    snprintf(path, sizeof path, "%s/absent/deep", directory);
    assert_null(out_dir_open(path, &err));
    assert_non_null(strstr(err.text, "cannot be written: No such file"));

    snprintf(path, sizeof path, "%s/made", directory);
    OutDir *dir = out_dir_open(path, &err);
    assert_null(out_dir_file(dir, "../up", &err));
    tiny_put(out_dir_file(dir, "one", &err), "1", 1);
    assert_false(file_exists(path));
    out_dir_abort(dir);
    assert_false(file_exists(path));
    dir = out_dir_open(path, &err);
    tiny_put(out_dir_file(dir, "one", &err), "1", 1);
    assert_true(out_dir_commit(dir, &err));
    snprintf(inside, sizeof inside, "%s/one", path);
    assert_true(file_exists(inside));

    // Files alone: none moves when one cannot.
    snprintf(path, sizeof path, "%s/name", directory);
    dir = out_dir_open_files(path, &err);
    tiny_put(out_dir_file(dir, "two", &err), "2", 1);
    tiny_put(out_dir_file(dir, "made", &err), "3", 1);
    assert_false(out_dir_commit(dir, &err));
    assert_non_null(strstr(err.text, "is a directory"));
    snprintf(inside, sizeof inside, "%s/two", directory);
    assert_false(file_exists(inside));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_keys),
        cmocka_unit_test(test_gguf_byte_level),
        cmocka_unit_test(test_gguf_sentencepiece),
        cmocka_unit_test(test_gguf_tensors),
        cmocka_unit_test(test_gguf_types),
        cmocka_unit_test(test_rope_factors),
        cmocka_unit_test(test_gguf_split),
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_hf),
        cmocka_unit_test(test_hf_shards),
        cmocka_unit_test(test_writers_refuse),
        cmocka_unit_test(test_tokenizers_refused),
        cmocka_unit_test(test_memory_out),
        cmocka_unit_test(test_out_dir),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
