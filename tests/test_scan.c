// quant/scan.h: finds what is not finite, wherever it stands.
#include "quant/scan.h"

#include "quant/kernels/kernels.h"
#include "quant/lanes_scan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void all_finite(void **state) {
    (void)state;
    float x[37];
    for (int i = 0; i < 37; i++) x[i] = (float)(i % 2 ? -i : i);
    for (int n = 0; n <= 37; n++) {
        Scan s = scan_values(x, n);
        assert_int_equal(s.nonfinite, 0);
        assert_int_equal(s.first, -1);
        assert_true(s.largest == (n ? (float)(n - 1) : 0));
    }
}

static void not_finite(void **state) {
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (int at = 0; at < 37; at++) {
        float x[37] = {0};
        x[(at + 5) % 37] = -3;
        x[at] = bad[at % 4];
        Scan s = scan_values(x, 37);
        assert_int_equal(s.nonfinite, 1);
        assert_int_equal(s.first, at);
        assert_true(s.largest == 3);
        scan_clear_nonfinite(x, 37);
        assert_true(x[at] == 0 && x[(at + 5) % 37] == -3);
        assert_int_equal(scan_values(x, 37).nonfinite, 0);
    }
}

// Every bf16, at an odd address: the floats of the scalar kernel, and what a scan of these finds.
static void widened(void **state) {
    (void)state;
    enum { ALL = 1 << 16 };
    static uint8_t source[2 * ALL + 1];
    static float want[ALL], got[ALL];
    for (int i = 0; i < ALL; i++) memcpy(source + 1 + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    Kernels scalar;
    assert_true(kernels_at(CPU_SCALAR, &scalar) || kernels_at(CPU_NEON, &scalar));
    scalar.to_f32[DT_BF16](source + 1, want, ALL);
    for (int from = 0; from < ALL; from += 1021) {
        for (int n = 0; n < 100 && from + n <= ALL; n++) {
            Scan s = scan_to_f32(DT_BF16, source + 1 + 2 * from, got, n), plain = scan_values(want + from, n);
            assert_memory_equal(got, want + from, (size_t)n * sizeof *got);
            assert_int_equal(s.nonfinite, plain.nonfinite);
            assert_int_equal(s.first, plain.first);
            assert_true(s.largest == plain.largest);
        }
    }
}

// The functions of each instruction set find the same.
static void same_on_every_instruction_set(void **state) {
    (void)state;
    static uint16_t source[5000];
    static float x[5000], y[5000];
    uint32_t random = 1;
    for (int n = 0; n < 5000; n = n * 3 + 1) {
        for (int i = 0; i < n; i++) source[i] = (uint16_t)((random = random * 1664525 + 1013904223) >> 16);
        int32_t want = lanes_widen_bf16_scalar(source, x, n);
        assert_int_equal(lanes_largest_magnitude_scalar(x, n), want);
#if defined(__x86_64__)
        if (cpu_has_level(CPU_AVX2)) {
            assert_int_equal(lanes_widen_bf16_avx2(source, y, n), want);
            assert_memory_equal(x, y, (size_t)n * sizeof *x);
            assert_int_equal(lanes_largest_magnitude_avx2(x, n), want);
        }
        if (cpu_has_level(CPU_AVX512)) {
            assert_int_equal(lanes_widen_bf16_avx512(source, y, n), want);
            assert_memory_equal(x, y, (size_t)n * sizeof *x);
            assert_int_equal(lanes_largest_magnitude_avx512(x, n), want);
        }
#else
        (void)y;
#endif
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_finite), cmocka_unit_test(not_finite),
                                       cmocka_unit_test(widened), cmocka_unit_test(same_on_every_instruction_set)};
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
