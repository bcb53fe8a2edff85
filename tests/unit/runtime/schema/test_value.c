/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"

static struct mp_arena arena;

static int setup(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static mp_str printed(enum mp_type type, struct mp_value v)
{
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_value_print(&b, type, v);
    return mp_buf_view(&b);
}

static void expect_text(mp_str got, const char *want)
{
    if (!mp_str_eq(got, mp_str_of(want))) fail_msg("`%.*s`, expected `%s`", MP_STR_ARG(got), want);
}

static void expect_print(enum mp_type type, struct mp_value v, const char *want)
{
    expect_text(printed(type, v), want);
    struct mp_value back = {{~0u, ~0u}};
    assert_true(mp_value_read(type, mp_str_of(want), &back));
    assert_true(mp_value_eq(mp_type_rep(type), v, back));
}

static void values_are_written_as_an_author_would(void **state)
{
    expect_print(MP_TYPE_PERCENT, mp_value_num(0.05), "5%");
    expect_print(MP_TYPE_PERCENT, mp_value_num(0.007), "0.7%");
    expect_print(MP_TYPE_PERCENT, mp_value_num(0), "0%");
    expect_print(MP_TYPE_PERCENT, mp_value_num(1), "100%");
    expect_print(MP_TYPE_PERCENT, mp_value_num(-0.125), "-12.5%");
    expect_print(MP_TYPE_DURATION, mp_value_int(90000000000), "1m30s");
    expect_print(MP_TYPE_DURATION, mp_value_int(250000000), "250ms");
    expect_print(MP_TYPE_DURATION, mp_value_int(7 * 86400000000000), "7d");
    expect_print(MP_TYPE_DURATION, mp_value_int(0), "0s");
    expect_print(MP_TYPE_DURATION, mp_value_int(INT64_MIN), "-106751d23h47m16s854ms775us808ns");
    expect_print(MP_TYPE_RATE, mp_value_num(100), "100/s");
    expect_print(MP_TYPE_RATE, mp_value_num(5.0 / 60), "5/min");
    expect_print(MP_TYPE_RATE, mp_value_num(1.0 / 3600), "1/h");
    expect_print(MP_TYPE_SIZE, mp_value_int(64 << 20), "64MiB");
    expect_print(MP_TYPE_SIZE, mp_value_int(0), "0B");
    expect_print(MP_TYPE_SIZE, mp_value_int(1000), "1KB");
    expect_print(MP_TYPE_SIZE, mp_value_int(1001), "1001B");
    expect_print(MP_TYPE_BANDWIDTH, mp_value_num(10 * 1048576.0), "10MiB/s");
    expect_print(MP_TYPE_NUMBER, mp_value_num(0.1), "0.1");
    expect_print(MP_TYPE_NUMBER, mp_value_num(1e100), "1e100");
    expect_print(MP_TYPE_NUMBER, mp_value_num(-0.0), "-0");
    expect_print(MP_TYPE_NUMBER, mp_value_num(123456789012345680.0), "123456789012345680");
    expect_print(MP_TYPE_SCORE, mp_value_num(0.85), "0.85");
    expect_print(MP_TYPE_INT, mp_value_int(INT64_MIN), "-9223372036854775808");
    expect_print(MP_TYPE_STATUS, mp_value_int(503), "503");
    expect_print(MP_TYPE_BOOL, mp_value_bool(true), "true");
    expect_print(MP_TYPE_STRING, mp_value_text(MP_STR("checkout")), "checkout");
    expect_print(MP_TYPE_PATH, mp_value_text(MP_STR("/a/path/longer/than/twelve")),
                 "/a/path/longer/than/twelve");
}

static void literals_of_the_language_are_read(void **state)
{
    struct mp_value v;
    assert_true(mp_value_read(MP_TYPE_INT, MP_STR("10k"), &v) && mp_value_as_int(v) == 10000);
    assert_true(mp_value_read(MP_TYPE_NUMBER, MP_STR("2M"), &v) && mp_value_as_num(v) == 2e6);
    assert_true(mp_value_read(MP_TYPE_RATE, MP_STR("5k/min"), &v) &&
                mp_value_as_num(v) == 5000.0 / 60);
    assert_true(mp_value_read(MP_TYPE_DURATION, MP_STR("1h30m"), &v) &&
                mp_value_as_int(v) == 5400000000000);
    assert_true(mp_value_read(MP_TYPE_DURATION, MP_STR("1.5s"), &v) &&
                mp_value_as_int(v) == 1500000000);
    assert_true(mp_value_read(MP_TYPE_DURATION, MP_STR("1w"), &v) &&
                mp_value_as_int(v) == 604800000000000);
    assert_true(mp_value_read(MP_TYPE_SIZE, MP_STR("1.5KiB"), &v) && mp_value_as_int(v) == 1536);
}

static void what_is_no_value_of_the_type_is_refused(void **state)
{
    static const struct {
        enum mp_type type;
        const char *text;
    } bad[] = {
        {MP_TYPE_PERCENT, "5"},      {MP_TYPE_PERCENT, "%"},
        {MP_TYPE_DURATION, "30sec"}, {MP_TYPE_DURATION, ""},
        {MP_TYPE_DURATION, "-"},     {MP_TYPE_DURATION, "1m-5s"},
        {MP_TYPE_DURATION, "5"},     {MP_TYPE_DURATION, "999999999w"},
        {MP_TYPE_RATE, "100"},       {MP_TYPE_RATE, "/s"},
        {MP_TYPE_RATE, "5/y"},       {MP_TYPE_SIZE, "1"},
        {MP_TYPE_SIZE, "1.5B"},      {MP_TYPE_PORT, "65536"},
        {MP_TYPE_PORT, "-1"},        {MP_TYPE_ASN, "4294967296"},
        {MP_TYPE_SCORE, "1.1"},      {MP_TYPE_BOOL, "yes"},
        {MP_TYPE_INT, "1.5"},        {MP_TYPE_IP, "10.0.0.0/8"},
        {MP_TYPE_IP, "10.0.0"},      {MP_TYPE_EVENT, "x"},
        {MP_TYPE_BANDWIDTH, "1MB"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mp_value v = {{7, 7}};
        if (mp_value_read(bad[i].type, mp_str_of(bad[i].text), &v))
            fail_msg("`%s` was read", bad[i].text);
        assert_true(v.w[0] == 7 && v.w[1] == 7);
    }
}

static void doubles_of_every_unit_are_read_back_the_same(void **state)
{
    static const enum mp_type types[] = {MP_TYPE_NUMBER, MP_TYPE_PERCENT, MP_TYPE_RATE,
                                         MP_TYPE_BANDWIDTH};
    uint64_t seed = 7;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 3000; i++) {
        uint64_t w = mp_rng_next(&seed);
        if (i % 2 == 0) w = (w & ~(0x7ffull << 52)) | (1000 + w % 50) << 52; /* of everyday size */
        double f;
        memcpy(&f, &w, sizeof f);
        if (f - f != 0) continue;
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            mp_str text = printed(types[t], mp_value_num(f));
            struct mp_value back;
            if (!mp_value_read(types[t], text, &back) || mp_value_as_num(back) != f) {
                fail_msg("%a was written as `%.*s`", f, MP_STR_ARG(text));
            }
        }
        mp_arena_free(&arena);
    }
}

