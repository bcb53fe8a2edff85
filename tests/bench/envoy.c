/* SPDX-License-Identifier: Apache-2.0
 * The loop over a live Envoy, from the outside: what an operator, a client and a kill see.
 *
 *   bench_envoy MPOL [MODULES]     in a folder of its own; the Envoy is $MPOL_ENVOY or in the build
 *                                  folder
 *
 * envoy.deny        a decision is asked for on the control socket → the first 403 on a connection
 *                   that a client keeps busy, through ECDS. The client's own round trip is in it.
 * envoy.leaks       200s on that connection after the lease was effective
 * envoy.decision    the answer to the last request that a rule needs → the rule opens an incident,
 *                   by the access log service without buffering
 * module.decision   the same by the module, where there is one
 * envoy.reconciled  a control plane that was killed listens again and the Envoy is back → it was
 *                   seen to obey; requests that were let through meanwhile are envoy.let_in
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../envoy/proxy.h"
#include "bench.h"

#define CLIENT "127.0.0.2"
#define ROUNDS_MAX 1000

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 30s >= 3 per client.ip max 10k\n"
    "  then deny client.ip on service for 10m\n";

struct shop {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
    char xds[32], socket[160]; /* words of a command; socket empty: without the module */
    int xds_port;
};

static void start_mpol(struct shop *s)
{
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state",
              "--listen=127.0.0.1:0", s->xds, s->socket[0] != '\0' ? s->socket : NULL, NULL);
}

static void open_shop(struct shop *s, bool module)
{
    char folder[100];
    *s = (struct shop){.xds_port = port_hold()};
    if (getcwd(folder, sizeof folder) == NULL) bench_fail("no folder");
    if (module) snprintf(s->socket, sizeof s->socket, "--module-socket=%s/m.sock", folder);
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", s->xds_port);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl",
             "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n");
    upstream_start(&s->app);
    start_mpol(s);
    struct proxy_is is = {"service", "checkout", "checkout-1", s->app.port, s->xds_port};
    proxy_start(&s->sidecar, &is, module ? s->socket : NULL, NULL);
    wait_status(module ? "checkout-1: program 1, leases passed" : "service/checkout/checkout-1");
}

static void close_shop(struct shop *s)
{
    proxy_stop(&s->sidecar);
    upstream_stop(&s->app);
    run_stop(&s->mpol);
    run_free(&s->mpol);
}

/* ---- the control socket, without a process around it ---- */

static int control_send(const char *line)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "state/control"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        bench_fail("no control socket");
    if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
        bench_fail("control: %s", strerror(errno));
    return fd;
}

