/* SPDX-License-Identifier: Apache-2.0
 * What a daemon still knows after it was stopped, killed, or given other policies.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_FORCE(client) "deny " client "  effective, in force"

static void start(struct run *r)
{
    put_file("p.mpol", flood_policy);
    run_start(r, "p.mpol", "--state=state", "--telemetry=t", "--channel=chat=file:chat", NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) n++;
    return n;
}

static void the_chain_verifies(void)
{
    const char *out;
    int code = ask(&out, "ledger", "verify", "--state=state", NULL);
    if (code != 0) fail_msg("ledger verify: %s", out);
}

static void windows_survive_a_restart(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    stop(&r);
    start(&r);
    assert_true(status_says("incidents:\n  none"));
    add_failures("t", "10.0.0.1", 1);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_true(status_says("records 1,"));
    stop(&r);
}

static void windows_survive_other_policies(void **state)
{
    struct run r;
    char policy[1024];
    const char *out;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    snprintf(policy, sizeof policy,
             "%srule slow when p99_latency > 10s per svc then notify \"slow {svc}\"\n",
             flood_policy);
    put_file("p.mpol", policy);
    assert_int_equal(ask(&out, "reload", "--state=state", NULL), 0);
    add_failures("t", "10.0.0.1", 1);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static void begins_empty(const char *because)
{
    struct run r;
    start(&r);
    assert_true(run_said(&r, because));
    assert_int_equal(count(r.log, "windows begin empty"), 1);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    assert_true(status_says("incidents:\n  none"));
    stop(&r);
}

static void windows_that_are_damaged_are_passed_over(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    stop(&r);
    char bytes[4096];
    FILE *f = fopen("state/windows", "rb");
    assert_non_null(f);
    size_t len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(len > 100);
    bytes[len / 2] ^= 1;
    put_bytes("state/windows", bytes, len);
    begins_empty("it is damaged");
    put_bytes("state/windows", bytes, 20);
    begins_empty("it is cut off");
}

static void windows_of_another_state_are_passed_over(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    stop(&r);
    assert_int_equal(rename("state", "other"), 0);
    start(&r);
    stop(&r);
    assert_int_equal(rename("other/windows", "state/windows"), 0);
    begins_empty("it belongs to another state");
}

static void a_kill_loses_no_incident_and_nothing_is_read_twice(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    wait_file("chat", "flood 10.0.0.1");
    int waited = 0;
    const char *out;
    while (ask(&out, "ledger", "show", "--state=state", NULL) != 0 ||
           strstr(out, "\"why\":\"done\"") == NULL) {
        pause_between(&waited, "a message that is known to be delivered");
    }
    for (int i = 0; i < 3; i++) {
        run_kill(&r);
        run_free(&r);
        start(&r);
        wait_status(IN_FORCE("10.0.0.1"));
        assert_true(status_says("records 0,"));
    }
    add_failures("t", "10.0.0.2", 3);
    wait_status(IN_FORCE("10.0.0.2"));
    stop(&r);
    the_chain_verifies();
    assert_int_equal(count(get_file("chat"), "flood 10.0.0.1"), 1);
}

/* Small, and the same for the same seed. */
static uint32_t draw(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525u + 1013904223u;
    return (*random >> 8) % below;
}

#define KILLS 25

/* Of each client, every message has one and the same key. */
static void one_key_a_message(const char *chat, const char *client)
{
    char wanted[64], key[64] = "";
    int seen = 0;
    snprintf(wanted, sizeof wanted, "\"text\":\"flood %s\"", client);
    for (const char *line = chat, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *text = strstr(line, wanted);
        if (text == NULL || text > end) continue;
        const char *at = strstr(line, "\"idempotency_key\":\"") + strlen("\"idempotency_key\":\"");
        char this[64];
        snprintf(this, sizeof this, "%.*s", (int)strcspn(at, "\""), at);
        if (seen++ > 0) assert_string_equal(this, key);
        memcpy(key, this, sizeof key);
    }
    if (seen == 0) fail_msg("no message about %s", client);
}

static void however_often_it_is_killed_no_flood_is_lost_and_no_message_has_two_keys(void **state)
{
    struct run r;
    char client[32], lines[1024], wanted[64];
    uint32_t random = 1;
    print_message("seed %u\n", random);
    put_file("t", "");
    for (int i = 1; i <= KILLS; i++) {
        start(&r);
        snprintf(client, sizeof client, "10.0.1.%d", i);
        const char *line = failure_line(client);
        snprintf(lines, sizeof lines, "%s%s%s", line, line, line);
        add_to_file("t", lines); /* at once: windows are not kept at every record */
        static const char *const moments[] = {"",
                                              "pending -> open",
                                              "applying -> accepted",
                                              "proposed -> admitted",
                                              "open -> holding",
                                              "because done"};
        const char *moment = moments[draw(&random, 6)];
        if (moment[0] != '\0') run_wait(&r, moment);
        run_kill(&r);
        run_free(&r);
    }
    start(&r);
    for (int i = 1; i <= KILLS; i++) {
        const char *out = "";
        snprintf(wanted, sizeof wanted, "\"text\":\"flood 10.0.1.%d\"", i);
        wait_file("chat", wanted);
        snprintf(wanted, sizeof wanted, "\"key\":\"10.0.1.%d\"", i);
        assert_int_equal(ask(&out, "ledger", "show", "--state=state", NULL), 0);
        assert_non_null(strstr(out, wanted));
    }
    stop(&r);
    the_chain_verifies();
    for (int i = 1; i <= KILLS; i++) {
        snprintf(client, sizeof client, "10.0.1.%d", i);
        one_key_a_message(get_file("chat"), client);
    }
}

