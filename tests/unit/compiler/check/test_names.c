/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"

static void a_clean_policy_has_no_errors(void **state)
{
    (void)state;
    expect_codes("when error_rate > 5% then notify \"x\"",
                 "");
}

static void an_unknown_name_comes_with_the_nearest(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when eror_rate > 5% then notify \"x\"");
    case_expect(&c, "E0101");
    case_says(&c, "nothing is called `eror_rate`");
    case_says(&c, "`error_rate` (m, percent per svc) is close");
    case_free(&c);
}

static void an_unknown_field_comes_with_the_nearest(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when count(requests where metod == \"GET\") over 1m > 3 per svc then notify "
                   "\"x\"");
    case_expect(&c, "E0101");
    case_says(&c, "`method` is close");
    case_free(&c);
}

static void an_unknown_attribute_is_reported(void **state)
{
    (void)state;
    expect_codes("when svc.teer is batch per svc then notify \"x\"",
                 "E0101");
}

static void an_unknown_entity_type_is_reported(void **state)
{
    (void)state;
    expect_codes("entity e { name: string a: servise }",
                 "E0101");
}

static void a_name_twice_in_a_package_is_an_error(void **state)
{
    (void)state;
    expect_codes("param a = 5%\nlet a = 3s",
                 "E0103");
    expect_codes("def a = 3\nentity a { name: string }",
                 "E0103");
}

static void a_name_of_two_used_packages_must_say_which(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "use p\nuse q as other\nparam x: int = both\n", MP_CHECK_GIVEN},
        {"p", "package p\nlet both = 1\n", MP_CHECK_INCLUDE},
        {"q", "package q\nlet both = 2\n", MP_CHECK_INCLUDE},
    };
    struct test_case c;
    case_check_files(&c, files, 3, NULL);
    case_expect(&c, "E0103");
    case_free(&c);
    files[0].text = "use p\nuse q as other\nparam x: int = other.both\n";
    case_check_files(&c, files, 3, NULL);
    case_expect(&c, "");
    assert_int_equal(mp_value_as_int(c.typed->params.ptr[0]->value->value), 2);
    case_free(&c);
}

static void the_own_package_comes_before_used_ones(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "package a\nuse p\nlet n = 1\nparam x: int = n\n", MP_CHECK_GIVEN},
        {"p", "package p\nlet n = 2\n", MP_CHECK_INCLUDE},
    };
    struct test_case c;
    case_check_files(&c, files, 2, NULL);
    case_expect(&c, "");
    assert_int_equal(mp_value_as_int(c.typed->params.ptr[0]->value->value), 1);
    case_free(&c);
}

static void a_package_that_is_not_there_is_one_error_and_hides_its_names(void **state)
{
    (void)state;
    expect_codes("use nowhere\nwhen strange > 5 then unheard_of svc",
                 "E0111");
}

static void a_package_comes_whole_from_the_best_origin(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "use p\nparam x: int = n\n", MP_CHECK_GIVEN},
        {"p1", "package p\nlet n = 7\n", MP_CHECK_INCLUDE},
        {"p2", "package p\nlet n = 8\nlet other = 1\n", MP_CHECK_STDLIB},
    };
    struct test_case c;
    case_check_files(&c, files, 3, NULL);
    case_expect(&c, "");
    assert_int_equal(mp_value_as_int(c.typed->params.ptr[0]->value->value), 7);
    case_free(&c);
}

static void use_does_not_activate_rules_but_tests_may(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "use p\n", MP_CHECK_GIVEN},
        {"p", "package p\nsignal g: int\naction say(text: string) class message strength 0 "
              "irreversible\n"
               "rule quiet when g > 3 then say \"x\"\n", MP_CHECK_INCLUDE},
    };
    struct test_case c;
    case_check_files(&c, files, 2, NULL);
    case_expect(&c, "");
    assert_int_equal(c.typed->rules.len, 0);
    case_free(&c);
    struct mp_check_options with_tests = {.with_tests = true};
    case_check_files(&c, files, 2, &with_tests);
    assert_int_equal(c.typed->rules.len, 1);
    case_free(&c);
}

static void two_given_files_of_one_package_share_their_names(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "package p\nparam x: int = n\n", MP_CHECK_GIVEN},
        {"b", "package p\nlet n = 7\n", MP_CHECK_GIVEN},
    };
    struct test_case c;
    case_check_files(&c, files, 2, NULL);
    case_expect(&c, "");
    case_free(&c);
}

static void files_without_a_package_do_not_see_each_other(void **state)
{
    (void)state;
    struct case_file files[] = {
        {"a", "param x: int = n\n", MP_CHECK_GIVEN},
        {"b", "let n = 7\n", MP_CHECK_GIVEN},
    };
    struct test_case c;
    case_check_files(&c, files, 2, NULL);
    case_expect(&c, "E0101");
    case_free(&c);
}

static void a_definition_that_uses_itself_is_one_error(void **state)
{
    (void)state;
    expect_codes("def a: int = a + 1",
                 "E0104");
    expect_codes("def a: int = b + 1\ndef b: int = a + 1",
                 "E0104");
    expect_codes("def a(n: int): int = a(n) + 1",
                 "E0104");
    expect_codes("let a = b\nlet b = a",
                 "E0104");
    expect_codes("def a: int = a + 1\nwhen a > 3 then notify \"x\"",
                 "E0104");
}

static void an_edition_that_is_not_known_is_refused(void **state)
{
    (void)state;
    struct case_file files[] = {{"a", "mpol 2\n", MP_CHECK_GIVEN}};
    struct test_case c;
    case_check_files(&c, files, 1, NULL);
    case_expect(&c, "E0901");
    case_free(&c);
}

static void an_unknown_verb_comes_with_the_nearest(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when error_rate > 5% then quarentine svc");
    case_expect(&c, "E0101");
    case_says(&c, "`quarantine` is close");
    case_free(&c);
}

static void a_name_of_an_item_with_a_syntax_error_is_not_unknown(void **state)
{
    (void)state;
    expect_codes("def broken per service: percent = )\nwhen broken > 5% then notify \"x\"",
                 "E0100");
}

static void names_in_backquotes_are_names(void **state)
{
    (void)state;
    expect_codes("let `limit` = 5%\nwhen error_rate > `limit` then notify \"x\"",
                 "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_policy_has_no_errors),
        cmocka_unit_test(an_unknown_name_comes_with_the_nearest),
        cmocka_unit_test(an_unknown_field_comes_with_the_nearest),
        cmocka_unit_test(an_unknown_attribute_is_reported),
        cmocka_unit_test(an_unknown_entity_type_is_reported),
        cmocka_unit_test(a_name_twice_in_a_package_is_an_error),
        cmocka_unit_test(a_name_of_two_used_packages_must_say_which),
        cmocka_unit_test(the_own_package_comes_before_used_ones),
        cmocka_unit_test(a_package_that_is_not_there_is_one_error_and_hides_its_names),
        cmocka_unit_test(a_package_comes_whole_from_the_best_origin),
        cmocka_unit_test(use_does_not_activate_rules_but_tests_may),
        cmocka_unit_test(two_given_files_of_one_package_share_their_names),
        cmocka_unit_test(files_without_a_package_do_not_see_each_other),
        cmocka_unit_test(a_definition_that_uses_itself_is_one_error),
        cmocka_unit_test(an_edition_that_is_not_known_is_refused),
        cmocka_unit_test(an_unknown_verb_comes_with_the_nearest),
        cmocka_unit_test(a_name_of_an_item_with_a_syntax_error_is_not_unknown),
        cmocka_unit_test(names_in_backquotes_are_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
