/* SPDX-License-Identifier: Apache-2.0
 * What a proxy refuses of what it is sent (NACK) is an incident of its own: in `status`, in `why`
 * and in the ledger, once, over a kill too, until it takes what it is sent.
 */
#include "harness.h"

#include <string.h>

#include "asker.h"

#define DENY "mpol-deny"
#define GATE "ingress/gate/gate-1"
#define WORDS "Proto constraint validation failed"

static struct run r;
static struct asker gate;

static void start(void)
{
    put_file("p.mpol", flood_policy);
    run_start(&r, "p.mpol", "--state=state", "--xds=unix:xds", NULL);
}

/* It comes, and refuses what it is given with these words; NULL: it takes it. */
static void come(const char *words)
{
    asker_comes(&gate, GATE, ASKER_ECDS, DENY);
    gate.refuses = words;
    asker_hears(&gate);
    askers_run(); /* so that its answer goes */
}

static const char *told(void)
{
    const char *out;
    assert_int_equal(ask(&out, "ledger", "show", "--rule=nack", "--state=state", NULL), 0);
    return out;
}

/* What a store has of it, which is written a moment later. */
static void wait_told(const char *text)
{
    for (int waited = 0; strstr(told(), text) == NULL; pause_between(&waited, text)) continue;
}

static int times_opened(void)
{
    int count = 0;
    const char *at = told();
    for (; (at = strstr(at, "\"to\":\"open\"")) != NULL; at++) count++;
    return count;
}

static void why_says(const char *text)
{
    const char *out;
    assert_int_equal(ask(&out, "why", "nack", GATE, "--state=state", NULL), 0);
    if (strstr(out, text) == NULL) fail_msg("not there: %s\nin: %s", text, out);
}

static void chain_holds(void)
{
    const char *out;
    assert_int_equal(ask(&out, "ledger", "verify", "--state=state", NULL), 0);
}

static void another_decision(const char *client)
{
    const char *out;
    (void)ask(&out, "decisions", "add", "deny", client, "--on=ingress", "--for=1h", "--yes",
              "--state=state", NULL);
}

/* Nothing is in force: what it refuses is the baseline. */
static void a_refusal_is_an_incident_until_it_is_taken(void **state)
{
    start();
    come(WORDS);
    wait_status("nack                     " GATE ":ecds open");
    assert_true(status_says("REFUSED"));
    why_says(GATE ":ecds refused " DENY ": " WORDS);
    wait_told("\"text\":\"" WORDS "\"");
    assert_non_null(strstr(told(), "\"part\":\"" GATE "\""));
    gate.refuses = "and so is this";
    another_decision("client.ip=10.0.0.7"); /* refused as well */
    askers_run();
    assert_int_equal(times_opened(), 1);
    gate.refuses = NULL;
    another_decision("client.ip=10.0.0.8");
    askers_run();
    run_wait(&r, "nack " GATE ":ecds: open -> releasing because accepted");
    wait_told("\"to\":\"idle\"");
    assert_false(status_says("nack "));
    why_says("it refuses nothing");
    assert_int_equal(times_opened(), 1);
    assert_int_equal(run_stop(&r), 0);
    chain_holds();
    asker_goes(&gate);
    run_free(&r);
}

static void refuse_and_kill(void)
{
    start();
    come(WORDS);
    wait_told("\"to\":\"open\"");
    run_kill(&r);
    asker_goes(&gate);
    run_free(&r);
}

static void after_a_kill_it_goes_on_where_it_was(void **state)
{
    refuse_and_kill();
    start();
    assert_true(status_says(GATE ":ecds open"));
    why_says(WORDS);
    come(WORDS); /* again, and that is no other */
    wait_status("REFUSED");
    assert_int_equal(times_opened(), 1);
    asker_goes(&gate);
    wait_status("AWAY");
    come(NULL);
    run_wait(&r, "nack " GATE ":ecds: open -> releasing because accepted");
    assert_int_equal(run_stop(&r), 0);
    assert_int_equal(times_opened(), 1);
    chain_holds();
    asker_goes(&gate);
    run_free(&r);
}

/* Without a mesh nobody would ever end it. */
static void a_life_without_proxies_ends_it(void **state)
{
    refuse_and_kill();
    run_start(&r, "p.mpol", "--state=state", NULL);
    run_wait(&r, "nack " GATE ":ecds: open -> releasing because removed");
    assert_int_equal(run_stop(&r), 0);
    chain_holds();
    run_free(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, asker_begin, asker_finish)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_refusal_is_an_incident_until_it_is_taken),
        CASE(after_a_kill_it_goes_on_where_it_was),
        CASE(a_life_without_proxies_ends_it),
    };
    if (argc < 2) return 2;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
