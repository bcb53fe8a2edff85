/* SPDX-License-Identifier: Apache-2.0
 * Whole loops on a virtual clock, from policy text to the ledger.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* cmocka cuts long messages, and the end of a log is what one wants to see. */
_Noreturn static void missing(const struct loop *l, const char *how, const char *wanted)
{
    fprintf(stderr, "%s", l->log);
    fail_msg("%s: %s", how, wanted);
    abort();
}

static void saw(const struct loop *l, const char *wanted)
{
    if (!loop_saw(l, wanted)) missing(l, "not seen", wanted);
}

static void saw_times(const struct loop *l, const char *wanted, int times)
{
    int n = loop_count(l, wanted);
    if (n != times) missing(l, "seen more or less often", wanted);
}

/* In this order, other lines between them allowed. The last is NULL. */
static void saw_in_order(const struct loop *l, ...)
{
    va_list args;
    const char *at = l->log, *text;
    va_start(args, l);
    while ((text = va_arg(args, const char *)) != NULL) {
        at = loop_after(at, text);
        if (at == NULL) missing(l, "not seen in this order", text);
        at += strlen(text);
    }
    va_end(args);
}

static void test_loop(struct loop *l, const char *policy)
{
    loop_open(l, policy, true, MP_ENGINE_TEST);
}

/* ---- from records ---- */

static void a_record_quarantines_and_the_ttl_releases(void **state)
{
    (void)state;
    struct loop l;
    loop_open(&l,
              "use std.mesh\nparam x: percent = 5%\n"
              "when error_rate > x then quarantine svc for 30s\n",
              false, MP_ENGINE_REPLAY);
    loop_traffic(&l, "checkout", "10.0.0.7", 0, 10, 10, 20);
    loop_traffic(&l, "checkout", "10.0.0.7", 10, 60, 10, 0);
    loop_at(&l, 120);
    saw_in_order(&l, "pending>open", "proposed>admitted", "admitted>applying", "applying>accepted",
                 "accepted>effective", "open>holding", "holding>releasing expired",
                 "effective>withdrawing expired", "withdrawing>withdrawn",
                 "releasing>released expired", "released>cooldown", "cooldown>idle", NULL);
    saw_times(&l, "pending>open", 1);
    loop_close(&l);
}

static void the_trigger_is_judged_when_the_record_arrives(void **state)
{
    (void)state;
    struct loop l;
    loop_open(
        &l,
        "use std.mesh\nrule flood when count(requests where status == 401) over 1m >= 3 "
        "per client.ip max 1k\n"
        "then deny client.ip for 1m\n",
        false, MP_ENGINE_REPLAY);
    for (int i = 0; i < 3; i++) {
        loop_at(&l, 1 + i * 0.137);
        loop_line(
            &l, "{\"service\":\"a\",\"instance\":\"a-1\",\"client\":\"10.0.0.7\",\"status\":401}");
    }
    saw(&l, "1.274 lease flood 10.0.0.7 deny 10.0.0.7 accepted>effective");
    loop_close(&l);
}

/* ---- the ladder ---- */

static const char *const ladder =
    "mpol 1\npackage shop\nuse std.mesh\n"
    "rule errors when error_rate > 5% for 30s per svc\n"
    "then throttle svc to 50% for 5m and notify \"{svc} at {error_rate}\" via slack\n"
    "  verify error_rate < 1% for 20s within 1m settle 5s\n"
    "else quarantine svc for 15m\n"
    "  verify error_rate of svc.callers < 1% for 20s within 90s\n"
    "else rollback and page \"oncall\"\n"
    "until error_rate < 0.5% for 5m\nramp 25% every 1m\ncooldown 5m\n";

