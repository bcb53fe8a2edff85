/* SPDX-License-Identifier: Apache-2.0
 * A gateway, sidecars and mutual TLS everywhere: identities, instances behind a gateway, proxies
 * that are not who they say, and one that refuses what it is sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../grpc/certs.h"
#include "proxy.h"
#include "tls_client.h"

static const char policy[] =
    "use std.mesh\n"
    "rule friend\n"
    "  when count(requests where path == \"/friend\") over 30s >= 2 per client.ip max 1k\n"
    "  then exempt client.ip on service for 30m\n";

struct mesh {
    struct upstream app;
    struct run mpol;
    struct proxy one, two, gateway;
    char xds[32];
    int xds_port;
};

static void make_certificates(void)
{
    static const char *const names[] = {"checkout", "web", "cart", "gateway", "mpol"};
    char san[128];
    struct test_ca *ca = test_ca_create(".", "ca");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(san, sizeof san, "URI:spiffe://shop/ns/default/sa/%s,IP:127.0.0.1", names[i]);
        test_cert_create(ca, ".", names[i], san, false);
    }
    test_ca_free(ca);
}

static void add_service(const char *name)
{
    char line[200];
    snprintf(
        line, sizeof line,
        "{\"entity\":\"service\",\"name\":\"%s\","
        "\"identities\":[\"spiffe://shop/ns/default/sa/%s\"]}\n",
        name, name);
    add_to_file("inventory.jsonl", line);
}

static void add_instance(const char *name, int port)
{
    char line[200];
    snprintf(
        line, sizeof line,
        "{\"entity\":\"instance\",\"name\":\"%s\",\"service\":\"checkout\","
        "\"ip\":\"127.0.0.1\",\"port\":%d}\n",
        name, port);
    add_to_file("inventory.jsonl", line);
}

/* A sidecar of checkout whose certificate to mpol is `who`'s. */
static void start_sidecar(const struct mesh *m, struct proxy *p, const char *instance,
                          const char *who)
{
    char cert[32], key[32];
    struct proxy_is is = {"service", "checkout", instance, m->app.port, m->xds_port};
    snprintf(cert, sizeof cert, "%s.pem", who);
    snprintf(key, sizeof key, "%s.key", who);
    proxy_start(p, &is, "--tls-cert=checkout.pem", "--tls-key=checkout.key", "--tls-ca=ca.pem",
                "--xds-cert", cert, "--xds-key", key, "--xds-ca=ca.pem", NULL);
}

static void start_gateway(struct mesh *m)
{
    struct proxy_is is = {"ingress", "gateway", "gateway-1", 0, m->xds_port};
    proxy_start(&m->gateway, &is, "--route=/=checkout", "--tls-cert=gateway.pem",
                "--tls-key=gateway.key", "--tls-ca=ca.pem", "--xds-cert=gateway.pem",
                "--xds-key=gateway.key", "--xds-ca=ca.pem", NULL);
}

static void start_mpol(struct mesh *m)
{
    run_start(&m->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", m->xds,
              "--xds-cert=mpol.pem", "--xds-key=mpol.key", "--xds-ca=ca.pem",
              "--listen=127.0.0.1:0", NULL);
}

static void open_mesh(struct mesh *m)
{
    *m = (struct mesh){.xds_port = port_hold()};
    m->one.port = port_hold();
    m->two.port = port_hold();
    snprintf(m->xds, sizeof m->xds, "--xds=127.0.0.1:%d", m->xds_port);
    make_certificates();
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", "");
    add_service("checkout");
    add_service("web");
    add_service("cart");
    add_service("gateway");
    add_instance("checkout-1", m->one.port);
    add_instance("checkout-2", m->two.port);
    upstream_start(&m->app);
    start_mpol(m);
    start_sidecar(m, &m->one, "checkout-1", "checkout");
}

