// quant/scan.h: finds what is not finite, wherever it stands.
#include "quant/scan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_finite), cmocka_unit_test(not_finite)};
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
