/* SPDX-License-Identifier: Apache-2.0
 * `mpol decisions`: leases by hand, from the command to the ledger.
 */
#include "harness.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE "--state=state"

static const char *out;

static void start(struct run *r)
{
    put_file("p.mpol", flood_policy);
    put_file("t", "");
    put_file(
        "inventory",
        "{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\","
        "\"callers\":[\"web\"]}\n"
        "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n"
        "{\"entity\":\"instance\",\"name\":\"checkout-2\",\"service\":\"checkout\"}\n");
    run_start(r, "p.mpol", STATE, "--telemetry=t", "--inventory=inventory", NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static void has(const char *wanted)
{
    if (strstr(out, wanted) == NULL) fail_msg("not there: %s\nin: %s", wanted, out);
}

static void has_not(const char *unwanted)
{
    if (strstr(out, unwanted) != NULL) fail_msg("there: %s\nin: %s", unwanted, out);
}

static void is_code(int code, int wanted)
{
    if (code != wanted) fail_msg("exit code %d, not %d: %s", code, wanted, out);
}

/* ---- add, list, delete ---- */

static void it_is_added_listed_and_deleted(void **state)
{
    struct run r;
    start(&r);
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("nothing is in force");
    is_code(ask(&out, "decisions", "add", "deny", "client.ip=127.0.0.2", "--on", "ingress", "--for",
                "5m", "--reason", "credential stuffing", "--yes", STATE, NULL),
            0);
    has("deny client=127.0.0.2 on ingress for 5m: #1 effective");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("#1  deny  client=127.0.0.2  ingress  manual (uid ");
    has("effective");
    has("credential stuffing");
    assert_true(status_says("manual"));
    is_code(ask(&out, "decisions", "delete", "client.ip=127.0.0.2", "--reason", "over", "--yes",
                STATE, NULL),
            0);
    has("#1 deny client=127.0.0.2 by manual: nothing comes in its place");
    is_code(ask(&out, "decisions", "delete", "client.ip=127.0.0.2", "--yes", STATE, NULL), 1);
    has("nothing is in force on client.ip=127.0.0.2");
    is_code(ask(&out, "decisions", "delete", "#1", "--yes", STATE, NULL), 1);
    stop(&r);
    is_code(ask(&out, "ledger", "verify", STATE, NULL), 0);
    is_code(ask(&out, "ledger", "show", "--rule=manual", STATE, NULL), 0);
    has("\"cause\":{\"why\":\"manual\",\"who\":\"uid ");
    has("\"reason\":\"credential stuffing\"");
    has("\"cause\":{\"why\":\"cancelled\",\"who\":\"uid ");
    has("\"reason\":\"over\"");
}

static void the_list_is_one_object(void **state)
{
    struct run r;
    json_error_t error;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status("deny 10.0.0.1  effective");
    is_code(ask(&out, "decisions", "add", "throttle", "service=checkout", "to=50%", "--reason",
                "\"quoted\" \\ \xc3\xa9", "--yes", "--format=json", STATE, NULL), 0);
    json_t *answer = json_loads(out, 0, &error);
    if (answer == NULL) fail_msg("%s: %s", error.text, out);
    assert_string_equal(json_string_value(json_object_get(answer, "how")), "admitted");
    assert_string_equal(json_string_value(json_object_get(answer, "state")), "effective");
    json_decref(answer);
    is_code(ask(&out, "decisions", "list", "--format=json", STATE, NULL), 0);
    json_t *all = json_loads(out, 0, &error);
    if (all == NULL) fail_msg("%s: %s", error.text, out);
    assert_int_equal(json_integer_value(json_object_get(all, "version")), 1);
    json_t *list = json_object_get(all, "decisions"), *rule = json_array_get(list, 0);
    json_t *manual = json_array_get(list, 1);
    assert_int_equal(json_array_size(list), 2);
    assert_true(json_is_false(json_object_get(rule, "manual")));
    assert_string_equal(json_string_value(json_object_get(rule, "target")), "10.0.0.1");
    assert_true(json_is_true(json_object_get(manual, "manual")));
    assert_string_equal(json_string_value(json_object_get(manual, "rule")), "manual");
    assert_string_equal(json_string_value(json_object_get(manual, "reason")),
                        "\"quoted\" \\ \xc3\xa9");
    assert_string_equal(json_string_value(json_object_get(json_object_get(manual, "args"), "to")),
                        "50%");
    json_decref(all);
    stop(&r);
}

/* Whom a ramp lets through already must not read that all of it is in force, without an end. */
static void a_lease_that_is_given_back_in_steps_tells_how_much_and_until_when(void **state)
{
    struct run r;
    json_error_t error;
    put_file("p.mpol",
             "use std.mesh\n"
             "rule flood\n"
             "  when count(requests where status == 401) over 5m >= 3 per client.ip max 1k\n"
             "  then deny client.ip for 1s\n"
             "  ramp 20% every 1h\n");
    put_file("t", "");
    run_start(&r, "p.mpol", STATE, "--telemetry=t", NULL);
    add_failures("t", "10.0.0.1", 3);
    wait_status("deny 10.0.0.1  effective at 80%, in force, given back in steps until ");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("  effective at 80%  ");
    has_not("  effective at 80%  -");
    has("given back in steps until ");
    is_code(ask(&out, "decisions", "list", "--format=json", STATE, NULL), 0);
    json_t *all = json_loads(out, 0, &error);
    if (all == NULL) fail_msg("%s: %s", error.text, out);
    json_t *lease = json_array_get(json_object_get(all, "decisions"), 0);
    const char *only = json_string_value(json_object_get(lease, "only"));
    const char *ends = json_string_value(json_object_get(lease, "ends"));
    assert_string_equal(json_string_value(json_object_get(lease, "state")), "effective");
    assert_true(json_real_value(json_object_get(lease, "share")) == 0.8);
    assert_non_null(ends);
    assert_non_null(only);
    char words[128];
    snprintf(words, sizeof words, "at 80%%, given back in steps until %.8s", ends + 11);
    assert_string_equal(only, words);
    json_decref(all);
    stop(&r);
}

/* ---- who says yes ---- */

static void without_a_yes_it_is_only_shown(void **state)
{
    struct run r;
    start(&r);
    is_code(ask(&out, "decisions", "add", "quarantine", "service=checkout", STATE, NULL), 2);
    has("quarantine service=checkout on ingress+service+edge for 10m");
    has("  tier         critical");
    has("  callers      1: [web]");
    has("  instances    2");
    has("nothing was done: say --yes if that is meant");
    is_code(ask(&out, "decisions", "add", "quarantine", "service=checkout", "--dry-run", "--yes",
                STATE, NULL),
            0);
    has("instances    2");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("nothing is in force");
    is_code(ask(&out, "decisions", "add", "quarantine", "service=checkout", "--yes", STATE, NULL),
            0);
    is_code(ask(&out, "decisions", "delete", "service=checkout", STATE, NULL), 2);
    has("#1 quarantine service=checkout by manual");
    has("nothing was done");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("#1  quarantine");
    stop(&r);
}

/* No policy counts requests per identity, or all of a client's. */
static void it_tells_what_was_seen_of_the_target(void **state)
{
    struct run r;
    int waited = 0;
    start(&r);
    do {
        pause_between(&waited, "seen");
        add_failures("t", "10.0.0.8", 1);
        add_failures("t", "10.9.9.9", 1);
        is_code(
            ask(&out, "decisions", "add", "deny", "client=10.0.0.0/24", "--dry-run", STATE, NULL),
            0);
    } while (strstr(out, "  requests     ") == NULL || strstr(out, "  requests     0 of ") != NULL);
    has("in the last 10s");
    is_code(
        ask(&out, "decisions", "add", "deny", "identity=spiffe://nobody", "--dry-run", STATE, NULL),
        0);
    has("  requests     0 of ");
    stop(&r);
}

static void what_is_withheld_is_one_and_in_the_ledger(void **state)
{
    struct run r;
    start(&r);
    is_code(ask(&out, "brake", "on", STATE, NULL), 0);
    is_code(ask(&out, "decisions", "add", "deny", "client=127.0.0.2", STATE, NULL), 1);
    has("it would be withheld: the brake is on");
    is_code(ask(&out, "decisions", "add", "deny", "client=127.0.0.2", "--yes", STATE, NULL), 1);
    has("withheld: the brake is on");
    is_code(ask(&out, "decisions", "add", "deny", "client=127.0.0.2", "--yes", "--format=json",
                STATE, NULL),
            1);
    has("\"how\":\"withheld\"");
    stop(&r);
    is_code(ask(&out, "ledger", "show", "--rule=manual", STATE, NULL), 0);
    has("\"from\":\"proposed\",\"to\":\"withheld\",\"cause\":{\"why\":\"brake\",\"who\":\"uid ");
}

/* ---- wrong input ---- */

static void wrong_input_is_two_with_what_helps(void **state)
{
    static const struct {
        const char *words[10], *says;
    } wrong[] = {
        {{"decisions", STATE}, "decisions list, decisions add, or decisions delete"},
        {{"decisions", "ad", STATE}, "did you mean `decisions add`?"},
        {{"decisions", "remove", STATE}, "decisions list, decisions add, or decisions delete"},
        {{"decisions", "list", "all", STATE}, "takes no operand"},
        {{"decisions", "list"}, "--state=DIR"},
        {{"decisions", "list", "--state=nowhere"}, "no daemon answers"},
        {{"decisions", "list", "--format=xml", STATE}, "--format=xml is none of"},
        {{"decisions", "add", STATE}, "say what to do, and to whom"},
        {{"decisions", "add", "deny", STATE}, "say what to do, and to whom"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "oops", STATE},
         "`oops` is no NAME=VALUE"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "=1", STATE}, "`=1` is no NAME=VALUE"},
        {{"decisions", "add", "dney", "client.ip=127.0.0.2", "--yes", STATE},
         "did you mean `deny`?"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.300", "--yes", STATE},
         "is not an address"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "--for=never", "--yes", STATE},
         "takes a duration"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "--for=1000d", "--yes", STATE},
         "31 days"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "--on=egress", "--yes", STATE},
         "ingress, service and edge"},
        {{"decisions", "add", "deny", "client.ip=10.0.0.0/8", "--yes", STATE}, "say --force"},
        {{"decisions", "add", "deny", "client.ip=127.0.0.2", "--reason=a\tb", "--yes", STATE},
         "has a tab"},
        {{"decisions", "add", "require", "service=web", "what=mtls", "--on=edge", "--yes", STATE},
         "takes no `on`"},
        {{"decisions", "add", "deny", "client=\xff\xfe", "--yes", STATE}, "is not an address"},
        {{"decisions", "delete", STATE}, "say what"},
        {{"decisions", "delete", "", "--yes", STATE}, "say what"},
        {{"decisions", "delete", "127.0.0.2", "--yes", STATE}, "`127.0.0.2` is no target"},
        {{"decisions", "delete", "clint=127.0.0.2", "--yes", STATE}, "did you mean `client`?"},
        {{"decisions", "delete", "a=1", "b=2", "--yes", STATE}, "say what"},
    };
    struct run r;
    start(&r);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int code = ask_words(&out, wrong[i].words);
        if (code != 2 || strstr(out, wrong[i].says) == NULL) {
            fail_msg("case %zu: code %d, not there: %s\nin: %s", i, code, wrong[i].says, out);
        }
    }
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("nothing is in force");
    stop(&r);
}

