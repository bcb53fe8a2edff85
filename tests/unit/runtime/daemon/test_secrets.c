/* SPDX-License-Identifier: Apache-2.0
 * The folder of `--sds`: what of it is served when it is no good, or out of date.
 */
#include "daemon/mesh_secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../loopback/folder.h"
#include "certs.h"

#define SAN "URI:spiffe://shop/ns/default/sa/x"
#define DAY_S 86400

static char dir[64], sds[80], at[160], log_text[8192], told[8192];
static struct test_ca *ca;
static uv_loop_t loop;
static struct dm_secrets *secrets;
static int changes;

/* ---- a folder of throw-away certificates, and the one that is served ---- */

static const char *path(const char *folder, const char *name)
{
    snprintf(at, sizeof at, "%s/%s", folder, name);
    return at;
}

static void put(const char *name, mp_str bytes)
{
    FILE *f = fopen(path(sds, name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, f), bytes.len);
    fclose(f);
}

static mp_str get(const char *name)
{
    static char bytes[16384];
    FILE *f = fopen(path(dir, name), "r");
    assert_non_null(f);
    size_t len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return (mp_str){bytes, len};
}

static void copy(const char *from, const char *to) { put(to, get(from)); }

static void pair(const char *service, const char *cert, const char *key)
{
    char to[64], from[64];
    snprintf(from, sizeof from, "%s.pem", cert);
    snprintf(to, sizeof to, "%s.crt", service);
    copy(from, to);
    snprintf(from, sizeof from, "%s.key", key);
    snprintf(to, sizeof to, "%s.key", service);
    copy(from, to);
}

static int setup(void **state)
{
    static const char *const names[] = {"checkout", "web", "fresh"};
    (void)state;
    assert_true(tmp_folder_make(dir, sizeof dir, "secrets"));
    snprintf(sds, sizeof sds, "%s/sds", dir);
    assert_int_equal(mkdir(sds, 0700), 0);
    ca = test_ca_create(dir, "ca");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        test_cert_create(ca, dir, names[i], SAN, false);
    }
    test_cert_create(ca, dir, "ended", SAN, true);
    copy("ca.pem", "trust.pem");
    pair("checkout", "checkout", "checkout");
    assert_int_equal(uv_loop_init(&loop), 0);
    changes = 0;
    log_text[0] = '\0';
    secrets = NULL;
    return 0;
}

static int teardown(void **state)
{
    char line[128];
    (void)state;
    dm_secrets_close(secrets);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    test_ca_free(ca);
    snprintf(line, sizeof line, "rm -r %s", dir);
    return system(line);
}

static void on_changed(void *ctx)
{
    (void)ctx;
    changes++;
}

static void append(char *to, size_t size, const char *line)
{
    size_t len = strlen(to);
    snprintf(to + len, size - len, "%s\n", line);
}

static void on_log(void *ctx, const char *line)
{
    (void)ctx;
    append(log_text, sizeof log_text, line);
}

static void on_line(void *ctx, const char *line)
{
    (void)ctx;
    append(told, sizeof told, line);
}

static bool open_folder(char *why, size_t why_size)
{
    struct dm_secrets_options options = {
        .folder = sds, .keys = true, .loop = &loop, .changed = on_changed, .log = on_log};
    return dm_secrets_open(&options, &secrets, why, why_size);
}

static void open_good(void)
{
    char why[256] = "";
    if (!open_folder(why, sizeof why)) fail_msg("%s", why);
}

static const char *tell(int64_t now_s)
{
    told[0] = '\0';
    dm_secrets_tell(secrets, now_s, on_line, NULL);
    return told;
}

/* Until something is told or served that was not: the watch sees the folder. */
static void until(bool (*so)(const char *), const char *what)
{
    for (int i = 0; i < 1000; i++) { /* LIMIT: turns, each for an event or a timer */
        if (so(what)) return;
        uv_run(&loop, UV_RUN_ONCE);
    }
    fail_msg("never: %s; told: %s", what, tell(0));
}

static bool is_logged(const char *text) { return strstr(log_text, text) != NULL; }

static bool is_served(const char *name)
{
    char from[64];
    snprintf(from, sizeof from, "%s.key", name);
    mp_str key = dm_secrets_get(secrets, MP_ENVOY_SECRET_KEY, MP_STR("checkout"));
    if (!mp_str_eq(key, get(from))) return false;
    snprintf(from, sizeof from, "%s.pem", name);
    mp_str chain = dm_secrets_get(secrets, MP_ENVOY_SECRET_CHAIN, MP_STR("checkout"));
    return mp_str_eq(chain, get(from));
}

static struct dm_secrets_counts counts(int64_t now_s)
{
    struct dm_secrets_counts c;
    dm_secrets_count(secrets, now_s, &c);
    return c;
}

static void has(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) fail_msg("not there: %s\nin: %s", wanted, text);
}

/* ---- what is no good ---- */

static void a_pair_is_renewed_together_or_not_at_all(void **state)
{
    (void)state;
    int64_t now_s = (int64_t)time(NULL);
    open_good();
    assert_true(is_served("checkout"));
    assert_string_equal(tell(now_s), "");
    copy("fresh.pem", "checkout.crt"); /* its key is still to come */
    until(is_logged, "checkout.key is the key of another certificate; what was there before is "
                     "served on");
    assert_true(is_served("checkout"));
    assert_int_equal(changes, 0);
    assert_int_equal(counts(now_s).refused, 1);
    has(tell(now_s), "checkout.key is the key of another certificate");
    copy("fresh.key", "checkout.key");
    until(is_served, "fresh");
    assert_int_equal(changes, 1);
    assert_int_equal(counts(now_s).refused, 0);
    assert_string_equal(tell(now_s), "");
}

