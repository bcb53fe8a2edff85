/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"

static void both_sides_have_one_unit(void **state)
{
    (void)state;
    expect_codes("when error_rate > 5 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when error_rate > 5s per svc then notify \"x\"",
                 "E0301");
    expect_codes("when p99_latency > 5% per svc then notify \"x\"",
                 "E0301");
    expect_codes("when p99_latency > 500ms per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests) over 1m > 5% per svc then notify \"x\"",
                 "E0301");
    expect_codes("when rate(requests) over 1m > 5 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when rate(requests) over 1m > 5/s per svc then notify \"x\"",
                 "");
    expect_codes("when sum(requests.bytes_in) over 1m > 5MiB per svc then notify \"x\"",
                 "");
    expect_codes("when rate(requests.bytes_in) over 1m > 5MiB/s per svc then notify \"x\"",
                 "");
    expect_codes("when rate(requests.bytes_in) over 1m > 5MiB per svc then notify \"x\"",
                 "E0301");
}

static void a_percent_beside_a_bare_number_says_what_to_write(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when error_rate > 5 per svc then notify \"x\"");
    case_expect(&c, "E0301");
    case_says(&c, "a percent is compared with a bare number");
    case_says(&c, "write `5%`");
    case_free(&c);
}

static void arithmetic_follows_the_table_of_units(void **state)
{
    (void)state;
    expect_codes("when error_rate + 1% > 5% per svc then notify \"x\"",
                 "");
    expect_codes("when error_rate + 1 > 5% per svc then notify \"x\"",
                 "E0301");
    expect_codes("when 2 * error_rate > 5% per svc then notify \"x\"",
                 "");
    expect_codes("when p99_latency / 2 > 1s per svc then notify \"x\"",
                 "");
    expect_codes("when p99_latency / 2s > 50% per svc then notify \"x\"",
                 "");
    expect_codes("when p99_latency * p99_latency > 1s per svc then notify \"x\"",
                 "E0301");
    expect_codes("when count(requests) over 1m / 60s > 5/s per svc then notify \"x\"",
                 "");
    expect_codes("when sum(requests.bytes_in) over 1m / 1s > 5MiB/s per svc then notify \"x\"",
                 "");
    expect_codes("when request_rate * 2s > 3 per svc then notify \"x\"",
                 "E0101");
    expect_codes("when (rate(requests) over 1m) * 2s > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests) over 1m / count(requests) over 5m > 50% per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when p99_latency + 5 > 1s per svc then notify \"x\"",
                 "E0301");
    expect_codes("when -p99_latency < 1s per svc then notify \"x\"",
                 "");
    expect_codes("when 1.5x p99_latency > 1s per svc then notify \"x\"",
                 "");
    expect_codes("when p99_latency - 10ms > 1s per svc then notify \"x\"",
                 "");
    expect_codes("when svc + 1 > 3 per svc then notify \"x\"",
                 "E0301");
}

static void literals_take_the_type_of_the_other_side(void **state)
{
    (void)state;
    expect_codes("when count(requests where status == 503) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where status == 9999) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where method == \"GET\") over 1m > 3 per svc then notify "
                 "\"x\"",
                 "");
    expect_codes("when mixed > 0.5 per svc then notify \"x\"",
                 "");
    expect_codes("when mixed > 50% per svc then notify \"x\"",
                 "");
    expect_codes("when mixed > 5 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when svc.tier == batch per svc then notify \"x\"",
                 "");
    expect_codes("when svc.tier == bach per svc then notify \"x\"",
                 "E0306");
    expect_codes("when svc.tier is bach per svc then notify \"x\"",
                 "E0306");
    expect_codes("when svc == \"web\" per svc then notify \"x\"",
                 "");
    expect_codes("when svc.name == \"web\" per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where client == 10.0.0.1) over 1m > 3 per svc then notify "
                 "\"x\"",
                 "");
    expect_codes("when count(requests where client.ip == 10.0.0.0/8) over 1m > 3 per svc then "
                 "notify \"x\"",
                 "E0301");
    expect_codes("when count(requests where path == 5) over 1m > 3 per svc then notify \"x\"",
                 "E0301");
}

