/* SPDX-License-Identifier: Apache-2.0
 * Whole loops on a virtual clock, from policy text to the ledger.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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

static void what_does_not_help_is_followed_by_more_and_then_let_go(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, loop_ladder);
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
    test_loop(&l, loop_ladder);
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
        cmocka_unit_test(a_withheld_rule_ends_at_once_and_asks_again),
        cmocka_unit_test(a_limit_withholds_the_third),
        cmocka_unit_test(of_four_instances_a_fifth_may_not_go),
        cmocka_unit_test(the_brake_lets_nothing_new_in_and_nothing_out),
        cmocka_unit_test(an_operator_ends_it),
        cmocka_unit_test(the_stronger_takes_over_and_the_weaker_comes_back),
        cmocka_unit_test(shadow_pretends),
        cmocka_unit_test(a_backend_that_refuses_is_asked_again_until_the_time_is_over),
        cmocka_unit_test(a_slow_backend_is_waited_for),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(nothing_is_allocated_while_records_pass),
        cmocka_unit_test(why_says_what_is_missing),
        cmocka_unit_test(a_key_may_be_forgotten_at_the_moment_its_case_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