static void control_end(int fd)
{
    char answer[4096];
    size_t len = 0;
    ssize_t got;
    while (len < sizeof answer - 1 && (got = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    if (len == 0 || answer[0] != '0') bench_fail("control: %.*s", (int)len, answer);
}

static void percentiles(const char *name, double *us, size_t count)
{
    char full[64];
    bench_sort(us, count);
    snprintf(full, sizeof full, "%s.p50", name);
    bench_say(full, bench_percentile(us, count, 0.50), "us", NULL, NAN);
    snprintf(full, sizeof full, "%s.p99", name);
    bench_say(full, bench_percentile(us, count, 0.99), "us", NULL, NAN);
}

/* ---- a decision → 403 ---- */

static void until(struct client *c, int status)
{
    int64_t began = test_now_us();
    while (client_get(c, "/") != status) {
        if (test_now_us() - began > 10000000) bench_fail("no %d within 10 s", status);
    }
}

static void deny_and_back(struct shop *s, int rounds)
{
    static double us[ROUNDS_MAX];
    struct client c;
    int leaks = 0;
    client_open(&c, CLIENT, s->sidecar.port);
    until(&c, 200);
    for (int i = 0; i < rounds; i++) {
        int64_t began = test_now_us();
        int fd = control_send("decisions\tadd\tdo\ttext\t-\tbench\tdeny\tclient.ip=" CLIENT
                              "\ton=service\tfor=5m\n");
        until(&c, 403);
        us[i] = (double)(test_now_us() - began);
        control_end(fd);
        wait_status("effective, in force");
        for (int k = 0; k < 20; k++) leaks += client_get(&c, "/") == 200;
        control_end(control_send("decisions\tdelete\tdo\ttext\tbench\tclient.ip=" CLIENT "\n"));
        until(&c, 200);
        run_said(&s->mpol, ""); /* its log is read, or it waits for that */
    }
    client_close(&c);
    percentiles("envoy.deny", us, (size_t)rounds);
    bench_say("envoy.leaks", leaks, "requests", NULL, NAN);
}

/* ---- what a proxy saw → a decision ---- */

static double wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* When the log says that the rule opened for this client: its lines begin with the time. */
static double opened_us(struct run *r, const char *client)
{
    char text[96];
    struct tm tm = {0};
    long micros;
    snprintf(text, sizeof text, "prober %s: pending -> open", client);
    run_wait(r, text);
    char *at = strstr(r->log, text);
    while (at > r->log && at[-1] != '\n') at--;
    if (sscanf(at, "%d-%d-%dT%d:%d:%d.%ldZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &micros) != 7) {
        bench_fail("no time in the log: %.40s", at);
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (double)timegm(&tm) * 1e6 + (double)micros;
}

/* Clients are 127.NET.x.y: each is refused once, and for long. */
static void seen_and_decided(struct shop *s, const char *name, int net, int rounds)
{
    static double us[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++) {
        char client[32];
        struct client c;
        snprintf(client, sizeof client, "127.%d.%d.%d", net, 1 + i / 250, 1 + i % 250);
        client_open(&c, client, s->sidecar.port);
        for (int k = 0; k < 3; k++) {
            if (client_get(&c, "/404") != 404) bench_fail("%s was refused early", client);
        }
        double answered = wall_us();
        us[i] = opened_us(&s->mpol, client) - answered;
        if (us[i] < 0) us[i] = 0; /* the proxy logs before its last byte is read */
        /* One at a time: the next is not to queue behind what this one changes in the mesh. */
        char text[96];
        snprintf(text, sizeof text, "deny %s: accepted -> effective", client);
        run_wait(&s->mpol, text);
        client_close(&c);
    }
    percentiles(name, us, (size_t)rounds);
}

/* ---- a kill ---- */

static void killed_and_back(struct shop *s, int rounds)
{
    static double ms[ROUNDS_MAX];
    int let_in = 0;
    control_end(control_send("decisions\tadd\tdo\ttext\t-\tbench\tdeny\tclient.ip=" CLIENT
                             "\ton=service\tfor=9m\n"));
    wait_status("effective, in force");
    for (int i = 0; i < rounds; i++) {
        run_kill(&s->mpol);
        run_free(&s->mpol);
        for (int k = 0; k < 20; k++) let_in += get_once(CLIENT, s->sidecar.port, "/") == 200;
        start_mpol(s);
        wait_get(s->mpol.port, "/metrics", 200, "mpol_xds_proxies_connected 1");
        int64_t back = test_now_us();
        for (int waited = 0; !status_says(", proven"); pause_between(&waited, "reconciled")) {
            let_in += get_once(CLIENT, s->sidecar.port, "/") == 200;
        }
        ms[i] = (double)(test_now_us() - back) / 1000;
    }
    bench_sort(ms, (size_t)rounds);
    bench_say("envoy.reconciled", ms[rounds - 1], "ms", NULL, NAN);
    bench_say("envoy.let_in", let_in, "requests", NULL, NAN);
}

int main(int argc, char **argv)
{
    struct shop s;
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    if (folder_make(NULL) != 0) bench_fail("no folder");
    open_shop(&s, false);
    deny_and_back(&s, bench_quick() ? 3 : 200);
    seen_and_decided(&s, "envoy.decision", 0, bench_quick() ? 3 : 200);
    killed_and_back(&s, bench_quick() ? 1 : 5);
    if (argc > 2) {
        close_shop(&s);
        setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", argv[2], 1);
        open_shop(&s, true);
        seen_and_decided(&s, "module.decision", 1, bench_quick() ? 3 : 200);
    }
    return mesh_drop(NULL) == 0 ? 0 : 2;
}
