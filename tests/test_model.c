// From config.json and weights to a model: spellings, biases, heads, shards; what does not fit together; memory running
// out.
#include "convert/family.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/log.h"
#include "core/mem.h"
#include "formats/nib.h"
#include "tests/tiny.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>

static char directory[64], source[128], nib[128];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    snprintf(source, sizeof source, "%s/model", directory);
    snprintf(nib, sizeof nib, "%s/model.nib", directory);
    log_set_level(LOG_QUIET);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tiny_remove(directory);
    return 0;
}

// ---- configs

#define LLAMA                                                                                                          \
    "\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"                    \
    "\"num_attention_heads\":4,\"vocab_size\":100,\"max_position_embeddings\":1024"

static bool describe(const char *text, ModelDesc *desc, Error *err) {
    *desc = (ModelDesc){0};
    cJSON *config = json_parse(text, strlen(text), err);
    assert_non_null(config);
    const Family *family = family_find(config, err);
    bool ok = family && family->describe(config, desc, err) && model_desc_check(desc, err);
    cJSON_Delete(config);
    return ok;
}

static ModelDesc must_describe(const char *text) {
    Error err = {0};
    ModelDesc desc;
    if (!describe(text, &desc, &err)) fail_msg("%s\n%s", text, err.text);
    return desc;
}

static void test_describe(void **state) {
    (void)state;
    ModelDesc d = must_describe("{" LLAMA "}");
    assert_int_equal(d.layers, 2);
    assert_int_equal(d.dim, 64);
    assert_int_equal(d.heads, 4);
    assert_int_equal(d.kv_heads, 4);
    assert_int_equal(d.head_dim, 16);
    assert_int_equal(d.ffn_dim, 96);
    assert_int_equal(d.context, 1024);
    assert_int_equal(d.activation, ACT_SILU);
    assert_int_equal(d.bos, -1);
    assert_false(d.tied || d.qkv_bias || d.attn_output_bias || d.mlp_bias);
    assert_true(d.norm_eps == 1e-6 && d.rope.theta == 10000 && d.rope.scaling == ROPE_PLAIN);

    d = must_describe(
        "{" LLAMA ",\"num_key_value_heads\":2,\"head_dim\":24,\"attention_bias\":true,\"mlp_bias\":true,"
        "\"tie_word_embeddings\":true,\"rms_norm_eps\":1e-5,\"bos_token_id\":7,\"eos_token_id\":[8,9],"
        "\"hidden_act\":\"gelu_pytorch_tanh\",\"rope_theta\":5e5,\"rope_scaling\":null,\"pretraining_tp\":2}");
    assert_int_equal(d.kv_heads, 2);
    assert_int_equal(d.head_dim, 24);
    assert_int_equal(d.activation, ACT_GELU_TANH);
    assert_int_equal(d.bos, 7);
    assert_int_equal(d.eos, 8);
    assert_true(d.tied && d.qkv_bias && d.attn_output_bias && d.mlp_bias);
    assert_true(d.norm_eps == 1e-5 && d.rope.theta == 500000);

    // The family by its architecture, where model_type is missing.
    must_describe("{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":8,\"intermediate_size\":8,"
                  "\"num_hidden_layers\":1,\"num_attention_heads\":1,\"vocab_size\":8}");
}

#define SCALED(spelling, members) "{" LLAMA ",\"rope_theta\":20000,\"" spelling "\":{" members "}}"