static void a_status_widens_to_an_int(void **state)
{
    (void)state;
    expect_codes("when max(requests.status) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests where status > 499) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where status + 1 > 499) over 1m > 3 per svc then notify "
                 "\"x\"",
                 "");
}

static void what_has_no_order_is_not_compared_by_size(void **state)
{
    (void)state;
    expect_codes("when svc > \"a\" per svc then notify \"x\"",
                 "E0301");
    expect_codes("when count(requests where path < \"/a\") over 1m > 3 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when svc.callers == svc.callers per svc then notify \"x\"",
                 "E0301");
}

static void a_condition_is_true_or_false(void **state)
{
    (void)state;
    expect_codes("when error_rate per svc then notify \"x\"",
                 "E0302");
    expect_codes("when not error_rate per svc then notify \"x\"",
                 "E0302");
    expect_codes("when error_rate and svc.tier is batch per svc then notify \"x\"",
                 "E0302");
}

static void a_poisoned_part_is_silent(void **state)
{
    (void)state;
    expect_codes("when (nobody + 5) * 3s > 5% and svc.tier is batch per svc then notify \"x\"",
                 "E0101");
    expect_codes("when nobody.a.b[\"c\"] like \"x\" per svc then notify \"x\"",
                 "E0101");
}

static void independent_errors_are_all_reported(void **state)
{
    (void)state;
    expect_codes("when (error_rate > 5 and p99_latency > 3%) and nobody is known per svc then "
                 "notify \"x\"",
                 "E0301 E0301 E0101");
}

static void declared_types_convert_and_nothing_else(void **state)
{
    (void)state;
    expect_codes("param a: score = 0.5",
                 "");
    expect_codes("param a: score = 5",
                 "E0306");
    expect_codes("param a: number = 5",
                 "");
    expect_codes("param a: number = 5%",
                 "");
    expect_codes("param a: percent = 5",
                 "E0302");
    expect_codes("param a: duration = 5",
                 "E0302");
    expect_codes("param a: status = 5000",
                 "E0306");
    expect_codes("param a: port = 70000",
                 "E0306");
    expect_codes("def d per svc: score = error_rate",
                 "");
    expect_codes("def d per svc: percent = mixed",
                 "E0302");
    expect_codes("def d per svc: duration = error_rate",
                 "E0302");
    expect_codes("def d per svc: number = error_rate",
                 "");
}

static void a_param_lies_in_its_range(void **state)
{
    (void)state;
    expect_codes("param a: percent = 5% in 1%..50%",
                 "");
    expect_codes("param a: percent = 60% in 1%..50%",
                 "E0306");
    expect_codes("param a: percent = 5% in 50%..1%",
                 "E0306");
    expect_codes("param a: percent = 5% in 1s..2s",
                 "E0302 E0302");
}

static void a_constant_is_made_of_constants(void **state)
{
    (void)state;
    expect_codes("param a: percent = 2% + 3%",
                 "");
    expect_codes("let a = 3s\nlet b = a * 2\nparam c: duration = b",
                 "");
    expect_codes("param a: percent = error_rate",
                 "E0302");
    expect_codes("let a = svc",
                 "E0302");
    expect_codes("param a = 3 in 1..5\nlet b = a",
                 "E0302");
}

static void a_literal_is_rounded_once(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "param a: percent = 0.7%");
    case_expect(&c, "");
    assert_true(mp_value_as_num(c.typed->params.ptr[0]->value->value) == 0.007);
    case_free(&c);
}

static void lists_hold_values_of_one_type(void **state)
{
    (void)state;
    expect_codes("list a: identity = [ spiffe://a/ns/b/sa/*, \"spiffe://c\" ]",
                 "");
    expect_codes("list a: cidr = [ 10.0.0.0/8, 10.0.0.1 ]",
                 "");
    expect_codes("list a: cidr = [ 5% ]",
                 "E0302");
    expect_codes("list a = [ 10.0.0.1, 10.1.0.0/16 ]\nwhen count(requests where client.ip in a) "
                 "over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("list a = [ 1, 2s ]",
                 "E0302");
    expect_codes("list a: status = [ 5xx, 429 ]",
                 "");
    expect_codes("list a: service = [ \"a\", \"b\" ]",
                 "");
    expect_codes("list a: nothing_known = [ 1 ]",
                 "E0101");
}