static void what_does_not_help_is_followed_by_more_and_then_let_go(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ladder);
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"checkout\",\"callers\":[\"web\"]}");
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_set(&l, "error_rate", "web", "0.1%");
    loop_at(&l, 200);
    loop_set(&l, "error_rate", "checkout", "0.1%");
    loop_at(&l, 2000);
    saw_in_order(&l, "0.000 incident errors checkout idle>pending",
                 "30.000 incident errors checkout pending>open",
                 "30.000 incident errors checkout open>verifying",
                 "message notify via slack: checkout at 8%",
                 "90.000 incident errors checkout verifying>failed",
                 "90.000 incident errors checkout failed>open failed",
                 "quarantine checkout accepted>effective",
                 "throttle checkout effective>withdrawing replaced",
                 "90.000 incident errors checkout open>verifying",
                 /* the check begins at the very instant that the step is effective (R40) */
                 "110.000 incident errors checkout verifying>confirmed", "confirmed>holding",
                 "500.000 incident errors checkout holding>releasing calm", "given_back=25%",
                 "560.000", "given_back=50%", "620.000", "given_back=75%",
                 "680.000 incident errors checkout releasing>released calm", "released>cooldown",
                 "980.000 incident errors checkout cooldown>idle", NULL);
    saw_times(&l, "message", 1);
    loop_close(&l);
}

static void the_end_of_the_ladder_rolls_back_and_pages(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ladder);
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"checkout\",\"callers\":[\"web\"]}");
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_set(&l, "error_rate", "web", "3%");
    loop_at(&l, 400);
    saw_in_order(&l, "90.000 incident errors checkout failed>open",
                 "180.000 incident errors checkout verifying>failed", "failed>rolled_back failed",
                 "quarantine checkout effective>withdrawing rolled_back",
                 "message page via : oncall", "rolled_back>cooldown", NULL);
    loop_close(&l);
}

static void silence_never_escalates(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nrule errors when error_rate > 5% per svc\n"
                  "then throttle svc to 50% for 5m verify error_rate < 1% for 20s within 1m\n"
                  "else quarantine svc for 15m\n");
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_at(&l, 10);
    loop_set(&l, "error_rate", "checkout", "unknown");
    loop_at(&l, 1000);
    saw_in_order(&l, "60.000 incident errors checkout verifying>inconclusive",
                 "inconclusive>holding inconclusive",
                 "300.000 incident errors checkout holding>releasing expired", NULL);
    assert_false(loop_saw(&l, "quarantine"));
    loop_close(&l);
}

static void harm_is_undone_at_once(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nrule burst when request_rate > 100/s per svc\n"
                  "then throttle svc to 10% for 5m\n"
                  "  verify request_rate < 50/s for 20s within 1m harm p99_latency > 2s for 3s\n");
    loop_set(&l, "request_rate", "shop", "200/s");
    loop_at(&l, 10);
    loop_set(&l, "p99_latency", "shop", "3s");
    loop_at(&l, 12);
    assert_false(loop_saw(&l, "harmful"));
    loop_at(&l, 40);
    saw_in_order(&l, "13.000 incident burst shop verifying>harmful", "harmful>rolled_back harmful",
                 "13.000 lease burst shop throttle shop effective>withdrawing rolled_back", NULL);
    loop_close(&l);
}

static void harm_ends_what_was_confirmed_too(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nrule burst when request_rate > 100/s per svc\n"
                  "then throttle svc to 10% for 5m\n"
                  "  verify request_rate < 50/s within 1m harm p99_latency > 2s\n");
    loop_set(&l, "request_rate", "shop", "200/s");
    loop_set(&l, "p99_latency", "shop", "10ms");
    loop_at(&l, 5);
    loop_set(&l, "request_rate", "shop", "10/s");
    loop_at(&l, 20);
    saw(&l, "confirmed>holding");
    loop_set(&l, "p99_latency", "shop", "3s");
    saw_in_order(&l, "20.000 incident burst shop holding>harmful", "harmful>rolled_back", NULL);
    loop_close(&l);
}

/* ---- trigger ---- */

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

/* ---- guards, brake, operator ---- */

