/* SPDX-License-Identifier: Apache-2.0
 * Certificates of the port for proxies, and those that proxies are served: what an operator is told
 * of those that are no good.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../grpc/certs.h"

#define XDS "--xds=127.0.0.1:0"
#define STATE "--state=state"

static struct test_ca *ca;

static void has(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) fail_msg("not there: %s\nin: %s", wanted, text);
}

static void copy(const char *from, const char *to) { put_file(to, get_file(from)); }

static int make(void **state)
{
    static const char *const names[] = {"mpol", "web"};
    assert_int_equal(folder_make(state), 0);
    ca = test_ca_create(".", "ca");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        test_cert_create(ca, ".", names[i], "URI:spiffe://shop/x,IP:127.0.0.1", false);
    }
    test_cert_create(ca, ".", "ended", "URI:spiffe://shop/x,IP:127.0.0.1", true);
    put_file("p.mpol", flood_policy);
    put_file("garbage.pem", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n");
    assert_int_equal(mkdir("sds", 0700), 0);
    copy("ca.pem", "sds/trust.pem");
    return 0;
}

static int drop(void **state)
{
    test_ca_free(ca);
    return folder_drop(state);
}

static void start(struct run *r)
{
    run_start(r, "p.mpol", STATE, XDS, "--listen=127.0.0.1:0", "--sds=sds", "--xds-cert=mpol.pem",
              "--xds-key=mpol.key", "--xds-ca=ca.pem", NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

/* Each option is named, with its file and what is wrong. */
static void files_that_are_no_good_are_named_and_end_it(void **state)
{
    static const struct {
        const char *cert, *key, *trust, *sds, *wanted;
    } rows[] = {
        {"none.pem", "mpol.key", "ca.pem", "sds",
         "mpol run: --xds-cert=none.pem: No such file or directory\n"},
        {"", "mpol.key", "ca.pem", "sds", "mpol run: --xds-cert=: No such file or directory\n"},
        {"garbage.pem", "mpol.key", "ca.pem", "sds",
         "mpol run: --xds-cert=garbage.pem: certificate 1 in it cannot be read\n"},
        {"mpol.pem", "none.key", "ca.pem", "sds",
         "mpol run: --xds-key=none.key: No such file or directory\n"},
        {"mpol.pem", "mpol.pem", "ca.pem", "sds",
         "mpol run: --xds-key=mpol.pem: has no private key in PEM\n"},
        {"mpol.pem", "web.key", "ca.pem", "sds", "web.key: not the key of mpol.pem"},
        {"mpol.pem", "mpol.key", "none.pem", "sds",
         "mpol run: --xds-ca=none.pem: No such file or directory\n"},
        {"mpol.pem", "mpol.key", "mpol.key", "sds",
         "mpol run: --xds-ca=mpol.key: has no certificate in PEM\n"},
        {"mpol.pem", "mpol.key", "sds", "sds", "mpol run: --xds-ca=sds: Is a directory\n"},
        {"mpol.pem", "mpol.key", "ca.pem", "none",
         "mpol run: --sds=none: No such file or directory\n"},
        {"mpol.pem", "mpol.key", "ca.pem", "ca.pem", "mpol run: --sds=ca.pem: Not a directory\n"},
        {"mpol.pem", "mpol.key", "ca.pem", ".", "mpol run: --sds=.: trust.pem is not there\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char words[4][64];
        const char *out;
        snprintf(words[0], sizeof *words, "--xds-cert=%s", rows[i].cert);
        snprintf(words[1], sizeof *words, "--xds-key=%s", rows[i].key);
        snprintf(words[2], sizeof *words, "--xds-ca=%s", rows[i].trust);
        snprintf(words[3], sizeof *words, "--sds=%s", rows[i].sds);
        assert_int_equal(ask(&out, "run", "p.mpol", STATE, XDS, words[0], words[1], words[2],
                             words[3], NULL), 2);
        has(out, rows[i].wanted);
    }
}

static void a_pair_that_is_out_of_date_is_told_everywhere(void **state)
{
    struct run r;
    (void)state;
    copy("ended.pem", "sds/shop.web.crt");
    copy("ended.key", "sds/shop.web.key");
    start(&r);
    wait_status("certificates: 1 pair served");
    assert_true(run_said(&r, "--sds: shop.web.crt: the certificate /CN=ended ended at 20"));
    assert_true(status_says("  shop.web.crt: the certificate /CN=ended ended at 20"));
    wait_get(r.port, "/metrics", 200, "mpol_certificates_out_of_date 1");
    wait_get(r.port, "/metrics", 200, "mpol_sds_first_end_timestamp_seconds 1");
    assert_int_equal(unlink("sds/shop.web.crt"), 0);
    assert_int_equal(mkfifo("sds/shop.web.crt", 0600), 0);
    run_wait(&r, "shop.web.crt cannot be read: not a regular file");
    assert_int_equal(unlink("sds/shop.web.crt"), 0);
    copy("web.pem", "sds/shop.web.crt");
    wait_status("shop.web.key is the key of another certificate; what was there before is served");
    run_wait(&r, "--sds: shop.web.key is the key of another certificate");
    wait_get(r.port, "/metrics", 200, "mpol_sds_refused 1");
    copy("web.key", "sds/shop.web.key");
    run_wait(&r, "certificates have changed");
    assert_false(status_says("shop.web"));
    wait_get(r.port, "/metrics", 200, "mpol_certificates_out_of_date 0");
    wait_get(r.port, "/metrics", 200, "mpol_sds_refused 0");
    stop(&r);
}

static void a_certificate_of_the_port_that_is_out_of_date_is_told_and_renewed(void **state)
{
    struct run r;
    (void)state;
    copy("ended.pem", "port.pem");
    copy("ended.key", "port.key");
    run_start(&r, "p.mpol", STATE, XDS, "--listen=127.0.0.1:0", "--xds-cert=port.pem",
              "--xds-key=port.key", "--xds-ca=ca.pem", NULL);
    assert_true(run_said(&r, "--xds: the certificate /CN=ended ended at 20"));
    assert_true(status_says("  --xds: the certificate /CN=ended ended at 20"));
    wait_get(r.port, "/metrics", 200, "mpol_certificates_out_of_date 1");
    assert_int_equal(unlink("port.pem"), 0);
    assert_int_equal(mkfifo("port.pem", 0600), 0); /* nobody waits for who writes it */
    run_wait(&r, "port.pem: not a regular file");
    assert_int_equal(unlink("port.pem"), 0);
    copy("web.pem", "port.pem"); /* its key is still to come */
    run_wait(&r, "port.key: not the key of port.pem");
    wait_status("  --xds: port.key: not the key of port.pem");
    copy("web.key", "port.key");
    run_wait(&r, "the certificates of the port have been renewed");
    wait_get(r.port, "/metrics", 200, "mpol_certificates_out_of_date 0");
    assert_false(status_says("certificates:"));
    stop(&r);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        TEST(files_that_are_no_good_are_named_and_end_it),
        TEST(a_pair_that_is_out_of_date_is_told_everywhere),
        TEST(a_certificate_of_the_port_that_is_out_of_date_is_told_and_renewed),
    };
    (void)argc;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
