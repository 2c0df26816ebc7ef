// tokenizer.json written and read again: the same tokenizer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "formats/tokenizer_json.h"
#include "formats/tokenizer_json_write.h"

#define ADDED                                                                                                          \
    "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":true,\"rstrip\":false,"          \
    "\"normalized\":false,\"special\":true},{\"id\":4,\"content\":\"<x>\",\"single_word\":false,\"lstrip\":false,"     \
    "\"rstrip\":true,\"normalized\":true,\"special\":false}]"

#define TEMPLATE                                                                                                       \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}" \
    "},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"ab\",\"type_id\":0}}],"                 \
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[3],\"tokens\":[\"<s>\"]},\"ab\":{\"id\":\"ab\",\"ids\":[2]," \
    "\"tokens\":[\"ab\"]}}}"

#define MODEL                                                                                                          \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<s>\",\"byte_fallback\":true,\"fuse_unk\":true,\"ignore_merges\":"    \
    "true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3,\"<x>\":4,\"\\\"\\\\\\n\":5},\"merges\":[[\"a\",\"b\"]]}"

static const char byte_level[] =
    "{" ADDED ",\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
    "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}\"},"
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":"
    "\"ByteLevel\"}," TEMPLATE "," MODEL "}";

static const char sentencepiece[] =
    "{" ADDED ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}]},\"decoder\":{\"type\":\"Sequence\","
    "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\u2581\"},\"content\":\" \"},{\"type\":"
    "\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}," MODEL "}";

static void same_text(const Text *a, const Text *b) {
    assert_int_equal(a->size, b->size);
    if (a->size) assert_memory_equal(a->data, b->data, a->size);
}

static void same_pattern(const Pattern *a, const Pattern *b) {
    assert_int_equal(a->regex, b->regex);
    same_text(&a->text, &b->text);
}

static void same_ids(const int32_t *a, size_t n, const int32_t *b, size_t m) {
    assert_int_equal(n, m);
    if (n) assert_memory_equal(a, b, n * sizeof *a);
}

static void same_steps(const TokenizerSpec *a, const TokenizerSpec *b) {
    assert_int_equal(a->normalizer_count, b->normalizer_count);
    for (size_t i = 0; i < a->normalizer_count; i++) {
        assert_int_equal(a->normalizers[i].kind, b->normalizers[i].kind);
        same_pattern(&a->normalizers[i].pattern, &b->normalizers[i].pattern);
        same_text(&a->normalizers[i].content, &b->normalizers[i].content);
    }
    assert_int_equal(a->pre_tokenizer_count, b->pre_tokenizer_count);
    for (size_t i = 0; i < a->pre_tokenizer_count; i++) {
        const PreTokenizer *p = &a->pre_tokenizers[i], *q = &b->pre_tokenizers[i];
        assert_int_equal(p->kind, q->kind);
        same_pattern(&p->pattern, &q->pattern);
        assert_int_equal(p->behavior, q->behavior);
        assert_int_equal(p->split, q->split);
        assert_int_equal(p->prefix_space, q->prefix_space);
    }
    assert_int_equal(a->decoder_count, b->decoder_count);
    for (size_t i = 0; i < a->decoder_count; i++) {
        const TokenDecoder *d = &a->decoders[i], *e = &b->decoders[i];
        assert_int_equal(d->kind, e->kind);
        same_pattern(&d->pattern, &e->pattern);
        same_text(&d->content, &e->content);
        assert_int_equal(d->start, e->start);
        assert_int_equal(d->stop, e->stop);
    }
}

static void same_model(const TokenizerSpec *a, const TokenizerSpec *b) {
    assert_int_equal(a->vocab.count, b->vocab.count);
    for (size_t i = 0; i < a->vocab.count; i++) {
        const VocabEntry *e = &a->vocab.entries[i];
        assert_int_equal(vocab_find(&b->vocab, a->vocab.pool + e->start, e->size), e->id);
    }
    assert_int_equal(a->merge_count, b->merge_count);
    assert_memory_equal(a->merges, b->merges, a->merge_count * sizeof *a->merges);
    assert_int_equal(a->byte_fallback, b->byte_fallback);
    assert_int_equal(a->fuse_unk, b->fuse_unk);
    assert_int_equal(a->ignore_merges, b->ignore_merges);
    assert_int_equal(a->unk, b->unk);
    same_text(&a->unk_token, &b->unk_token);
    assert_int_equal(a->added_count, b->added_count);
    for (size_t i = 0; i < a->added_count; i++) {
        const AddedToken *s = &a->added[i], *t = &b->added[i];
        same_text(&s->content, &t->content);
        assert_int_equal(s->id, t->id);
        assert_true(s->lstrip == t->lstrip && s->rstrip == t->rstrip && s->normalized == t->normalized);
        assert_true(s->special == t->special && s->single_word == t->single_word);
    }
    same_ids(a->prefix, a->prefix_count, b->prefix, b->prefix_count);
    same_ids(a->suffix, a->suffix_count, b->suffix, b->suffix_count);
}

static void read_spec(const char *text, TokenizerSpec *spec) {
    Error err = {0};
    if (!tokenizer_json_read(text, strlen(text), spec, &err)) fail_msg("%s", err.text);
}

static void test_round_trip(void **state) {
    (void)state;
    const char *const texts[] = {byte_level, sentencepiece};
    for (int i = 0; i < 2; i++) {
        Error err = {0};
        TokenizerSpec spec, again;
        read_spec(texts[i], &spec);
        cJSON *json = tokenizer_json_write(&spec, &err);
        if (!json) fail_msg("%s", err.text);
        char *text = cJSON_Print(json);
        read_spec(text, &again);
        same_steps(&spec, &again);
        same_model(&spec, &again);
        cJSON_free(text);
        cJSON_Delete(json);
        tokenizer_spec_free(&spec);
        tokenizer_spec_free(&again);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{\"normalizer\":{\"type\":\"Lowercase\"}," MODEL "}", "a normalizer of kind"},
        {"{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}," MODEL "}", "a pre-tokenizer of kind"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Removed\",\"invert\":"
         "false}"
         "," MODEL "}",
         "does not isolate"},
        {"{\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}," MODEL "}", "a decoder of kind"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0000\":0},\"merges\":[]}}", "NUL character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        TokenizerSpec spec;
        read_spec(cases[i].text, &spec);
        assert_null(tokenizer_json_write(&spec, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s", err.text);
        tokenizer_spec_free(&spec);
    }
}

static void test_memory_out(void **state) {
    (void)state;
    TokenizerSpec spec;
    read_spec(byte_level, &spec);
    for (size_t n = 1;; n++) {
        Error err = {0};
        mem_fail_at(n);
        cJSON *json = tokenizer_json_write(&spec, &err);
        mem_fail_at(0);
        cJSON_Delete(json);
        if (json) break;
        assert_non_null(strstr(err.text, "out of memory"));
    }
    tokenizer_spec_free(&spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
