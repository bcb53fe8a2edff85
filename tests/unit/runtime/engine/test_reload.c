/* SPDX-License-Identifier: Apache-2.0
 * Another program: what lives on under it and what does not, also where it differs most from the
 * one before: fewer groupings, other types at the same place, cases that are gone.
 */
#include "kept.h"
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void an_incident_lives_on_under_a_changed_rule(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% for 20s per svc "
        "then throttle svc to 50% for 1m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 15);
    loop_set(&l, "error_rate", "b", "6%");
    loop_at(&l, 25);
    saw(&l, "20.000 incident errors a pending>open");
    swap(&l, "use std.mesh\nrule other when p99_latency > 1s per svc then cap svc to 1 for 1m\n"
             "rule errors when error_rate > 4% for 20s per svc then throttle svc to 40% for 1m\n");
    loop_set(&l, "error_rate", "b", "6%");
    loop_at(&l, 100);
    saw(&l, "80.000 incident errors a holding>releasing expired");
    saw(&l, "throttle b accepted>effective");
    loop_close(&l);
}

static void a_rule_that_is_gone_lets_go(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"
        "ramp 50% every 1m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 5);
    swap(&l, "use std.mesh\nrule other when error_rate > 50% per svc "
             "then throttle svc to 50% for 10m\n");
    saw_in_order(&l, "5.000 incident errors a holding>releasing removed",
                 "5.000 lease errors a throttle a effective>withdrawing removed",
                 "withdrawing>withdrawn removed",
                 "5.000 incident errors a releasing>released removed", NULL);
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.leases_live, 0);
    loop_close(&l);
}

static void a_new_guard_releases_what_it_forbids(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l, "use std.mesh\nrule errors when error_rate > 5% per svc then quarantine svc for 10m\n");
    loop_set(&l, "error_rate", "dns", "8%");
    loop_set(&l, "error_rate", "web", "8%");
    swap(&l, "use std.mesh\nlist core: service = [\"dns\"]\n"
             "rule errors when error_rate > 5% per svc then quarantine svc for 10m\n"
             "never quarantine svc where svc in core\n");
    saw(&l, "incident errors dns holding>releasing forbidden");
    assert_false(loop_saw(&l, "incident errors web holding>releasing"));
    loop_close(&l);
}

#define CALMS                                                                                      \
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"    \
    "until error_rate < 1% for 3s\nramp 25% every 1m\n"
#define CORE                                                                                       \
    CALMS "list core: service = [\"dns\"]\nnever throttle svc where svc in core\n"

static void has_no_lease(const struct loop *l)
{
    struct mp_engine_status s;
    mp_engine_status(l->engine, &s);
    assert_int_equal(s.leases_live, 0);
}

static void a_new_guard_does_not_wait_for_a_ramp(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, CALMS);
    loop_set(&l, "error_rate", "dns", "8%");
    loop_at(&l, 5);
    swap(&l, CORE);
    saw_in_order(&l, "5.000 incident errors dns holding>releasing forbidden guard=never throttle",
                 "5.000 lease errors dns throttle dns effective>withdrawing forbidden",
                 "5.000 lease errors dns throttle dns withdrawing>withdrawn",
                 "5.000 incident errors dns releasing>released forbidden", NULL);
    has_no_lease(&l);
    loop_close(&l);
}

static void a_new_guard_ends_a_ramp_that_runs(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, CALMS);
    loop_set(&l, "error_rate", "dns", "8%");
    loop_set(&l, "error_rate", "web", "8%");
    loop_at(&l, 5);
    loop_set(&l, "error_rate", "dns", "0%");
    loop_set(&l, "error_rate", "web", "0%");
    loop_at(&l, 20);
    saw(&l, "incident errors dns releasing>releasing ramp");
    swap(&l, CORE);
    saw_in_order(&l, "20.000 incident errors dns releasing>releasing forbidden guard=never thro",
                 "20.000 lease errors dns throttle dns effective>withdrawing forbidden",
                 "20.000 incident errors dns releasing>released forbidden", NULL);
    saw_not(&l, "throttle web effective>withdrawing");
    loop_at(&l, 300);
    saw_times(&l, "incident errors dns releasing>releasing ramp", 1);
    saw_times(&l, "incident errors web releasing>releasing ramp", 3);
    loop_close(&l);
}