static void test_rope(void **state) {
    (void)state;
    // transformers 4 with "type", 4 with "rope_type", 5: each with its own place for theta.
    static const struct {
        const char *spelling, *kind;
        double theta;
    } spellings[] = {{"rope_scaling", "\"type\"", 20000},
                     {"rope_scaling", "\"rope_type\"", 20000},
                     {"rope_parameters", "\"rope_theta\":30000,\"rope_type\"", 30000}};
    for (size_t i = 0; i < 3; i++) {
        char text[1024];
#define CONFIG(members)                                                                                                \
    (snprintf(text, sizeof text, SCALED("%s", "%s:" members), spellings[i].spelling, spellings[i].kind),               \
     must_describe(text).rope)
        Rope r = CONFIG("\"default\"");
        assert_true(r.scaling == ROPE_PLAIN && r.theta == spellings[i].theta);
        r = CONFIG("\"linear\",\"factor\":4");
        assert_true(r.scaling == ROPE_LINEAR && r.factor == 4 && r.theta == spellings[i].theta);
        r = CONFIG("\"dynamic\",\"factor\":2,\"original_max_position_embeddings\":77");
        assert_true(r.scaling == ROPE_DYNAMIC && r.factor == 2 && r.original_context == 1024);
        r = CONFIG("\"yarn\",\"factor\":8");
        assert_true(r.scaling == ROPE_YARN && r.factor == 8 && r.original_context == 1024);
        assert_true(r.beta_fast == 32 && r.beta_slow == 1 && r.truncate && r.attention_factor == 0);
        r = CONFIG("\"yarn\",\"original_max_position_embeddings\":256,\"beta_fast\":24,\"beta_slow\":2,"
                   "\"mscale\":0.7,\"mscale_all_dim\":0.8,\"attention_factor\":1.25,\"truncate\":false");
        assert_true(r.factor == 4 && r.original_context == 256 && r.beta_fast == 24 && r.beta_slow == 2);
        assert_true(r.mscale == 0.7 && r.mscale_all_dim == 0.8 && r.attention_factor == 1.25 && !r.truncate);
        r = CONFIG("\"llama3\",\"factor\":32,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                   "\"original_max_position_embeddings\":512");
        assert_true(r.scaling == ROPE_LLAMA3 && r.factor == 32 && r.original_context == 512);
        assert_true(r.low_freq_factor == 1 && r.high_freq_factor == 4);

        // What a .nib keeps of it is all of it.
        ModelDesc before = must_describe(text), after;
        cJSON *json = model_desc_write(&before);
        Error err = {0};
        assert_true(model_desc_read(json, &after, &err));
        assert_memory_equal(&before.rope, &after.rope, sizeof before.rope);
        cJSON_Delete(json);
    }
    // Beside the scaling, the original context comes first; rope_scaling comes before rope_parameters.
    Rope r = must_describe("{" LLAMA ",\"original_max_position_embeddings\":128,\"rope_scaling\":{\"type\":\"yarn\","
                           "\"original_max_position_embeddings\":256},\"rope_parameters\":{\"rope_type\":\"default\"}}")
                 .rope;
    assert_true(r.scaling == ROPE_YARN && r.original_context == 128 && r.factor == 8);
}

static void test_bad_configs(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "names no family (model_type); those supported are: llama"},
        {"{\"model_type\":\"mamba\"}", "\"mamba\" is not supported; those supported are: llama"},
        {"{\"architectures\":[\"RwkvForCausalLM\"]}", "\"RwkvForCausalLM\" is not supported"},
        {"{\"model_type\":\"llama\"}", "\"num_hidden_layers\" is missing"},
        {"{" LLAMA ",\"num_key_value_heads\":3}", "4 query heads are no multiple of 3"},
        {"{" LLAMA ",\"num_key_value_heads\":0}", "\"num_key_value_heads\" is 0"},
        {"{" LLAMA ",\"head_dim\":15}", "even"},
        {"{" LLAMA ",\"head_dim\":\"16\"}", "\"head_dim\" is not a number"},
        {"{" LLAMA ",\"head_dim\":1e12}", "head_dim is 1000000000000, outside"},
        {"{" LLAMA ",\"head_dim\":16.5}", "not a whole number"},
        {"{" LLAMA ",\"hidden_act\":\"mish\"}", "\"mish\" (hidden_act) is not supported"},
        {"{" LLAMA ",\"tie_word_embeddings\":1}", "neither true nor false"},
        {"{" LLAMA ",\"rms_norm_eps\":-1}", "\"rms_norm_eps\""},
        {"{" LLAMA ",\"eos_token_id\":[]}", "\"eos_token_id\""},
        {"{" LLAMA ",\"eos_token_id\":[\"a\"]}", "\"eos_token_id\""},
        {"{" LLAMA ",\"rope_theta\":0}", "theta"},
        {"{" LLAMA ",\"rope_scaling\":4}", "\"rope_scaling\" is not an object"},
        {SCALED("rope_scaling", "\"type\":\"shortrope\""),
         "\"rope_scaling\": rotary scaling \"shortrope\" is not supported"},
        {SCALED("rope_parameters", "\"rope_type\":\"linear\""), "\"rope_parameters\": \"factor\" is missing"},
        {SCALED("rope_scaling", "\"type\":\"linear\",\"factor\":0"), "rope factor is 0"},
        {SCALED("rope_scaling", "\"type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4"),
         "not above low_freq_factor"},
        {SCALED("rope_parameters", "\"rope_type\":\"default\",\"partial_rotary_factor\":0.35"), "need an even number"},
        {"{\"model_type\":\"llama\",\"hidden_size\":65,\"intermediate_size\":96,\"num_hidden_layers\":2,"
         "\"num_attention_heads\":4,\"vocab_size\":100}",
         "hidden_size 65 is no multiple of num_attention_heads 4"},
        {"{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":1e9,"
         "\"num_attention_heads\":4,\"vocab_size\":100}",
         "layers is 1000000000, outside"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        ModelDesc desc;
        if (describe(cases[i].text, &desc, &err) || !strstr(err.text, cases[i].says))
            fail_msg("%s\nexpected: %s\nsaid: %s", cases[i].text, cases[i].says, err.text);
    }
}