static void the_ledger_is_pruned_beside_a_running_daemon(void **state)
{
    struct run r;
    const char *out;
    put_file("t", "");
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(
        ask(&out, "ledger", "prune", "--before=2098-01-01T00:00:00Z", "--state=state", NULL), 0);
    the_chain_verifies();
    assert_int_equal(ask(&out, "ledger", "show", "--state=state", NULL), 0);
    assert_null(strstr(out, "\"seq\":1,"));
    add_failures("t", "10.0.0.2", 3);
    wait_status(IN_FORCE("10.0.0.2"));
    stop(&r);
    the_chain_verifies();
    start(&r);
    wait_status(IN_FORCE("10.0.0.1"));
    add_failures("t", "10.0.0.3", 3);
    wait_status(IN_FORCE("10.0.0.3"));
    stop(&r);
    the_chain_verifies();
}

static const char tier_policy[] =
    "use std.mesh\n"
    "rule failing\n"
    "  when count(requests where status == 500) over 5m >= 3 per svc unless svc.tier is batch\n"
    "  then quarantine svc for 30m\n";

static void fail_service(const char *name)
{
    char line[200];
    snprintf(line, sizeof line, "{\"service\":\"%s\",\"client\":\"10.0.0.1\",\"status\":500}\n",
             name);
    for (int i = 0; i < 3; i++) add_to_file("t", line);
}

static void start_tiers(struct run *r, const char *inventory)
{
    put_file("p.mpol", tier_policy);
    run_start(r, "p.mpol", "--state=state", "--telemetry=t", inventory, NULL);
}

/* Until the store has written this. */
static void wait_kept(const char *text)
{
    static char bytes[4u << 20];
    int waited = 0;
    for (;;) {
        int fd = open("state/mpol.db-wal", O_RDONLY | O_CLOEXEC);
        ssize_t len = fd >= 0 ? read(fd, bytes, sizeof bytes) : 0;
        if (fd >= 0) close(fd);
        if (len > 0 && memmem(bytes, (size_t)len, text, strlen(text)) != NULL) return;
        pause_between(&waited, text);
    }
}

static void inventory_survives_a_kill_and_the_last_line_wins(void **state)
{
    struct run r;
    put_file("t", "");
    start_tiers(&r, NULL);
    add_to_file("t", "{\"entity\":\"service\",\"name\":\"nightly\",\"tier\":\"critical\"}\n"
                     "{\"entity\":\"service\",\"name\":\"weekly\",\"tier\":\"batch\"}\n"
                     "{\"entity\":\"service\",\"name\":\"monthly\",\"tier\":\"batch\"}\n"
                     "{\"entity\":\"service\",\"name\":\"yearly\",\"tier\":\"batch\"}\n"
                     "{\"entity\":\"service\",\"name\":\"nightly\",\"tier\":\"batch\"}\n");
    fail_service("front");
    wait_status("quarantine front  effective");
    wait_kept("\"nightly\",\"tier\":\"batch\"");
    run_kill(&r);
    run_free(&r);
    start_tiers(&r, NULL);
    fail_service("weekly");
    fail_service("nightly");
    fail_service("back");
    wait_status("quarantine back  effective");
    assert_false(status_says("nightly"));
    assert_false(status_says("weekly"));
    stop(&r);
    /* A file of today is newer than what was kept. */
    put_file("i", "{\"entity\":\"service\",\"name\":\"monthly\",\"tier\":\"standard\"}\n");
    start_tiers(&r, "--inventory=i");
    fail_service("yearly");
    fail_service("monthly");
    wait_status("quarantine monthly  effective");
    assert_false(status_says("yearly"));
    stop(&r);
}

static void the_brake_survives_a_kill_and_a_file_is_its_own_memory(void **state)
{
    struct run r;
    const char *out;
    put_file("t", "");
    start(&r);
    assert_int_equal(ask(&out, "brake", "on", "--state=state", NULL), 0);
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "proposed -> withheld because brake");
    wait_status("durable\nbrake ON");
    stop(&r);
    start(&r);
    assert_true(status_says("brake ON"));
    put_file("state/BRAKE", "");
    run_wait(&r, "the file BRAKE has come");
    assert_int_equal(ask(&out, "brake", "off", "--state=state", NULL), 1);
    assert_non_null(strstr(out, "brake on (by the file BRAKE)"));
    run_kill(&r);
    run_free(&r);
    start(&r);
    assert_true(status_says("brake ON"));
    assert_int_equal(unlink("state/BRAKE"), 0);
    run_wait(&r, "the file BRAKE has gone: the brake is off");
    assert_true(status_says("brake off"));
    stop(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(windows_survive_a_restart),
        TEST(windows_survive_other_policies),
        TEST(windows_that_are_damaged_are_passed_over),
        TEST(windows_of_another_state_are_passed_over),
        TEST(a_kill_loses_no_incident_and_nothing_is_read_twice),
        TEST(however_often_it_is_killed_no_flood_is_lost_and_no_message_has_two_keys),
        TEST(the_ledger_is_pruned_beside_a_running_daemon),
        TEST(inventory_survives_a_kill_and_the_last_line_wins),
        TEST(the_brake_survives_a_kill_and_a_file_is_its_own_memory),
    };
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