static void a_withheld_rule_ends_at_once_and_asks_again(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nlist core: service = [\"dns\"]\n"
                  "rule errors when error_rate > 5% per svc\n"
                  "then quarantine svc for 1m and notify \"took {svc}\" via slack\n"
                  "never quarantine svc where svc in core\n");
    loop_set(&l, "error_rate", "dns", "8%");
    loop_set(&l, "error_rate", "web", "8%");
    loop_at(&l, 15);
    saw_in_order(&l, "0.000 lease errors dns quarantine dns proposed>withheld guard",
                 "open>released withheld", "message notify via slack: took dns (withheld)",
                 "quarantine web accepted>effective", NULL);
    saw(&l, "10.000 incident errors dns cooldown>idle");
    saw(&l, "10.000 incident errors dns pending>open");
    loop_close(&l);
}

static void a_limit_withholds_the_third(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
        "limit 2 services per 10m\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    loop_set(&l, "error_rate", "c", "8%");
    saw_times(&l, "accepted>effective", 2);
    saw(&l, "throttle c proposed>withheld limit");
    saw(&l, "would_be=3 allowed=2");
    loop_close(&l);
}

static void of_four_instances_a_fifth_may_not_go(void **state)
{
    (void)state;
    struct loop l;
    loop_open(&l,
              "use std.mesh\nrule hot when cpu > 90% per instance then quarantine instance for 1m\n"
              "never quarantine instance more than 20% of instances per svc\n",
              false, MP_ENGINE_REPLAY);
    for (int i = 1; i <= 10; i++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"entity\":\"instance\",\"name\":\"%s-%d\",\"service\":\"%s\"}",
                 i <= 4 ? "a" : "b", i, i <= 4 ? "a" : "b");
        loop_line(&l, json);
    }
    for (int i = 1; i <= 10; i++) {
        char json[256];
        loop_at(&l, i);
        snprintf(json, sizeof json, "{\"signal\":\"cpu\",\"instance\":\"%s-%d\",\"value\":0.95}",
                 i <= 4 ? "a" : "b", i);
        loop_line(&l, json);
    }
    saw_times(&l, "proposed>withheld guard", 9); /* four of four, five of six */
    saw_times(&l, "accepted>effective", 1);
    loop_close(&l);
}

static void the_brake_lets_nothing_new_in_and_nothing_out(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n");
    loop_set(&l, "error_rate", "a", "8%");
    mp_engine_brake(l.engine, true);
    loop_set(&l, "error_rate", "b", "8%");
    saw(&l, "throttle b proposed>withheld brake");
    loop_at(&l, 30);
    assert_false(loop_saw(&l, "throttle a effective>withdrawing"));
    loop_at(&l, 100);
    saw(&l, "60.000 lease errors a throttle a effective>withdrawing expired");
    mp_engine_brake(l.engine, false);
    loop_at(&l, 120);
    saw(&l, "throttle b accepted>effective");
    loop_close(&l);
}

static void an_operator_ends_it(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
        "ramp 50% every 10s\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_set(&l, "error_rate", "b", "8%");
    assert_int_equal(mp_engine_release(l.engine, 77), MP_ENOTFOUND);
    assert_int_equal(mp_engine_release_rule(l.engine, MP_STR("errors"), MP_STR("zzz")),
                     MP_ENOTFOUND);
    assert_int_equal(mp_engine_release_rule(l.engine, MP_STR("errors"), MP_STR("a")), MP_OK);
    saw(&l, "0.000 incident errors a holding>releasing cancelled");
    loop_at(&l, 20); /* the trigger is true all along: what an operator began is not taken back */
    saw(&l, "10.000 incident errors a releasing>released cancelled");
    assert_int_equal(mp_engine_release_all(l.engine), 1);
    loop_close(&l);
}

/* ---- several rules, one target ---- */