// ---- names

// What the family makes of a tensor of this name: NULL: it has none, "": it is left out. In a static buffer.
static const char *internal(const char *from) {
    static char name[MODEL_NAME];
    static const float one = 1;
    Error err = {0};
    Model *m = model_new("test", &err);
    char copy[MODEL_NAME];
    snprintf(copy, sizeof copy, "%s", from);
    Tensor t = {.source = copy, .dims = 1, .shape = {1}, .data = (const uint8_t *)&one, .bytes = sizeof one};
    bool known;
    assert_non_null(m);
    assert_true(names_add(family_llama.names, family_llama.starts, &t, m, &known, &err));
    assert_true(m->tensor_count <= 1);
    snprintf(name, sizeof name, "%s", m->tensor_count ? m->tensors[0].name : "");
    model_free(m);
    return known ? name : NULL;
}

static void test_names(void **state) {
    (void)state;
    char buf[MODEL_NAME];
    static const ModelDesc none;
    const Family *f = &family_llama;
    assert_string_equal(internal("model.layers.31.self_attn.q_proj.weight"), "blk.31.attn_q.weight");
    assert_string_equal(internal("model.norm.weight"), "output_norm.weight");
    assert_string_equal(internal("model.layers.0.self_attn.rotary_emb.inv_freq"), "");
    assert_string_equal(internal("layers.3.mlp.up_proj.weight"), "blk.3.ffn_up.weight");
    assert_null(internal("model.layers.03.self_attn.q_proj.weight"));
    assert_null(internal("model.layers.-1.self_attn.q_proj.weight"));
    assert_null(internal("model.layers.12345678901234567890.self_attn.q_proj.weight"));
    assert_null(internal("model.layers.3.self_attn.q_proj.weight.x"));
    assert_null(internal("model.layers..self_attn.q_proj.weight"));
    assert_null(internal(""));
    assert_string_equal(family_source_name(f, &none, "blk.7.ffn_down.bias", buf, sizeof buf),
                        "model.layers.7.mlp.down_proj.bias");
    assert_string_equal(family_source_name(f, &none, "unknown", buf, sizeof buf), "unknown");
}

// ---- directories

static void must_open(const char *what) {
    Error err = {0};
    Model *model = model_open(source, &err);
    if (!model) fail_msg("%s: %s", what, err.text);
    model_free(model);
}

static void must_not_open(const char *what, const char *says) {
    Error err = {0};
    Model *model = model_open(source, &err);
    if (model || !strstr(err.text, says) || !strstr(err.text, source))
        fail_msg("%s\nexpected: %s\nsaid: %s", what, says, model ? "nothing" : err.text);
}

static void in_source(const char *name, char path[512]) { snprintf(path, 512, "%s/%s", source, name); }

// Replaces text in a file of the directory.
static void edit(const char *name, const char *find, const char *replace) {
    char path[512];
    size_t size;
    in_source(name, path);
    char *old = (char *)tiny_get(path, &size), *new = tiny_replace(old, find, replace);
    tiny_put(path, new, strlen(new));
    free(old);
    free(new);
}

