/* SPDX-License-Identifier: Apache-2.0
 * Telemetry as it comes: damaged, from the wrong time, from sources that go and return.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define IN_FORCE(client) "deny " client "  effective, in force"

static void start(struct run *r, const char *telemetry)
{
    put_file("p.mpol", flood_policy);
    run_start(r, "p.mpol", "--state=state", "--telemetry", telemetry, NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static void bad_lines_are_counted_told_and_skipped(void **state)
{
    struct run r;
    char *large = malloc(3u << 20);
    assert_non_null(large);
    memset(large, 'x', 3u << 20);
    put_file("t", "no json\n{\"service\":\n\"\xff\xfe\"\n[1,2]\n");
    add_failures("t", "10.0.0.1", 2);
    int fd = open("t", O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "\0\0\0\n{\"a\":\"\0\"}\n", 14), 14);
    assert_int_equal(write(fd, large, 3u << 20), 3 << 20); /* one line of 3 MiB */
    assert_int_equal(write(fd, "\n", 1), 1);
    close(fd);
    free(large);
    add_failures("t", "10.0.0.1", 1);
    start(&r, "t");
    wait_status(IN_FORCE("10.0.0.1"));
    assert_true(status_says("bad lines 7"));
    assert_true(status_says("records 3,"));
    assert_true(run_said(&r, "t:1: "));
    assert_true(run_said(&r, "longer than 1 MiB; skipped"));
    for (int i = 0; i < 50; i++) add_to_file("t", "again no json\n");
    wait_status("bad lines 57");
    assert_true(run_said(&r, "(more are only counted)"));
    assert_null(strstr(strstr(r.log, "(more are only counted)"), "skipped"));
    stop(&r);
}

static void an_attribute_of_another_type_is_told_with_its_place(void **state)
{
    struct run r;
    (void)state;
    put_file("p.mpol", flood_policy);
    put_file("inventory", "{\"entity\":\"instance\",\"name\":\"a\",\"port\":80}\n"
                          "{\"entity\":\"instance\",\"name\":\"b\",\"port\":\"http\"}\n"
                          "{\"entity\":\"instance\",\"name\":\"c\",\"port\":\"https\"}\n");
    put_file("t", "");
    run_start(&r, "p.mpol", "--state=state", "--inventory=inventory", "--telemetry=t", NULL);
    assert_true(run_said(&r, "inventory:2: `port` is not a port: left out"));
    assert_false(run_said(&r, "inventory:3:"));
    assert_true(status_says("bad values 2"));
    stop(&r);
}

static void a_line_of_one_mebibyte_is_taken(void **state)
{
    struct run r;
    size_t len = 1u << 20;
    char *line = malloc(len + 1);
    assert_non_null(line);
    memset(line, ' ', len);
    memcpy(line, failure_line("10.0.0.1"), strlen(failure_line("10.0.0.1")) - 1);
    line[len] = '\n';
    put_bytes("t", line, len + 1);
    free(line);
    add_failures("t", "10.0.0.1", 2);
    start(&r, "t");
    wait_status(IN_FORCE("10.0.0.1"));
    assert_true(status_says("bad lines 0"));
    stop(&r);
}

static void what_is_from_the_past_is_late_and_what_is_from_the_future_is_now(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r, "t");
    for (int i = 0; i < 5; i++) {
        add_to_file(
            "t",
            "{\"time\":\"2001-01-01T00:00:00Z\",\"service\":\"a\",\"client\":\"10.0.0.1\","
            "\"status\":401}\n");
    }
    wait_status("late 5,");
    assert_true(status_says("incidents:\n  none"));
    for (int i = 0; i < 3; i++) {
        add_to_file(
            "t",
            "{\"time\":\"2099-01-01T00:00:00Z\",\"service\":\"a\",\"client\":\"10.0.0.2\","
            "\"status\":401}\n");
    }
    wait_status(IN_FORCE("10.0.0.2"));
    assert_true(status_says("ahead 3,"));
    add_failures("t", "10.0.0.3", 3); /* and time has not moved: the present still counts */
    wait_status(IN_FORCE("10.0.0.3"));
    assert_true(status_says("late 5,"));
    stop(&r);
}