static void the_stronger_takes_over_and_the_weaker_comes_back(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\n"
                  "rule weak when error_rate > 5% per svc then throttle svc to 50% for 10m\n"
                  "  verify error_rate < 1% for 20s within 1m\n"
                  "rule strong when p99_latency > 1s per svc then quarantine svc for 30s\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 10);
    loop_set(&l, "p99_latency", "a", "2s");
    loop_at(&l, 150);
    saw_in_order(&l, "0.000 lease weak a throttle a accepted>effective",
                 "0.000 incident weak a open>verifying",
                 "10.000 lease weak a throttle a effective>superseded",
                 "10.000 incident weak a verifying>open superseded",
                 "40.000 incident strong a holding>releasing expired",
                 "40.000 lease weak a throttle a superseded>applying restored",
                 "40.000 incident weak a open>verifying",
                 "100.000 incident weak a verifying>failed", NULL);
    loop_close(&l);
}

static void shadow_pretends(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors mode shadow when error_rate > 5% per svc\n"
        "then cap svc to 5 for 1m and notify \"x\" via slack verify error_rate < 1% "
        "for 5s within 30s\n"
        "else rollback and page \"y\"\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 100);
    saw_in_order(&l, "admitted>effective shadow shadow", "open>holding shadow",
                 "60.000 incident errors a holding>releasing expired shadow", NULL);
    assert_false(loop_saw(&l, "message"));
    assert_false(loop_saw(&l, "failed"));
    loop_close(&l);
}

/* ---- backends ---- */

static void a_backend_that_refuses_is_asked_again_until_the_time_is_over(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n");
    mp_engine_backend_mode(l.engine, MP_BACKEND_REFUSE);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 50);
    saw_in_order(&l, "0.000 lease errors a throttle a applying>stuck",
                 "1.000 lease errors a throttle a stuck>applying", "applying>stuck",
                 "3.000 lease errors a throttle a stuck>applying",
                 "7.000 lease errors a throttle a stuck>applying", NULL);
    assert_false(loop_saw(&l, "accepted"));
    loop_at(&l, 100);
    saw(&l, "60.000 incident errors a open>releasing expired");
    saw(&l, "releasing>released");
    loop_close(&l);
}

static void a_slow_backend_is_waited_for(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
        "  verify error_rate < 1% for 5s within 20s\n");
    mp_engine_backend_mode(l.engine, MP_BACKEND_SLOW);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 40);
    saw_in_order(&l, "1.000 lease errors a throttle a applying>accepted",
                 "3.000 lease errors a throttle a accepted>effective",
                 "3.000 incident errors a open>verifying",
                 "23.000 incident errors a verifying>failed", NULL);
    loop_close(&l);
}

/* ---- the store ---- */

static void nothing_is_accepted_or_sent_before_it_is_durable(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2}, .now_ns = T0,
                                        .mono_ns = T0, .store = true};
    options.limits.keys = 256;
    loop_open_with(&l,
                   "use std.mesh\nrule errors when error_rate > 5% per svc\n"
                   "then throttle svc to 50% for 1m and notify \"x\" via slack\n",
                   true, &options);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 5);
    saw(&l, "admitted>applying");
    assert_false(loop_saw(&l, "accepted"));
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    saw_in_order(&l, "5.000 lease errors a throttle a applying>accepted", "accepted>effective",
                 NULL);
    assert_false(loop_saw(&l, "message"));
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    saw(&l, "message notify via slack: x");
    mp_engine_store_failed(l.engine, true);
    loop_set(&l, "error_rate", "b", "8%");
    loop_at(&l, 7);
    assert_false(loop_saw(&l, "errors b"));
    mp_engine_store_failed(l.engine, false);
    loop_at(&l, 9);
    saw_in_order(&l, "incident errors b pending>open", "throttle b admitted>applying", NULL);
    loop_close(&l);
}

struct rows {
    struct mp_state_row row[2048];
    uint32_t count;
    struct mp_arena arena;
};

