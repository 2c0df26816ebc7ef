// What must be of one type for GGUF: fused tensors and stacks of experts share, all else is free.
#include "convert/open.h"
#include "convert/shared_types.h"
#include "core/mem.h"
#include "tests/golden_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Shared {
    Model *model;
    size_t *groups;
} Shared;

static Shared open_golden(const char *name) {
    char directory[64], path[128];
    Error err = {0};
    snprintf(path, sizeof path, "tests/data/families/%s.json", name);
    snprintf(directory, sizeof directory, "/tmp/nibble-shared-%ld", (long)getpid());
    cJSON *golden = json_read(path, 1 << 24, &err);
    assert_non_null(golden);
    golden_write(golden, directory);
    cJSON_Delete(golden);
    Shared s = {model_open(directory, &err)};
    if (!s.model) fail_msg("%s", err.text);
    tiny_remove(directory);
    s.groups = mem_alloc(s.model->tensor_count, sizeof *s.groups, &err);
    if (!s.groups || !shared_types(s.model, s.groups, &err)) fail_msg("%s", err.text);
    return s;
}

static void shared_free(Shared *s) {
    mem_free(s->groups);
    model_free(s->model);
}

static size_t group(const Shared *s, const char *name) {
    const Tensor *t = model_tensor(s->model, name);
    if (!t) fail_msg("no %s", name);
    return s->groups[t - s->model->tensors];
}

static void together(const char *model, const char *a, const char *b, bool shared) {
    Shared s = open_golden(model);
    if ((group(&s, a) == group(&s, b)) != shared) fail_msg("%s: %s and %s", model, a, b);
    shared_free(&s);
}

static void families(void **unused) {
    (void)unused;
    together("gpt2-hub", "blk.0.attn_q.weight", "blk.0.attn_v.weight", true);
    together("gpt2-hub", "blk.0.attn_q.weight", "blk.1.attn_q.weight", false);
    together("bloom", "blk.0.attn_q.weight", "blk.0.attn_k.weight", true);
    together("falcon-7b-hub", "blk.1.attn_k.weight", "blk.1.attn_v.weight", true);
    together("phi3-hub", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", true);
    together("phi3-hub", "blk.0.attn_q.weight", "blk.0.ffn_up.weight", false);
    together("llama", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", false);
    together("llama", "blk.0.attn_q.weight", "blk.0.attn_k.weight", false);
    together("mixtral", "blk.0.ffn_up.0.weight", "blk.0.ffn_up.1.weight", true);
    together("mixtral", "blk.0.ffn_up.0.weight", "blk.0.ffn_gate.0.weight", false);
    together("mixtral", "blk.0.ffn_up.0.weight", "blk.1.ffn_up.0.weight", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(families)};
    return cmocka_run_group_tests_name("shared types", tests, NULL, NULL);
}
