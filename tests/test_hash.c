// core/hash.h gives what the library gives, whatever the CPU and however a stream is cut.
#include "core/cpu.h"
#include "core/hash_avx2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include <cmocka.h>

enum { MOST = 5000 };
static uint8_t data[MOST];

static Hash library(size_t size) {
    XXH128_hash_t h = XXH3_128bits(data, size);
    return (Hash){h.high64, h.low64};
}

static void whole_and_in_pieces(void **state) {
    (void)state;
    for (size_t size = 0; size <= MOST; size += 1 + size / 9) {
        Hash want = library(size);
        assert_true(hash_equal(hash_bytes(data, size), want));
        for (size_t piece = 1; piece <= size + 1; piece = piece * 3 + 1) {
            HashStream *s = hash_stream_new();
            assert_non_null(s);
            for (size_t at = 0; at < size; at += piece)
                hash_stream_add(s, data + at, size - at < piece ? size - at : piece);
            assert_true(hash_equal(hash_stream_end(s), want));
        }
    }
}

static void with_avx2(void **state) {
    (void)state;
#if defined(__x86_64__)
    if (!cpu_has_level(CPU_AVX2)) return;
    for (size_t size = 0; size <= MOST; size += 1 + size / 9) {
        assert_true(hash_equal(hash_avx2_bytes(data, size), library(size)));
        void *s = hash_avx2_new();
        assert_non_null(s);
        hash_avx2_add(s, data, size / 3);
        hash_avx2_add(s, data + size / 3, size - size / 3);
        assert_true(hash_equal(hash_avx2_end(s), library(size)));
    }
#endif
}

int main(void) {
    for (int i = 0; i < MOST; i++) data[i] = (uint8_t)((uint32_t)i * 2654435761u >> 13);
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_and_in_pieces), cmocka_unit_test(with_avx2)};
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
