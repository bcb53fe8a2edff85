/* SPDX-License-Identifier: Apache-2.0
 * What all others write with: characters, strings of JSON, dates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/date.h"
#include "base/quote.h"

static struct mp_arena arena;

static int begin(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    return 0;
}

static int end(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static void quoted_is(mp_str text, const char *wanted)
{
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_quote(&b, text);
    assert_int_equal(b.len, strlen(wanted));
    assert_memory_equal(b.ptr, wanted, b.len);
}

static void control_characters_and_quotes_are_escaped(void **state)
{
    quoted_is(MP_STR(""), "\"\"");
    quoted_is(MP_STR("a \"b\" \\ c"), "\"a \\\"b\\\" \\\\ c\"");
    quoted_is(MP_STR("1\n2\t3\r4\x7f"), "\"1\\n2\\t3\\u000d4\\u007f\"");
    quoted_is((mp_str){"\0x", 2}, "\"\\u0000x\"");
}

static void what_is_no_utf8_becomes_the_replacement_character(void **state)
{
    quoted_is(MP_STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
              "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
    quoted_is(MP_STR("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");         /* overlong */
    quoted_is(MP_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
    quoted_is(MP_STR("x\xe2\x82"), "\"x\xef\xbf\xbd\xef\xbf\xbd\"");       /* cut off */
}

static void utf8_is_what_rfc_3629_says(void **state)
{
    assert_int_equal(mp_str_utf8(MP_STR("a"), 0), 1);
    assert_int_equal(mp_str_utf8(MP_STR("\xc2\x80"), 0), 2);
    assert_int_equal(mp_str_utf8(MP_STR("\xe0\xa0\x80"), 0), 3);
    assert_int_equal(mp_str_utf8(MP_STR("\xf4\x8f\xbf\xbf"), 0), 4);
    assert_int_equal(mp_str_utf8(MP_STR("\x80"), 0), 0);
    assert_int_equal(mp_str_utf8(MP_STR("\xc1\xbf"), 0), 0);         /* overlong */
    assert_int_equal(mp_str_utf8(MP_STR("\xe0\x9f\xbf"), 0), 0);     /* overlong */
    assert_int_equal(mp_str_utf8(MP_STR("\xed\xa0\x80"), 0), 0);     /* a surrogate */
    assert_int_equal(mp_str_utf8(MP_STR("\xf4\x90\x80\x80"), 0), 0); /* beyond U+10FFFF */
    assert_int_equal(mp_str_utf8(MP_STR("\xe6\xbc"), 0), 0);         /* cut off */
}

static void a_character_at_the_end_reads_nothing_behind_it(void **state)
{
    const char all[] = "\xe2\x82\xac";
    for (size_t len = 1; len <= 3; len++) {
        char *own = mp_arena_alloc(&arena, len, 1);
        memcpy(own, all, len);
        assert_int_equal(mp_str_utf8((mp_str){own, len}, 0), len == 3 ? 3 : 0);
    }
}

static void every_day_of_four_eras_comes_back(void **state)
{
    struct mp_date before = mp_date_of(-800000);
    for (int64_t day = -800000; day < 800000; day++) {
        struct mp_date date = mp_date_of(day);
        assert_int_equal(mp_date_days(date), day);
        assert_in_range(date.month, 1, 12);
        assert_in_range(date.day, 1, 31);
        bool next = date.day == before.day + 1 || date.day == 1;
        assert_true(day == -800000 || next);
        before = date;
    }
}

static void moment_is(int64_t ns, const char *wanted)
{
    char text[MP_DATE_TEXT + 1] = {0};
    mp_date_text(ns, text);
    assert_string_equal(text, wanted);
}

static void moments_are_written_in_one_way(void **state)
{
    moment_is(0, "1970-01-01T00:00:00.000000Z");
    moment_is(INT64_MIN, "1970-01-01T00:00:00.000000Z");
    moment_is(INT64_C(951782399123456789), "2000-02-28T23:59:59.123456Z");
    moment_is(INT64_C(951782400000000000), "2000-02-29T00:00:00.000000Z");
    moment_is(INT64_MAX, "2262-04-11T23:47:16.854775Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_and_quotes_are_escaped),
        cmocka_unit_test(what_is_no_utf8_becomes_the_replacement_character),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(a_character_at_the_end_reads_nothing_behind_it),
        cmocka_unit_test(every_day_of_four_eras_comes_back),
        cmocka_unit_test(moments_are_written_in_one_way),
    };
    return cmocka_run_group_tests_name("base", tests, begin, end);
}
