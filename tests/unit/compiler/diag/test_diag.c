/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diag/diag.h"

static struct mp_arena arena;
static struct mp_sources sources;
static struct mp_diags diags;

static int begin(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    mp_sources_init(&sources, &arena);
    mp_diags_init(&diags, &arena);
    return 0;
}

static int end(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static void add_file(const char *name, const char *text)
{
    const struct mp_source *s;
    assert_int_equal(mp_sources_add(&sources, mp_str_of(name), mp_str_of(text), &s), MP_OK);
}

static struct mp_span at(uint32_t file, const char *part)
{
    mp_str text = sources.files.ptr[file - 1]->text;
    const char *found = strstr(text.ptr, part);
    assert_non_null(found);
    uint32_t from = (uint32_t)(found - text.ptr);
    return (struct mp_span){file, from, from + (uint32_t)strlen(part)};
}

static void assert_text(struct mp_diag_style style, const char *wanted)
{
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_diags_print_text(&diags, &sources, style, &out);
    mp_buf_putc(&out, '\0');
    assert_string_equal(out.ptr, wanted);
}

static void two_labels_of_one_line_are_both_said(void **state)
{
    add_file("checkout.mpol", "\n\n\n  when error_rate > 5 for 30s\n");
    struct mp_diag *d = mp_diag_add(&diags, MP_DIAG_E0301, at(1, "5"),
                                    "a percent is compared with a bare number");
    mp_diag_label(d, at(1, "5"), "number");
    mp_diag_label(d, at(1, "error_rate"), "percent (std.mesh: ratio of requests)");
    mp_diag_fix(d, at(1, "5"), MP_STR("5%"), "write `5%%`");
    assert_text((struct mp_diag_style){0},
                "error[E0301]: a percent is compared with a bare number\n"
                "  --> checkout.mpol:4:21\n"
                "  |\n"
                "4 |   when error_rate > 5 for 30s\n"
                "  |        ----------   ^ number\n"
                "  |        |\n"
                "  |        percent (std.mesh: ratio of requests)\n"
                "  = help: write `5%`\n"
                "\n");
}

static void labels_of_several_lines_and_files_stand_in_order(void **state)
{
    add_file("pay.mpol",
             "when a\nthen quarantine svc for 15m\n\n\n\n\n\n\n\n  verify error_rate < 1%\n");
    add_file("other.mpol", "# nothing\nnever quarantine\n");
    struct mp_diag *d = mp_diag_add(&diags, MP_DIAG_E0403, at(1, "error_rate"), "never answered");
    mp_diag_label(d, at(1, "error_rate"), "is computed from `requests`");
    mp_diag_label(d, at(2, "never"), "and here");
    mp_diag_label(d, at(1, "quarantine svc"), "removes `requests`");
    mp_diag_note(d, "unknown never verifies");
    assert_text((struct mp_diag_style){0},
                "error[E0403]: never answered\n"
                "  --> pay.mpol:10:10\n"
                "   |\n"
                " 2 | then quarantine svc for 15m\n"
                "   |      -------------- removes `requests`\n"
                "...\n"
                "10 |   verify error_rate < 1%\n"
                "   |          ^^^^^^^^^^ is computed from `requests`\n"
                "  ::: other.mpol:2:1\n"
                "   |\n"
                " 2 | never quarantine\n"
                "   | ----- and here\n"
                "   = note: unknown never verifies\n"
                "\n");
}

static void a_span_without_length_and_one_of_two_lines_have_carets(void **state)
{
    add_file("a.mpol", "ab\tc\nsecond\n");
    mp_diag_add(&diags, MP_DIAG_E0100, (struct mp_span){1, 4, 4}, "empty");
    mp_diag_add(&diags, MP_DIAG_E0101, (struct mp_span){1, 1, 8}, "long");
    assert_text((struct mp_diag_style){0},
                "error[E0101]: long\n  --> a.mpol:1:2\n  |\n1 | ab c\n  |  ^^^\n\n"
                "error[E0100]: empty\n  --> a.mpol:1:5\n  |\n1 | ab c\n  |     ^\n\n");
}

static void what_has_no_place_is_said_without_one(void **state)
{
    mp_diag_add(&diags, MP_DIAG_E0111, (struct mp_span){0}, "no package `x`");
    mp_diag_add(&diags, MP_DIAG_E0111, (struct mp_span){0}, "no package `y`");
    assert_text((struct mp_diag_style){0},
                "error[E0111]: no package `x`\n\nerror[E0111]: no package `y`\n\n");
}

static void one_code_is_said_once_a_place_in_order_of_places(void **state)
{
    add_file("a.mpol", "abc");
    add_file("b.mpol", "abc");
    mp_diag_add(&diags, MP_DIAG_E0101, at(2, "b"), "4");
    mp_diag_add(&diags, MP_DIAG_E0102, at(1, "c"), "3");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "b"), "1");
    mp_diag_add(&diags, MP_DIAG_L106, at(1, "b"), "2");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "b"), "again");
    mp_diag_add(&diags, MP_DIAG_L106, at(1, "b"), "again");
    assert_int_equal(diags.error_count, 4);
    mp_diags_sort(&diags);
    mp_diags_sort(&diags);
    assert_int_equal(diags.all.len, 4);
    assert_int_equal(diags.error_count, 3);
    assert_int_equal(diags.warning_count, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(diags.all.ptr[i]->message.ptr[0], (int)('1' + i));
    }
}