static void integers_of_every_unit_are_read_back_the_same(void **state)
{
    static const enum mp_type types[] = {MP_TYPE_INT, MP_TYPE_DURATION, MP_TYPE_SIZE};
    static const int64_t borders[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX};
    uint64_t seed = 11;
    for (int i = 0; i < 3000; i++) {
        int64_t n = i < 6 ? borders[i] : (int64_t)mp_rng_next(&seed) >> (mp_rng_next(&seed) & 63);
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            struct mp_value back;
            mp_str text = printed(types[t], mp_value_int(n));
            if (!mp_value_read(types[t], text, &back) || mp_value_as_int(back) != n) {
                fail_msg("%lld was written as `%.*s`", (long long)n, MP_STR_ARG(text));
            }
        }
    }
}

static void people_see_four_digits(void **state)
{
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_value_show(&b, MP_TYPE_PERCENT, mp_value_num(31.0 / 419));
    mp_buf_putc(&b, ' ');
    mp_value_show(&b, MP_TYPE_DURATION, mp_value_int(12345678));
    mp_buf_putc(&b, ' ');
    mp_value_show(&b, MP_TYPE_DURATION, mp_value_int(5400000000000));
    mp_buf_putc(&b, ' ');
    mp_value_show(&b, MP_TYPE_BANDWIDTH, mp_value_num(1536));
    expect_text(mp_buf_view(&b), "7.399% 12.35ms 1h30m 1.5KiB/s");
}

