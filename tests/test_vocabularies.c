// Tokenizers from tokenizer.model and from vocab.json with merges.txt, against transformers' and SentencePiece's ids
// (scripts/make_sentencepiece_goldens.py), and hostile files.
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define DATA "tests/data/"

typedef struct Bytes {
    uint8_t data[1 << 14];
    size_t size;
} Bytes;

static void put(Bytes *b, const void *data, size_t size) {
    assert_true(size <= sizeof b->data - b->size);
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void must_read(const char *path, Bytes *b) {
    Error err = {0};
    b->size = 0;
    char *text = file_read(path, sizeof b->data, &b->size, &err);
    if (!text) fail_msg("%s", err.text);
    memcpy(b->data, text, b->size);
    mem_free(text);
}

static ModelFile file_of(const char *name, const void *data, size_t size) {
    return (ModelFile){.name = (char *)(uintptr_t)name, .data = (uint8_t *)(uintptr_t)data, .size = size};
}

static Tokenizer *open_files(ModelFile *files, size_t count, Error *err) {
    Model model = {.path = (char *)(uintptr_t) "test", .files = files, .file_count = count};
    return tokenizer_new(&model, err);
}

// ---- goldens

static void check_ids(const Tokenizer *t, const cJSON *c) {
    Error err = {0};
    Ids ids;
    const char *text = json_text(c, "text");
    size_t size = strlen(text), i = 0;
    char *file = NULL;
    if (size > 4 && strcmp(text + size - 4, ".txt") == 0) {
        char path[256];
        snprintf(path, sizeof path, DATA "%s", text);
        text = file = file_read(path, 1 << 20, &size, &err);
        if (!file) fail_msg("%s", err.text);
    }
    if (!tokenizer_encode(t, text, size, true, &ids, &err)) fail_msg("%s", err.text);
    const cJSON *id;
    cJSON_ArrayForEach(id, json_member(c, "ids")) {
        if (i >= ids.count || ids.ids[i] != id->valueint)
            fail_msg("\"%s\": id %zu is %d, not %d", json_text(c, "text"), i, i < ids.count ? ids.ids[i] : -1,
                     id->valueint);
        i++;
    }
    assert_int_equal(i, ids.count);
    ids_free(&ids);
    mem_free(file);
}

static void check_goldens(const char *directory, bool pieces) {
    static Bytes a, b;
    char path[256];
    Error err = {0};
    snprintf(path, sizeof path, "%s/golden.json", directory);
    cJSON *golden = json_read(path, 1 << 20, &err), *c;
    if (!golden) fail_msg("%s", err.text);
    cJSON_ArrayForEach(c, golden) {
        const char *model = json_text(c, "model");
        snprintf(path, sizeof path, "%s/%s", directory, model ? model : pieces ? "tokenizer.model" : "vocab.json");
        must_read(path, &a);
        snprintf(path, sizeof path, "%s/merges.txt", directory);
        if (!pieces) must_read(path, &b);
        char *config = cJSON_PrintUnformatted(json_member(c, "config"));
        ModelFile files[] = {file_of("tokenizer_config.json", config, strlen(config)),
                             file_of(pieces ? "tokenizer.model" : "vocab.json", a.data, a.size),
                             file_of("merges.txt", b.data, b.size)};
        Tokenizer *t = open_files(files, pieces ? 2 : 3, &err);
        if (!t) fail_msg("%s", err.text);
        check_ids(t, c);
        tokenizer_free(t);
        cJSON_free(config);
    }
    cJSON_Delete(golden);
}

static void test_sentencepiece(void **state) {
    (void)state;
    check_goldens(DATA "sentencepiece", true);
}
static void test_vocab_merges(void **state) {
    (void)state;
    check_goldens(DATA "vocab-merges", false);
}

static void test_decode(void **state) {
    (void)state;
    static Bytes a;
    Error err = {0};
    must_read(DATA "sentencepiece/tokenizer.model", &a);
    Tokenizer *t = open_files((ModelFile[]){file_of("tokenizer.model", a.data, a.size)}, 1, &err);
    if (!t) fail_msg("%s", err.text);
    assert_int_equal(tokenizer_bos(t), 1); // where nobody says otherwise
    assert_true(tokenizer_is_special(t, 2));
    static const char text[] = " two  spaces\nand \xF0\x9F\x98\x80";
    Ids ids;
    char *back;
    size_t size;
    assert_true(tokenizer_encode(t, text + 1, sizeof text - 2, true, &ids, &err));
    assert_true(tokenizer_decode(t, ids.ids, ids.count, false, &back, &size, &err));
    assert_string_equal(back, text + 1);
    mem_free(back);
    ids_free(&ids);
    tokenizer_free(t);
}

// ---- messages made by hand

static void put_field(Bytes *b, int number, const void *data, size_t size) {
    put(b, (uint8_t[]){(uint8_t)(number % 16 << 3 | 2)}, 1);
    put(b, (uint8_t[]){(uint8_t)(size | 0x80), (uint8_t)(size >> 7)}, 2);
    put(b, data, size);
}

// A piece with a score and a type.
static void put_piece(Bytes *b, const char *text, float score, uint8_t type) {
    Bytes piece = {.size = 0};
    put_field(&piece, 1, text, strlen(text));
    put(&piece, "\x15", 1);
    put(&piece, &score, sizeof score); // on a little-endian machine
    put(&piece, (uint8_t[]){3 << 3, type}, 2);
    put_field(b, 1, piece.data, piece.size);
}

#define TRAINER_BPE  "\x12\2\x18\2"
#define NORMALIZER   "\x1a\2\x20\0" // extra spaces stay
#define RAW(message) message, sizeof message - 1

// The least model that works: unk, a, b, ab.
static void put_good(Bytes *b) {
    b->size = 0;
    put_piece(b, "<unk>", 0, 2);
    put_piece(b, "a", -1, 1);
    put_piece(b, "b", -2, 1);
    put_piece(b, "ab", -3, 1);
}

static void expect(const Bytes *b, const char *config, const char *what, const char *says) {
    Error err = {0};
    ModelFile files[] = {file_of("tokenizer.model", b->data, b->size),
                         file_of("tokenizer_config.json", config ? config : "", config ? strlen(config) : 0)};
    Tokenizer *t = open_files(files, config ? 2 : 1, &err);
    if (says ? t != NULL || !strstr(err.text, says) || strncmp(err.text, "test: ", 6) != 0 : t == NULL)
        fail_msg("%s\nexpected: %s\nsaid: %s", what, says ? says : "nothing", t ? "nothing" : err.text);
    tokenizer_free(t);
}

static const struct {
    const char *message; // after the four pieces
    size_t size;
    const char *says;
} messages[] = {
    {RAW(TRAINER_BPE), NULL},
    {RAW(TRAINER_BPE NORMALIZER), NULL},
    {RAW(TRAINER_BPE "\xfa\1\1x"), NULL}, // an unknown field
    {RAW(""), NULL},                      // Unigram, where nobody says otherwise
    {RAW("\x12\2\x18\3"), "model of type 3"},
    {RAW("\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "model of type -1"},
    {RAW(TRAINER_BPE "\x1a\7\x0a\2xy\x12\1z"), "the charsmap's trie of 0 bytes is not within its 1 bytes"},
    {RAW(TRAINER_BPE "\x1a\2\x10\1"), "normalizer_spec: field 2 is of kind 0 instead of 2"},
    {RAW("\x0a\x08\x0a\1x\x15\0\0\x80\x7f"), "piece 4: its score is infinite"},
    {RAW(TRAINER_BPE "\x2a\3\x12\1z"), "denormalizer_spec is not supported"},
    {RAW(TRAINER_BPE "\x1a\2\x28\0"), "escape_whitespaces = false is not supported"},
    {RAW("\x12\5\x18\2\xc0\1\1"), "treat_whitespace_as_suffix is not supported"},
    {RAW("\x12\5\x18\2\xc0\2\1"), "unk_id 1 is not that of an unknown piece"},
    {RAW("\x12\6\x18\2\xc0\2\x80\1"), "unk_id 128 is not"},
    {RAW("\x12\x0e\x18\2\xc0\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "unk_id -1 is not"},
    {RAW(TRAINER_BPE "\x0a"), "a field is cut short"},
    {RAW(TRAINER_BPE "\x0a\x7f"), "a field is cut short"},
    {RAW(TRAINER_BPE "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "a field is cut short"},
    {RAW(TRAINER_BPE "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "a number has more than 10 bytes"},
    {RAW(TRAINER_BPE "\x0a\3\x0a\5x"), "piece 4: a field is cut short"},
    {RAW(TRAINER_BPE "\x0a\0"), "piece 4: is empty or not UTF-8"},
    {RAW(TRAINER_BPE "\x0a\3\x0a\1\xff"), "piece 4: is empty or not UTF-8"},
    {RAW(TRAINER_BPE "\x0a\2\x08\1"), "piece 4: field 1 is of kind 0 instead of 2"},
    {RAW(TRAINER_BPE "\x0a\5\x0a\1x\x10\1"), "piece 4: field 2 is of kind 0 instead of 5"},
    {RAW(TRAINER_BPE "\x0a\5\x0a\1x\x18\7"), "piece 4: is of type 7"},
    {RAW(TRAINER_BPE "\x0a\5\x0a\1x\x18\0"), "piece 4: is of type 0"},
    {RAW(TRAINER_BPE "\x0a\x08\x0a\1x\x15\0\0\xc0\x7f"), "piece 4: its score is not a number"},
    {RAW(TRAINER_BPE "\x0a\3\x0a\1a"), "\"a\" is there twice"},
    {RAW(TRAINER_BPE "\x08\1"), "field 1 is of kind 0 instead of 2"},
    {RAW(TRAINER_BPE "\x0b"), "kind 3, which is not supported"},
    {RAW(TRAINER_BPE "\7"), "no valid number"},
    {RAW(TRAINER_BPE "\x02\1x"), "no valid number"},
    {RAW(TRAINER_BPE "\x1a\3\x1a\1x"), "normalizer_spec: field 3 is of kind 2 instead of 0"},
};

static void test_messages(void **state) {
    (void)state;
    Bytes b;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        char what[32];
        snprintf(what, sizeof what, "message %zu", i);
        put_good(&b);
        put(&b, messages[i].message, messages[i].size);
        expect(&b, NULL, what, messages[i].says);
    }
    b.size = 0;
    expect(&b, NULL, "empty", "has no pieces");
}

static const char *const configs[][2] = {
    {"{}", NULL},
    {"[]", "tokenizer_config.json: is not a JSON object"},
    {"{", "tokenizer_config.json: malformed JSON"},
    {"{\"legacy\":1}", "\"legacy\" is neither true nor false"},
    {"{\"add_bos_token\":1}", "\"add_bos_token\" is neither true nor false"},
    {"{\"add_bos_token\":true}", "\"add_bos_token\" is true, but there is no such token"},
    {"{\"add_bos_token\":true,\"bos_token\":\"a\"}", NULL},
    {"{\"add_bos_token\":true,\"bos_token\":{\"content\":\"b\"}}", NULL},
    {"{\"add_eos_token\":true,\"eos_token\":\"x\"}", "\"eos_token\" is not in the vocabulary"},
    {"{\"added_tokens_decoder\":[]}", "\"added_tokens_decoder\" is not an object"},
    {"{\"added_tokens_decoder\":{\"4\":{\"content\":\"x\"}}}", NULL},
    {"{\"added_tokens_decoder\":{\"1\":{\"content\":\"a\"}}}", NULL},
    {"{\"added_tokens_decoder\":{\"4\":{}}}", "token 4: \"content\" is missing or empty"},
    {"{\"added_tokens_decoder\":{\"4\":3}}", "token 4: \"content\" is missing or empty"},
    {"{\"added_tokens_decoder\":{\"4\":{\"content\":\"\"}}}", "token 4: \"content\" is missing or empty"},
    {"{\"added_tokens_decoder\":{\"4\":{\"content\":\"x\",\"lstrip\":2}}}", "token 4: \"lstrip\" is neither"},
    {"{\"added_tokens_decoder\":{\"5\":{\"content\":\"x\"}}}", "token 5: \"x\" has another place"},
    {"{\"added_tokens_decoder\":{\"2\":{\"content\":\"a\"}}}", "token 2: \"a\" has another place"},
    {"{\"added_tokens_decoder\":{\"-1\":{\"content\":\"x\"}}}", "\"-1\" is no id"},
    {"{\"added_tokens_decoder\":{\"\":{\"content\":\"x\"}}}", "\"\" is no id"},
    {"{\"added_tokens_decoder\":{\"4x\":{\"content\":\"x\"}}}", "\"4x\" is no id"},
    {"{\"added_tokens_decoder\":{\"99999999999999999999\":{\"content\":\"x\"}}}", "is no id"},
    {"{\"added_tokens_decoder\":{\"4\":{\"content\":\"x\"},\"5\":{\"content\":\"x\"}}}", "are the same text"},
};

static void test_configs(void **state) {
    (void)state;
    Bytes b;
    put_good(&b);
    put(&b, TRAINER_BPE, sizeof TRAINER_BPE - 1);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        expect(&b, configs[i][0], configs[i][0], configs[i][1]);
}

// One merge after another: a model whose merges must go by score, not by id.
static void test_scores(void **state) {
    (void)state;
    Bytes b = {.size = 0};
    Error err = {0};
    Ids ids;
    put_piece(&b, "<unk>", 0, 2);
    put_piece(&b, "ab", -9, 1);
    put_piece(&b, "bc", -5, 1);
    put_piece(&b, "a", -20, 1);
    put_piece(&b, "b", -20, 1);
    put_piece(&b, "c", -20, 1);
    put(&b, RAW("\x12\2\x18\2\x1a\2\x18\0"));
    Tokenizer *t = open_files((ModelFile[]){file_of("tokenizer.model", b.data, b.size)}, 1, &err);
    if (!t) fail_msg("%s", err.text);
    assert_true(tokenizer_encode(t, "abcxya", 6, true, &ids, &err));
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.ids, ((int32_t[]){3, 2, 0, 3}), 16); // a bc <unk> a
    ids_free(&ids);
    tokenizer_free(t);
}

static const char *const pairs[][3] = {
    {"{\"a\":0,\"b\":1,\"ab\":2}", "#version: 0.2\r\na b\r\n\r\n", NULL},
    {"{\"a\":0,\"b\":1,\"ab\":2}", "a b", NULL},
    {"{\"a\":0}", "", NULL},
    {"{\"a\":0}", "a b\n", "vocab.json and merges.txt: \"merges\": entry 0: \"b\" is not in the vocabulary"},
    {"{\"a\":0,\"b\":1}", "a b\n", "together are not in the vocabulary"},
    {"{\"a\":0}", "ab\n", "is not two texts with a space between"},
    {"{\"a\":0}", "a b c\n", "is not two texts with a space between"},
    {"{\"a\":0}",
     "a\xff"
     "b\n",
     "merges.txt: is not UTF-8"},
    {"{\"a\":-1}", "", "id -1 is not a whole number"},
    {"{\"a\":0,\"b\":0}", "", "id 0 is given to two tokens"},
    {"{\"a\":0,\"a\":1}", "", "is there twice"},
    {"{}", "", "\"vocab\" is empty"},
    {"[]", "", "\"vocab\" is missing or not an object"},
    {"{\"a\":", "", "vocab.json: malformed JSON"},
    {"\xff", "", "vocab.json: is not UTF-8 at byte 0"},
    {"", "", "vocab.json: malformed JSON"},
};

static void test_pairs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        Error err = {0};
        ModelFile files[] = {file_of("vocab.json", pairs[i][0], strlen(pairs[i][0])),
                             file_of("merges.txt", pairs[i][1], strlen(pairs[i][1]))};
        Tokenizer *t = open_files(files, 2, &err);
        if (pairs[i][2] ? t != NULL || !strstr(err.text, pairs[i][2]) : t == NULL)
            fail_msg("%s %s\nsaid: %s", pairs[i][0], pairs[i][1], t ? "nothing" : err.text);
        tokenizer_free(t);
    }
    Error err = {0};
    ModelFile files[] = {file_of("vocab.json", "{}", 2), file_of("merges.txt", "", 0),
                         file_of("tokenizer_config.json", RAW("{\"tokenizer_class\":\"RobertaTokenizer\"}"))};
    assert_null(open_files(files, 1, &err));
    assert_non_null(strstr(err.text, "test: has no tokenizer.json"));
    assert_null(open_files(files, 3, &err));
    assert_non_null(strstr(err.text, "how a \"RobertaTokenizer\" splits text is not known"));
}

static const char *const added[][4] = {
    // added_tokens.json, tokenizer_config.json, special_tokens_map.json, what is said
    {"{\"x\":3,\"  \":4}", NULL, NULL, NULL},
    {"{}", "{}", "{}", NULL},
    {"{\"x\":99}", "{\"added_tokens_decoder\":{\"3\":{\"content\":\"x\"}}}", NULL, NULL},
    {"{\"x\":3}", "{\"added_tokens_decoder\":null}", NULL, NULL},
    {"[]", NULL, NULL, "added_tokens.json: is not a JSON object"},
    {"{", NULL, NULL, "added_tokens.json: malformed JSON"},
    {"{\"x\":\"3\"}", NULL, NULL, "added_tokens.json: \"x\" has no whole number for an id"},
    {"{\"x\":3.5}", NULL, NULL, "\"x\" has no whole number"},
    {"{\"x\":1e30}", NULL, NULL, "\"x\" has no whole number"},
    {"{\"x\":-1}", NULL, NULL, "\"-1\" is no id"},
    {"{\"x\":5}", NULL, NULL, "token 5: \"x\" has another place"},
    {"{\"a\":2}", NULL, NULL, "token 2: \"a\" has another place"},
    {"{\"\":3}", NULL, NULL, "token 3: \"content\" is missing or empty"},
    {"{\"x\":3}", NULL, "7", "special_tokens_map.json: is not a JSON object"},
};

// The older file for added tokens.
static void test_added_tokens(void **state) {
    (void)state;
    Error err = {0};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        ModelFile files[5] = {file_of("vocab.json", RAW("{\"a\":0,\"b\":1,\"ab\":2}")),
                              file_of("merges.txt", "a b\n", 4)};
        static const char *const names[] = {"added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"};
        size_t count = 2;
        for (size_t n = 0; n < 3; n++)
            if (added[i][n]) files[count++] = file_of(names[n], added[i][n], strlen(added[i][n]));
        Tokenizer *t = open_files(files, count, &err);
        if (added[i][3] ? t != NULL || !strstr(err.text, added[i][3]) : t == NULL)
            fail_msg("%s\nsaid: %s", added[i][0], t ? "nothing" : err.text);
        tokenizer_free(t);
    }

    // Special is what the config or the map names; the ids are what transformers 5 gives.
    ModelFile files[] = {file_of("vocab.json", RAW("{\"a\":0,\"b\":1,\"ab\":2}")), file_of("merges.txt", "a b\n", 4),
                         file_of("added_tokens.json", RAW("{\"<t>\":3,\"<end>\":4,\"<x>\":5,\"<y>\":6}")),
                         file_of("tokenizer_config.json", RAW("{\"eos_token\":{\"content\":\"<end>\"}}")),
                         file_of("special_tokens_map.json", RAW("{\"additional_special_tokens\":[\"<x>\",\"<z>\"]}"))};
    Tokenizer *t = open_files(files, 5, &err);
    if (!t) fail_msg("%s", err.text);
    for (int32_t id = 0; id < 7; id++) assert_int_equal(tokenizer_is_special(t, id), id == 4 || id == 5);
    static const int32_t expected[] = {2, 3, 4, 4, 0, 6, 5, 1};
    Ids ids;
    assert_true(tokenizer_encode(t, RAW("ab<t><end><end>a<y><x>b"), true, &ids, &err));
    assert_int_equal(ids.count, 8);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    ids_free(&ids);
    tokenizer_free(t);

    // More special tokens than anyone has would be looked through for every added one.
    static char list[20000] = "{\"extra_special_tokens\":[0";
    for (int i = 0; i < 2000; i++) strcat(list + 2 * i, ",0");
    strcat(list, "]}");
    files[3] = file_of("tokenizer_config.json", list, strlen(list));
    assert_null(open_files(files, 4, &err));
    assert_non_null(strstr(err.text, "\"extra_special_tokens\" has 2001 tokens"));
}

// Pieces so long that cutting them everywhere would take for ever.
static void test_long_pieces(void **state) {
    (void)state;
    enum { N = 40000 };
    size_t size = 0;
    uint8_t *data = test_calloc(1, N + 64);
    const uint8_t head[] = {0x0a, (N + 4) % 128 | 128, (N + 4) / 128 % 128 | 128, (N + 4) >> 14,
                            0x0a, N % 128 | 128,       N / 128 % 128 | 128,       N >> 14};
    memcpy(data, head, sizeof head);
    memset(data + sizeof head, 'a', N);
    size = sizeof head + N;
    memcpy(data + size, TRAINER_BPE, sizeof TRAINER_BPE - 1);
    size += sizeof TRAINER_BPE - 1;
    Error err = {0};
    assert_null(open_files((ModelFile[]){file_of("tokenizer.model", data, size)}, 1, &err));
    assert_non_null(strstr(err.text, "too long together"));
    test_free(data);
}

// The real file cut anywhere and with bytes changed: an error or not, but nothing worse.
static void test_damage(void **state) {
    (void)state;
    static Bytes b;
    must_read(DATA "sentencepiece/tokenizer.model", &b);
    size_t size = b.size;
    for (size_t i = 0; i < size; i += 7) {
        Error err = {0};
        Tokenizer *t = open_files((ModelFile[]){file_of("tokenizer.model", b.data, i)}, 1, &err);
        assert_true(t || err.text[0]);
        tokenizer_free(t);
        b.data[i] ^= 0x81;
        t = open_files((ModelFile[]){file_of("tokenizer.model", b.data, size)}, 1, &err);
        assert_true(t || err.text[0]);
        tokenizer_free(t);
        b.data[i] ^= 0x81;
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    Bytes b;
    put_good(&b);
    put(&b, TRAINER_BPE, sizeof TRAINER_BPE - 1);
    static const char config[] = "{\"add_bos_token\":true,\"bos_token\":\"x\",\"added_tokens_decoder\":"
                                 "{\"0\":{\"content\":\"<unk>\"},\"4\":{\"content\":\"x\"}}}";
    ModelFile pieces[] = {file_of("tokenizer_config.json", RAW(config)), file_of("tokenizer.model", b.data, b.size)};
    ModelFile lists[] = {file_of("tokenizer_config.json", RAW("{\"tokenizer_class\":\"Qwen2Tokenizer\"}")),
                         file_of("vocab.json", RAW("{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}")),
                         file_of("merges.txt", "a b\n", 4)};
    ModelFile older[] = {lists[1], lists[2], file_of("added_tokens.json", RAW("{\"x\":4,\"y\":5}"))};
    for (int which = 0; which < 3; which++) {
        Tokenizer *t = NULL;
        size_t at = 0;
        while (!t) {
            Error err = {0};
            mem_fail_at(++at);
            t = which == 2 ? open_files(older, 3, &err)
                : which    ? open_files(lists, 3, &err)
                           : open_files(pieces, 2, &err);
            mem_fail_at(0);
            if (!t && !strstr(err.text, "out of memory")) fail_msg("allocation %zu: \"%s\"", at, err.text);
        }
        assert_true(at > 20);
        tokenizer_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_vocab_merges),  cmocka_unit_test(test_decode),
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_configs),       cmocka_unit_test(test_scores),
        cmocka_unit_test(test_pairs),         cmocka_unit_test(test_long_pieces),   cmocka_unit_test(test_damage),
        cmocka_unit_test(test_added_tokens),  cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("vocabularies", tests, NULL, NULL);
}