static void in_asks_lists_ranges_sets_and_single_values(void **state)
{
    (void)state;
    expect_codes("list a: service = [ \"x\" ]\nwhen svc in a per svc then notify \"x\"",
                 "");
    expect_codes("list a: cidr = [ 10.0.0.0/8 ]\nwhen count(requests where client.ip not in a) "
                 "over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("list a: cidr = [ 10.0.0.0/8 ]\nwhen svc in a per svc then notify \"x\"",
                 "E0301");
    expect_codes("when error_rate in 1%..5% per svc then notify \"x\"",
                 "");
    expect_codes("when error_rate in 1..5 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when error_rate in 5%..1% per svc then notify \"x\"",
                 "E0306");
    expect_codes("when count(requests where status in 5xx) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where path in 5xx) over 1m > 3 per svc then notify \"x\"",
                 "E0301");
    expect_codes("when count(requests where peer in svc.identities) over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when svc.tier in [critical, batch] per svc then notify \"x\"",
                 "");
    expect_codes("when svc.tier in [critical, bach] per svc then notify \"x\"",
                 "E0306");
    expect_codes("when count(requests where method in [\"GET\", \"PUT\"]) over 1m > 3 per svc "
                 "then notify \"x\"",
                 "");
    expect_codes("when count(requests where client.ip in 10.0.0.0/8) over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when count(requests where peer in spiffe://a/*) over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
}

static void patterns_want_text(void **state)
{
    (void)state;
    expect_codes("when count(requests where path like \"/a*\") over 1m > 3 per svc then notify "
                 "\"x\"",
                 "");
    expect_codes("when count(requests where status like \"5*\") over 1m > 3 per svc then notify "
                 "\"x\"",
                 "E0301");
    expect_codes("when count(requests where path matches \"^/a\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when count(requests where path matches host) over 1m > 3 per svc then notify "
                 "\"x\"",
                 "E0307");
    expect_codes("when count(requests where path matches \"(\") over 1m > 3 per svc then notify "
                 "\"x\"",
                 "E0307");
    expect_codes("list w = [ \"a\", \"b\" ]\nwhen count(requests where path contains w) over 1m "
                 "> 3 per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where claims[\"g\"] contains \"x\") over 1m > 3 per svc "
                 "then notify \"x\"",
                 "");
    expect_codes("when count(requests where claims[\"g\"] like \"x\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "E0301");
    expect_codes("when svc.identities contains spiffe://a per svc then notify \"x\"",
                 "");
    expect_codes("when count(requests where path starts with \"/a\" and path ends with \"z\") "
                 "over 1m > 3 per svc then notify \"x\"",
                 "");
}

static void functions_take_what_they_are_for(void **state)
{
    (void)state;
    expect_codes("when abs(error_rate) > 5% per svc then notify \"x\"",
                 "");
    expect_codes("when abs(svc) > 5 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when clamp(error_rate, 1%, 5%) > 2% per svc then notify \"x\"",
                 "");
    expect_codes("when clamp(error_rate, 5%, 1%) > 2% per svc then notify \"x\"",
                 "E0306");
    expect_codes("when clamp(error_rate, 1s, 5%) > 2% per svc then notify \"x\"",
                 "E0301");
    expect_codes("when points(svc.tier is batch, 5) > 2 per svc then notify \"x\"",
                 "");
    expect_codes("when points(5, 5) > 2 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when pow(2, 3) > 2 per svc then notify \"x\"",
                 "");
    expect_codes("when pow(2, -3) > 2 per svc then notify \"x\"",
                 "E0306");
    expect_codes("when pow(p99_latency, 2) > 2 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when lenght(svc) > 2 per svc then notify \"x\"",
                 "E0305");
    expect_codes("when abs() > 2 per svc then notify \"x\"",
                 "E0305");
    expect_codes("when abs(1, 2) > 2 per svc then notify \"x\"",
                 "E0305");
    expect_codes("when abs(error_rate where svc.tier is batch) > 2% per svc then notify \"x\"",
                 "E0305");
    expect_codes("when length(svc.name) > 2 per svc then notify \"x\"",
                 "");
    expect_codes("when length(5) > 2 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests where number(headers[\"cost\"]) > 3) over 1m > 2 per svc "
                 "then notify \"x\"",
                 "");
}

static void default_has_the_type_of_what_it_replaces(void **state)
{
    (void)state;
    expect_codes("when (error_rate default 0%) > 5% per svc then notify \"x\"",
                 "");
    expect_codes("when (error_rate default 0) > 5% per svc then notify \"x\"",
                 "E0301");
}

static void is_asks_for_states_truths_and_members(void **state)
{
    (void)state;
    expect_codes("when error_rate is known and svc.tier is not batch per svc then notify \"x\"",
                 "");
    expect_codes("when error_rate is batch per svc then notify \"x\"",
                 "E0306");
    expect_codes("when requests is stale per svc then notify \"x\"",
                 "");
    expect_codes("when error_rate is stale per svc then notify \"x\"",
                 "");
    expect_codes("when svc.tier is stale per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests where mtls is false) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when error_rate is absent per svc then notify \"x\"",
                 "");
}

static void identities_have_parts(void **state)
{
    (void)state;
    expect_codes("when count(requests where peer.namespace == \"pay\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when count(requests where peer.nam == \"pay\") over 1m > 3 per svc then notify "
                 "\"x\"",
                 "E0101");
}

static void maps_of_signals_are_read_with_literals(void **state)
{
    (void)state;
    expect_codes("when count(requests where headers[\"a\"] == \"b\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when count(requests where headers[user] == \"b\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "E0308");
    expect_codes("when count(requests where path[\"a\"] == \"b\") over 1m > 3 per svc then "
                 "notify \"x\"",
                 "E0302");
    expect_codes("when svc.labels[\"team\"] == \"b\" per svc then notify \"x\"",
                 "");
}

static void a_constant_that_is_too_large_is_unknown_and_no_error(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when p99_latency > 17976931348623157000000.0 * 7d then notify \"x\"");
    case_expect(&c, "");
    const struct mp_t_expr *cond = case_rule(&c, "a")->when.cond;
    assert_int_equal(cond->type.base, MP_TYPE_BOOL);
    assert_int_equal(cond->kid[1]->kind, MP_TX_CONVERT);
    case_free(&c);
    expect_codes("param a: duration = 17976931348623157000000.0 * 7d", "E0302");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_have_one_unit),
        cmocka_unit_test(a_percent_beside_a_bare_number_says_what_to_write),
        cmocka_unit_test(arithmetic_follows_the_table_of_units),
        cmocka_unit_test(literals_take_the_type_of_the_other_side),
        cmocka_unit_test(a_status_widens_to_an_int),
        cmocka_unit_test(what_has_no_order_is_not_compared_by_size),
        cmocka_unit_test(a_condition_is_true_or_false),
        cmocka_unit_test(a_poisoned_part_is_silent),
        cmocka_unit_test(independent_errors_are_all_reported),
        cmocka_unit_test(declared_types_convert_and_nothing_else),
        cmocka_unit_test(a_param_lies_in_its_range),
        cmocka_unit_test(a_constant_is_made_of_constants),
        cmocka_unit_test(a_literal_is_rounded_once),
        cmocka_unit_test(lists_hold_values_of_one_type),
        cmocka_unit_test(in_asks_lists_ranges_sets_and_single_values),
        cmocka_unit_test(patterns_want_text),
        cmocka_unit_test(functions_take_what_they_are_for),
        cmocka_unit_test(default_has_the_type_of_what_it_replaces),
        cmocka_unit_test(is_asks_for_states_truths_and_members),
        cmocka_unit_test(identities_have_parts),
        cmocka_unit_test(maps_of_signals_are_read_with_literals),
        cmocka_unit_test(a_constant_that_is_too_large_is_unknown_and_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