static void short_text_lies_in_the_value_and_long_text_is_borrowed(void **state)
{
    struct mp_value a = mp_value_text(MP_STR("twelve bytes"));
    struct mp_value copy = a;
    assert_true(mp_value_as_text(&copy).ptr == (const char *)&copy + 4);
    expect_text(mp_value_as_text(&copy), "twelve bytes");
    mp_str long_text = MP_STR("thirteen byte");
    struct mp_value b = mp_value_text(long_text);
    assert_true(mp_value_as_text(&b).ptr == long_text.ptr);
    expect_text(mp_value_as_text(&b), "thirteen byte");
    struct mp_value empty = mp_value_text((mp_str){NULL, 0});
    assert_int_equal(mp_value_as_text(&empty).len, 0);
    assert_true(empty.w[0] == 0 && empty.w[1] == 0);
}

static void texts_are_equal_by_their_bytes(void **state)
{
    char other[] = "a long text that is the same";
    struct mp_value a = mp_value_text(MP_STR("a long text that is the same"));
    assert_true(mp_value_text_eq(a, mp_value_text(mp_str_of(other))));
    other[20] = 'X';
    assert_false(mp_value_text_eq(a, mp_value_text(mp_str_of(other))));
    assert_false(mp_value_text_eq(mp_value_text(MP_STR("ab")), mp_value_text(MP_STR("ab\0"))));
    assert_true(mp_value_cmp(MP_REP_T, mp_value_text(MP_STR("ab")), mp_value_text(MP_STR("b"))) <
                0);
    assert_true(mp_value_cmp(MP_REP_I, mp_value_int(-1), mp_value_int(1)) < 0);
    assert_true(mp_value_eq(MP_REP_F, mp_value_num(0.0), mp_value_num(-0.0)));
}

static void addresses_are_written_as_rfc_5952_says(void **state)
{
    static const char *const pairs[][2] = {
        {"10.0.0.1", "10.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0db8::0001", "2001:db8::1"},
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct mp_value v;
        uint32_t bits;
        char text[48];
        assert_true(mp_value_address(mp_str_of(pairs[i][0]), &v, &bits));
        assert_int_equal(bits, 128);
        expect_text((mp_str){text, mp_value_address_text(v, text)}, pairs[i][1]);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.0.0.1",
                                      "01.2.3.4",
                                      "1.2.3.4 ",
                                      "1.2.3.",
                                      ":",
                                      ":::",
                                      "1::2::3",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8::",
                                      "12345::",
                                      "g::",
                                      "::1%eth0",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/-1",
                                      "::/129",
                                      "10.0.0.0/08",
                                      "1:",
                                      ":1",
                                      "::1.2.3",
                                      "1::2:"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mp_value v;
        uint32_t bits;
        if (mp_value_address(mp_str_of(bad[i]), &v, &bits)) fail_msg("`%s` was read", bad[i]);
    }
}

static bool in_net(const char *address, const char *net)
{
    struct mp_value a, n;
    uint32_t none, bits;
    assert_true(mp_value_address(mp_str_of(address), &a, &none));
    assert_true(mp_value_address(mp_str_of(net), &n, &bits));
    return mp_value_in_net(a, n, bits);
}