static void close_mesh(struct mesh *m)
{
    proxy_stop(&m->gateway);
    proxy_stop(&m->two);
    proxy_stop(&m->one);
    upstream_stop(&m->app);
    assert_int_equal(run_stop(&m->mpol), 0);
    run_free(&m->mpol);
}

/* `to`: an argument, or NULL. */
static void decide_to(const char *verb, const char *target, const char *to)
{
    const char *out;
    int code = ask(&out, "decisions", "add", verb, target, "--for=5m", "--yes", "--state=state", to,
                   NULL);
    if (code != 0) fail_msg("%s", out);
}

static void decide(const char *verb, const char *target) { decide_to(verb, target, NULL); }

/* ---- who asks ---- */

static void an_identity_is_refused_on_every_connection_and_no_other_is(void **state)
{
    struct mesh m;
    open_mesh(&m);
    struct tls_client *web = tls_open(m.one.port, "web", NULL),
                      *cart = tls_open(m.one.port, "cart", NULL);
    assert_non_null(web);
    assert_non_null(cart);
    assert_int_equal(tls_get(web, "/"), 200);
    assert_int_equal(tls_get(cart, "/"), 200);
    decide("deny", "identity=spiffe://shop/ns/default/sa/web");
    wait_status("effective, in force");
    /* the connection that was there */
    for (int i = 0; i < 20; i++) assert_int_equal(tls_get(web, "/"), 403);
    struct tls_client *again = tls_open(m.one.port, "web", web);
    assert_non_null(again);
    assert_true(tls_resumed(again));
    assert_int_equal(tls_get(again, "/"), 403);
    assert_int_equal(tls_get_once(m.one.port, "web", "/"), 403);
    assert_int_equal(tls_get(cart, "/"), 200);
    assert_int_equal(tls_get_once(m.one.port, "cart", "/"), 200);
    assert_int_equal(tls_get_once(m.one.port, NULL, "/"), 200); /* asked for, not demanded */
    tls_close(again);
    tls_close(cart);
    tls_close(web);
    close_mesh(&m);
}

static void an_identity_has_a_share_of_its_own_and_all_others_that_of_who_answers(void **state)
{
    struct mesh m;
    open_mesh(&m);
    decide_to("throttle", "identity=spiffe://shop/ns/default/sa/web", "to=0%");
    wait_tls_get_once(m.one.port, "web", "/", 429);
    assert_int_equal(tls_get_once(m.one.port, "cart", "/"), 200);
    assert_int_equal(tls_get_once(m.one.port, NULL, "/"), 200);
    decide("exempt", "identity=spiffe://shop/ns/default/sa/gateway");
    decide_to("throttle", "service=checkout", "to=0%");
    wait_tls_get_once(m.one.port, "cart", "/", 429);
    wait_tls_get_once(m.one.port, NULL, "/", 429);
    assert_int_equal(tls_get_once(m.one.port, "web", "/"), 429);
    assert_int_equal(tls_get_once(m.one.port, "gateway", "/"), 200);
    close_mesh(&m);
}

