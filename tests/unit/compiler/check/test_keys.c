/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"
#include <stdio.h>

static void aggregates_need_a_window(void **state)
{
    (void)state;
    expect_codes("when count(requests) > 3 per svc then notify \"x\"",
                 "E0303");
    expect_codes("when max(cpu) > 3% per instance then notify \"x\"",
                 "E0303");
    expect_codes("when count(incidents) over 1h > 3 per svc then notify \"x\"",
                 "E0302");
}

static void an_aggregate_over_several_keys_needs_per(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when count(requests) over 1m > 3 then notify \"x\"");
    case_expect(&c, "E0210");
    case_says(&c, "`requests` is per service, instance and client: whose count is this?");
    case_says(&c, "or `per mesh` for all of them together");
    case_free(&c);
}

static void a_rule_takes_the_keys_of_what_it_reads(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when error_rate > 5% then notify \"x\"\n"
                   "rule b when count(beats) over 1m > 3 then notify \"x\"\n"
                   "rule d when cpu > 5% then notify \"x\"\n"
                   "rule e when count(requests) over 1m > 3 per mesh then notify \"x\"");
    case_expect(&c, "");
    assert_int_equal(case_rule(&c, "a")->keys->count, 1);
    assert_true(mp_str_eq(case_rule(&c, "a")->keys->keys[0].name, MP_STR("svc")));
    assert_true(mp_str_eq(case_rule(&c, "b")->keys->keys[0].name, MP_STR("instance")));
    assert_true(mp_str_eq(case_rule(&c, "d")->keys->keys[0].name, MP_STR("instance")));
    assert_int_equal(case_rule(&c, "e")->keys->count, 0);
    case_free(&c);
}

static void different_keys_without_per_are_an_error(void **state)
{
    (void)state;
    expect_codes("when error_rate > 5% and cpu > 5% then notify \"x\"",
                 "E0212");
}

static void a_definition_is_read_at_the_key_that_is_reached(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when error_rate > 5% per instance then notify \"x\"");
    case_expect(&c, "");
    const struct mp_t_expr *def = case_rule(&c, "a")->when.cond->kid[0];
    assert_int_equal(def->kind, MP_TX_DEF);
    assert_int_equal(def->def_at[0].base, MP_T_BASE_ROW_KEY);
    assert_int_equal(def->def_at[0].hop_count, 1);
    assert_true(mp_str_eq(def->def_at[0].hops[0]->name, MP_STR("service")));
    const struct mp_t_agg *agg = def->kid[0]->agg;
    assert_int_equal(agg->at[0].hop_count, 1);
    assert_true(mp_str_eq(agg->keys->keys[0].name, MP_STR("svc")));
    assert_int_equal(agg->min_samples, 20);
    assert_int_equal(agg->window_ns, 10000000000);
    case_free(&c);
}

static void a_definition_whose_keys_are_not_reached_is_an_error(void **state)
{
    (void)state;
    expect_codes("when zone_rate > 5/s per svc then notify \"x\"",
                 "E0212");
    expect_codes("when error_rate > 5% per client.ip then notify \"x\"",
                 "E0212");
    expect_codes("when zone_rate > 5/s per svc, instance.zone then notify \"x\"",
                 "");
}

static void a_raw_aggregate_is_cut_by_the_keys_of_the_rule(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a at ingress when count(requests) over 1m > 3 per client.ip, svc max "
                   "20k then notify \"x\"");
    case_expect(&c, "");
    const struct mp_t_rule *rule = case_rule(&c, "a");
    const struct mp_t_agg *agg = rule->when.cond->kid[0]->agg;
    assert_int_equal(agg->keys->count, 2);
    assert_int_equal(agg->keys->cap, 20000);
    assert_int_equal(agg->panes, 8); /* R3: more than 10k keys */
    assert_int_equal(agg->layers, MP_LAYER_INGRESS);
    assert_true(mp_str_eq(agg->keys->keys[0].name, MP_STR("client")));
    case_free(&c);
}

static void a_record_without_the_key_is_an_error(void **state)
{
    (void)state;
    expect_codes("when count(logins) over 1m > 3 per instance then notify \"x\"",
                 "E0212");
    expect_codes("when count(requests) over 1m > 3 per logins.user max 5 then notify \"x\"",
                 "E0212");
}