static void test_directories(void **state) {
    (void)state;
    tiny_write(source, &(Tiny){0});
    must_open("plain");
    tiny_write(source, &(Tiny){.bias = true, .untied = true, .shards = 3, .dtype = "F16"});
    must_open("biases, own head, shards");

    tiny_write(source, &(Tiny){.untied = true});
    edit("config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    must_not_open("a head beside the embedding", "lm_head.weight differs from model.embed_tokens.weight");
    tiny_write(source, &(Tiny){0});
    edit("config.json", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    must_not_open("no head", "tensor lm_head.weight is missing");
    tiny_write(source, &(Tiny){.bias = true});
    edit("config.json", "\"mlp_bias\": true", "\"mlp_bias\": false");
    must_not_open("a bias too many", ".mlp.gate_proj.bias is none that the config calls for");
    tiny_write(source, &(Tiny){0});
    edit("config.json", "\"attention_bias\": false", "\"attention_bias\": true");
    must_not_open("a bias too few", "tensor model.layers.0.self_attn.q_proj.bias is missing");
}

static void test_misfits(void **state) {
    (void)state;
    static const struct {
        const char *find, *replace, *says;
    } configs[] = {
        {"\"hidden_size\": 32", "\"hidden_size\": 64",
         "tensor model.embed_tokens.weight has shape [48, 32] where the config calls for [48, 64]"},
        {"\"vocab_size\": 48", "\"vocab_size\": 49", "has shape [48, 32] where the config calls for [49, 32]"},
        {"\"intermediate_size\": 64", "\"intermediate_size\": 63",
         "has shape [64, 32] where the config calls for [63, 32]"},
        {"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 2",
         "tensor model.layers.0.self_attn.k_proj.weight has shape [16, 32]"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
         "tensor model.layers.2.input_layernorm.weight is missing"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
         "tensor model.layers.1.input_layernorm.weight is none"},
        {"\"llama\"", "\"rwkv\"", "config.json: the family \"rwkv\" is not supported"},
        {"{", "", "config.json: malformed JSON"},
        {"{", "[{", "config.json: malformed JSON"},
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        tiny_write(source, &(Tiny){0});
        edit("config.json", configs[i].find, configs[i].replace);
        must_not_open(configs[i].replace, configs[i].says);
    }
    static const Tiny weights[] = {
        {.find = "model.norm.weight", .replace = "model.gnome.weight"},
        {.find = "[48,32]", .replace = "[32,48]"},
        {.find = "model.layers.1.mlp.up_proj", .replace = "model.layers.7.mlp.up_proj"},
    };
    static const char *const says[] = {
        "tensor model.gnome.weight is none that the family llama has",
        "tensor model.embed_tokens.weight has shape [32, 48] where the config calls for [48, 32]",
        "tensor model.layers.1.mlp.up_proj.weight is missing",
    };
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        tiny_write(source, &weights[i]);
        must_not_open(weights[i].replace, says[i]);
    }
    tiny_write(source, &(Tiny){.without = "model.norm.weight"});
    must_not_open("a tensor too few", "tensor model.norm.weight is missing");
}

static void test_shards(void **state) {
    (void)state;
    char path[512];
    static const char index[] = "model.safetensors.index.json";
    static const struct {
        const char *find, *replace, *says;
    } cases[] = {
        {"model-00002-of-00003.safetensors", "../model-00002-of-00003.safetensors", "leads outside the directory"},
        {"model-00002-of-00003.safetensors", "/etc/passwd", "leads outside the directory"},
        {"model-00002-of-00003.safetensors", "", "leads outside the directory"},
        {"\"model-00002-of-00003.safetensors\"", "2", "is not a file name"},
        {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
         "is not in model-00002-of-00003.safetensors, where"},
        {"model.norm.weight", "model.gnome.weight", "tensor model.gnome.weight is not in"},
        {"model.norm.weight", "model.embed_tokens.weight", "\"model.embed_tokens.weight\" is there twice"},
        {"weight_map", "weigh_map", "\"weight_map\" is missing or empty"},
        {"{", "", "malformed JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_write(source, &(Tiny){.shards = 3});
        edit(index, cases[i].find, cases[i].replace);
        must_not_open(cases[i].replace, cases[i].says);
    }
    tiny_write(source, &(Tiny){.shards = 3});
    in_source("model-00002-of-00003.safetensors", path);
    remove(path);
    must_not_open("a missing shard", "model-00002-of-00003.safetensors: cannot be opened");

    // One shard twice under two names: each tensor is there twice.
    tiny_write(source, &(Tiny){.shards = 1});
    size_t size;
    in_source("model-00001-of-00001.safetensors", path);
    uint8_t *data = tiny_get(path, &size);
    in_source("again.safetensors", path);
    tiny_put(path, data, size);
    free(data);
    edit(index, "model-00001-of-00001.safetensors", "again.safetensors");
    must_not_open("a shard twice", "is there twice");
}

static void test_missing_parts(void **state) {
    (void)state;
    char path[512];
    Error err = {0};
    tiny_write(source, &(Tiny){0});
    in_source("config.json", path);
    remove(path);
    must_not_open("no config", "has no config.json");
    tiny_write(source, &(Tiny){0});
    in_source("model.safetensors", path);
    remove(path);
    must_not_open("no weights", "has no weights");
    tiny_text(source, "pytorch_model.bin", "PK");
    must_not_open("pickles", "pytorch_model.bin: is not a file of torch.save");
    Model *model = model_open_tokenizer(source, &err);
    assert_non_null(model);
    assert_non_null(model_file(model, "tokenizer.json"));
    assert_null(model_file(model, "vocab.json"));
    model_free(model);

    snprintf(path, sizeof path, "%s/nowhere", directory);
    assert_null(model_open(path, &err));
    assert_non_null(strstr(err.text, "there is no such file"));
    assert_null(model_open("Makefile", &err));
    assert_non_null(strstr(err.text, "is neither a .nib file nor"));
}

// A head saved beside the embedding that it is tied to, byte for byte: left out.
static void test_tied_head(void **state) {
    (void)state;
    char path[512];
    Error err = {0};
    tiny_write(source, &(Tiny){0});
    in_source("model.safetensors", path);
    size_t size;
    uint8_t *data = tiny_get(path, &size);
    uint64_t length = data[0] | (uint64_t)data[1] << 8; // below 65536
    size_t data_size = size - 8 - length, head = 48 * 32 * 4;
    char *header = calloc(length + 200, 1);
    memcpy(header, data + 8, length - 1); // without the last brace
    sprintf(header + length - 1,
            ",\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[48,32],\"data_offsets\":[%zu,%zu]}}", data_size,
            data_size + head);
    uint8_t *both = malloc(data_size + head);
    memcpy(both, data + 8 + length, data_size);
    memcpy(both + data_size, both, head); // the embedding comes first
    tiny_safetensors(path, header, both, data_size + head);
    Model *model = model_open(source, &err);
    if (!model) fail_msg("%s", err.text);
    assert_null(model_tensor(model, "output.weight"));
    model_free(model);
    both[data_size] ^= 1;
    tiny_safetensors(path, header, both, data_size + head);
    must_not_open("another head", "lm_head.weight differs");
    free(both);
    free(header);
    free(data);
}

// Every checkpoint that transformers wrote for the goldens opens.
static void test_goldens_open(void **state) {
    (void)state;
    int count = 0;
    DIR *dir = opendir("tests/data/tiny");
    if (!dir) skip();
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "tests/data/tiny/%s", e->d_name);
        if (e->d_name[0] == '.' || !file_is_directory(path)) continue;
        Error err = {0};
        Model *model = model_open(path, &err);
        if (!model) fail_msg("%s", err.text);
        model_free(model);
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
}

// ---- memory running out at each allocation in turn, cJSON's included

static void *inject_alloc(size_t size) { return mem_alloc(size, 1, NULL); }

static bool convert(Error *err) {
    const WriteOptions options = {.program = "test"};
    Model *model = model_open(source, err);
    bool ok = model && model_write_nib(model, nib, &options, err);
    model_free(model);
    return ok && nib_verify(nib, err);
}

static void test_out_of_memory(void **state) {
    (void)state;
    cJSON_Hooks hooks = {inject_alloc, mem_free};
    cJSON_InitHooks(&hooks);
    Error err = {0};
    tiny_write(source, &(Tiny){.small = true, .shards = 2});
    mem_fail_at(0);
    if (!convert(&err)) fail_msg("%s", err.text);
    size_t total = mem_fail_at(0), size;
    uint8_t *good = tiny_get(nib, &size);
    assert_true(total > 500);
    for (size_t n = 1; n <= total; n++) {
        err.text[0] = 0;
        mem_fail_at(n);
        if (convert(&err)) fail_msg("allocation %zu of %zu failed, and nothing was said", n, total);
        if (!err.text[0]) fail_msg("allocation %zu of %zu failed without a message", n, total);
        mem_fail_at(0);
        size_t now_size;
        uint8_t *now = tiny_get(nib, &now_size); // the old one, or the same again where only verifying failed
        assert_int_equal(size, now_size);
        assert_memory_equal(good, now, size);
        free(now);
    }
    free(good);
    cJSON_InitHooks(NULL);
    // Nothing but the model and the one output is there.
    int entries = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));) entries += e->d_name[0] != '.';
    closedir(dir);
    assert_int_equal(entries, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe),     cmocka_unit_test(test_rope),          cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_directories),   cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_shards),       cmocka_unit_test(test_missing_parts), cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_goldens_open), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
