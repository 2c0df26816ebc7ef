// Models in GGUF files. The tiny Llamas of tests/data/tiny are written as GGUF by hand, rows of q and k permuted as
// llama.cpp's converter does, and must give transformers' per-token nll (tests/data/tiny); vocabularies that the gguf
// package wrote must give the ids of `tokenizers` and `sentencepiece` (scripts/make_gguf_goldens.py); metadata that
// lies must be refused.
#include "convert/open.h"
#include "convert/write.h"
#include "core/mem.h"
#include "eval/evaluate.h"
#include "eval/tokenizer.h"
#include "tests/gguf_build.h"
#include "tests/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

static const char *directory;

// ---- a Hugging Face model written as GGUF

static bool is_turned(const char *name) { return strstr(name, ".attn_q.") || strstr(name, ".attn_k."); }

// Row 2 i + s of a head is the row i + s * head_dim / 2 that Hugging Face has.
static void put_rows(Build *b, const Tensor *t, int64_t head_dim) {
    int64_t rows = t->dims == 1 ? t->shape[0] : tensor_rows(t), half = head_dim / 2;
    size_t row = t->bytes / (size_t)rows;
    for (int64_t r = 0; r < rows; r++) {
        int64_t in = r % head_dim, from = is_turned(t->name) ? r - in + in / 2 + in % 2 * half : r;
        build_bytes(b, t->data + (size_t)from * row, row);
    }
}

static void put_info(Build *b, const Tensor *t, uint64_t offset) {
    build_text(b, t->name);
    build_number(b, (uint64_t)t->dims, 4);
    for (int i = t->dims - 1; i >= 0; i--) build_number(b, (uint64_t)t->shape[i], 8);
    build_number(b, (uint64_t)dtype_info(t->type)->ggml, 4);
    build_number(b, offset, 8);
}