static void a_key_that_a_client_chooses_needs_a_cap(void **state)
{
    (void)state;
    expect_codes("when count(requests) over 1m > 3 per request.user then notify \"x\"",
                 "E0211");
    expect_codes("when count(requests) over 1m > 3 per request.user max 10k then notify \"x\"",
                 "");
    expect_codes("when count(requests) over 1m > 3 per request.headers[\"x\"] then notify \"x\"",
                 "E0211");
    expect_codes("when count(requests) over 1m > 3 per request.headers[\"x\"] max 5 then notify "
                 "\"x\"",
                 "");
    expect_codes("when count(requests) over 1m > 3 per request.headers then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests) over 1m > 3 per svc.callers then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests) over 1m > 3 per svc, service then notify \"x\"",
                 "E0103");
    expect_codes("when count(requests) over 1m > 3 per error_rate then notify \"x\"",
                 "E0302");
}

static void a_gauge_finer_than_the_rule_needs_a_function(void **state)
{
    (void)state;
    expect_codes("when cpu > 5% per svc then notify \"x\"",
                 "E0212");
    expect_codes("when max(cpu) over 10s > 5% per svc then notify \"x\"",
                 "");
    expect_codes("when cpu is known per svc then notify \"x\"",
                 "");
    expect_codes("when cpu > 5% per instance then notify \"x\"",
                 "");
    expect_codes("when cert_expires_in < 5h per instance then notify \"x\"",
                 "");
}

static void an_entity_is_reached_from_the_keys(void **state)
{
    (void)state;
    expect_codes("when svc.tier is batch per instance then notify \"x\"",
                 "");
    expect_codes("when instance.zone == \"a\" per svc then notify \"x\"",
                 "E0205");
    expect_codes("when svc.tier is batch per pair then notify \"x\"",
                 "E0205");
    expect_codes("when pair.left.tier is batch per pair then notify \"x\"",
                 "");
}

static void an_over_at_the_use_replaces_that_of_the_definition(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when error_rate over 1m > 5% then notify \"x\"");
    case_expect(&c, "");
    assert_int_equal(case_rule(&c, "a")->when.cond->kid[0]->kid[0]->agg->window_ns, 60000000000);
    case_free(&c);
}

static void a_definition_may_wait_for_its_window(void **state)
{
    (void)state;
    expect_codes("def d per svc: int = count(requests)\nwhen d over 1m > 3 then notify \"x\"",
                 "");
    expect_codes("def d per svc: int = count(requests)\nwhen d > 3 then notify \"x\"",
                 "E0303");
}

static void over_needs_an_aggregate(void **state)
{
    (void)state;
    expect_codes("when (svc.tier over 1m) is batch per svc then notify \"x\"",
                 "E0302");
    expect_codes("let w = 1m\nwhen count(requests) over w > 3 per svc then notify \"x\"",
                 "");
    expect_codes("let w = 5%\nwhen count(requests) over w > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("param w: duration = 1m\nwhen count(requests) over w > 3 per svc then notify "
                 "\"x\"",
                 "E0302");
}

static void definitions_take_arguments(void **state)
{
    (void)state;
    expect_codes("def hits(p: path, n: int) per svc: bool = count(requests where path == p) over "
                 "1m > n\nwhen hits(\"/a\", 3) per svc then notify \"x\"",
                 "");
    expect_codes("def hits(p: path) per svc: bool = count(requests where path == p) over 1m > 3\n"
                 "when hits(5) per svc then notify \"x\"",
                 "E0302");
    expect_codes("def hits(p: path) per svc: bool = count(requests where path == p) over 1m > 3\n"
                 "when hits() per svc then notify \"x\"",
                 "E0305");
    expect_codes("def hits(p: path) per svc: bool = count(requests where path == p) over 1m > 3\n"
                 "when hits(\"a\", \"b\") per svc then notify \"x\"",
                 "E0305");
    expect_codes("def t(s: service): bool = tier of s is batch\n"
                 "when t(svc) and error_rate > 5% then notify \"x\"",
                 "");
    expect_codes("def w(d: duration) per svc: int = count(requests) over d\n"
                 "when w(5m) > 3 then notify \"x\"",
                 "");
}

