/* SPDX-License-Identifier: Apache-2.0
 * Certificates, trust and what is revoked, from a folder of mpol to a sidecar that has no file of
 * its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../grpc/certs.h"
#include "proxy.h"
#include "tls_client.h"

struct shop {
    struct test_ca *ca;
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
    char xds[32];
    int xds_port;
};

static void copy(const char *from, const char *to) { put_file(to, get_file(from)); }

/* Whole at once, as whoever renews certificates should do it. */
static void replace(const char *from, const char *to)
{
    copy(from, "fresh.tmp");
    assert_int_equal(rename("fresh.tmp", to), 0);
}

static void make_certificates(struct shop *s)
{
    static const char *const names[] = {"checkout", "web", "cart", "mpol"};
    char san[128];
    s->ca = test_ca_create(".", "ca");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(san, sizeof san, "URI:spiffe://shop/ns/default/sa/%s,IP:127.0.0.1", names[i]);
        test_cert_create(s->ca, ".", names[i], san, false);
    }
    assert_int_equal(mkdir("sds", 0700), 0);
    copy("ca.pem", "sds/trust.pem");
    copy("checkout.pem", "sds/checkout.crt");
    copy("checkout.key", "sds/checkout.key");
}

static bool sotw; /* the sidecar speaks the state of the world */

static void speak_sotw(struct proxy *p)
{
    proxy_stop(p);
    char *config = text_replaced(get_file(p->file), "\"DELTA_GRPC\"", "\"GRPC\"");
    put_file("sotw.json", config);
    free(config);
    proxy_start_file(p, "sotw.json");
    wait_status("state of the world");
}

static void open_shop(struct shop *s)
{
    *s = (struct shop){.xds_port = port_hold()};
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", s->xds_port);
    make_certificates(s);
    put_file("policy.mpol",
             "use std.mesh\nrule slow when error_rate > 50% then throttle svc to 50%\n");
    put_file("inventory.jsonl", "{\"entity\":\"service\",\"name\":\"checkout\",\"identities\":"
                                "[\"spiffe://shop/ns/default/sa/checkout\"]}\n");
    upstream_start(&s->app);
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s->xds,
              "--sds=sds", "--xds-cert=mpol.pem", "--xds-key=mpol.key", "--xds-ca=ca.pem", NULL);
    struct proxy_is is = {"service", "checkout", "checkout-1", s->app.port, s->xds_port};
    proxy_start(&s->sidecar, &is, "--sds", "--xds-cert=checkout.pem", "--xds-key=checkout.key",
                "--xds-ca=ca.pem", NULL);
    if (sotw) speak_sotw(&s->sidecar);
    wait_tls_get_once(s->sidecar.port, "web", "/", 200);
}

static void close_shop(struct shop *s)
{
    proxy_stop(&s->sidecar);
    upstream_stop(&s->app);
    assert_int_equal(run_stop(&s->mpol), 0);
    run_free(&s->mpol);
    test_ca_free(s->ca);
}

static void a_revoked_certificate_fails_its_next_handshake(void **state)
{
    struct shop s;
    (void)state;
    open_shop(&s);
    struct tls_client *web = tls_open(s.sidecar.port, "web", NULL);
    assert_non_null(web);
    assert_int_equal(tls_get(web, "/"), 200);
    test_crl_create(s.ca, ".", "crl", "web", false);
    int64_t began = test_now_us();
    replace("crl.pem", "sds/revoked.pem");
    wait_tls_get_once(s.sidecar.port, "web", "/", -1);
    print_message("revoked, then refused after %.1f ms\n", (double)(test_now_us() - began) / 1e3);
    /* Whoever has a session to resume is asked again, whoever has a connection is not. */
    struct tls_client *again = tls_open(s.sidecar.port, "web", web);
    assert_int_equal(again != NULL ? tls_get(again, "/") : -1, -1);
    tls_close(again);
    assert_int_equal(tls_get(web, "/"), 200);
    assert_int_equal(tls_get_once(s.sidecar.port, "cart", "/"), 200);
    tls_close(web);
    assert_int_equal(remove("sds/revoked.pem"), 0);
    wait_tls_get_once(s.sidecar.port, "web", "/", 200);
    /* A list that should have been renewed shuts out everybody of its authority. */
    test_crl_create(s.ca, ".", "crl", "web", true);
    replace("crl.pem", "sds/revoked.pem");
    wait_tls_get_once(s.sidecar.port, "cart", "/", -1);
    wait_status("revoked.pem: the list of /CN=ca ended at 20");
    close_shop(&s);
}

/* A pair in two steps, as files come. */
static void put_pair(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s.pem", name);
    replace(path, "sds/checkout.crt");
    snprintf(path, sizeof path, "%s.key", name);
    replace(path, "sds/checkout.key");
}

static void what_a_proxy_cannot_use_leaves_it_with_what_it_had(void **state)
{
    struct shop s;
    (void)state;
    open_shop(&s);
    put_file("broken.pem", "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n");
    replace("broken.pem", "sds/trust.pem"); /* mpol does not even send it */
    wait_status("trust.pem certificate 1 in it cannot be read; what was there before is served on");
    replace("ca.pem", "sds/trust.pem");
    test_cert_create_short(s.ca, ".", "short", "URI:spiffe://shop/ns/default/sa/checkout,"
                                               "IP:127.0.0.1");
    put_pair("short");
    wait_status("REFUSED");
    assert_int_equal(tls_get_once(s.sidecar.port, "web", "/"), 200);
    put_pair("checkout");
    /* Another authority: who has a certificate of the old one is let in no more. */
    struct test_ca *other = test_ca_create(".", "other");
    replace("other.pem", "sds/trust.pem");
    wait_tls_get_once(s.sidecar.port, "web", "/", -1);
    replace("ca.pem", "sds/trust.pem");
    wait_tls_get_once(s.sidecar.port, "web", "/", 200);
    test_ca_free(other);
    close_shop(&s);
}

static void keys_are_not_told_over_a_port_that_anybody_may_open(void **state)
{
    struct shop s = {.xds_port = port_hold()};
    const char *out;
    (void)state;
    snprintf(s.xds, sizeof s.xds, "--xds=127.0.0.1:%d", s.xds_port);
    make_certificates(&s);
    put_file("policy.mpol",
             "use std.mesh\nrule slow when error_rate > 50% then throttle svc to 50%\n");
    assert_int_not_equal(ask(&out, "run", "policy.mpol", "--state=state", s.xds, "--sds=sds", NULL),
                         0);
    if (strstr(out, "private keys") == NULL) fail_msg("%s", out);
    test_ca_free(s.ca);
}

static int make_sotw(void **state)
{
    sotw = true;
    return folder_make(state);
}

static int drop(void **state)
{
    sotw = false;
    return mesh_drop(state);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, drop)
#define SOTW(name) {"in the state of the world, " #name, name, make_sotw, drop, NULL}
    const struct CMUnitTest tests[] = {
        TEST(a_revoked_certificate_fails_its_next_handshake),
        SOTW(a_revoked_certificate_fails_its_next_handshake),
        TEST(what_a_proxy_cannot_use_leaves_it_with_what_it_had),
        SOTW(what_a_proxy_cannot_use_leaves_it_with_what_it_had),
        TEST(keys_are_not_told_over_a_port_that_anybody_may_open),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