static void keep(void *ctx, const struct mp_state_row *row)
{
    struct rows *r = ctx;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->row[i].kind != row->kind || r->row[i].id != row->id) continue;
        r->row[i].bytes = mp_arena_str(&r->arena, row->bytes);
        return;
    }
    assert_true(r->count < 2048);
    r->row[r->count] = *row;
    r->row[r->count++].bytes = mp_arena_str(&r->arena, row->bytes);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    static struct rows rows;
    struct loop l, m;
    uint8_t hash[32];
    struct mp_engine_status s;
    memset(&rows, 0, sizeof rows);
    mp_arena_init(&rows.arena, NULL, 0);
    test_loop(&l, ladder);
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"checkout\",\"callers\":[\"web\"]}");
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_set(&l, "error_rate", "web", "0.1%");
    loop_set(&l, "error_rate", "cart", "8%");
    loop_at(&l, 25);
    mp_engine_changes(l.engine, &rows, keep);
    loop_set(&l, "error_rate", "cart", "unknown");
    loop_at(&l, 120);
    mp_engine_changes(l.engine, &rows, keep);
    saw(&l, "confirmed>holding");
    mp_engine_chain(l.engine, hash);
    mp_engine_status(l.engine, &s);
    loop_close(&l);

    /* A minute later another process begins with what was kept. */
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST,
                                        .hash_key = {1, 2},
                                        .pending = true,
                                        .now_ns = T0 + 180 * SEC,
                                        .mono_ns = 5 * SEC};
    options.limits.keys = 1024;
    options.limits.incidents = 256;
    options.limits.leases = 256;
    loop_open_with(&m, ladder, true, &options);
    for (uint32_t i = 0; i < rows.count; i++) {
        if (rows.row[i].bytes.len == 0) continue;
        assert_int_equal(mp_engine_restore(m.engine, &rows.row[i]), MP_OK);
    }
    assert_int_equal(mp_engine_resume(m.engine, s.entries, hash), MP_OK);
    mp_engine_status(m.engine, &s);
    assert_int_equal(s.leases_in_force, 1);
    assert_int_equal(s.incidents_open, 1);
    /* 15 minutes from 90 s on: ends at 990 s, however long nobody ran. */
    mp_engine_advance(m.engine, T0 + 985 * SEC, 810 * SEC);
    assert_false(loop_saw(&m, "releasing"));
    mp_engine_advance(m.engine, T0 + 991 * SEC, 816 * SEC);
    saw(&m, "990.000 incident errors checkout holding>releasing expired");
    loop_close(&m);
    mp_arena_free(&rows.arena);
}

static void damaged_rows_are_refused(void **state)
{
    (void)state;
    static struct rows rows;
    struct loop l;
    memset(&rows, 0, sizeof rows);
    mp_arena_init(&rows.arena, NULL, 0);
    test_loop(&l, ladder);
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_at(&l, 40);
    mp_engine_changes(l.engine, &rows, keep);
    loop_close(&l);
    for (uint32_t i = 0; i < rows.count; i++) {
        if (rows.row[i].bytes.len == 0) continue;
        for (size_t len = 0; len < rows.row[i].bytes.len; len++) {
            struct mp_state_row cut = rows.row[i];
            cut.bytes.len = len;
            test_loop(&l, ladder);
            enum mp_err err = mp_engine_restore(l.engine, &cut);
            loop_close(&l);
            if (err != MP_ECORRUPT) fail_msg("kind %d cut at %zu: %d", (int)cut.kind, len, err);
            if (len > 64) len += 20;
        }
    }
    mp_arena_free(&rows.arena);
}

/* ---- another program ---- */

static void swap(struct loop *l, const char *policy)
{
    const char *why = "";
    struct mp_program *p = loop_compile(l, policy, true);
    if (mp_engine_swap(l->engine, p, &why) != MP_OK) fail_msg("%s", why);
    if (l->old != NULL) mp_program_free(l->old);
    l->old = l->program;
    l->program = p;
}

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

/* ---- rules on the record itself ---- */

static void request(struct loop *l, double at, const char *fields)
{
    char json[512];
    loop_at(l, at);
    snprintf(json, sizeof json,
             "{\"service\":\"a\",\"instance\":\"a-1\",\"client\":\"10.0.0.7\",%s}", fields);
    loop_line(l, json);
}