static void a_plain_definition_stands_for_its_text(void **state)
{
    (void)state;
    expect_codes("def bad = request.path like \"/a*\"\nrule a when bad then deny request",
                 "");
    expect_codes("def slow = latency > 5s\nwhen count(requests where slow) over 1m > 3 per svc "
                 "then notify \"x\"",
                 "E0101");
    expect_codes("def slow = requests.latency > 5s\nwhen count(requests where slow) over 1m > 3 "
                 "per svc then notify \"x\"",
                 "E0303");
    expect_codes("def slow = request.latency > 5s\nwhen count(requests where slow) over 1m > 3 "
                 "per svc then notify \"x\"",
                 "");
}

static void an_expression_of_a_set_is_pooled(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when error_rate of svc.callers > 5% per svc then notify \"x\"");
    case_expect(&c, "");
    const struct mp_t_expr *e = case_rule(&c, "a")->when.cond->kid[0];
    assert_int_equal(e->kind, MP_TX_DEF);
    assert_non_null(e->kid[0]->agg->of_set);
    assert_true(e->kid[0]->agg->of_set->type.is_set);
    assert_true(mp_str_eq(e->kid[0]->agg->keys->keys[0].name, MP_STR("svc")));
    case_free(&c);
}

static void what_does_not_merge_is_not_pooled(void **state)
{
    (void)state;
    expect_codes("when mixed of svc.callers > 5% per svc then notify \"x\"",
                 "E0304");
    expect_codes("when cpu of svc.instances > 5% per svc then notify \"x\"",
                 "E0304");
    expect_codes("when (error_rate default 0%) of svc.callers > 5% per svc then notify \"x\"",
                 "E0304");
    expect_codes("when tier of svc.callers is batch per svc then notify \"x\"",
                 "E0304");
    expect_codes("when error_rate of svc.instances > 5% per svc then notify \"x\"",
                 "E0212");
}

static void an_expression_of_a_name_is_that_entity(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when error_rate of \"web\" > 5% per svc then notify \"x\"\n"
                   "rule b when error_rate of svc > 5% per svc then notify \"x\"\n"
                   "rule d when (tier of \"web\") is batch and error_rate > 5% then notify \"x\"");
    case_expect(&c, "");
    const struct mp_t_expr *e = case_rule(&c, "a")->when.cond->kid[0];
    assert_int_equal(e->def_at[0].base, MP_T_BASE_CONST);
    assert_true(mp_str_eq(e->def_at[0].constant, MP_STR("web")));
    assert_true(e->kid[0]->agg->published);
    assert_false(case_rule(&c, "b")->when.cond->kid[0]->kid[0]->agg->published);
    case_free(&c);
}

static void members_of_a_set_are_counted_now(void **state)
{
    (void)state;
    expect_codes("when count(instances of svc where cpu > 90%) >= 2 per svc then notify \"x\"",
                 "");
    expect_codes("when count(svc.instances) >= 2 per svc then notify \"x\"",
                 "");
    expect_codes("when count(m of svc.callers where not error_rate < 5%) == 0 per svc then "
                 "notify \"x\"",
                 "");
    expect_codes("when count(m of svc.callers where m.tier is batch) == 0 per svc then notify "
                 "\"x\"",
                 "");
    expect_codes("when count(instances of svc where zone == \"a\") > 0 per svc then notify \"x\"",
                 "");
    expect_codes("when count(instances of svc where nobody > 3) > 0 per svc then notify \"x\"",
                 "E0101");
    expect_codes("when count(instances of svc where cpu > 90%) over 1m >= 2 per svc then notify "
                 "\"x\"",
                 "E0302");
    expect_codes("when count(svc) >= 2 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(wrong of svc) >= 2 per svc then notify \"x\"",
                 "E0101");
    expect_codes("when max(svc.instances) >= 2 per svc then notify \"x\"",
                 "E0302");
}

static void what_is_counted_is_one_record(void **state)
{
    (void)state;
    expect_codes("when count(requests where count(requests) over 1m > 3) over 1m > 3 per svc "
                 "then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests where error_rate > 5%) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests where cpu > 5%) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when sum(requests) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when count(requests.latency) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when ratio(requests) over 1m > 3% per svc then notify \"x\"",
                 "E0302");
    expect_codes("when distinct(requests.path) over 1m > 3 per svc then notify \"x\"",
                 "");
    expect_codes("when sum(requests.path) over 1m > 3 per svc then notify \"x\"",
                 "E0302");
    expect_codes("when avg(requests.latency where path == \"/a\") over 1m > 3s per svc then "
                 "notify \"x\"",
                 "");
}

