/* SPDX-License-Identifier: Apache-2.0
 * What is in a file of certificates, keys or lists, and until when it is good.
 */
#include "tls/pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../loopback/folder.h"
#include "certs.h"

#define ID "URI:spiffe://shop/ns/default/sa/checkout"
#define DAY_S 86400

static char dir[64], at[128], bytes[2][16384];

static const char *path(const char *name)
{
    snprintf(at, sizeof at, "%s/%s", dir, name);
    return at;
}

static int make_files(void **state)
{
    (void)state;
    assert_true(tmp_folder_make(dir, sizeof dir, "pem"));
    struct test_ca *ca = test_ca_create(dir, "ca");
    test_cert_create(ca, dir, "checkout", ID, false);
    test_cert_create(ca, dir, "ended", ID, true);
    test_cert_create_short(ca, dir, "short", ID);
    test_crl_create(ca, dir, "list", "checkout", false);
    test_ca_free(ca);
    return 0;
}

static int remove_files(void **state)
{
    static const char *const names[] = {"ca.pem", "checkout.pem", "checkout.key", "ended.pem",
                                        "ended.key", "short.pem", "short.key", "list.pem"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path(names[i]));
    return rmdir(dir);
}

/* Text of a file, in room `i`, after what is there if `more`. */
static mp_str text_of(int i, const char *name, bool more)
{
    size_t from = more ? strlen(bytes[i]) : 0;
    FILE *f = fopen(path(name), "r");
    assert_non_null(f);
    size_t len = fread(bytes[i] + from, 1, sizeof bytes[i] - from - 1, f);
    fclose(f);
    bytes[i][from + len] = '\0';
    return mp_str_of(bytes[i]);
}

static void refused(mp_str text, enum mp_pem_kind kind, const char *wanted)
{
    char why[160] = "";
    struct mp_pem_dates dates = {.from_s = 7};
    assert_int_equal(mp_pem_read(text, kind, &dates, why, sizeof why), MP_EINVAL);
    assert_string_equal(why, wanted);
    assert_int_equal(dates.from_s, 7);
}

static void each_kind_is_read_as_itself_alone(void **state)
{
    static const char *const names[] = {"checkout.pem", "checkout.key", "list.pem"};
    static const char *const none[] = {"has no certificate in PEM", "has no private key in PEM",
                                       "has no list (CRL) in PEM"};
    char why[160] = "";
    (void)state;
    for (int file = 0; file < 3; file++) {
        mp_str text = text_of(0, names[file], false);
        for (int kind = 0; kind < 3; kind++) {
            if (kind != file) refused(text, (enum mp_pem_kind)kind, none[kind]);
        }
        assert_int_equal(mp_pem_read(text, (enum mp_pem_kind)file, NULL, why, sizeof why), MP_OK);
    }
    assert_string_equal(why, "");
    for (int kind = 0; kind < 3; kind++) {
        refused(MP_STR(""), (enum mp_pem_kind)kind, none[kind]);
        refused((mp_str){NULL, 0}, (enum mp_pem_kind)kind, none[kind]);
    }
}

/* One that is good does not stand for one that is not. */
static void every_certificate_of_a_text_must_be_good(void **state)
{
    (void)state;
    mp_str text = text_of(0, "checkout.pem", false);
    refused(mp_str_sub(text, 0, text.len / 2), MP_PEM_CERTIFICATES,
            "certificate 1 in it cannot be read");
    text = text_of(0, "ca.pem", true);
    refused(mp_str_sub(text, 0, text.len - 40), MP_PEM_CERTIFICATES,
            "certificate 2 in it cannot be read");
    text = text_of(0, "checkout.key", false);
    refused(mp_str_sub(text, 0, text.len / 2), MP_PEM_KEY, "the private key in it cannot be read");
}

static void a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked(void **state)
{
    /* openssl genpkey -algorithm ed25519 -aes128 -pass pass:x */
    static const char key[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAijzTAMSTMn2QICCAAw\n"
        "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEGKseflvIZA0hOezHILxSaMEQBY0\n"
        "Y8zQVUOEFnoVbU8PRQ3cEco3Zz7EZuiDCI+A8+yKKSCg1/swcwLShlalu8i07B7x\n"
        "Zo3DZrr/DCbE+cUtxtY=\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    (void)state;
    refused(mp_str_of(key), MP_PEM_KEY, "wants a pass phrase");
}

static void a_key_fits_its_own_certificate(void **state)
{
    (void)state;
    mp_str cert = text_of(0, "checkout.pem", false);
    assert_true(mp_pem_fits(cert, text_of(1, "checkout.key", false)));
    assert_false(mp_pem_fits(cert, text_of(1, "ended.key", false)));
    assert_false(mp_pem_fits(cert, text_of(1, "short.key", false))); /* of another kind */
    cert = text_of(0, "ca.pem", true); /* those above it come after it */
    assert_true(mp_pem_fits(cert, text_of(1, "checkout.key", false)));
}

/* Those of this test are good from two days ago until tomorrow, or until yesterday. */
static void the_first_to_end_is_named(void **state)
{
    struct mp_pem_dates dates;
    char why[200] = "";
    int64_t now_s = (int64_t)time(NULL);
    (void)state;
    text_of(0, "ca.pem", false);
    mp_str text = text_of(0, "checkout.pem", true);
    assert_int_equal(mp_pem_read(text, MP_PEM_CERTIFICATES, &dates, why, sizeof why), MP_OK);
    assert_false(mp_pem_out_of_date(&dates, now_s, "the certificate", why, sizeof why));
    assert_true(mp_pem_out_of_date(&dates, now_s - 3 * DAY_S, "it", why, sizeof why));
    assert_non_null(strstr(why, "is not valid before 20"));
    text = text_of(0, "ended.pem", true);
    assert_int_equal(mp_pem_read(text, MP_PEM_CERTIFICATES, &dates, why, sizeof why), MP_OK);
    assert_true(mp_pem_out_of_date(&dates, now_s, "the certificate", why, sizeof why));
    assert_non_null(strstr(why, "the certificate /CN=ended ended at 20"));
    text = text_of(0, "list.pem", false);
    assert_int_equal(mp_pem_read(text, MP_PEM_LISTS, &dates, why, sizeof why), MP_OK);
    assert_true(mp_pem_out_of_date(&dates, now_s + 2 * DAY_S, "the list of", why, sizeof why));
    assert_non_null(strstr(why, "the list of /CN=ca ended at 20"));
}

static void a_file_that_cannot_be_read_is_told_as_the_system_does(void **state)
{
    char why[160] = "";
    (void)state;
    assert_int_equal(mp_pem_file(path("none"), MP_PEM_KEY, NULL, why, sizeof why), MP_EINVAL);
    assert_string_equal(why, "No such file or directory");
    assert_int_equal(mp_pem_file(dir, MP_PEM_KEY, NULL, why, sizeof why), MP_EINVAL);
    assert_string_equal(why, "Is a directory");
    assert_int_equal(mp_pem_file(path("ca.pem"), MP_PEM_CERTIFICATES, NULL, why, sizeof why),
                     MP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_read_as_itself_alone),
        cmocka_unit_test(every_certificate_of_a_text_must_be_good),
        cmocka_unit_test(a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked),
        cmocka_unit_test(a_key_fits_its_own_certificate),
        cmocka_unit_test(the_first_to_end_is_named),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told_as_the_system_does),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
