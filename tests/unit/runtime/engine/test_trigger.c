/* SPDX-License-Identifier: Apache-2.0
 * When a rule fires: triggers that hold, fall and are unknown, `unless`, `no data`, pauses, and
 * what was at that moment.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const held = "use std.mesh\nrule errors when error_rate > 5% for 30s per svc\n"
                                "then throttle svc to 50% for 1m\n";

static void a_trigger_that_falls_begins_again(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, held);
    for (int i = 0; i < 5; i++) {
        loop_at(&l, i * 30);
        loop_set(&l, "error_rate", "a", "8%");
        loop_at(&l, i * 30 + 29);
        loop_set(&l, "error_rate", "a", "1%");
    }
    saw_times(&l, "idle>pending", 5);
    saw_times(&l, "pending>idle", 5);
    assert_false(loop_saw(&l, "pending>open"));
    loop_close(&l);
}

static void unknown_pauses_the_hold_and_a_minute_of_it_ends_it(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, held);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 20);
    loop_set(&l, "error_rate", "a", "unknown");
    loop_at(&l, 50);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 61);
    saw(&l, "60.000 incident errors a pending>open");
    loop_set(&l, "error_rate", "b", "8%");
    loop_at(&l, 80);
    loop_set(&l, "error_rate", "b", "unknown");
    loop_at(&l, 200);
    saw(&l, "140.000 incident errors b pending>idle");
    loop_close(&l);
}

static void without_cooldown_the_trigger_must_have_fallen(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 300);
    saw_times(&l, "pending>open", 1);
    loop_set(&l, "error_rate", "a", "unknown"); /* never re-arms */
    loop_at(&l, 301);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 302);
    saw_times(&l, "pending>open", 1);
    loop_set(&l, "error_rate", "a", "1%");
    loop_at(&l, 303);
    loop_set(&l, "error_rate", "a", "8%");
    saw(&l, "303.000 incident errors a pending>open");
    loop_close(&l);
}

static void with_cooldown_it_fires_again_after_its_full_hold(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nrule errors when error_rate > 5% for 10s per svc\n"
                  "then throttle svc to 50% for 1m cooldown 2m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 600);
    saw_in_order(
        &l, "10.000 incident errors a pending>open", "70.000 incident errors a holding>releasing",
        "190.000 incident errors a cooldown>idle", "190.000 incident errors a idle>pending",
        "200.000 incident errors a pending>open", NULL);
    loop_close(&l);
}

static void unless_stops_at_the_moment_of_firing(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% for 5s per svc unless p99_latency < 10ms\n"
        "then throttle svc to 50% for 1m\n");
    loop_set(&l, "p99_latency", "a", "5ms");
    loop_set(&l, "p99_latency", "b", "50ms");
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    loop_set(&l, "error_rate", "c", "8%"); /* unknown stops what does not deny */
    loop_at(&l, 20);
    saw(&l, "5.000 incident errors a pending>idle unless");
    saw(&l, "5.000 incident errors b pending>open");
    saw(&l, "5.000 incident errors c pending>idle unless");
    saw_times(&l, "pending>open", 1);
    loop_close(&l);
}

static void no_data_may_fire_or_clear(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\n"
        "rule f when error_rate > 5% for 5s per svc then throttle svc to 50% "
        "for 1m if no data fire\n"
        "rule c when p99_latency > 1s per svc then cap svc to 5 for 10m\n"
        "  until p99_latency < 100ms for 10s if no data clear\n");
    loop_set(&l, "error_rate", "a", "unknown");
    loop_set(&l, "p99_latency", "b", "2s");
    loop_at(&l, 20);
    loop_set(&l, "p99_latency", "b", "unknown");
    loop_at(&l, 60);
    saw(&l, "5.000 incident f a pending>open");
    saw(&l, "30.000 incident c b holding>releasing calm");
    loop_close(&l);
}

static void a_hold_inside_a_condition_has_its_own_clock(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l,
              "use std.mesh\nrule r when (error_rate > 5% for 10s) and p99_latency > 1s per svc\n"
              "then throttle svc to 50% for 1m\n");
    loop_set(&l, "p99_latency", "a", "2s");
    loop_at(&l, 5);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 14);
    assert_false(loop_saw(&l, "pending>open"));
    loop_at(&l, 16);
    saw(&l, "15.000 incident r a pending>open");
    loop_close(&l);
}

static void an_unless_may_have_a_clock_of_its_own(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc unless p99_latency < 10ms for 1m\n"
        "then throttle svc to 50% for 1m\n");
    loop_set(&l, "p99_latency", "a", "5ms");
    loop_set(&l, "p99_latency", "b", "5ms");
    loop_at(&l, 40);
    loop_set(&l, "error_rate", "b", "8%"); /* 40 s are no minute */
    loop_at(&l, 70);
    loop_set(&l, "error_rate", "a", "8%"); /* 70 s are */
    loop_at(&l, 71);
    saw(&l, "40.000 incident errors b pending>open");
    saw(&l, "70.000 incident errors a pending>idle unless");
    loop_close(&l);
}

static void what_was_at_the_trigger_is_remembered(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule slow when p99_latency > 1s per svc then throttle svc to 50% for 5m\n"
        "  verify p99_latency < at_trigger(p99_latency) * 0.5 for 5s within 30s\n"
        "  until p99_latency < 500ms for 5s\n");
    loop_set(&l, "p99_latency", "a", "4s");
    loop_set(&l, "p99_latency", "b", "2s");
    loop_at(&l, 5);
    loop_set(&l, "p99_latency", "a", "1500ms");
    loop_set(&l, "p99_latency", "b", "1500ms");
    loop_at(&l, 60);
    saw(&l, "10.000 incident slow a verifying>confirmed");
    saw(&l, "30.000 incident slow b verifying>failed");
    loop_close(&l);
}

static void a_message_names_earlier_incidents(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l,
              "use std.mesh\nrule errors when error_rate > 5% per svc\n"
              "then notify \"{svc}: {count(incidents) over 1h} before\" via slack cooldown 10s\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 25);
    saw_in_order(&l, "a: 0 before", "a: 1 before", "a: 2 before", NULL);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trigger_that_falls_begins_again),
        cmocka_unit_test(unknown_pauses_the_hold_and_a_minute_of_it_ends_it),
        cmocka_unit_test(without_cooldown_the_trigger_must_have_fallen),
        cmocka_unit_test(with_cooldown_it_fires_again_after_its_full_hold),
        cmocka_unit_test(unless_stops_at_the_moment_of_firing),
        cmocka_unit_test(no_data_may_fire_or_clear),
        cmocka_unit_test(a_hold_inside_a_condition_has_its_own_clock),
        cmocka_unit_test(an_unless_may_have_a_clock_of_its_own),
        cmocka_unit_test(what_was_at_the_trigger_is_remembered),
        cmocka_unit_test(a_message_names_earlier_incidents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