static void counters_grow(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when sum(restarts) over 1m > 3 per instance then notify \"x\"\n"
                   "rule b when rate(restarts) over 1m > 3/s per instance then notify \"x\"");
    case_expect(&c, "");
    assert_int_equal(case_rule(&c, "a")->when.cond->kid[0]->agg->kind, MP_AGG_GROWTH);
    assert_int_equal(case_rule(&c, "b")->when.cond->kid[0]->agg->kind, MP_AGG_RATE_GROWTH);
    case_free(&c);
}

static void and_beside_or_wants_parentheses(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "when error_rate > 5% and p99_latency > 1s or svc.tier is batch per svc then "
                   "notify \"x\"");
    case_expect(&c, "E0107");
    case_says(&c, "`(error_rate > 5% and p99_latency > 1s) or svc.tier is batch`");
    case_free(&c);
    expect_codes("when (error_rate > 5% and p99_latency > 1s) or svc.tier is batch per svc then "
                 "notify \"x\"", "");
}

static void seen_is_no_state(void **state)
{
    (void)state;
    expect_codes("when seen(requests where mtls is false) per svc then notify \"x\"",
                 "");
    expect_codes("when seen(requests where mtls is false) for 5s per svc then notify \"x\"",
                 "E0408");
    expect_codes("when (seen(requests where mtls is false) for 5s) and error_rate > 5% per svc "
                 "then notify \"x\"",
                 "E0408");
    expect_codes("when error_rate > 5% per svc unless seen(requests) then notify \"x\"",
                 "E0408");
}

static void later_constructs_are_checked_and_then_refused(void **state)
{
    (void)state;
    expect_codes("when baseline(error_rate, 7d) > 5% per svc then notify \"x\"",
                 "E0900");
    expect_codes("when baseline(error_rate, 7d) > 5s per svc then notify \"x\"",
                 "E0301 E0900");
    expect_codes("when bucket(requests where mtls is false, 1/s) > 5 per svc then notify \"x\"",
                 "E0900");
    expect_codes("when bucket(requests where mtls is false, 5) > 5 per svc then notify \"x\"",
                 "E0302 E0900");
    expect_codes("when max_of(mixed, svc.callers) > 0.5 per svc then notify \"x\"",
                 "E0900");
    expect_codes("when max_of(nobody, svc.callers) > 0.5 per svc then notify \"x\"",
                 "E0101 E0900");
    expect_codes("feed f: cidr from \"x\"\nwhen count(requests where client.ip in f) over 1m > 3 "
                 "per svc then notify \"x\"",
                 "E0900");
    expect_codes("list l: ip max 100\nwhen count(requests where client.ip in l) over 1m > 3 per "
                 "svc then notify \"x\"",
                 "E0900");
    expect_codes("when slope(requests.latency) over 1m > 5 per svc then notify \"x\"",
                 "E0900");
    expect_codes("when slope(requests.latency) > 5 per svc then notify \"x\"",
                 "E0303 E0900");
    expect_codes("when streak(requests where mtls is false) > 5 per svc then notify \"x\"",
                 "E0900");
}

static void holes_in_messages_are_expressions(void **state)
{
    (void)state;
    expect_codes("when error_rate > 5% then notify \"{svc} {error_rate} {svc.tier}\"",
                 "");
    expect_codes("when error_rate > 5% then notify \"{nobody}\"",
                 "E0101");
    expect_codes("when error_rate > 5% then notify \"{instance}\"",
                 "E0213");
    expect_codes("when error_rate > 5% then notify \"{svc.callers}\"",
                 "E0302");
}

static void the_record_at_hand_is_one(void **state)
{
    (void)state;
    expect_codes("when request.path == \"/a\" and login.ok is true then deny request",
                 "E0402");
    expect_codes("rule a when request.path == \"/a\" then deny request",
                 "");
}

static void a_key_of_the_rule_is_read_from_its_row(void **state)
{
    (void)state;
    struct test_case c;
    case_check(&c, "rule a when count(requests) over 1m > 3 per request.peer, instance.zone then "
                   "deny request.peer "
                   "and notify \"{instance.zone}\"");
    case_expect(&c, "");
    const struct mp_t_act *act = &case_rule(&c, "a")->steps[0].acts[0];
    assert_int_equal(act->target->kind, MP_TX_WALK);
    assert_int_equal(act->target->walk->base, MP_T_BASE_ROW_KEY);
    case_free(&c);
    expect_codes("rule c when count(logins where not ok) over 1m > 10 per logins.user max 5k "
                 "then notify \"{logins.user} fails\"", "");
}