static void a_rotated_file_is_followed_to_its_last_line(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r, "t");
    add_failures("t", "10.0.0.1", 1);
    wait_status("records 1,");
    add_failures("t", "10.0.0.1", 1);
    assert_int_equal(rename("t", "t.1"), 0);
    add_failures("t.1", "10.0.0.1", 1); /* by somebody who still has it open */
    add_failures("t", "10.0.0.2", 3);
    wait_status(IN_FORCE("10.0.0.2"));
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static void a_cut_file_begins_anew(void **state)
{
    struct run r;
    put_file("t", "");
    start(&r, "t");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    cut_file("t");
    run_wait(&r, "t: begins anew");
    add_failures("t", "10.0.0.2", 3);
    wait_status(IN_FORCE("10.0.0.2"));
    stop(&r);
}

static void a_file_that_is_not_there_yet_is_waited_for(void **state)
{
    struct run r;
    start(&r, "t");
    assert_true(run_said(&r, "t is not there yet"));
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_int_equal(unlink("t"), 0);
    add_failures("t", "10.0.0.2", 3);
    wait_status(IN_FORCE("10.0.0.2"));
    stop(&r);
}

static void a_line_that_has_not_ended_is_waited_for(void **state)
{
    struct run r;
    const char *line = failure_line("10.0.0.1");
    put_file("t", "");
    start(&r, "t");
    add_failures("t", "10.0.0.1", 2);
    char half[64];
    snprintf(half, sizeof half, "%.20s", line);
    add_to_file("t", half);
    wait_status("records 2,");
    add_to_file("t", line + 20);
    wait_status(IN_FORCE("10.0.0.1"));
    assert_true(status_says("bad lines 0"));
    stop(&r);
}

static void a_fifo_outlives_its_writers(void **state)
{
    struct run r;
    assert_int_equal(mkfifo("f", 0600), 0);
    start(&r, "f");
    for (int i = 0; i < 3; i++) {
        int fd = open("f", O_WRONLY);
        assert_true(fd >= 0);
        const char *line = failure_line("10.0.0.1");
        assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
        close(fd);
    }
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static void a_fifo_may_come_later(void **state)
{
    struct run r;
    start(&r, "f");
    assert_int_equal(mkfifo("f", 0600), 0);
    run_wait(&r, "f: has come");
    for (int i = 0; i < 3; i++) add_to_file("f", failure_line("10.0.0.1"));
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void many_write_to_a_socket_and_none_holds_up_the_end(void **state)
{
    struct run r;
    int fd[100];
    const char *line = failure_line("10.0.0.1");
    start(&r, "unix:sock");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100; i++) fd[i] = connect_to("sock");
        for (int i = 0; i < 100; i++)
            assert_int_equal(write(fd[i], line, strlen(line)), (ssize_t)strlen(line));
        wait_status(round == 0 ? "records 100," : "records 200,");
        if (round == 0) {
            for (int i = 0; i < 100; i++) close(fd[i]);
        }
    }
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r); /* a hundred are still connected */
    for (int i = 0; i < 100; i++) close(fd[i]);
}

static void a_socket_that_somebody_serves_is_left_alone_and_a_dead_one_is_replaced(void **state)
{
    struct run r;
    const char *const args[] = {"p.mpol", "--state=state", "--telemetry=unix:sock", NULL};
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    put_file("p.mpol", flood_policy);
    run_spawn(&r, -1, args);
    assert_int_equal(run_end(&r), 2);
    assert_non_null(strstr(r.log, "unix:sock: address already in use"));
    run_free(&r);
    close(connect_to("sock"));
    close(fd); /* what is left is a socket that nobody serves */
    start(&r, "unix:sock");
    close(connect_to("sock"));
    stop(&r);
}