/* ---- it stays ---- */

/* Streams are ended by modules inside proxies, and by nothing else. */
static void what_only_modules_can_do_is_refused_or_waits(void **state)
{
    struct run r;
    put_file("p.mpol", flood_policy);
    run_start(&r, "p.mpol", STATE, "--xds=unix:xds", NULL);
    is_code(ask(&out, "decisions", "add", "cut", "client.ip=127.0.0.2", "--yes", STATE, NULL), 2);
    has("no backend here can carry out `cut` on `client`");
    is_code(ask(&out, "decisions", "add", "deny", "client.ip=127.0.0.2", "status=451", "--yes",
                STATE, NULL),
            2);
    has("403 and nothing else");
    stop(&r);
    run_start(&r, "p.mpol", STATE, "--xds=unix:xds", "--module-socket=m.sock", NULL);
    ask(&out, "decisions", "add", "cut", "client.ip=127.0.0.2", "--yes", STATE, NULL);
    has("stuck: no proxy with the module is connected");
    has("\nit is not in force; it is tried again until its end\n");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("cut   client=127.0.0.2");
    stop(&r);
}

static void it_outlives_kill_and_reload(void **state)
{
    struct run r;
    start(&r);
    is_code(ask(&out, "decisions", "add", "deny", "client=127.0.0.2", "--for=1h", "--reason=keep",
                "--yes", STATE, NULL),
            0);
    is_code(ask(&out, "decisions", "add", "deny", "client=127.0.0.3", "--yes", STATE, NULL), 0);
    is_code(ask(&out, "decisions", "delete", "client=127.0.0.3", "--yes", STATE, NULL), 0);
    run_kill(&r);
    run_free(&r);
    run_start(&r, "p.mpol", STATE, "--telemetry=t", NULL);
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("#1  deny  client=127.0.0.2");
    has("keep");
    has_not("127.0.0.3");
    put_file("p.mpol",
             "use std.mesh\nrule slow when p99_latency > 10s per svc then notify \"slow {svc}\"\n");
    run_wait(&r, "generation 2 is in force");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("#1  deny  client=127.0.0.2");
    is_code(ask(&out, "why", "manual", "127.0.0.2", STATE, NULL), 0);
    has("keep");
    put_file("p.mpol",
             "use std.mesh\nrule slow when p99_latency > 10s per svc then notify \"slow {svc}\"\n"
             "never deny client where client.ip == 127.0.0.2\n");
    run_wait(&r, "generation 3 is in force");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("nothing is in force");
    stop(&r);
}