static void an_inline_rule_is_told_once_a_minute(void **state)
{
    (void)state;
    struct loop l;
    loop_open(
        &l, "use std.mesh\nrule door when request.path starts with \"/admin\" then deny request\n",
        false, MP_ENGINE_REPLAY);
    for (int i = 0; i < 200; i++)
        request(&l, i, i % 2 ? "\"path\":\"/admin/x\"" : "\"path\":\"/\"");
    assert_int_equal(l.inline_done, 100);
    saw_times(&l, "deny request proposed>effective inline", 4);
    saw(&l, "minute_before=30");
    struct mp_rule_counts c = mp_engine_rule_counts(l.engine, 0);
    assert_int_equal(c.matched, 100);
    assert_int_equal(c.false_, 100);
    loop_close(&l);
}

static void a_guard_on_requests_passes_them(void **state)
{
    (void)state;
    struct loop l;
    loop_open(&l,
              "use std.mesh\nrule door when request.path starts with \"/\" then deny request\n"
              "never deny request where request.path == \"/healthz\"\n",
              false, MP_ENGINE_REPLAY);
    request(&l, 1, "\"path\":\"/healthz\"");
    request(&l, 2, "\"path\":\"/x\"");
    assert_int_equal(l.inline_done, 1);
    assert_int_equal(l.inline_passed, 1);
    loop_close(&l);
}

static void a_throttle_has_tokens_for_each_key_and_none_for_no_key(void **state)
{
    (void)state;
    struct loop l;
    loop_open(&l, "use std.mesh\nrule limit_keys when request.path starts with \"/api\" "
                  "per request.headers[\"x-api-key\"] max 100 then throttle request to 3/min\n",
              false, MP_ENGINE_REPLAY);
    for (int i = 0; i < 10; i++)
        request(&l, 1 + i * 0.1, "\"path\":\"/api/x\",\"headers\":{\"x-api-key\":\"one\"}");
    assert_int_equal(l.inline_done, 7); /* three tokens */
    for (int i = 0; i < 10; i++)
        request(&l, 2 + i * 0.1, "\"path\":\"/api/x\",\"headers\":{\"x-api-key\":\"two\"}");
    assert_int_equal(l.inline_done, 14);
    for (int i = 0; i < 10; i++) request(&l, 3 + i * 0.1, "\"path\":\"/api/x\"");
    assert_int_equal(l.inline_done, 14);
    loop_close(&l);
}

static void who_is_exempt_passes_the_inline_rules(void **state)
{
    (void)state;
    struct loop l;
    loop_open(
        &l,
        "use std.mesh\nrule door when request.path starts with \"/admin\" then deny request\n"
        "rule friend when count(requests where path == \"/hello\") over 1m >= 1 "
        "per client.ip max 100 "
        "then exempt client.ip for 10s\n",
        false, MP_ENGINE_REPLAY);
    request(&l, 1, "\"path\":\"/admin\"");
    assert_int_equal(l.inline_done, 1);
    request(&l, 2, "\"path\":\"/hello\"");
    request(&l, 3, "\"path\":\"/admin\"");
    assert_int_equal(l.inline_done, 1);
    request(&l, 13, "\"path\":\"/admin\"");
    assert_int_equal(l.inline_done, 2);
    loop_close(&l);
}

/* ---- rules about rules ---- */

static void a_rule_counts_what_others_did(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\n"
        "rule errors when error_rate > 5% per svc then throttle svc to 50% for 5m\n"
        "  verify error_rate < 1% for 5s within 20s else rollback cooldown 10s\n"
        "rule stuck when count(ledger where policy == \"errors\" and outcome == failed) "
        "over 10m >= 2 per svc\n"
        "then notify \"{svc} does not get better\" via slack cooldown 1h\n");
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 40);
    assert_false(loop_saw(&l, "incident stuck"));
    loop_at(&l, 60);
    saw_in_order(&l, "50.000 incident errors a verifying>failed",
                 "50.000 incident stuck a pending>open",
                 "message notify via slack: a does not get better", NULL);
    loop_close(&l);
}

