/* SPDX-License-Identifier: Apache-2.0
 * Reload, brake, release, why, status, signals, and who may ask.
 */
#include "harness.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_FORCE(client) "deny " client "  effective, in force"
#define STATE "--state=state"

static const char *out;

static void start(struct run *r)
{
    put_file("p.mpol", flood_policy);
    put_file("t", "");
    run_start(r, "p.mpol", STATE, "--telemetry=t", "--listen=127.0.0.1:0", NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static void has(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) fail_msg("not there: %s\nin: %s", wanted, text);
}

/* ---- reload ---- */

static void put_policy_with(const char *more)
{
    char policy[1024];
    snprintf(policy, sizeof policy, "%s%s", flood_policy, more);
    put_file("p.mpol", policy);
}

static void bad_policies_change_nothing_and_are_seen_everywhere(struct run *r,
                                                                const char *generation)
{
    wait_get(r->port, "/metrics", 200, "mpol_reload_last_success 0");
    wait_get(r->port, "/readyz", 200, "(the last reload was refused)");
    wait_status("the last reload was refused: the policies have 1 error");
    assert_true(status_says(generation));
    assert_int_equal(ask(&out, "reload", STATE, NULL), 1);
    has(out, "refused: the policies have 1 error: E0");
    has(out, "p.mpol:");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
}

static void an_edited_file_is_in_force_and_a_broken_one_is_not(void **state)
{
    struct run r;
    start(&r);
    assert_true(status_says("generation 1, 1 rules"));
    put_policy_with("rule slow when p99_latency > 10s per svc then notify \"slow {svc}\"\n");
    run_wait(&r, "generation 2 is in force: 2 rules");
    put_policy_with("rule broken when no_such_thing > 3 per svc then notify \"x\"\n");
    run_wait(&r, "E0101");
    run_wait(&r, "reload refused, generation 2 stays in force");
    bad_policies_change_nothing_and_are_seen_everywhere(&r, "generation 2, 2 rules");
    put_policy_with("");
    run_wait(&r, "generation 3 is in force: 1 rules");
    assert_true(status_says("generation 3, 1 rules"));
    assert_false(status_says("refused"));
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(ask(&out, "reload", STATE, NULL), 0);
    has(out, "generation 4 is in force");
    wait_get(r.port, "/metrics", 200, "mpol_reload_last_success 1");
    stop(&r);
}

static void sighup_reloads(void **state)
{
    struct run r;
    start(&r);
    kill(r.pid, SIGHUP);
    run_wait(&r, "generation 2 is in force");
    stop(&r);
}

static void a_policy_file_that_is_gone_changes_nothing(void **state)
{
    struct run r;
    start(&r);
    assert_int_equal(unlink("p.mpol"), 0);
    run_wait(&r, "reload refused, generation 1 stays in force");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    put_file("p.mpol", flood_policy);
    run_wait(&r, "generation 2 is in force");
    stop(&r);
}

static void a_new_file_in_a_folder_is_in_force(void **state)
{
    struct run r;
    assert_int_equal(mkdir("policies", 0700), 0);
    put_file("policies/a.mpol", flood_policy);
    run_start(&r, "policies", STATE, NULL);
    put_file("policies/b.mpol",
             "use std.mesh\nrule slow when p99_latency > 10s per svc then notify \"slow {svc}\"\n");
    run_wait(&r, "in force: 2 rules");
    assert_int_equal(unlink("policies/b.mpol"), 0);
    run_wait(&r, "in force: 1 rules");
    stop(&r);
}

static void params_that_do_not_fit_are_named(void **state)
{
    struct run r;
    const char *const args[] = {"p.mpol", STATE, "--set=no_such=3", NULL};
    put_file("p.mpol", flood_policy);
    run_spawn(&r, -1, args);
    assert_int_equal(run_end(&r), 2);
    has(r.log, "--set=no_such=3: no param is called that");
    run_free(&r);
}

static void broken_policies_do_not_start(void **state)
{
    struct run r;
    const char *const args[] = {"p.mpol", STATE, NULL};
    put_file("p.mpol", "use std.mesh\nwhen eror_rate > 3% then quarantine svc\n");
    run_spawn(&r, -1, args);
    assert_int_equal(run_end(&r), 2);
    has(r.log, "E0101");
    run_free(&r);
}

/* ---- brake and release ---- */

static void the_brake_stops_what_is_new_and_keeps_what_is_in_force(void **state)
{
    struct run r;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(ask(&out, "brake", "on", STATE, NULL), 0);
    has(out, "brake on");
    add_failures("t", "10.0.0.2", 3);
    run_wait(&r, "deny 10.0.0.2: proposed -> withheld because brake");
    assert_true(status_says("brake ON"));
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(ask(&out, "brake", "status", STATE, NULL), 0);
    has(out, "brake on");
    wait_get(r.port, "/metrics", 200, "mpol_brake 1");
    assert_int_equal(ask(&out, "brake", "off", STATE, NULL), 0);
    has(out, "brake off");
    add_failures("t", "10.0.0.3", 3);
    wait_status(IN_FORCE("10.0.0.3"));
    assert_int_equal(ask(&out, "brake", "sideways", STATE, NULL), 2);
    stop(&r);
}

static void the_file_brake_does_the_same(void **state)
{
    struct run r;
    assert_int_equal(mkdir("state", 0700), 0);
    put_file("state/BRAKE", "");
    start(&r);
    assert_true(status_says("brake ON"));
    add_failures("t", "10.0.0.2", 3);
    run_wait(&r, "deny 10.0.0.2: proposed -> withheld because brake");
    assert_int_equal(ask(&out, "brake", "off", STATE, NULL), 1);
    has(out, "until the file BRAKE is removed");
    assert_int_equal(unlink("state/BRAKE"), 0);
    run_wait(&r, "the file BRAKE has gone: the brake is off");
    add_failures("t", "10.0.0.3", 3);
    wait_status(IN_FORCE("10.0.0.3"));
    put_file("state/BRAKE", "");
    run_wait(&r, "the file BRAKE has come: the brake is on");
    wait_status(IN_FORCE("10.0.0.3"));
    stop(&r);
}

static void an_incident_is_released_by_number_by_rule_or_with_all_others(void **state)
{
    struct run r;
    start(&r);
    for (int i = 1; i <= 4; i++) {
        char client[32];
        snprintf(client, sizeof client, "10.0.0.%d", i);
        add_failures("t", client, 3);
        snprintf(client, sizeof client, "deny 10.0.0.%d  effective", i);
        wait_status(client);
    }
    assert_int_equal(ask(&out, "release", "1", STATE, NULL), 0);
    run_wait(&r, "flood 10.0.0.1 deny 10.0.0.1: withdrawing -> withdrawn");
    assert_int_equal(ask(&out, "release", "flood", "10.0.0.2", STATE, NULL), 0);
    run_wait(&r, "flood 10.0.0.2 deny 10.0.0.2: withdrawing -> withdrawn");
    assert_false(status_says("deny 10.0.0.2"));
    wait_status(IN_FORCE("10.0.0.3"));
    assert_int_equal(ask(&out, "release", "flood", "10.0.0.99", STATE, NULL), 1);
    assert_int_equal(ask(&out, "release", "4711", STATE, NULL), 1);
    has(out, "no such open incident");
    assert_int_equal(ask(&out, "release", "--all", STATE, NULL), 0);
    has(out, "2 incidents");
    run_wait(&r, "flood 10.0.0.4 deny 10.0.0.4: withdrawing -> withdrawn");
    assert_true(status_says("leases:\n  none"));
    stop(&r);
}

/* ---- why ---- */

static void why_answers_for_now_and_for_then(void **state)
{
    struct run r;
    start(&r);
    add_failures("t", "10.0.0.1", 2);
    wait_status("records 2,");
    assert_int_equal(ask(&out, "why", "flood", "10.0.0.1", STATE, NULL), 0);
    has(out, "count(requests where status == 401) over 5m = 2");
    has(out, "false");
    add_failures("t", "10.0.0.1", 1);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(ask(&out, "why", "flood", "10.0.0.1", STATE, NULL), 0);
    has(out, "true");
    has(out, "(3 samples)");
    assert_int_equal(
        ask(&out, "why", "flood", "10.0.0.1", "--at=2098-01-01T00:00:00Z", STATE, NULL), 0);
    has(out, "when turned true   count(requests where status == 401) over 5m = 3");
    assert_int_equal(
        ask(&out, "why", "flood", "10.0.0.1", "--at=2001-01-01T00:00:00Z", STATE, NULL), 0);
    assert_null(strstr(out, "turned true"));
    assert_int_equal(ask(&out, "why", "flood", "10.0.0.1", "--at=noon", STATE, NULL), 2);
    assert_int_equal(ask(&out, "why", "nothing", "10.0.0.1", STATE, NULL), 2);
    has(out, "no rule is called nothing");
    stop(&r);
}

static void without_a_daemon_a_question_says_so(void **state)
{
    assert_int_equal(ask(&out, "status", STATE, NULL), 2);
    has(out, "no daemon answers at state/control");
    assert_int_equal(ask(&out, "status", NULL), 2);
}

/* ---- signals ---- */

static void sigint_and_sigterm_end_well_and_a_second_one_at_once(void **state)
{
    struct run r;
    put_file("hang", "#!/bin/sh\necho it hangs >started\nexec sleep 1000\n");
    assert_int_equal(chmod("hang", 0700), 0);
    put_file("p.mpol", flood_policy);
    put_file("t", "");
    start(&r);
    kill(r.pid, SIGINT);
    assert_int_equal(run_end(&r), 0);
    run_free(&r);
    run_start(&r, "p.mpol", "--state=second", "--telemetry=t", "--channel=chat=exec:./hang", NULL);
    add_failures("t", "10.0.0.1", 3);
    wait_file("started", "it hangs");
    kill(r.pid, SIGTERM);
    run_wait(&r, "info  ending: "); /* a second one at once could be one with the first */
    kill(r.pid, SIGTERM);
    assert_int_equal(run_end(&r), 128 + SIGTERM);
    run_free(&r);
    run_start(&r, "p.mpol", "--state=second", "--telemetry=t", "--channel=chat=log", NULL);
    assert_true(run_said(&r, "notify: flood 10.0.0.1")); /* it was never delivered */
    stop(&r);
}

/* ---- the socket ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

/* What the daemon answers to these bytes, until it closes. */
static size_t send_to_control(const void *bytes, size_t len, char *answer, size_t room)
{
    int fd = connect_to("state/control");
    assert_true(fd >= 0);
    ssize_t put = write(fd, bytes, len);
    assert_true(put > 0);
    size_t got = 0;
    ssize_t n;
    while (got < room - 1 && (n = read(fd, answer + got, room - 1 - got)) > 0) got += (size_t)n;
    answer[got] = '\0';
    close(fd);
    return got;
}

static void what_is_no_request_is_refused(void **state)
{
    struct run r;
    char answer[4096], many[8192];
    start(&r);
    send_to_control("\n", 1, answer, sizeof answer);
    has(answer, "2\nthis daemon does not know ``");
    send_to_control("sta\0tus\n", 8, answer, sizeof answer);
    has(answer, "2\nthis daemon does not know");
    send_to_control("why\tflood\t\xff\xfe\x01\n", 14, answer, sizeof answer);
    has(answer, "0\n");
    memset(many, 'x', sizeof many);
    assert_int_equal(send_to_control(many, sizeof many, answer, sizeof answer), 0);
    memset(many, '\t', sizeof many);
    many[100] = '\n';
    send_to_control(many, 101, answer, sizeof answer);
    has(answer, "2\n");
    assert_true(status_says("generation 1"));
    stop(&r);
}

static void another_user_is_refused(void **state)
{
    struct run r;
    if (geteuid() != 0) skip();
    start(&r);
    /* Even where the modes of folder and socket would let him in. */
    char here[512];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chmod(here, 0755), 0);
    assert_int_equal(chmod("state", 0755), 0);
    assert_int_equal(chmod("state/control", 0666), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char answer[256];
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(9);
        int fd = connect_to("state/control");
        if (fd < 0) _exit(8);
        ssize_t put = write(fd, "status\n", 7);
        _exit(put >= 0 && read(fd, answer, sizeof answer) > 0 ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    run_wait(&r, "uid 65534 was refused at the control socket");
    stop(&r);
}

static void the_socket_and_the_folder_are_the_owners_alone(void **state)
{
    struct run r;
    struct stat st;
    start(&r);
    assert_int_equal(stat("state", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat("state/control", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    stop(&r);
    assert_int_equal(access("state/control", F_OK), -1);
}

static void a_path_that_is_too_long_for_a_socket_is_named(void **state)
{
    struct run r;
    char long_name[200] = "--state=";
    memset(long_name + 8, 'd', 120);
    const char *const args[] = {"p.mpol", long_name, NULL};
    put_file("p.mpol", flood_policy);
    run_spawn(&r, -1, args);
    assert_int_equal(run_end(&r), 2);
    has(r.log, "too long for a socket");
    run_free(&r);
}

/* ---- the log ---- */

static const char forged[] =
    "{\"service\":\"a\\n2026-01-01T00:00:00Z info  FORGED\\u001b[31m\\u0085\\u202e\","
    "\"client\":\"10.0.0.1\","
    "\"status\":500}\n";

static const char key_policy[] =
    "use std.mesh\n"
    "rule failing when count(requests where status == 500) over 30s >= 1 per svc\n"
    "then quarantine svc for 30m and notify \"{svc} fails\" via chat\n";

static void what_comes_from_outside_cannot_forge_a_line(void **state)
{
    struct run r;
    put_file("p.mpol", key_policy);
    put_file("t", "");
    run_start(&r, "p.mpol", STATE, "--telemetry=t", NULL);
    add_to_file("t", forged);
    run_wait(&r, "open -> holding");
    run_wait(&r, "notify: a?2026"); /* or with the escape as a text */
    assert_null(strstr(r.log, "\n2026-01-01T00:00:00Z"));
    assert_null(strstr(r.log, "\x1b"));
    assert_null(strstr(r.log, "\xc2\x85"));
    assert_null(strstr(r.log, "\xe2\x80\xae"));
    stop(&r);
}

static void every_line_of_a_json_log_is_an_object(void **state)
{
    struct run r;
    put_file("p.mpol", key_policy);
    put_file("t", "");
    run_start(&r, "p.mpol", STATE, "--telemetry=t", "--format=json", NULL);
    add_to_file("t", forged);
    add_to_file("t", "\"\\\n");
    add_to_file("t", "{\"service\":\"\xff\xc3\",\"client\":\"10.0.0.1\",\"status\":500}\n");
    run_wait(&r, "t:2: ");
    run_wait(&r, "t:3: ");
    run_wait(&r, "open -> holding");
    kill(r.pid, SIGTERM);
    assert_int_equal(run_end(&r), 0);
    int lines = 0;
    for (char *at = r.log, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        json_error_t error;
        *end = '\0';
        json_t *line = json_loads(at, 0, &error);
        if (line == NULL) fail_msg("%s: %s", error.text, at);
        assert_true(json_is_string(json_object_get(line, "time")));
        assert_true(json_is_string(json_object_get(line, "level")));
        assert_true(json_is_string(json_object_get(line, "text")));
        json_decref(line);
        lines++;
    }
    assert_true(lines > 5);
    run_free(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(an_edited_file_is_in_force_and_a_broken_one_is_not),
        TEST(sighup_reloads),
        TEST(a_policy_file_that_is_gone_changes_nothing),
        TEST(a_new_file_in_a_folder_is_in_force),
        TEST(params_that_do_not_fit_are_named),
        TEST(broken_policies_do_not_start),
        TEST(the_brake_stops_what_is_new_and_keeps_what_is_in_force),
        TEST(the_file_brake_does_the_same),
        TEST(an_incident_is_released_by_number_by_rule_or_with_all_others),
        TEST(why_answers_for_now_and_for_then),
        TEST(without_a_daemon_a_question_says_so),
        TEST(sigint_and_sigterm_end_well_and_a_second_one_at_once),
        TEST(what_is_no_request_is_refused),
        TEST(another_user_is_refused),
        TEST(the_socket_and_the_folder_are_the_owners_alone),
        TEST(a_path_that_is_too_long_for_a_socket_is_named),
        TEST(what_comes_from_outside_cannot_forge_a_line),
        TEST(every_line_of_a_json_log_is_an_object),
    };
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
