// What an engine needs beside the weights, against what llama.cpp (llama_cpp_python 0.3.36, October 2026) logged: "CPU
// KV buffer size", "CPU compute buffer size", in MiB, one sequence, -fa on, 512 tokens at a time.
#include "convert/engine_memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Logged {
    int64_t layers, dim, heads, kv_heads, head_dim, ffn_dim, vocab, context;
    double cache, compute;
} Logged;

static const Logged logged[] = {
    {30, 576, 9, 3, 64, 1536, 49152, 2048, 45, 102.51}, // SmolLM2-135M
    {30, 576, 9, 3, 64, 1536, 49152, 4096, 90, 98.25},
    {30, 576, 9, 3, 64, 1536, 49152, 16384, 360, 98.25},
    {4, 128, 4, 2, 32, 256, 1024, 2048, 2, 4.26}, // tests/data/kjv
    {4, 128, 4, 2, 32, 256, 1024, 16384, 16, 18.26},
    {5, 64, 8, 4, 8, 172, 512, 4096, 2.5, 5.52}, // stories260K
    {5, 64, 8, 4, 8, 172, 512, 16384, 10, 17.52},
    {2, 2048, 32, 8, 64, 8192, 1024, 4096, 16, 68.01}, // layers as of Llama 3.2 1B
    {2, 2048, 32, 8, 64, 8192, 1024, 16384, 64, 80.01},
    {6, 1024, 8, 8, 128, 3072, 1024, 2048, 48, 28.01},
    {6, 1024, 8, 8, 128, 3072, 1024, 16384, 384, 42.01},
};

static ModelDesc desc_of(const Logged *l) {
    return (ModelDesc){.layers = l->layers,
                       .dim = l->dim,
                       .heads = l->heads,
                       .kv_heads = l->kv_heads,
                       .head_dim = l->head_dim,
                       .ffn_dim = l->ffn_dim,
                       .vocab = l->vocab};
}

// The cache to the byte. What it computes in: at most a sixth and 2 MiB more than logged (narrow models do not hold all
// that is counted at one time), at most a sixteenth of the margin less (SmolLM2 at 2048 alone has buffers between).
static void as_logged(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof logged / sizeof *logged; i++) {
        const Logged *l = &logged[i];
        ModelDesc desc = desc_of(l);
        EngineMemory m;
        assert_true(engine_memory(&desc, l->context, &m, NULL));
        double cache = (double)m.cache / 0x1p20, compute = (double)m.compute / 0x1p20;
        if (cache != l->cache) fail_msg("%zu: a cache of %.3f MiB, not %.3f", i, cache, l->cache);
        double margin = (double)m.margin / 0x1p20;
        if (compute + margin / 16 < l->compute || compute > l->compute * 1.17 + 2)
            fail_msg("%zu: %.2f MiB to compute in, not %.2f", i, compute, l->compute);
    }
}

// A windowed layer keeps the window and the batch, in steps of 256; latent attention what its narrow layer gives.
static void narrower_caches(void **unused) {
    (void)unused;
    ModelDesc desc = desc_of(&logged[3]);
    EngineMemory m;
    desc.window = 1000;
    desc.layer_kinds[1] = desc.layer_kinds[3] = LAYER_WINDOWED;
    assert_true(engine_memory(&desc, 8192, &m, NULL));
    assert_true(m.cache == (2 * 8192 + 2 * 1536) * 2 * 2 * 2 * 32);
    assert_true(engine_memory(&desc, 1, &m, NULL)); // contexts come in steps too
    assert_true(m.cache == 4 * 256 * 2 * 2 * 2 * 32);
    desc = desc_of(&logged[3]);
    desc.latent.kv_rank = 512;
    desc.rope.dims = 64;
    assert_true(engine_memory(&desc, 4096, &m, NULL));
    assert_true(m.cache == 4 * 4096 * (512 + 64) * 2);
}

static void too_large(void **unused) {
    (void)unused;
    ModelDesc desc = {.layers = LAYERS_MAX,
                      .dim = 1 << 20,
                      .heads = 1 << 14,
                      .kv_heads = 1 << 14,
                      .head_dim = 1 << 14,
                      .ffn_dim = 1 << 24,
                      .vocab = 1 << 26};
    EngineMemory m;
    Error err = {0};
    assert_false(engine_memory(&desc, 1 << 30, &m, &err));
    assert_non_null(strstr(err.text, "larger than any memory"));
}

static void tensors(void **unused) {
    (void)unused;
    const Tensor vector = {.type = DT_BF16, .dims = 1, .shape = {100}, .bytes = 200};
    const Tensor matrix = {.type = DT_BF16, .dims = 2, .shape = {10, 10}, .bytes = 200};
    assert_true(engine_tensor_bytes(&vector) == 400 && engine_tensor_bytes(&matrix) == 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_logged), cmocka_unit_test(narrower_caches),
                                       cmocka_unit_test(too_large), cmocka_unit_test(tensors)};
    return cmocka_run_group_tests_name("engine memory", tests, NULL, NULL);
}