/* ---- promises ---- */

static char *copy_of(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static void same_input_same_bytes(void **state)
{
    (void)state;
    char *first = NULL;
    uint8_t hash[32], again[32];
    for (int run = 0; run < 2; run++) {
        struct loop l;
        loop_open(
            &l,
            "use std.mesh\nrule errors when error_rate > 5% for 2s per svc\n"
            "then throttle svc to 50% for 20s verify error_rate < 1% for 2s within 10s\n"
            "else quarantine svc for 20s\nuntil error_rate < 1% for 3s\nramp 50% every 2s\n"
            "rule flood when count(requests where status == 503) over 10s > 20 "
            "per client.ip max 1k\n"
            "then deny client.ip for 15s\n",
            false, MP_ENGINE_REPLAY);
        for (int i = 0; i < 12; i++) {
            loop_traffic(&l, i % 3 == 0 ? "a" : "b", i % 2 == 0 ? "10.0.0.1" : "10.0.0.2", i * 5,
                         i * 5 + 5, 20, i * 37 % 60);
        }
        loop_at(&l, 200);
        mp_engine_chain(l.engine, run == 0 ? hash : again);
        if (run == 0) first = copy_of(l.log);
        if (run == 1) assert_string_equal(first, l.log);
        assert_true(loop_count(&l, "pending>open") > 4);
        loop_close(&l);
    }
    assert_memory_equal(hash, again, 32);
    free(first);
}

static bool closed;

static void *counting_alloc(void *ctx, size_t size)
{
    (void)ctx;
    assert_false(closed);
    return malloc(size);
}

static void counting_free(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)size;
    assert_false(closed);
    free(ptr);
}

static void nothing_is_allocated_while_records_pass(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_options options = {
        .clock = MP_ENGINE_REPLAY, .hash_key = {1, 2}, .now_ns = T0, .mono_ns = T0};
    options.limits.keys = 256;
    closed = false;
    loop_open_with(&l,
                   "use std.mesh\nrule errors when error_rate > 5% for 2s per svc\n"
                   "then throttle svc to 50% for 20s and notify \"{svc}\" via slack\n"
                   "  verify error_rate < 1% for 2s within 10s\n"
                   "else quarantine svc for 20s\nuntil error_rate < 1% for 3s\nramp 50% every 2s\n",
                   false, &options);
    /* The same again, in an engine whose memory comes from an allocator that is shut after
     * create. */
    mp_engine_destroy(l.engine);
    l.os.alloc = counting_alloc;
    l.os.free = counting_free;
    l.engine = NULL;
    struct mp_engine_sinks sinks = {0};
    assert_int_equal(mp_engine_create(l.program, &l.os, &options, &sinks, &l.engine), MP_OK);
    closed = true;
    for (int i = 0; i < 6; i++) loop_traffic(&l, "a", "10.0.0.1", i * 5, i * 5 + 5, 20, i % 2 * 40);
    loop_at(&l, 100);
    closed = false;
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    assert_true(s.entries > 20);
    loop_close(&l);
}

struct told {
    char text[4096];
    size_t len;
};

static void tell(void *ctx, const struct mp_why_line *line)
{
    struct told *t = ctx;
    int n = snprintf(t->text + t->len, sizeof t->text - t->len, "%d %.*s %d %.*s=%.*s %lld/%lld\n",
                     (int)line->kind, MP_STR_ARG(line->text), (int)line->truth,
                     MP_STR_ARG(line->shown), MP_STR_ARG(line->value),
                     (long long)(line->held_ns / SEC), (long long)(line->hold_ns / SEC));
    t->len += (size_t)n;
}

