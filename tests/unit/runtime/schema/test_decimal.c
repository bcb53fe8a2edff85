/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"

static double read(const char *text, int shift, uint32_t divisor)
{
    double f = -1;
    assert_true(mp_decimal(mp_str_of(text), shift, divisor, &f));
    return f;
}

static bool reads(const char *text)
{
    double f;
    return mp_decimal(mp_str_of(text), 0, 1, &f);
}

static uint64_t bits(double f)
{
    uint64_t w;
    memcpy(&w, &f, sizeof w);
    return w;
}

static void a_percent_is_rounded_once(void **state)
{
    assert_true(read("0.7", -2, 1) == 7.0 / 1000);
    assert_true(read("0.7", -2, 1) != 0.7 / 100.0);
    for (int i = 1; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d.%d", i / 10, i % 10);
        assert_true(bits(read(text, -2, 1)) == bits((double)i / 1000));
    }
}

static void a_rate_is_rounded_once(void **state)
{
    assert_true(read("5", 3, 60) == 5000.0 / 60);
    assert_true(read("1", 0, 86400) == 1.0 / 86400);
    /* 0.1 ÷ 60 is the double next to 1/600, not to fl(0.1)/60. */
    assert_true(read("0.1", 0, 60) == 1.0 / 600);
}

static void borders_of_doubles_are_met(void **state)
{
    assert_true(read("1.7976931348623157e308", 0, 1) == 1.7976931348623157e308);
    assert_true(read("1.7976931348623158e308", 0, 1) == 1.7976931348623157e308);
    assert_false(reads("1.7976931348623159e308"));
    assert_false(reads("1e309"));
    assert_false(reads("1e999999999999"));
    assert_true(read("4.9406564584124654e-324", 0, 1) == 5e-324);
    assert_true(read("2.4703282292062327e-324", 0, 1) == 0);
    assert_true(read("2.4703282292062328e-324", 0, 1) == 5e-324);
    assert_true(read("2.2250738585072011e-308", 0, 1) == 2.2250738585072011e-308);
    assert_true(read("1e-400", 0, 1) == 0);
    assert_true(read("0e999999999", 0, 1) == 0);
    assert_true(bits(read("-0", 0, 1)) == bits(-0.0));
    assert_true(read("9007199254740993", 0, 1) == 9007199254740992.0);      /* tie to even */
    assert_true(read("9007199254740993.00000000000000000001", 0, 1) == 9007199254740994.0);
}

static void digits_behind_the_eight_hundredth_still_break_a_tie(void **state)
{
    char text[1200] = "9007199254740993.";
    memset(text + 17, '0', 1000);
    assert_true(read(text, 0, 1) == 9007199254740992.0);
    text[17 + 999] = '1';
    assert_true(read(text, 0, 1) == 9007199254740994.0);
}

static void what_is_no_number_is_refused(void **state)
{
    static const char *const bad[] = {"",    "-",     "+",    ".",     ".5",   "5.",  "1e",
                                      "1e+", "e5",    "0x10", "1 ",    " 1",   "inf", "nan",
                                      "1,5", "1.2.3", "--1",  "1e5.0", "1_000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(reads(bad[i]));
}

static void random_doubles_are_read_as_the_library_reads_them(void **state)
{
    uint64_t seed = 20261125;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 20000; i++) {
        uint64_t w = mp_rng_next(&seed);
        double f;
        memcpy(&f, &w, sizeof f);
        if (f - f != 0) continue;
        char text[64];
        int precision = (int)(mp_rng_next(&seed) % 25);
        snprintf(text, sizeof text, "%.*e", precision, f);
        double expected = strtod(text, NULL), got = 0;
        bool ok = mp_decimal(mp_str_of(text), 0, 1, &got);
        if (expected - expected != 0) {
            assert_false(ok);
        } else if (!ok || bits(got) != bits(expected)) {
            fail_msg("%s: %a, expected %a", text, got, expected);
        }
    }
}

static void integers_are_exact_or_refused(void **state)
{
    int64_t n = 0;
    assert_true(mp_decimal_int(MP_STR("1.5"), 0, 1000000000, &n) && n == 1500000000);
    assert_true(mp_decimal_int(MP_STR("9223372036854775807"), 0, 1, &n) && n == INT64_MAX);
    assert_true(mp_decimal_int(MP_STR("-9223372036854775808"), 0, 1, &n) && n == INT64_MIN);
    assert_true(mp_decimal_int(MP_STR("2.50"), 6, 1, &n) && n == 2500000);
    assert_true(mp_decimal_int(MP_STR("0.000000001"), 0, 1000000000, &n) && n == 1);
    assert_true(mp_decimal_int(MP_STR("0e5"), 0, 1, &n) && n == 0);
    n = 7;
    assert_false(mp_decimal_int(MP_STR("9223372036854775808"), 0, 1, &n));
    assert_false(mp_decimal_int(MP_STR("0.0000000001"), 0, 1000000000, &n));
    assert_false(mp_decimal_int(MP_STR("1e30"), 0, 1000000000, &n));
    assert_false(mp_decimal_int(MP_STR("0.5"), 0, 1, &n));
    assert_int_equal(n, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percent_is_rounded_once),
        cmocka_unit_test(a_rate_is_rounded_once),
        cmocka_unit_test(borders_of_doubles_are_met),
        cmocka_unit_test(digits_behind_the_eight_hundredth_still_break_a_tie),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(random_doubles_are_read_as_the_library_reads_them),
        cmocka_unit_test(integers_are_exact_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