static void a_rules_lease_is_deleted_and_it_says_what_comes(void **state)
{
    struct run r;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status("deny 10.0.0.1  effective");
    is_code(ask(&out, "decisions", "delete", "client.ip=10.0.0.1", "--yes", STATE, NULL), 0);
    has(" deny client=10.0.0.1 by flood: the rule fires again only after its "
        "condition was false once");
    is_code(ask(&out, "decisions", "list", STATE, NULL), 0);
    has("nothing is in force");
    stop(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_added_listed_and_deleted, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(the_list_is_one_object, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(
            a_lease_that_is_given_back_in_steps_tells_how_much_and_until_when, folder_make,
            folder_drop),
        cmocka_unit_test_setup_teardown(without_a_yes_it_is_only_shown, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(it_tells_what_was_seen_of_the_target, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(what_is_withheld_is_one_and_in_the_ledger, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(wrong_input_is_two_with_what_helps, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(what_only_modules_can_do_is_refused_or_waits, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(it_outlives_kill_and_reload, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(a_rules_lease_is_deleted_and_it_says_what_comes,
                                        folder_make, folder_drop),
    };
    if (argc < 2) return 2;
    harness_command(argv[1]);
    return cmocka_run_group_tests_name("daemon_decisions", tests, NULL, NULL);
}