static void an_address_is_in_a_net_by_its_first_bits(void **state)
{
    assert_true(in_net("10.255.0.1", "10.0.0.0/8"));
    assert_true(in_net("10.255.0.1", "10.1.2.3/8"));
    assert_false(in_net("11.0.0.1", "10.0.0.0/8"));
    assert_true(in_net("192.0.2.129", "192.0.2.128/25"));
    assert_false(in_net("192.0.2.127", "192.0.2.128/25"));
    assert_true(in_net("1.2.3.4", "0.0.0.0/0"));
    assert_false(in_net("::1", "0.0.0.0/0"));
    assert_true(in_net("1.2.3.4", "::/0"));
    assert_true(in_net("2001:db8:ffff::1", "2001:db8::/32"));
    assert_true(in_net("2001:db8::8000:0:0:1", "2001:db8:0:0:8000::/65"));
    assert_false(in_net("2001:db8::1", "2001:db8:0:0:8000::/65"));
    assert_true(in_net("10.0.0.1", "10.0.0.1/32"));
}

static bool like(const char *text, const char *pattern)
{
    return mp_value_like(mp_str_of(text), mp_str_of(pattern));
}

static void a_star_is_any_run_and_a_question_mark_one_character(void **state)
{
    assert_true(like("/admin/x/y", "/admin/*"));
    assert_true(like("/admin/", "/admin/*"));
    assert_false(like("/admin", "/admin/*"));
    assert_true(like("/admin", "/admin*"));
    assert_true(like("", "*"));
    assert_true(like("", ""));
    assert_false(like("", "?"));
    assert_true(like("abcabc", "*abc"));
    assert_true(like("aXbXc", "a*b*c"));
    assert_false(like("aXbX", "a*b*c"));
    assert_true(like("\xc3\xa9", "?"));
    assert_false(like("\xc3\xa9", "??"));
    assert_false(like("\xc3\xa9", "*??"));
    assert_true(like("\xff", "?"));
    assert_true(like("a*b", "a*b"));
    assert_true(like("*", "?"));
}

/* The plain recursive reading, for bytes below 0x80. */
static bool like_slowly(const char *t, const char *p)
{
    if (*p == '\0') return *t == '\0';
    if (*p == '*') return like_slowly(t, p + 1) || (*t != '\0' && like_slowly(t + 1, p));
    return *t != '\0' && (*p == '?' || *p == *t) && like_slowly(t + 1, p + 1);
}

static void patterns_agree_with_the_plain_reading(void **state)
{
    uint64_t seed = 99;
    for (int i = 0; i < 200000; i++) {
        char text[9] = "", pattern[7] = "";
        uint64_t r = mp_rng_next(&seed);
        int t = (int)(r % 9), p = (int)(r / 9 % 7);
        for (int k = 0; k < t; k++) text[k] = "ab"[mp_rng_next(&seed) >> 40 & 1];
        for (int k = 0; k < p; k++) pattern[k] = "ab*?"[mp_rng_next(&seed) >> 40 & 3];
        if (like(text, pattern) != like_slowly(text, pattern))
            fail_msg("`%s` like `%s`", text, pattern);
    }
}

static void many_stars_end_soon(void **state)
{
    static char text[8193], pattern[2049];
    memset(text, 'a', 8192);
    for (int i = 0; i < 2048; i += 2) memcpy(pattern + i, "a*", 2);
    pattern[2047] = 'b';
    assert_false(like(text, pattern));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written_as_an_author_would),
        cmocka_unit_test(literals_of_the_language_are_read),
        cmocka_unit_test(what_is_no_value_of_the_type_is_refused),
        cmocka_unit_test(doubles_of_every_unit_are_read_back_the_same),
        cmocka_unit_test(integers_of_every_unit_are_read_back_the_same),
        cmocka_unit_test(people_see_four_digits),
        cmocka_unit_test(short_text_lies_in_the_value_and_long_text_is_borrowed),
        cmocka_unit_test(texts_are_equal_by_their_bytes),
        cmocka_unit_test(addresses_are_written_as_rfc_5952_says),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(an_address_is_in_a_net_by_its_first_bits),
        cmocka_unit_test(a_star_is_any_run_and_a_question_mark_one_character),
        cmocka_unit_test(patterns_agree_with_the_plain_reading),
        cmocka_unit_test(many_stars_end_soon),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
