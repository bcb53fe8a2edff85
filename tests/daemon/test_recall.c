/* SPDX-License-Identifier: Apache-2.0
 * A life of mpol knows which proxies the one before knew: those that have not come back may serve
 * on with what they had then, and are named.
 */
#include "harness.h"

#include <string.h>

#include "asker.h"

#define DENY "mpol-deny"
#define FIRST "ingress/gate/gate-1"
#define SECOND "ingress/gate/gate-2"
#define NOT_BACK(node) "not told to " node ", not back since the start "

static struct run r;
static struct asker first, second;

static void start(void)
{
    put_file("p.mpol", flood_policy);
    run_start(&r, "p.mpol", "--state=state", "--xds=unix:xds", NULL);
}

static void come(struct asker *a, const char *node)
{
    asker_comes(a, node, ASKER_ECDS, DENY);
    asker_hears(a);
}

static const char *list(void)
{
    const char *out;
    assert_int_equal(ask(&out, "decisions", "list", "--state=state", NULL), 0);
    return out;
}

static void list_says(const char *text)
{
    const char *out = list();
    if (strstr(out, text) == NULL) fail_msg("not there: %s\nin: %s", text, out);
}

static void list_does_not_say(const char *text)
{
    const char *out = list();
    if (strstr(out, text) != NULL) fail_msg("there: %s\nin: %s", text, out);
}

/* Both are there when a lease begins, and it is accepted by both. */
static void two_know_a_lease(void)
{
    const char *out;
    start();
    come(&first, FIRST);
    come(&second, SECOND);
    (void)ask(&out, "decisions", "add", "deny", "client.ip=10.0.0.7", "--on=ingress", "--for=1h",
              "--yes", "--format=json", "--state=state", NULL);
}

static void go(void)
{
    asker_goes(&first);
    asker_goes(&second);
}

static void who_was_there_is_named_until_it_comes_back(void **state)
{
    two_know_a_lease();
    run_kill(&r);
    go();
    run_free(&r);
    start();
    come(&first, FIRST);
    assert_true(status_says(FIRST "  Envoy 1.39.0, connected for "));
    list_says(NOT_BACK(SECOND));
    list_does_not_say(NOT_BACK(FIRST));
    assert_true(status_says(SECOND "  AWAY since the start "));
    come(&second, SECOND);
    assert_true(status_says(SECOND "  Envoy 1.39.0, connected for "));
    list_does_not_say("not back");
    assert_false(status_says("AWAY"));
    assert_int_equal(run_stop(&r), 0);
    go();
    run_free(&r);
}

/* Ended in good order it knows the same, and in the third life since when one is away. */
static void the_third_life_knows_since_when(void **state)
{
    two_know_a_lease();
    asker_goes(&second);
    wait_status(SECOND "  Envoy 1.39.0, AWAY for ");
    assert_int_equal(run_stop(&r), 0);
    asker_goes(&first);
    run_free(&r);
    for (int life = 0; life < 2; life++) {
        start();
        assert_true(status_says(SECOND "  AWAY for "));
        assert_true(status_says(life == 0 ? FIRST "  AWAY since the start "
                                          : FIRST "  AWAY for "));
        assert_int_equal(run_stop(&r), 0);
        run_free(&r);
    }
}

static void who_went_last_is_named(void **state)
{
    two_know_a_lease();
    asker_goes(&first);
    wait_status(FIRST "  Envoy 1.39.0, AWAY for ");
    asker_goes(&second);
    wait_status(SECOND "  Envoy 1.39.0, AWAY for ");
    list_says("not told to " SECOND " and 1 more, away for ");
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

/* A life without proxies in between throws nothing away. */
static void a_life_without_a_mesh_changes_nothing(void **state)
{
    two_know_a_lease();
    run_kill(&r);
    go();
    run_free(&r);
    put_file("t", "");
    run_start(&r, "p.mpol", "--state=state", "--telemetry=t", NULL);
    assert_false(status_says("AWAY"));
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
    start();
    assert_true(status_says(FIRST "  AWAY since the start "));
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, asker_begin, asker_finish)
    const struct CMUnitTest tests[] = {
        CASE(who_was_there_is_named_until_it_comes_back),
        CASE(the_third_life_knows_since_when),
        CASE(who_went_last_is_named),
        CASE(a_life_without_a_mesh_changes_nothing),
    };
    if (argc < 2) return 2;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