// Llama 3's scaling as factors, one for each speed (transformers' modeling_rope_utils.py).
static float llama3_factor(const Rope *r, int64_t i, int64_t dim) {
    double wavelength = 6.283185307179586 * pow(r->theta, 2.0 * (double)i / (double)dim);
    double low = (double)r->original_context / r->low_freq_factor;
    double high = (double)r->original_context / r->high_freq_factor;
    if (wavelength < high) return 1;
    if (wavelength > low) return (float)r->factor;
    double smooth =
        ((double)r->original_context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (float)(1 / ((1 - smooth) / r->factor + smooth));
}

// How many keys put_keys writes for a model.
static uint64_t put_keys(Build *b, const ModelDesc *d) {
    build_key_text(b, "general.architecture", "llama");
    build_u32(b, "llama.block_count", (uint32_t)d->layers);
    build_u32(b, "llama.context_length", (uint32_t)d->context);
    build_u32(b, "llama.embedding_length", (uint32_t)d->dim);
    build_u32(b, "llama.feed_forward_length", (uint32_t)d->ffn_dim);
    build_u32(b, "llama.attention.head_count", (uint32_t)d->heads);
    build_u32(b, "llama.attention.head_count_kv", (uint32_t)d->kv_heads);
    build_u32(b, "llama.attention.key_length", (uint32_t)d->head_dim);
    build_u32(b, "llama.rope.dimension_count", (uint32_t)d->head_dim);
    build_f32(b, "llama.attention.layer_norm_rms_epsilon", (float)d->norm_eps);
    build_f32(b, "llama.rope.freq_base", (float)d->rope.theta);
    if (d->rope.scaling == ROPE_PLAIN || d->rope.scaling == ROPE_LLAMA3) return 11;
    build_key_text(b, "llama.rope.scaling.type", rope_scaling_name(d->rope.scaling));
    build_f32(b, "llama.rope.scaling.factor", (float)d->rope.factor);
    if (d->rope.scaling == ROPE_LINEAR) return 13;
    build_u32(b, "llama.rope.scaling.original_context_length", (uint32_t)d->rope.original_context);
    return 14;
}

// Tensors first to last - 1 as one file, the first with the description too.
static void write_part(const Model *m, const char *path, size_t first, size_t last, uint64_t part, uint64_t parts) {
    Build keys = {0}, infos = {0}, data = {0}, whole = {0};
    uint64_t key_count = part ? 0 : put_keys(&keys, &m->desc), tensor_count = last - first;
    if (parts > 1) {
        char words[200];
        snprintf(words, sizeof words, "s:split.no 4:2 2:%d s:split.count 4:2 2:%d", (int)part, (int)parts);
        build_words(&keys, words);
        key_count += 2;
    }
    for (size_t i = first; i < last; i++) {
        const Tensor *t = &m->tensors[i];
        build_align(&data, 32);
        put_info(&infos, t, data.size);
        put_rows(&data, t, m->desc.head_dim);
    }
    if (!part && m->desc.rope.scaling == ROPE_LLAMA3) {
        float factors[64];
        int64_t half = m->desc.head_dim / 2;
        for (int64_t i = 0; i < half; i++) factors[i] = llama3_factor(&m->desc.rope, i, m->desc.head_dim);
        Tensor t = {.name = (char *)(uintptr_t) "rope_freqs.weight", .type = DT_F32, .dims = 1, .shape = {half}};
        build_align(&data, 32);
        put_info(&infos, &t, data.size);
        build_bytes(&data, factors, (size_t)half * sizeof *factors);
        tensor_count++;
    }
    build_words(&whole, "GGUF 4:3");
    build_number(&whole, tensor_count, 8);
    build_number(&whole, key_count, 8);
    build_bytes(&whole, keys.data, keys.size);
    build_bytes(&whole, infos.data, infos.size);
    build_align(&whole, 32);
    build_bytes(&whole, data.data, data.size);
    tiny_put(path, whole.data, whole.size);
    Build *const all[] = {&keys, &infos, &data, &whole};
    for (int i = 0; i < 4; i++) build_free(all[i]);
}

// ---- transformers' nll

static void check_nll(const char *path, const char *variant) {
    char name[256];
    Error err = {0};
    Windows w;
    Evaluation e;
    Model *m = model_open(path, &err);
    if (!m) fail_msg("%s", err.text);
    snprintf(name, sizeof name, "tests/data/tiny/%s/tokens.txt", variant);
    char *text = file_read(name, 1 << 20, NULL, &err);
    assert_true(text && windows_parse(text, name, 0, &w, &err));
    snprintf(name, sizeof name, "tests/data/tiny/%s/golden.json", variant);
    cJSON *golden = json_read(name, 1 << 20, &err);
    if (!golden || !evaluate((const Model *const *)&m, 1, &w, NULL, &e, &err)) fail_msg("%s", err.text);
    const cJSON *row, *value;
    double worst = 0;
    int64_t at = 0;
    cJSON_ArrayForEach(row, json_member(golden, "nll")) cJSON_ArrayForEach(value, row) {
        assert_true(at < w.scored);
        worst = fmax(worst, fabs(value->valuedouble - e.results[0].scores[at++].nll));
    }
    assert_int_equal(at, w.scored);
    printf("%-16s %lld tokens, worst nll error %.1e\n", variant, (long long)at, worst);
    assert_true(worst < 1e-4);
    cJSON_Delete(golden);
    mem_free(text);
    evaluation_free(&e);
    windows_free(&w);
    model_free(m);
}

static Model *open_tiny(const char *variant) {
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/tiny/%s", variant);
    Model *m = model_open(path, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

static void tokens_match_transformers(void **state) {
    (void)state;
    static const char *const variants[] = {"plain-biases", "plain-head-dim", "linear-old", "linear-new",
                                           "yarn-old",     "llama3-old",     "llama3-new"};
    char path[512];
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        Model *m = open_tiny(variants[v]);
        write_part(m, path, 0, m->tensor_count, 0, 1);
        model_free(m);
        check_nll(path, variants[v]);
    }
}

// In three parts, and from there into a .nib, which says what it was made of.
static void parts_and_nib(void **state) {
    (void)state;
    char path[512], nib[512];
    Error err = {0};
    Model *m = open_tiny("llama3-old");
    for (size_t part = 0; part < 3; part++) {
        snprintf(path, sizeof path, "%s/x-%05zu-of-00003.gguf", directory, part + 1);
        write_part(m, path, m->tensor_count * part / 3, m->tensor_count * (part + 1) / 3, part, 3);
    }
    model_free(m);
    snprintf(path, sizeof path, "%s/x-00001-of-00003.gguf", directory);
    check_nll(path, "llama3-old");
    snprintf(nib, sizeof nib, "%s/x.nib", directory);
    m = model_open(path, &err);
    assert_non_null(m);
    if (!model_write_nib(m, nib, &(WriteOptions){.program = "test"}, &err)) fail_msg("%s", err.text);
    model_free(m);
    check_nll(nib, "llama3-old");
    m = model_open(nib, &err);
    assert_non_null(m);
    assert_true(m->desc.rope.interleaved);
    assert_int_equal(m->desc.rope.scaling, ROPE_FACTORS);
    assert_int_equal(cJSON_GetArraySize(m->sources), 3);
    assert_string_equal(json_text(cJSON_GetArrayItem(m->sources, 1), "file"), "x-00002-of-00003.gguf");
    assert_non_null(model_file(m, "tokenizer.gguf"));
    model_free(m);
}

// ---- descriptions that lie

// A whole model whose metadata has `replace` in place of the first `find` (as long), and one key more.
static void expect_refusal(const char *find, const char *replace, const char *more, const char *says) {
    char path[512];
    Error err = {0};
    snprintf(path, sizeof path, "%s/bad.gguf", directory);
    Model *m = open_tiny("plain-biases");
    write_part(m, path, 0, m->tensor_count, 0, 1);
    model_free(m);
    size_t size;
    uint8_t *data = tiny_get(path, &size);
    if (find) {
        uint8_t *at = memmem(data, size, find, strlen(find));
        assert_non_null(at);
        memcpy(at, replace, strlen(replace));
        tiny_put(path, data, size);
    }
    if (more) { // the rest moves by less than what is put after it, so that the tensors stay inside
        Build b = {0};
        build_bytes(&b, data, 24);
        b.data[16]++;
        build_words(&b, more);
        build_bytes(&b, data + 24, size - 24);
        build_words(&b, "z:64");
        tiny_put(path, b.data, b.size);
        build_free(&b);
    }
    free(data);
    m = model_open(path, &err);
    if (m || !strstr(err.text, says) || !strstr(err.text, path))
        fail_msg("%s %s\nexpected: %s\nsaid: %s", find ? find : "", more ? more : "", says, m ? "nothing" : err.text);
}

static void descriptions_that_lie(void **state) {
    (void)state;
    expect_refusal("llama", "lamma", NULL,
                   "the architecture \"lamma\" (general.architecture) is not supported in GGUF files; those supported "
                   "are: llama");
    expect_refusal("block_count", "block_cOunt", NULL, "metadata \"llama.block_count\" is missing");
    expect_refusal("attention.head_count", "attention.head_cOunt", NULL, "\"llama.attention.head_count\" is missing");
    expect_refusal("layer_norm_rms", "layer_norm_rmS", NULL, "layer_norm_rms_epsilon\" is missing");
    expect_refusal("token_embd", "token_emBd", NULL, "tensor token_embd.weight is missing");
    expect_refusal("blk.1.ffn_up.weight", "blk.1.ffn_uP.weight", NULL, "tensor blk.1.ffn_up.weight is missing");
    expect_refusal(NULL, NULL, "s:llama.expert_count 4:4 4:8 ", "\"llama.expert_used_count\" is missing");
    expect_refusal(NULL, NULL, "s:llama.logit_scale 4:6 4:0x3f000000", "\"llama.logit_scale\" is 0.5");
    expect_refusal(NULL, NULL, "s:general.type 4:8 s:adapter", "holds a \"adapter\" (general.type), not a model");
    expect_refusal(NULL, NULL, "s:llama.rope.scaling.type 4:8 s:longrope", "rotary scaling \"longrope\" is not");
    expect_refusal(NULL, NULL, "s:llama.attention.value_length 4:4 4:4",
                   "tensor blk.0.attn_v.weight has shape [8, 32] where the config calls for [4, 32]");
    expect_refusal("llama.rope.dimension_count", "llama.rope.dimension_counT", "s:llama.rope.dimension_count 4:4 4:5",
                   "head_dim is 8, 5 of them turned");
    expect_refusal("llama.block_count", "llama.block_cOunt", "s:llama.block_count 4:4 4:4000000000",
                   "outside 1 to 4096");
    expect_refusal("llama.feed_forward_length", "llama.feed_forward_lengtH",
                   "s:llama.feed_forward_length 4:9 4:4 8:2 4:64 4:32", "differs between layers");
}

static void memory_runs_out(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/x-00001-of-00003.gguf", directory);
    for (size_t n = 1;; n++) {
        Error err = {0};
        mem_fail_at(n);
        Model *m = model_open(path, &err);
        bool reached = mem_fail_at(0) >= n;
        if (m && reached) fail_msg("allocation %zu failed, and nothing was said", n);
        if (!m && !err.text[0]) fail_msg("allocation %zu failed without a message", n);
        model_free(m);
        if (!reached) break;
    }
}

// ---- vocabularies

static Tokenizer *open_vocabulary(const char *name, Error *err) {
    char path[512];
    snprintf(path, sizeof path, "tests/data/gguf/%s.gguf", name);
    Model *m = model_open_tokenizer(path, err);
    Tokenizer *t = m ? tokenizer_new(m, err) : NULL;
    model_free(m);
    return t;
}

static void ids_match(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "llama"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512], *back;
        size_t size, back_size;
        Error err = {0};
        Ids ids;
        Tokenizer *t = open_vocabulary(names[i], &err);
        if (!t) fail_msg("%s", err.text);
        snprintf(path, sizeof path, "tests/data/gguf/%s.golden.json", names[i]);
        cJSON *golden = json_read(path, 1 << 20, &err);
        char *text = file_read("tests/data/unicode.txt", 1 << 20, &size, &err);
        assert_true(golden && text && tokenizer_encode(t, text, size, true, &ids, &err));
        const cJSON *prefix = json_member(golden, "prefix")->child, *id;
        size_t at = prefix ? 1 : 0;
        assert_int_equal(tokenizer_bos(t), prefix ? prefix->valueint : -1);
        cJSON_ArrayForEach(id, json_member(golden, "text")) {
            if (at >= ids.count || ids.ids[at] != id->valueint) fail_msg("%s: id %zu differs", names[i], at);
            at++;
        }
        assert_int_equal(at, ids.count);
        assert_true(tokenizer_decode(t, ids.ids, ids.count, true, &back, &back_size, &err));
        // qwen2's text is normalized, and an unknown character's bytes are there, but what a template adds is not.
        if (strcmp(names[i], "gpt-2") == 0) assert_true(back_size == size && memcmp(back, text, size) == 0);
        mem_free(back);
        mem_free(text);
        ids_free(&ids);
        cJSON_Delete(golden);
        tokenizer_free(t);
    }
}