/* It would come back with the end of what beats it. */
static void a_new_guard_finds_what_is_superseded(void **state)
{
    (void)state;
    struct loop l;
    static const char policy[] =
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"
        "rule worse when p99_latency > 1s per svc then quarantine svc for 1m\n";
    test_loop(&l, policy);
    loop_set(&l, "error_rate", "dns", "8%");
    loop_at(&l, 5);
    loop_set(&l, "p99_latency", "dns", "2s");
    loop_at(&l, 6);
    saw(&l, "throttle dns effective>superseded");
    swap(&l, "use std.mesh\nlist core: service = [\"dns\"]\n"
             "rule errors when error_rate > 5% per svc then throttle svc to 50% for 10m\n"
             "rule worse when p99_latency > 1s per svc then quarantine svc for 1m\n"
             "never throttle svc where svc in core\n");
    saw(&l, "throttle dns superseded>withdrawing forbidden");
    saw_not(&l, "quarantine dns effective>");
    loop_at(&l, 100);
    saw(&l, "quarantine dns effective>withdrawing expired");
    saw_not(&l, "superseded>applying");
    loop_close(&l);
}

/* The process was killed before the policy came, or while the ramp ran. */
static void a_guard_that_is_new_after_a_restart_holds(void **state)
{
    (void)state;
    static struct kept kept;
    static const double ramp[] = {5, 20};
    for (int i = 0; i < 2; i++) {
        struct loop l, m;
        struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2},
                                            .now_ns = T0 + 30 * SEC, .mono_ns = 5 * SEC};
        options.limits.keys = 256;
        kept_open(&kept);
        test_loop(&l, CALMS);
        loop_set(&l, "error_rate", "dns", "8%");
        loop_set(&l, "error_rate", "web", "8%");
        loop_at(&l, 5);
        loop_set(&l, "error_rate", "dns", "0%");
        loop_set(&l, "error_rate", "web", "0%");
        loop_at(&l, ramp[i]);
        kept_take(&kept, l.engine);
        loop_close(&l);
        loop_open_with(&m, CORE, true, &options);
        kept_restore(&kept, m.engine);
        saw(&m, "lease errors dns throttle dns effective>withdrawing forbidden");
        saw_not(&m, "throttle web effective>");
        loop_close(&m);
        kept_close(&kept);
    }
}

/* After a restart not all is known that a guard asks: that it cannot be answered yet is no no. */
static void a_guard_that_cannot_be_answered_after_a_restart_takes_nothing_back(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, m;
    static const char policy[] =
        "use std.mesh\nrule errors when error_rate > 5% per svc then quarantine svc for 10m\n"
        "never quarantine svc where svc.tier is critical\n"
        "never quarantine svc more than 50% of services\n";
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2},
                                        .now_ns = T0 + 30 * SEC, .mono_ns = 5 * SEC};
    options.limits.keys = 256;
    kept_open(&kept);
    test_loop(&l, policy);
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"web\",\"tier\":\"normal\"}");
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"dns\",\"tier\":\"normal\"}");
    loop_set(&l, "error_rate", "web", "8%");
    loop_at(&l, 5);
    saw(&l, "quarantine web accepted>effective");
    kept_take(&kept, l.engine);
    loop_close(&l);
    loop_open_with(&m, policy, true, &options);
    kept_restore(&kept, m.engine);
    saw_not(&m, "withdrawing");
    loop_close(&m);
    kept_close(&kept);
}

/* Moments of one instant are ordered by their keys, which the new program's tables do not have. */
static void leases_that_end_at_one_instant_outlive_their_grouping(void **state)
{
    (void)state;
    struct loop l;
    char key[] = "a";
    loop_open(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n",
        true, MP_ENGINE_TEST);
    for (char c = 'a'; c <= 'h'; c++) {
        key[0] = c;
        loop_set(&l, "error_rate", key, "8%");
    }
    loop_at(&l, 5);
    assert_int_equal(loop_count(&l, "accepted>effective"), 8);
    swap(&l, "use std.mesh\nrule big when request.bytes_in > 1MB then refuse request\n");
    assert_int_equal(loop_count(&l, "releasing>released removed"), 8);
    loop_at(&l, 120);
    loop_close(&l);
}

