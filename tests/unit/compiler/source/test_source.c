/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/source.h"

static struct mp_arena arena;
static struct mp_sources sources;

static int begin(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    mp_sources_init(&sources, &arena);
    return 0;
}

static int end(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static const struct mp_source *add(const char *text)
{
    const struct mp_source *s = NULL;
    assert_int_equal(mp_sources_add(&sources, MP_STR("a.mpol"), mp_str_of(text), &s), MP_OK);
    return s;
}

static void assert_at(const struct mp_source *s, uint32_t offset, uint32_t line, uint32_t column)
{
    struct mp_position p = mp_source_position(s, offset);
    assert_int_equal(p.line, line);
    assert_int_equal(p.column, column);
}

static void lines_and_columns_count_from_one(void **state)
{
    const struct mp_source *s = add("ab\ncd\n\nx");
    assert_at(s, 0, 1, 1);
    assert_at(s, 2, 1, 3);
    assert_at(s, 3, 2, 1);
    assert_at(s, 6, 3, 1);
    assert_at(s, 7, 4, 1);
    assert_at(s, 8, 4, 2);
    assert_at(s, 999, 4, 2);
}

static void columns_are_code_points_and_bad_bytes_count_as_one(void **state)
{
    const struct mp_source *s = add("\xc3\xa4\xe6\xbc\xa2x\xff\xfey");
    assert_at(s, 2, 1, 2);
    assert_at(s, 5, 1, 3);
    assert_at(s, 6, 1, 4);
    assert_at(s, 8, 1, 6);
}

static void a_line_is_shown_without_its_end(void **state)
{
    const struct mp_source *s = add("one\r\ntwo\n");
    mp_str one = mp_source_line(s, 1), two = mp_source_line(s, 2), three = mp_source_line(s, 3);
    assert_true(mp_str_eq(one, MP_STR("one")));
    assert_true(mp_str_eq(two, MP_STR("two")));
    assert_int_equal(three.len, 0);
    assert_int_equal(mp_source_line(s, 4).len, 0);
    assert_int_equal(mp_source_line(s, 0).len, 0);
    assert_int_equal(s->line_count, 3);
}

static void file_zero_is_nowhere(void **state)
{
    const struct mp_source *s = add("abc");
    assert_int_equal(s->id, 1);
    assert_null(mp_source_of(&sources, (struct mp_span){0}));
    assert_int_equal(mp_source_text(&sources, (struct mp_span){0, 0, 2}).len, 0);
    assert_true(mp_str_eq(mp_source_text(&sources, (struct mp_span){1, 1, 3}), MP_STR("bc")));
    assert_int_equal(mp_source_begin(&sources, (struct mp_span){0}).line, 0);
}

static void spans_join_to_what_holds_both(void **state)
{
    struct mp_span a = {1, 4, 6}, b = {1, 1, 5}, nowhere = {0}, other = {2, 0, 1};
    assert_true(mp_span_eq(mp_span_join(a, b), (struct mp_span){1, 1, 6}));
    assert_true(mp_span_eq(mp_span_join(nowhere, b), b));
    assert_true(mp_span_eq(mp_span_join(a, nowhere), a));
    assert_true(mp_span_eq(mp_span_join(a, other), a));
}

static void text_has_a_nul_behind_it(void **state)
{
    const struct mp_source *s = NULL;
    assert_int_equal(mp_sources_add(&sources, MP_STR("x"), (mp_str){"abcdef", 3}, &s), MP_OK);
    assert_int_equal(s->text.ptr[3], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_and_columns_count_from_one, begin, end),
        cmocka_unit_test_setup_teardown(columns_are_code_points_and_bad_bytes_count_as_one, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_line_is_shown_without_its_end, begin, end),
        cmocka_unit_test_setup_teardown(file_zero_is_nowhere, begin, end),
        cmocka_unit_test_setup_teardown(spans_join_to_what_holds_both, begin, end),
        cmocka_unit_test_setup_teardown(text_has_a_nul_behind_it, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