static void standard_input_may_end_without_a_line_end(void **state)
{
    struct run r;
    int pipes[2];
    const char *const args[] = {"p.mpol", "--state=state", "--telemetry=-", NULL};
    put_file("p.mpol", flood_policy);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    run_spawn(&r, pipes[0], args);
    close(pipes[0]);
    const char *line = failure_line("10.0.0.1");
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(line) - (i == 2);
        assert_int_equal(write(pipes[1], line, len), (ssize_t)len);
    }
    close(pipes[1]);
    run_wait(&r, "standard input has ended");
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static void standard_input_may_be_a_file(void **state)
{
    struct run r;
    const char *const args[] = {"p.mpol", "--state=state", "--telemetry=-", NULL};
    put_file("p.mpol", flood_policy);
    add_failures("t", "10.0.0.1", 3);
    int fd = open("t", O_RDONLY | O_CLOEXEC);
    run_spawn(&r, fd, args);
    close(fd);
    run_wait(&r, "standard input has ended");
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

/* One line of an Envoy's access log, as docs/ENVOY.md configures it. The time is one to come:
 * now. */
static void envoy_line(char *line, size_t size, const char *client, const char *path,
                       const char *answer)
{
    snprintf(
        line, size,
        "{\"layer\":\"service\",\"service\":\"checkout\",\"instance\":\"checkout-1\","
        "\"emit_time\":\"2099-01-01T00:00:00.001Z\",\"start_time\":\"2099-01-01T00:00:00.000Z\","
        "\"method\":\"GET\",\"path\":\"%s\",\"duration\":1,%s,"
        "\"downstream_remote_address\":\"%s:5000\"}\n",
        path, answer, client);
}

#define FAILED "\"response_code\":401,\"response_code_details\":\"via_upstream\""
#define REFUSED                                                                                    \
    "\"response_code\":401,"                                                                       \
    "\"response_code_details\":\"rbac_access_denied_matched_policy[mpol:x/3]\""

static void an_access_log_of_an_envoy_is_telemetry(void **state)
{
    struct run r;
    char line[600];
    put_file("t", "no json\n");
    start(&r, "envoy:t");
    for (int i = 0; i < 3; i++) {
        /* a probe of our own */
        envoy_line(line, sizeof line, "10.0.0.2", "/.mpol/probe/1", FAILED);
        add_to_file("t", line);
        envoy_line(line, sizeof line, "10.0.0.2", "/a", REFUSED); /* no request: we refused it */
        add_to_file("t", line);
    }
    for (int i = 0; i < 3; i++) {
        envoy_line(line, sizeof line, "10.0.0.1", "/a", FAILED);
        add_to_file("t", line);
    }
    wait_status(IN_FORCE("10.0.0.1"));
    assert_true(status_says("records 6,")); /* three requests, three refusals */
    assert_true(status_says("bad lines 1"));
    assert_false(status_says("10.0.0.2"));
    stop(&r);
}

static void an_envoy_may_write_into_a_fifo(void **state)
{
    struct run r;
    char line[600];
    assert_int_equal(mkfifo("t", 0600), 0);
    start(&r, "envoy:t");
    int fd = open("t", O_WRONLY);
    envoy_line(line, sizeof line, "10.0.0.1", "/a", FAILED);
    for (int i = 0; i < 3; i++) assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    wait_status(IN_FORCE("10.0.0.1"));
    close(fd);
    stop(&r);
}

static void without_telemetry_it_says_so(void **state)
{
    struct run r;
    put_file("p.mpol", flood_policy);
    run_start(&r, "p.mpol", "--state=state", NULL);
    assert_true(run_said(&r, "no --telemetry: nothing is seen"));
    stop(&r);
}

static void a_source_that_cannot_be_read_is_named(void **state)
{
    struct run r;
    const char *const args[] = {"p.mpol", "--state=state", "--telemetry=.", NULL};
    put_file("p.mpol", flood_policy);
    run_spawn(&r, -1, args);
    assert_int_equal(run_end(&r), 2);
    assert_non_null(strstr(r.log, "mpol run: .: neither a file nor a FIFO"));
    run_free(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_lines_are_counted_told_and_skipped),
        TEST(a_line_of_one_mebibyte_is_taken),
        TEST(an_attribute_of_another_type_is_told_with_its_place),
        TEST(what_is_from_the_past_is_late_and_what_is_from_the_future_is_now),
        TEST(a_rotated_file_is_followed_to_its_last_line),
        TEST(a_cut_file_begins_anew),
        TEST(a_file_that_is_not_there_yet_is_waited_for),
        TEST(a_line_that_has_not_ended_is_waited_for),
        TEST(a_fifo_outlives_its_writers),
        TEST(a_fifo_may_come_later),
        TEST(a_socket_that_somebody_serves_is_left_alone_and_a_dead_one_is_replaced),
        TEST(many_write_to_a_socket_and_none_holds_up_the_end),
        TEST(standard_input_may_end_without_a_line_end),
        TEST(standard_input_may_be_a_file),
        TEST(an_access_log_of_an_envoy_is_telemetry),
        TEST(an_envoy_may_write_into_a_fifo),
        TEST(without_telemetry_it_says_so),
        TEST(a_source_that_cannot_be_read_is_named),
    };
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