#define REMEMBERS                                                                                  \
    "use std.mesh\nrule errors when error_rate > 5%% per svc then throttle svc to 50%% for 1m\n"   \
    "    verify error_rate < 1%% for 5s within 20s\n"                                              \
    "  else page \"it was {at_trigger(%s)}\"\n"

/* What was remembered is a number; the new rule takes a text from that place. */
static void what_was_remembered_is_unknown_to_a_rule_that_remembers_something_else(void **state)
{
    (void)state;
    struct loop l;
    char text[512];
    snprintf(text, sizeof text, REMEMBERS, "error_rate");
    loop_open(&l, text, true, MP_ENGINE_TEST);
    loop_set(&l, "error_rate", "web", "8%");
    loop_at(&l, 5);
    snprintf(text, sizeof text, REMEMBERS, "svc.candidate");
    swap(&l, text);
    loop_set(&l, "error_rate", "web", "8%");
    loop_at(&l, 60);
    if (!loop_saw(&l, "it was unknown")) fail_msg("%s", l.log);
    loop_close(&l);
}

/* Its step was not accepted yet when the rule began to look at something else. */
static void a_message_of_a_step_goes_with_its_case(void **state)
{
    (void)state;
    struct loop l;
    loop_open(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m "
        "and notify \"slow\"\n",
        true, MP_ENGINE_TEST);
    mp_engine_backend_mode(l.engine, MP_BACKEND_SLOW);
    loop_set(&l, "error_rate", "web", "8%");
    swap(
        &l,
        "use std.mesh\ndef chatter per client: rate = rate(requests) over 10s\n"
        "rule errors when chatter > 1/s per client then throttle client to 50% for 1m "
        "and notify \"fast\"\n");
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.messages_waiting, 0);
    loop_set(&l, "chatter", "10.0.0.7", "8/s");
    loop_at(&l, 10);
    assert_int_equal(loop_count(&l, "message notify"), 1);
    assert_true(loop_saw(&l, "fast"));
    loop_close(&l);
}

/* What is on its way to the store when the program changes is not durable because of that. */
static void a_reload_makes_nothing_durable(void **state)
{
    (void)state;
    struct loop l;
    static const char policy[] = "use std.mesh\nrule errors when error_rate > 5% per svc\n"
                                 "then throttle svc to 50% for 1m and notify \"x\" via slack\n";
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2}, .now_ns = T0,
                                        .mono_ns = T0, .store = true};
    struct mp_engine_status s;
    options.limits.keys = 256;
    loop_open_with(&l, policy, true, &options);
    loop_set(&l, "error_rate", "a", "8%");
    swap(&l, policy);
    loop_at(&l, 5);
    assert_false(loop_saw(&l, "accepted"));
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    assert_true(loop_saw(&l, "applying>accepted"));
    swap(&l, policy);
    loop_at(&l, 6);
    assert_false(loop_saw(&l, "message notify"));
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    assert_true(loop_saw(&l, "message notify via slack: x"));
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_incident_lives_on_under_a_changed_rule),
        cmocka_unit_test(a_rule_that_is_gone_lets_go),
        cmocka_unit_test(a_new_guard_releases_what_it_forbids),
        cmocka_unit_test(a_new_guard_does_not_wait_for_a_ramp),
        cmocka_unit_test(a_new_guard_ends_a_ramp_that_runs),
        cmocka_unit_test(a_new_guard_finds_what_is_superseded),
        cmocka_unit_test(a_guard_that_is_new_after_a_restart_holds),
        cmocka_unit_test(a_guard_that_cannot_be_answered_after_a_restart_takes_nothing_back),
        cmocka_unit_test(leases_that_end_at_one_instant_outlive_their_grouping),
        cmocka_unit_test(what_was_remembered_is_unknown_to_a_rule_that_remembers_something_else),
        cmocka_unit_test(a_message_of_a_step_goes_with_its_case),
        cmocka_unit_test(a_reload_makes_nothing_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