static void strict_mtls_refuses_who_shows_nothing(void **state)
{
    struct mesh m;
    open_mesh(&m);
    assert_int_equal(tls_get_once(m.one.port, NULL, "/"), 200);
    const char *out;
    int code = ask(&out, "decisions", "add", "require", "service=checkout", "what=mtls",
                   "mode=strict", "--for=5m", "--yes", "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
    wait_tls_get_once(m.one.port, NULL, "/", 403);
    assert_int_equal(tls_get_once(m.one.port, "web", "/"), 200);
    wait_status("effective, in force");
    close_mesh(&m);
}

/* ---- who answers ---- */

static void an_instance_in_quarantine_gets_nothing_from_the_gateway(void **state)
{
    struct mesh m;
    open_mesh(&m);
    start_sidecar(&m, &m.two, "checkout-2", "checkout");
    start_gateway(&m);
    wait_tls_get_once(m.gateway.port, NULL, "/", 200);
    decide("quarantine", "instance=checkout-2");
    wait_status("effective, in force");
    for (int i = 0; i < 30; i++) assert_int_equal(tls_get_once(m.gateway.port, NULL, "/"), 200);
    assert_int_equal(tls_get_once(m.two.port, "web", "/"), 403);
    assert_int_equal(tls_get_once(m.one.port, "web", "/"), 200);
    const char *out;
    assert_int_equal(
        ask(&out, "decisions", "delete", "instance=checkout-2", "--yes", "--state=state", NULL), 0);
    wait_tls_get_once(m.two.port, "web", "/", 200);
    close_mesh(&m);
}

/* ---- proxies that are not what they say ---- */

static void a_proxy_with_the_certificate_of_another_service_is_unknown(void **state)
{
    struct mesh m;
    open_mesh(&m);
    start_sidecar(&m, &m.two, "checkout-2", "web");
    wait_status("UNKNOWN: gets the baseline");
    for (int i = 0; i < 5; i++) assert_int_equal(tls_get_once(m.two.port, NULL, "/friend"), 200);
    wait_get(m.mpol.port, "/metrics", 200, "mpol_als_unknown_total 5");
    assert_false(status_says("friend")); /* what it says is not counted */
    assert_true(status_says("incidents:\n  none"));
    close_mesh(&m);
}

static void what_a_proxy_refuses_is_told_and_changes_nothing(void **state)
{
    struct mesh m;
    const char *out;
    open_mesh(&m);
    proxy_stop(&m.one);
    char *config = strdup(get_file("checkout-1.json")), *at;
    /* An Envoy that takes filters in their own type only, as a snippet of an earlier day might
     * say. */
    static const char wrapped[] = "common.matching.v3.ExtensionWithMatcher";
    static const char plain[] = "filters.http.rbac.v3.RBAC\"";
    while ((at = strstr(config, wrapped)) != NULL) {
        memset(at, ' ', strlen(wrapped) + 1); /* with the quote behind it */
        memcpy(at, plain, strlen(plain));
    }
    put_file("narrow.json", config);
    free(config);
    proxy_start_file(&m.one, "narrow.json");
    decide("deny", "identity=spiffe://shop/ns/default/sa/web");
    wait_tls_get_once(m.one.port, "web", "/", 403);
    assert_int_equal(ask(&out, "decisions", "add", "exempt", "client.ip=127.0.0.9", "--for=5m",
                         "--yes", "--state=state", NULL),
                     1);
    if (strstr(out, "refused mpol-deny") == NULL) fail_msg("%s", out);
    if (ask(&out, "why", "manual", "127.0.0.9", "--state=state", NULL) != 0) fail_msg("%s", out);
    assert_non_null(strstr(
        out, "exempt 127.0.0.9 is stuck: proxy service/checkout/checkout-1 refused mpol-deny"));
    wait_status("REFUSED");
    assert_true(status_says("ExtensionWithMatcher"));
    assert_int_equal(tls_get_once(m.one.port, "web", "/"), 403);
    assert_int_equal(tls_get_once(m.one.port, "cart", "/"), 200);
    wait_get(m.mpol.port, "/readyz", 200, "1 refusing");
    /* What is told live is in the store a moment later. */
    int waited = 0;
    while (ask(&out, "ledger", "show", "--state=state", NULL) != 0 ||
           strstr(out, "refused mpol-deny") == NULL) {
        pause_between(&waited, "the refusal in the ledger");
    }
    close_mesh(&m);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, mesh_drop)
    const struct CMUnitTest tests[] = {
        TEST(an_identity_is_refused_on_every_connection_and_no_other_is),
        TEST(an_identity_has_a_share_of_its_own_and_all_others_that_of_who_answers),
        TEST(strict_mtls_refuses_who_shows_nothing),
        TEST(an_instance_in_quarantine_gets_nothing_from_the_gateway),
        TEST(a_proxy_with_the_certificate_of_another_service_is_unknown),
        TEST(what_a_proxy_refuses_is_told_and_changes_nothing),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
