/* SPDX-License-Identifier: Apache-2.0
 * A minute by the clock without a control plane: whoever is in quarantine stays in it, on old
 * connections and on new ones, and when the control plane is back it is the same lease. It is the
 * only test that waits for time to pass, since that is what it asks; tests/run.sh leaves it out
 * unless it is asked for (--only long).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy.h"

#define NODE "service/checkout/checkout-1"
#define MINUTE_US INT64_C(60000000)
#define EVERY_US INT64_C(200000)
/* Counted from the Envoy's reconnection. On a machine of its own it is at most a second, which
 * tests/bench holds; here others run too. */
#define RECONCILED_US INT64_C(10000000)

static const char policy[] = "use std.mesh\n"
                             "rule prober\n"
                             "  when count(requests where status == 404) over 5m >= 3\n"
                             "    per client.ip max 1k\n"
                             "  then deny client.ip on service for 30m\n";

static const char inventory[] =
    "{\"entity\":\"service\",\"name\":\"checkout\"}\n"
    "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n";

struct shop {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
    char xds[32];
};

static void start_mpol(struct shop *s)
{
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s->xds,
              NULL);
}

static void open_shop(struct shop *s)
{
    int port = port_hold();
    *s = (struct shop){0};
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", port);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", inventory);
    upstream_start(&s->app);
    start_mpol(s);
    struct proxy_is is = {"service", "checkout", "checkout-1", s->app.port, port};
    proxy_start(&s->sidecar, &is, NULL);
    wait_status(NODE);
}

static void decide(const char *const *words)
{
    const char *out;
    int code = ask_words(&out, words);
    if (code != 0) fail_msg("%s", out);
}

static const char *const quarantine[] = {"decisions", "add",   "quarantine",    "instance=checkout-1",
                                         "--for=30m", "--yes", "--state=state", NULL};
static const char *const lift[] = {"decisions", "delete",        "instance=checkout-1",
                                   "--yes",     "--state=state", NULL};

static void sleep_until(int64_t at_us)
{
    struct timespec at = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {}
}

/* A connection ends after so many requests, or when the Envoy likes: then there is a new one. */
static void is_refused(struct client *kept, int port)
{
    int status = client_get(kept, "/");
    if (status == -1) {
        client_close(kept);
        client_open(kept, "127.0.0.1", port);
        status = client_get(kept, "/");
    }
    assert_int_equal(status, 403);
    assert_int_equal(get_once("127.0.0.1", port, "/"), 403);
}

static void a_minute_without_a_control_plane_lifts_nothing(void **state)
{
    struct shop s;
    struct client kept;
    (void)state;
    open_shop(&s);
    assert_int_equal(get_once("127.0.0.1", s.sidecar.port, "/"), 200);
    client_open(&kept, "127.0.0.1", s.sidecar.port);
    assert_int_equal(client_get(&kept, "/"), 200);
    decide(quarantine);
    wait_status("effective, in force");
    is_refused(&kept, s.sidecar.port);

    run_kill(&s.mpol);
    run_free(&s.mpol);
    int64_t began = test_now_us();
    int asked = 0;
    for (int64_t at = began; at <= began + MINUTE_US; at += EVERY_US, asked++) {
        sleep_until(at);
        is_refused(&kept, s.sidecar.port);
    }
    assert_true(test_now_us() - began >= MINUTE_US && asked == (int)(MINUTE_US / EVERY_US) + 1);

    start_mpol(&s);
    while (!run_said(&s.mpol, "proxy " NODE " is connected"))
        is_refused(&kept, s.sidecar.port);
    int64_t back = test_now_us();
    while (!status_says("ecds 4 of 4")) is_refused(&kept, s.sidecar.port);
    int64_t took = test_now_us() - back;
    print_message("refused %d times in %.1f s; reconciled %.0f ms after the Envoy was back\n", asked,
                  (double)(test_now_us() - began) / 1e6, (double)took / 1e3);
    assert_true(took <= RECONCILED_US);
    wait_status("effective, in force");
    is_refused(&kept, s.sidecar.port);

    decide(lift);
    wait_get_once("127.0.0.1", s.sidecar.port, "/", 200);
    client_close(&kept);
    proxy_stop(&s.sidecar);
    upstream_stop(&s.app);
    assert_int_equal(run_stop(&s.mpol), 0);
    run_free(&s.mpol);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_minute_without_a_control_plane_lifts_nothing, folder_make,
                                        mesh_drop),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