static void why_says_what_is_missing(void **state)
{
    (void)state;
    struct loop l;
    struct told t = {.len = 0};
    test_loop(
        &l,
        "use std.mesh\nrule errors when error_rate > 5% for 30s per svc unless svc.tier is batch\n"
        "then throttle svc to 50% for 1m\n");
    loop_set(&l, "error_rate", "a", "7.4%");
    loop_at(&l, 22);
    assert_int_equal(mp_engine_why(l.engine, MP_STR("errors"), MP_STR("a"), &t, tell), MP_OK);
    assert_non_null(strstr(t.text, "pending"));
    assert_non_null(strstr(t.text, "22/30"));
    assert_non_null(strstr(t.text, "7.4%"));
    assert_non_null(strstr(t.text, "it would fire at"));
    t.len = 0;
    assert_int_equal(mp_engine_why(l.engine, MP_STR("errors"), MP_STR("zzz"), &t, tell), MP_OK);
    assert_non_null(strstr(t.text, "nothing is known"));
    assert_int_equal(mp_engine_why(l.engine, MP_STR("nope"), MP_STR("a"), &t, tell), MP_ENOTFOUND);
    loop_close(&l);
}

/* A case that reads what others publish is due at every slot, also at the one at which its key,
 * long without records, is forgotten. */
static void a_key_may_be_forgotten_at_the_moment_its_case_is_due(void **state)
{
    (void)state;
    struct loop l;
    loop_open(
        &l,
        "use std.mesh\nrule bad when ratio(requests where status in 5xx) over 5s > 20% per svc\n"
        "then throttle svc to 50% for 30s verify error_rate of svc.callers < 5% for 1s within 9s\n"
        "else rollback\n",
        false, MP_ENGINE_REPLAY);
    loop_traffic(&l, "pay", "10.0.0.7", 0, 20, 10, 90);
    loop_at(&l, 4000);
    saw_times(&l, "pending>open", 1);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_quarantines_and_the_ttl_releases),
        cmocka_unit_test(the_trigger_is_judged_when_the_record_arrives),
        cmocka_unit_test(what_does_not_help_is_followed_by_more_and_then_let_go),
        cmocka_unit_test(the_end_of_the_ladder_rolls_back_and_pages),
        cmocka_unit_test(silence_never_escalates),
        cmocka_unit_test(harm_is_undone_at_once),
        cmocka_unit_test(harm_ends_what_was_confirmed_too),
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
        cmocka_unit_test(a_withheld_rule_ends_at_once_and_asks_again),
        cmocka_unit_test(a_limit_withholds_the_third),
        cmocka_unit_test(of_four_instances_a_fifth_may_not_go),
        cmocka_unit_test(the_brake_lets_nothing_new_in_and_nothing_out),
        cmocka_unit_test(an_operator_ends_it),
        cmocka_unit_test(the_stronger_takes_over_and_the_weaker_comes_back),
        cmocka_unit_test(shadow_pretends),
        cmocka_unit_test(a_backend_that_refuses_is_asked_again_until_the_time_is_over),
        cmocka_unit_test(a_slow_backend_is_waited_for),
        cmocka_unit_test(nothing_is_accepted_or_sent_before_it_is_durable),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(damaged_rows_are_refused),
        cmocka_unit_test(an_incident_lives_on_under_a_changed_rule),
        cmocka_unit_test(a_rule_that_is_gone_lets_go),
        cmocka_unit_test(a_new_guard_releases_what_it_forbids),
        cmocka_unit_test(an_inline_rule_is_told_once_a_minute),
        cmocka_unit_test(a_guard_on_requests_passes_them),
        cmocka_unit_test(a_throttle_has_tokens_for_each_key_and_none_for_no_key),
        cmocka_unit_test(who_is_exempt_passes_the_inline_rules),
        cmocka_unit_test(a_rule_counts_what_others_did),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(nothing_is_allocated_while_records_pass),
        cmocka_unit_test(a_key_may_be_forgotten_at_the_moment_its_case_is_due),
        cmocka_unit_test(why_says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