static void what_is_not_in_this_version_comes_last(void **state)
{
    add_file("a.mpol", "abc");
    mp_diag_add(&diags, MP_DIAG_E0900, at(1, "a"), "feeds");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "c"), "x");
    mp_diags_sort(&diags);
    assert_int_equal(diags.all.ptr[0]->code, MP_DIAG_E0101);
    assert_int_equal(diags.all.ptr[1]->code, MP_DIAG_E0900);
}

static void a_limit_says_how_many_it_hides(void **state)
{
    add_file("a.mpol", "abc");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "a"), "x");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "b"), "y");
    mp_diag_add(&diags, MP_DIAG_E0101, at(1, "c"), "z");
    assert_text((struct mp_diag_style){.limit = 1},
                "error[E0101]: x\n  --> a.mpol:1:1\n  |\n1 | abc\n  | ^\n\n2 more are not shown\n");
}

static void color_is_only_there_when_asked_for(void **state)
{
    add_file("a.mpol", "abc");
    mp_diag_add(&diags, MP_DIAG_L106, at(1, "b"), "unused");
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_diags_print_text(&diags, &sources, (struct mp_diag_style){.color = true}, &out);
    assert_true(mp_str_contains(mp_buf_view(&out), MP_STR("\033[1;33mwarning[L106]\033[0m")));
    struct mp_buf bare;
    mp_buf_init(&bare, &arena);
    mp_diags_print_text(&diags, &sources, (struct mp_diag_style){0}, &bare);
    assert_false(mp_str_contains(mp_buf_view(&bare), MP_STR("\033")));
}

static void json_holds_everything(void **state)
{
    add_file("a\"b.mpol", "\xc3\xa4 = 5\n");
    struct mp_diag *d = mp_diag_add(&diags, MP_DIAG_E0301, at(1, "5"), "units\tdiffer \xff");
    mp_diag_label(d, at(1, "5"), "number");
    mp_diag_note(d, "n");
    mp_diag_help(d, "h");
    mp_diag_fix(d, at(1, "5"), MP_STR("5%"), "write");
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_diags_print_json(&diags, &sources, &out);
    mp_buf_putc(&out, '\0');
    assert_string_equal(
        out.ptr,
        "{\"version\":1,\"errors\":1,\"warnings\":0,\"diagnostics\":[\n"
        "{\"code\":\"E0301\",\"severity\":\"error\",\"message\":\"units\\tdiffer \xef\xbf\xbd\","
        "\"file\":\"a\\\"b.mpol\",\"line\":1,\"column\":5,\"end_line\":1,\"end_column\":6,"
        "\"labels\":[{\"file\":\"a\\\"b.mpol\","
        "\"line\":1,\"column\":5,\"end_line\":1,\"end_column\":6,"
        "\"message\":\"number\"}],\"notes\":[\"n\"],\"helps\":[{\"message\":\"h\",\"fix\":null},"
        "{\"message\":\"write\",\"fix\":{\"file\":\"a\\\"b.mpol\","
        "\"line\":1,\"column\":5,\"end_line\":1,"
        "\"end_column\":6,\"from\":5,\"to\":6,\"replacement\":\"5%\"}}]}]}\n");
}

static void every_row_is_found_and_explained(void **state)
{
    for (int i = 0; i < MP_DIAG_COUNT; i++) {
        const struct mp_diag_row *row = mp_diag_row((enum mp_diag_code)i);
        enum mp_diag_code found;
        assert_true(mp_diag_find(row->code, &found));
        assert_int_equal(found, i);
        assert_true(row->title.len > 3 && row->doc.len > 20);
        assert_true(row->title.ptr[row->title.len - 1] != '.');
        assert_int_equal(row->doc.ptr[row->doc.len - 1], '.');
        if (row->code.ptr[0] == 'E') assert_int_equal(row->severity, MP_SEV_ERROR);
    }
    enum mp_diag_code none;
    assert_false(mp_diag_find(MP_STR("E9999"), &none));
}

static void memory_that_is_gone_is_remembered(void **state)
{
    char bytes[4096];
    for (size_t size = 0; size <= sizeof bytes; size += 8) {
        struct mp_arena small;
        struct mp_diags sink;
        mp_arena_init_fixed(&small, bytes, size);
        mp_diags_init(&sink, &small);
        struct mp_diag *d = mp_diag_add(&sink, MP_DIAG_E0100, (struct mp_span){0}, "m %d", 1);
        mp_diag_label(d, (struct mp_span){0}, "l");
        mp_diag_note(d, "n");
        mp_diag_help(d, "h");
        mp_diag_fix(d, (struct mp_span){0}, MP_STR("r"), "f");
        bool complete = sink.all.len == 1 && d->labels.len == 1 && d->notes.len == 1 &&
                        d->helps.len == 2;
        if (mp_diags_err(&sink) == MP_OK) assert_true(complete);
        if (size == sizeof bytes) assert_int_equal(mp_diags_err(&sink), MP_OK);
        if (size == 0) assert_int_equal(mp_diags_err(&sink), MP_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_labels_of_one_line_are_both_said, begin, end),
        cmocka_unit_test_setup_teardown(labels_of_several_lines_and_files_stand_in_order, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_span_without_length_and_one_of_two_lines_have_carets,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_has_no_place_is_said_without_one, begin, end),
        cmocka_unit_test_setup_teardown(one_code_is_said_once_a_place_in_order_of_places, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_is_not_in_this_version_comes_last, begin, end),
        cmocka_unit_test_setup_teardown(a_limit_says_how_many_it_hides, begin, end),
        cmocka_unit_test_setup_teardown(color_is_only_there_when_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(json_holds_everything, begin, end),
        cmocka_unit_test_setup_teardown(every_row_is_found_and_explained, begin, end),
        cmocka_unit_test_setup_teardown(memory_that_is_gone_is_remembered, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
