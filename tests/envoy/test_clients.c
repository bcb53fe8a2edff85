/* SPDX-License-Identifier: Apache-2.0
 * Clients whose address somebody else tells: a proxy of ours in x-forwarded-for, a balancer by the
 * PROXY protocol, as IPv4, as IPv6, and as IPv4 mapped into IPv6. What is done to a client meets it
 * however its address came, and nobody beside it: at the filters, and at the module alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../envoy_mod/bed.h"
#include "proxy.h"

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip on service for 30m\n";

static const char inventory[] =
    "{\"entity\":\"service\",\"name\":\"checkout\"}\n"
    "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n";

/* ---- who asks ---- */

enum way { FORWARDED, PROXIED };

/* One client and its neighbour; `as`: what is told of each. Each has an address of its own, so that
 * none meets what was decided about another. */
static const struct client_case {
    enum way way;
    const char *address, *as, *other_as;
} cases[] = {
    {FORWARDED, "7.7.1.1", "7.7.1.1", "7.7.1.2"},
    {FORWARDED, "7.7.2.1", "::ffff:7.7.2.1", "::ffff:7.7.2.2"},
    {FORWARDED, "2001:db8:1::1", "2001:db8:1::1", "2001:db8:1::2"},
    {PROXIED, "7.7.3.1", "7.7.3.1", "7.7.3.2"},
    {PROXIED, "7.7.4.1", "::ffff:7.7.4.1", "::ffff:7.7.4.2"},
    {PROXIED, "2001:db8:2::1", "2001:db8:2::1", "2001:db8:2::2"},
};
#define CASES (sizeof cases / sizeof *cases)

static int port; /* of the sidecar */

static void begin_proxied(struct client *c, const char *as)
{
    char line[128];
    bool six = strchr(as, ':') != NULL;
    int len = snprintf(line, sizeof line, "PROXY TCP%d %s %s 1111 80\r\n", six ? 6 : 4, as,
                       six ? "::1" : "127.0.0.1");
    assert_int_equal(write(c->fd, line, (size_t)len), len);
}

static int get_as(enum way way, const char *as, const char *path)
{
    struct client c;
    char line[128] = "";
    client_open(&c, "127.0.0.1", port);
    assert_true(c.fd >= 0);
    if (way == PROXIED) begin_proxied(&c, as);
    if (way == FORWARDED) snprintf(line, sizeof line, "X-Forwarded-For: %s\r\n", as);
    int status = client_get_with(&c, path, line);
    client_close(&c);
    return status;
}

static void is(const struct client_case *c, int status, int other)
{
    int got = get_as(c->way, c->as, "/"), got_other = get_as(c->way, c->other_as, "/");
    if (got != status || got_other != other) {
        fail_msg("%s %s: %d and %d, not %d and %d", c->way == PROXIED ? "PROXY" : "forwarded",
                 c->as, got, got_other, status, other);
    }
}

static void wait_is(const struct client_case *c, int status)
{
    for (int waited = 0; get_as(c->way, c->as, "/") != status; pause_between(&waited, c->as)) {}
}

/* ---- what is done to them ---- */

static void decide(const struct client_case *c, const char *verb, const char *to, const char *burst)
{
    char target[64];
    const char *out;
    snprintf(target, sizeof target, "client.ip=%s", c->address);
    int code = ask(&out, "decisions", "add", verb, target, "--on=service", "--for=5m", "--yes",
                   "--state=state", to, burst, NULL);
    if (code != 0) fail_msg("%s", out);
}