static void expansion_of_arguments_is_bounded(void **state)
{
    (void)state;
    char text[2000] = "def f(x: number): number = x + x\nparam seed: number = 1\nwhen 0 < ";
    size_t at = strlen(text);
    for (int i = 0; i < 60; i++) at += (size_t)snprintf(text + at, sizeof text - at, "f(");
    at += (size_t)snprintf(text + at, sizeof text - at, "seed");
    for (int i = 0; i < 60; i++) at += (size_t)snprintf(text + at, sizeof text - at, ")");
    snprintf(text + at, sizeof text - at, " and error_rate > 5%% then notify \"x\"");
    struct test_case c;
    case_check(&c, text);
    assert_true(case_count(&c, "E0703") > 0);
    case_free(&c);
}

static void expansion_is_bounded(void **state)
{
    (void)state;
    char text[6000] = "def d0 per svc: percent = error_rate + error_rate\n";
    size_t at = strlen(text);
    for (int i = 1; i < 40; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "def d%d per svc: percent = d%d + "
                                                            "d%d\n", i, i - 1, i - 1);
    }
    struct test_case c;
    case_check(&c, text);
    assert_true(case_count(&c, "E0703") > 0);
    case_free(&c);
}

static void a_chain_of_definitions_is_bounded(void **state)
{
    (void)state;
    static char text[8000];
    size_t at = (size_t)snprintf(text, sizeof text, "def d0: percent = error_rate\n");
    for (int i = 1; i < 20; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "def d%d per svc: percent = ", i);
        for (int j = 0; j < 60; j++) text[at++] = '(';
        at += (size_t)snprintf(text + at, sizeof text - at, "d%d", i - 1);
        for (int j = 0; j < 60; j++) at += (size_t)snprintf(text + at, sizeof text - at, "+1%%)");
        text[at++] = '\n';
    }
    struct test_case c;
    case_check(&c, text);
    assert_true(case_count(&c, "E0703") > 0);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregates_need_a_window),
        cmocka_unit_test(an_aggregate_over_several_keys_needs_per),
        cmocka_unit_test(a_rule_takes_the_keys_of_what_it_reads),
        cmocka_unit_test(different_keys_without_per_are_an_error),
        cmocka_unit_test(a_definition_is_read_at_the_key_that_is_reached),
        cmocka_unit_test(a_definition_whose_keys_are_not_reached_is_an_error),
        cmocka_unit_test(a_raw_aggregate_is_cut_by_the_keys_of_the_rule),
        cmocka_unit_test(a_record_without_the_key_is_an_error),
        cmocka_unit_test(a_key_that_a_client_chooses_needs_a_cap),
        cmocka_unit_test(a_gauge_finer_than_the_rule_needs_a_function),
        cmocka_unit_test(an_entity_is_reached_from_the_keys),
        cmocka_unit_test(an_over_at_the_use_replaces_that_of_the_definition),
        cmocka_unit_test(a_definition_may_wait_for_its_window),
        cmocka_unit_test(over_needs_an_aggregate),
        cmocka_unit_test(definitions_take_arguments),
        cmocka_unit_test(a_plain_definition_stands_for_its_text),
        cmocka_unit_test(an_expression_of_a_set_is_pooled),
        cmocka_unit_test(what_does_not_merge_is_not_pooled),
        cmocka_unit_test(an_expression_of_a_name_is_that_entity),
        cmocka_unit_test(members_of_a_set_are_counted_now),
        cmocka_unit_test(what_is_counted_is_one_record),
        cmocka_unit_test(counters_grow),
        cmocka_unit_test(and_beside_or_wants_parentheses),
        cmocka_unit_test(seen_is_no_state),
        cmocka_unit_test(later_constructs_are_checked_and_then_refused),
        cmocka_unit_test(holes_in_messages_are_expressions),
        cmocka_unit_test(the_record_at_hand_is_one),
        cmocka_unit_test(a_key_of_the_rule_is_read_from_its_row),
        cmocka_unit_test(expansion_of_arguments_is_bounded),
        cmocka_unit_test(expansion_is_bounded),
        cmocka_unit_test(a_chain_of_definitions_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
