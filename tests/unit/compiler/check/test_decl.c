/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"

static void an_entity_has_a_key(void **state)
{
    (void)state;
    expect_codes("entity e { }",
                 "E0201");
    expect_codes("entity e { s: service }",
                 "E0201");
    expect_codes("entity e { s: set of string }",
                 "E0201");
    expect_codes("entity e { name: string }",
                 "");
}

static void keys_of_signals_are_entities(void **state)
{
    (void)state;
    expect_codes("signal s: event per nothing",
                 "E0101");
    expect_codes("param p = 5\nsignal s: event per p",
                 "E0201");
    expect_codes("signal s: event per svc { a: int }",
                 "");
}

static void options_stand_once(void **state)
{
    (void)state;
    expect_codes("signal s: event per svc every 1s every 2s { a: int }",
                 "E0105");
}

static void annotations_with_a_meaning_stand_where_they_mean_something(void **state)
{
    (void)state;
    expect_codes("@min_samples 5\nparam p = 5",
                 "E0112");
    expect_codes("@min_samples \"x\"\ndef d per svc: percent = error_rate",
                 "E0112");
    expect_codes("@always \"a b\"\nsignal s: event { a: int }",
                 "E0112");
    expect_codes("@always \"a\"\nsignal s: event { a: int }",
                 "");
    expect_codes("@panes 0\ndef d per svc: percent = error_rate",
                 "E0112");
    expect_codes("@owner \"me\"\nparam p = 5",
                 "");
}

static void defaults_have_the_type_of_their_field(void **state)
{
    (void)state;
    expect_codes("signal s: event { a: int = 5% }",
                 "E0302");
    expect_codes("signal s: event { a: enum(x, y) = z }",
                 "E0306");
    expect_codes("entity e { name: string tier: enum(x, y) = x }",
                 "");
}

static void fields_stand_once(void **state)
{
    (void)state;
    expect_codes("signal s: event { a: int a: string }",
                 "E0103");
    expect_codes("entity e { name: string name: string }",
                 "E0103");
    expect_codes("entity e { name: string t: enum(a, a) }",
                 "E0103");
}

static void what_a_vocabulary_says_is_kept(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "");
    case_expect(&c, "");
    const struct mp_t_signal *requests = NULL, *cpu = NULL;
    for (uint32_t i = 0; i < c.typed->signals.len; i++) {
        if (mp_str_eq(c.typed->signals.ptr[i]->name, MP_STR("requests")))
            requests = c.typed->signals.ptr[i];
        if (mp_str_eq(c.typed->signals.ptr[i]->name, MP_STR("cpu"))) cpu = c.typed->signals.ptr[i];
    }
    assert_int_equal(requests->key_count, 3);
    assert_int_equal(requests->lateness_ns, 2000000000);
    assert_int_equal(cpu->every_ns, 5000000000);
    assert_int_equal(cpu->lateness_ns, 0);
    assert_int_equal(cpu->kind, MP_SIGNAL_GAUGE);
    assert_true(mp_str_eq(cpu->fields[0].name, MP_STR("value")));
    for (uint32_t i = 0; i < requests->field_count; i++) {
        const struct mp_t_field *f = &requests->fields[i];
        if (mp_str_eq(f->name, MP_STR("method"))) assert_true(f->always);
        if (mp_str_eq(f->name, MP_STR("user"))) assert_true(f->chosen && !f->always);
        if (mp_str_eq(f->name, MP_STR("status"))) assert_true(f->at_end);
        if (mp_str_eq(f->name, MP_STR("layer"))) assert_non_null(f->preset);
    }
    case_free(&c);
}

static void statuses_of_a_class_are_listed(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "list l: status = [ 5xx, 429 ]");
    case_expect(&c, "");
    assert_int_equal(c.typed->lists.ptr[0]->item_count, 101);
    case_free(&c);
}

static void a_pattern_of_identities_is_marked(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "list l: identity = [ spiffe://a/*, spiffe://b ]");
    case_expect(&c, "");
    assert_int_equal(c.typed->lists.ptr[0]->items[0]->type.base, MP_TYPE_PATTERN);
    assert_int_equal(c.typed->lists.ptr[0]->items[1]->type.base, MP_TYPE_IDENTITY);
    case_free(&c);
}

static void observed_attributes_are_read_from_annotations(void **state)
{
    (void)state;
    struct case_file files[] = {{"a",
        "@members \"s.ms\"\n@callers \"s.cs = r.p in ids\"\n"
        "entity s { name: string ms: set of i cs: set of s ids: set of identity }\n"
        "@belongs \"i.parent\"\nentity i { name: string parent: s }\n"
        "signal r: event per s, i { p: identity }\n", MP_CHECK_GIVEN}};
    struct test_case c;
    case_check_files(&c, files, 1, NULL);
    case_expect(&c, "");
    assert_int_equal(c.typed->observes.len, 3);
    case_free(&c);
    files[0].text = "@belongs \"i.nothing\"\nentity i { name: string }\n";
    case_check_files(&c, files, 1, NULL);
    case_expect(&c, "E0112");
    case_free(&c);
}

static void memory_that_runs_out_is_told(void **state)
{
    (void)state;
    const char *text = "rule a when error_rate of svc.callers > 5% and mixed > 0.5 for 30s per svc "
                       "then throttle svc to 50% for 5m and notify \"{svc} {error_rate}\"";
    enum mp_err err = MP_ENOMEM;
    uint32_t failures = 0;
    for (size_t limit = 1000; err != MP_OK && limit < 10000000; limit += limit / 16) {
        err = case_check_within(text, limit);
        assert_true(err == MP_OK || err == MP_ENOMEM);
        failures += err != MP_OK;
    }
    assert_int_equal(err, MP_OK);
    assert_true(failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entity_has_a_key),
        cmocka_unit_test(keys_of_signals_are_entities),
        cmocka_unit_test(options_stand_once),
        cmocka_unit_test(annotations_with_a_meaning_stand_where_they_mean_something),
        cmocka_unit_test(defaults_have_the_type_of_their_field),
        cmocka_unit_test(fields_stand_once),
        cmocka_unit_test(what_a_vocabulary_says_is_kept),
        cmocka_unit_test(statuses_of_a_class_are_listed),
        cmocka_unit_test(a_pattern_of_identities_is_marked),
        cmocka_unit_test(observed_attributes_are_read_from_annotations),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