static void let_go(const struct client_case *c)
{
    char target[64];
    const char *out;
    snprintf(target, sizeof target, "client.ip=%s", c->address);
    int code = ask(&out, "decisions", "delete", target, "--yes", "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
    wait_is(c, 200);
}

static void is_denied(const struct client_case *c)
{
    decide(c, "deny", NULL, NULL);
    is(c, 403, 200);
    let_go(c);
}

static void has_no_share(const struct client_case *c)
{
    decide(c, "throttle", "to=0%", NULL);
    for (int i = 0; i < 5; i++) is(c, 429, 200);
    let_go(c);
}

static void has_a_rate(const struct client_case *c)
{
    int passed = 0;
    decide(c, "throttle", "to=0.001/s", "burst=3");
    for (int i = 0; i < 8; i++) {
        int status = get_as(c->way, c->as, "/");
        passed += status == 200;
        assert_true(status == 200 || status == 429);
        assert_int_equal(get_as(c->way, c->other_as, "/"), 200);
    }
    assert_int_equal(passed, 3);
    let_go(c);
}

static void is_counted_and_denied(const struct client_case *c)
{
    for (int i = 0; i < 3; i++) assert_int_equal(get_as(c->way, c->as, "/404"), 404);
    wait_is(c, 403);
    is(c, 403, 200);
}

/* ---- a sidecar that believes what it is told ---- */

struct shop {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
};

#define LISTENER_FILTER                                                                            \
    "\"listener_filters\": [{\"name\": \"envoy.filters.listener.proxy_protocol\", "                \
    "\"typed_config\": {\"@type\": \"type.googleapis.com/"                                         \
    "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol\", "                        \
    "\"allow_requests_without_proxy_protocol\": true}}],\n\"filter_chains\": ["

static void start_sidecar(struct shop *s, int xds_port, const char *socket)
{
    struct proxy_is at = {"service", "checkout", "checkout-1", s->app.port, xds_port};
    proxy_start(&s->sidecar, &at, "--xff-hops=1", socket, NULL);
    proxy_stop(&s->sidecar);
    char *config = text_replaced(get_file("checkout-1.json"), "\"filter_chains\": [",
                                 LISTENER_FILTER);
    put_file("told.json", config);
    free(config);
    proxy_start_file(&s->sidecar, "told.json");
    port = s->sidecar.port;
}

static void all_hold(struct shop *s)
{
    for (size_t i = 0; i < CASES; i++) {
        is(&cases[i], 200, 200);
        is_denied(&cases[i]);
        has_no_share(&cases[i]);
        has_a_rate(&cases[i]);
        is_counted_and_denied(&cases[i]);
    }
    proxy_stop(&s->sidecar);
    upstream_stop(&s->app);
    assert_int_equal(run_stop(&s->mpol), 0);
    run_free(&s->mpol);
}

static void filters_meet_a_client_however_its_address_came(void **state)
{
    struct shop s = {.sidecar = {0}};
    char xds[32];
    int xds_port = port_hold();
    (void)state;
    snprintf(xds, sizeof xds, "--xds=127.0.0.1:%d", xds_port);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", inventory);
    upstream_start(&s.app);
    run_start(&s.mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", xds, NULL);
    start_sidecar(&s, xds_port, NULL);
    wait_status("ecds 4 of 4 rtds 1 of 1");
    all_hold(&s);
}

/* Nobody answers where its filters are asked for: they let everything through. */
static void the_module_meets_a_client_however_its_address_came(void **state)
{
    struct shop s = {.sidecar = {0}};
    char folder[100], socket[160];
    (void)state;
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(socket, sizeof socket, "--module-socket=%s/m.sock", folder);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", inventory);
    upstream_start(&s.app);
    run_start(&s.mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", socket, NULL);
    start_sidecar(&s, port_hold(), socket);
    wait_status("service/checkout/checkout-1: program 1, leases passed");
    all_hold(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, mesh_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest at_filters[] = {TEST(filters_meet_a_client_however_its_address_came)};
    const struct CMUnitTest at_module[] = {TEST(the_module_meets_a_client_however_its_address_came)};
    const char *envoy = proxy_program();
    if (argc < 2 || envoy == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    int failed = cmocka_run_group_tests(at_filters, NULL, NULL);
    if (argc < 3) {
        printf("left out: no libmpol_envoy, or one with sanitizers, which no Envoy can load\n");
    } else if (bed_loads_modules(envoy)) {
        assert_int_equal(setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", argv[2], 1), 0);
        failed += cmocka_run_group_tests(at_module, NULL, NULL);
    }
    return failed;
}
