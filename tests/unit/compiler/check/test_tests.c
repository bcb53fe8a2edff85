/* SPDX-License-Identifier: Apache-2.0
 * `test` items, as the checker reads them (language.md 13).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "checked.h"

#define RULES "use std.mesh\nparam trip: percent = 5%\n"                                           \
              "rule contain when error_rate > trip for 10s then throttle svc to 50% for 5m\n"

static const struct mp_t_test_line *only_line(struct checked *c, const char *body)
{
    static char text[2000];
    int n = snprintf(text, sizeof text, "%stest \"t\" {\n%s\n}\n", RULES, body);
    assert_true(n > 0 && (size_t)n < sizeof text);
    checked_open(c, text);
    if (c->typed->tests.len != 1 || c->typed->tests.ptr[0]->line_count != 1) {
        print_error("%s: one line was expected\n%s", body, checked_text(c));
        fail();
    }
    return &c->typed->tests.ptr[0]->lines[0];
}

static void assert_refused(const char *body, const char *codes)
{
    char text[2000];
    snprintf(text, sizeof text, "%stest \"t\" {\n%s\n}\n", RULES, body);
    assert_codes(text, codes);
}

static void a_definition_is_set_for_one_key_and_a_span(void **state)
{
    struct checked c;
    const struct mp_t_test_line *l = only_line(&c, "0s..10s: error_rate of \"checkout\" = 12%");
    assert_int_equal(l->kind, MP_TLINE_SET);
    assert_int_equal(l->from_ns, 0);
    assert_int_equal(l->to_ns, 10000000000);
    assert_int_equal(l->def->kind, MP_DEF_DEF);
    assert_int_equal(l->key_count, 1);
    assert_true(mp_str_eq(l->keys[0]->text, MP_STR("checkout")));
    assert_true(mp_value_as_num(l->value->value) == 0.12);
    checked_close(&c);
    (void)state;
}

static void gauges_and_attributes_are_set_too(void **state)
{
    struct checked c;
    const struct mp_t_test_line *l = only_line(&c, "5s: cpu of \"web-1\" = 95%");
    assert_int_equal(l->def->kind, MP_DEF_GAUGE);
    assert_int_equal(l->to_ns, -1);
    checked_close(&c);
    l = only_line(&c, "0s: tier of \"web\" = batch");
    assert_int_equal(l->def->kind, MP_DEF_ATTR);
    assert_true(mp_str_eq(l->value->text, MP_STR("batch")));
    checked_close(&c);
    l = only_line(&c, "0s: callers of \"checkout\" = [\"web\", \"shop\"]");
    assert_int_equal(l->value_count, 2);
    checked_close(&c);
    l = only_line(&c, "0s: svc \"web\".namespace = \"prod\"");
    assert_true(mp_str_eq(l->def->attr->owner->name, MP_STR("service")));
    checked_close(&c);
    (void)state;
}

static void parameters_and_the_backend_are_given(void **state)
{
    struct checked c;
    const struct mp_t_test_line *l = only_line(&c, "given trip = 4%");
    assert_int_equal(l->kind, MP_TLINE_PARAM);
    assert_true(mp_value_as_num(l->value->value) == 0.04);
    checked_close(&c);
    l = only_line(&c, "given backend = slow");
    assert_int_equal(l->kind, MP_TLINE_BACKEND);
    assert_true(mp_str_eq(l->value->text, MP_STR("slow")));
    checked_close(&c);
    (void)state;
}

static void records_are_sent_by_their_fields(void **state)
{
    struct checked c;
    const struct mp_t_test_line *l = only_line(
        &c, "1s..9s: emit 90 requests with service = \"checkout\", status = 503, "
            "client.ip = 10.0.0.7, headers[\"x-key\"] = \"a\"");
    assert_int_equal(l->kind, MP_TLINE_EMIT);
    assert_int_equal(l->count, 90);
    assert_int_equal(l->emit_count, 4);
    assert_true(mp_str_eq(l->emits[0].path, MP_STR("service")));
    assert_true(mp_str_eq(l->emits[2].path, MP_STR("client.ip")));
    assert_true(mp_str_eq(l->emits[3].path, MP_STR("headers.x-key")));
    checked_close(&c);
    (void)state;
}

static void actions_states_and_causes_are_expected(void **state)
{
    struct checked c;
    const struct mp_t_test_line *l = only_line(&c, "expect throttle \"checkout\" to 50% at 40s");
    assert_int_equal(l->kind, MP_TLINE_EXPECT);
    assert_int_equal(l->when, MP_TWHEN_AT);
    assert_int_equal(l->from_ns, 40000000000);
    assert_int_equal(l->arg_count, 1);
    assert_true(mp_str_eq(l->target->text, MP_STR("checkout")));
    checked_close(&c);
    l = only_line(&c, "expect no confirmed contain ever");
    assert_true(l->negated);
    assert_true(mp_str_eq(l->rule, MP_STR("contain")));
    checked_close(&c);
    l = only_line(&c, "expect shadow throttle \"checkout\" by 40s");
    assert_true(mp_str_eq(l->verb, MP_STR("shadow throttle")));
    checked_close(&c);
    l = only_line(&c, "expect expired contain by 9m");
    assert_true(mp_str_eq(l->verb, MP_STR("expired")));
    checked_close(&c);
    (void)state;
}

static void what_does_not_exist_is_refused(void **state)
{
    assert_refused("given tripp = 5%", "E0501");
    assert_refused("given backend = fast", "E0501");
    assert_refused("0s: eror_rate of \"checkout\" = 5%", "E0501");
    assert_refused("0s: error_rate = 5%", "E0501");
    assert_refused("0s: trip = 5%", "E0501");
    assert_refused("1s: emit 10 reqests with service = \"checkout\"", "E0501");
    assert_refused("1s: emit 10 requests with servic = \"checkout\"", "E0501");
    assert_refused("expect throtle \"checkout\" by 10s", "E0501");
    assert_refused("expect confirmed contian by 10s", "E0501");
    assert_refused("expect confirmed by 10s", "E0501");
    assert_refused("expect rollback by 10s\nexpect rollback contain by 10s", "");
    assert_refused("expect throttle \"checkout\" to 5m by 10s", "E0501");
    assert_refused("0s: error_rate of \"checkout\" = 5s", "E0302");
    (void)state;
}

static void one_name_has_one_value_at_a_time(void **state)
{
    assert_refused("0s..10s: error_rate of \"a\" = 5%\n5s..20s: error_rate of \"a\" = 6%", "E0502");
    assert_refused("3s: error_rate of \"a\" = 5%\n3s: absent error_rate of \"a\"", "E0502");
    assert_refused("0s..10s: error_rate of \"a\" = 5%\n5s: error_rate of \"a\" = 6%", "E0502");
    assert_refused("0s..10s: error_rate of \"a\" = 5%\n10s: error_rate of \"a\" = 6%", "");
    assert_refused("0s..10s: error_rate of \"a\" = 5%\n0s..10s: error_rate of \"b\" = 6%", "");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_definition_is_set_for_one_key_and_a_span),
        cmocka_unit_test(gauges_and_attributes_are_set_too),
        cmocka_unit_test(parameters_and_the_backend_are_given),
        cmocka_unit_test(records_are_sent_by_their_fields),
        cmocka_unit_test(actions_states_and_causes_are_expected),
        cmocka_unit_test(what_does_not_exist_is_refused),
        cmocka_unit_test(one_name_has_one_value_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