#define MODEL(name) "s:tokenizer.ggml.model 4:8 s:" name " "
#define TOKENS      "s:tokenizer.ggml.tokens 4:9 4:8 8:3 s:a s:b s:ab "
#define SCORES      "s:tokenizer.ggml.scores 4:9 4:6 8:3 4:0 4:0 4:0 "
#define MERGES(m)   "s:tokenizer.ggml.merges 4:9 4:8 8:1 " m " "

static void vocabularies_that_lie(void **state) {
    (void)state;
    static const struct {
        const char *words, *says;
    } cases[] = {
        {"GGUF 4:3 8:0 8:3 " MODEL("llama") TOKENS SCORES,
         "add_bos_token\" is wanted but \"tokenizer.ggml.bos_token_id"},
        {"GGUF 4:3 8:0 8:0", "has no vocabulary"},
        {"GGUF 4:3 8:0 8:1 " MODEL("bert"), "tokenizer \"bert\" (tokenizer.ggml.model) is not supported; those "
                                            "supported are: gpt2, llama"},
        {"GGUF 4:3 8:0 8:1 " MODEL("gpt2"), "tokenizer.ggml.tokens\" is missing or empty"},
        {"GGUF 4:3 8:0 8:2 " MODEL("gpt2") TOKENS, "tokenizer.ggml.merges\" is missing"},
        {"GGUF 4:3 8:0 8:2 " MODEL("llama") TOKENS, "tokenizer.ggml.scores\" is missing"},
        {"GGUF 4:3 8:0 8:3 " MODEL("gpt2") TOKENS "s:tokenizer.ggml.pre 4:8 s:new",
         "\"new\" (tokenizer.ggml.pre) is not "
         "supported; those supported are: default, gpt-2"},
        {"GGUF 4:3 8:0 8:3 " MODEL("gpt2") TOKENS MERGES("s:ab"), "entry 0: \"ab\" is not two texts"},
        {"GGUF 4:3 8:0 8:3 " MODEL("gpt2") TOKENS "s:tokenizer.ggml.merges 4:9 4:8 8:1 8:3 1:98 1:32 1:98",
         "not in the "
         "vocabulary"},
        {"GGUF 4:3 8:0 8:3 " MODEL("gpt2") TOKENS "s:tokenizer.ggml.merges 4:9 4:4 8:1 4:0", "no array whose elements"},
        {"GGUF 4:3 8:0 8:2 " MODEL("gpt2") "s:tokenizer.ggml.tokens 4:9 4:8 8:2 s:a s:a", "token \"a\" is there twice"},
        {"GGUF 4:3 8:0 8:2 " MODEL("gpt2") "s:tokenizer.ggml.tokens 4:9 4:8 8:1 s:\xff", "token 0 is not UTF-8"},
        {"GGUF 4:3 8:0 8:2 " MODEL("gpt2") "s:tokenizer.ggml.tokens 4:9 4:4 8:1 4:0", "no array whose elements"},
        {"GGUF 4:3 8:0 8:3 " MODEL("llama") TOKENS "s:tokenizer.ggml.scores 4:9 4:6 8:1 4:0",
         "has 1 entries for 3 tokens"},
        {"GGUF 4:3 8:0 8:3 " MODEL("llama") TOKENS "s:tokenizer.ggml.scores 4:9 4:6 8:3 4:0 4:0x7fc00000 4:0",
         "token 1 has no number for a score"},
        {"GGUF 4:3 8:0 8:3 " MODEL("llama") TOKENS "s:tokenizer.ggml.token_type 4:9 4:5 8:1 4:1",
         "has 1 entries for 3"},
        {"GGUF 4:3 8:0 8:4 " MODEL("llama") TOKENS SCORES "s:tokenizer.ggml.bos_token_id 4:4 4:3", "outside 0 to 2"},
    };
    char path[512];
    snprintf(path, sizeof path, "%s/vocabulary.gguf", directory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        Build b = {0};
        build_words(&b, cases[i].words);
        tiny_put(path, b.data, b.size);
        build_free(&b);
        Model *m = model_open_tokenizer(path, &err);
        Tokenizer *t = m ? tokenizer_new(m, &err) : NULL;
        if (t || !strstr(err.text, cases[i].says) || !strstr(err.text, path))
            fail_msg("%s\nexpected: %s\nsaid: %s", cases[i].words, cases[i].says, t ? "nothing" : err.text);
        model_free(m);
    }
}

// A vocabulary is no model.
static void vocabulary_is_no_model(void **state) {
    (void)state;
    Error err = {0};
    assert_null(model_open("tests/data/gguf/llama.gguf", &err));
    assert_non_null(strstr(err.text, "has no tensors, only a vocabulary"));
}

int main(void) {
    static char path[64];
    strcpy(path, tiny_directory());
    directory = path;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_match_transformers),
        cmocka_unit_test(parts_and_nib),
        cmocka_unit_test(descriptions_that_lie),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(ids_match),
        cmocka_unit_test(vocabularies_that_lie),
        cmocka_unit_test(vocabulary_is_no_model),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tiny_remove(directory);
    return failed;
}