static void half_a_pair_is_none(void **state)
{
    (void)state;
    open_good();
    unlink(path(sds, "checkout.key"));
    until(is_logged, "checkout.key is not there; what was there before is served on");
    copy("checkout.key", "checkout.key");
    unlink(path(sds, "checkout.crt"));
    until(is_logged, "checkout.crt is not there; what was there before is served on");
    assert_true(is_served("checkout"));
    unlink(path(sds, "checkout.key")); /* nobody has it any more */
    for (int i = 0; i < 1000 && changes == 0; i++) uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(counts(0).pairs, 0);
    assert_int_equal(dm_secrets_get(secrets, MP_ENVOY_SECRET_KEY, MP_STR("checkout")).len, 0);
}

static void what_is_no_good_from_the_start_is_not_served_and_others_are(void **state)
{
    (void)state;
    pair("web", "web", "fresh");
    put("cart.crt", MP_STR("nothing"));
    copy("web.key", "cart.key");
    copy("web.key", "stock.key");
    put("revoked.pem", MP_STR("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"));
    open_good();
    has(log_text, "web.key is the key of another certificate; nothing is served for it\n");
    has(log_text, "cart.crt has no certificate in PEM; nothing is served for it\n");
    has(log_text, "stock.crt is not there; nothing is served for it\n");
    has(log_text, "revoked.pem list (CRL) 1 in it cannot be read; nothing is served for it\n");
    assert_true(is_served("checkout"));
    assert_int_equal(dm_secrets_get(secrets, MP_ENVOY_SECRET_KEY, MP_STR("web")).len, 0);
    assert_int_equal(dm_secrets_get(secrets, MP_ENVOY_SECRET_CHAIN, MP_STR("cart")).len, 0);
    assert_int_equal(dm_secrets_get(secrets, MP_ENVOY_SECRET_REVOKED, MP_STR("")).len, 0);
    assert_int_equal(counts(0).refused, 4);
    assert_int_equal(counts(0).pairs, 1);
}

static void trust_that_is_no_good_leaves_what_there_was(void **state)
{
    (void)state;
    open_good();
    put("trust.pem", MP_STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    until(is_logged, "trust.pem certificate 1 in it cannot be read; what was there before");
    unlink(path(sds, "trust.pem"));
    until(is_logged, "trust.pem is not there; what was there before is served on");
    mp_str trust = dm_secrets_get(secrets, MP_ENVOY_SECRET_TRUST, MP_STR(""));
    assert_true(mp_str_eq(trust, get("ca.pem")));
    assert_int_equal(changes, 0);
}

static void without_trust_nothing_begins(void **state)
{
    char why[256] = "", wanted[128];
    (void)state;
    unlink(path(sds, "trust.pem"));
    snprintf(wanted, sizeof wanted, "%s: trust.pem is not there", sds);
    assert_false(open_folder(why, sizeof why));
    assert_string_equal(why, wanted);
    put("trust.pem", MP_STR("ca"));
    snprintf(wanted, sizeof wanted, "%s: trust.pem has no certificate in PEM", sds);
    assert_false(open_folder(why, sizeof why));
    assert_string_equal(why, wanted);
    snprintf(sds, sizeof sds, "%s/none", dir);
    assert_false(open_folder(why, sizeof why));
    has(why, "/none: No such file or directory");
}

/* ---- what is out of date ---- */

static void what_is_out_of_date_is_served_and_told_once(void **state)
{
    (void)state;
    int64_t now_s = (int64_t)time(NULL);
    pair("checkout", "ended", "ended");
    open_good();
    assert_string_equal(log_text, ""); /* that is for who knows the time */
    dm_secrets_look(secrets, now_s);
    has(log_text, "checkout.crt: the certificate /CN=ended ended at 20");
    assert_null(strstr(log_text, "trust.pem"));
    log_text[0] = '\0';
    dm_secrets_look(secrets, now_s);
    assert_string_equal(log_text, "");
    has(tell(now_s), "checkout.crt: the certificate /CN=ended ended at 20");
    assert_true(is_served("ended"));
    assert_int_equal(counts(now_s).out_of_date, 1);
    assert_true(counts(now_s).end_s < now_s);
    copy("web.key", "checkout.key"); /* no good, so the old one stays, which is told already */
    until(is_logged, "is the key of another certificate");
    log_text[0] = '\0';
    dm_secrets_look(secrets, now_s);
    assert_string_equal(log_text, "");
    pair("checkout", "fresh", "fresh");
    until(is_served, "fresh");
    dm_secrets_look(secrets, now_s);
    assert_string_equal(tell(now_s), "");
    assert_true(counts(now_s).end_s > now_s);
}

static void what_is_not_valid_yet_and_lists_that_ended_are_told(void **state)
{
    (void)state;
    int64_t now_s = (int64_t)time(NULL);
    test_crl_create(ca, dir, "crl", "web", true);
    copy("crl.pem", "revoked.pem");
    open_good();
    dm_secrets_look(secrets, now_s);
    has(log_text, "revoked.pem: the list of /CN=ca ended at 20");
    dm_secrets_look(secrets, now_s - 3 * DAY_S);
    has(log_text, "checkout.crt: the certificate /CN=checkout is not valid before 20");
    has(log_text, "trust.pem: the authority /CN=ca is not valid before 20");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_pair_is_renewed_together_or_not_at_all),
        TEST(half_a_pair_is_none),
        TEST(what_is_no_good_from_the_start_is_not_served_and_others_are),
        TEST(trust_that_is_no_good_leaves_what_there_was),
        TEST(without_trust_nothing_begins),
        TEST(what_is_out_of_date_is_served_and_told_once),
        TEST(what_is_not_valid_yet_and_lists_that_ended_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
