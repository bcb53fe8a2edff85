/* SPDX-License-Identifier: Apache-2.0
 * Rules that look at a record by itself, and rules that look at what others did.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_inline_rule_is_told_once_a_minute),
        cmocka_unit_test(a_guard_on_requests_passes_them),
        cmocka_unit_test(a_throttle_has_tokens_for_each_key_and_none_for_no_key),
        cmocka_unit_test(who_is_exempt_passes_the_inline_rules),
        cmocka_unit_test(a_rule_counts_what_others_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
