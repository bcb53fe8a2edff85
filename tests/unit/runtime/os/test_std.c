/* SPDX-License-Identifier: Apache-2.0 */
#include "os/std.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct mp_os os;

static int setup(void **state)
{
    mp_std_os(&os);
    return 0;
}

static enum mp_match search(const char *pattern, const char *subject)
{
    void *regex = NULL;
    const char *error = NULL;
    assert_int_equal(os.regex_compile(os.ctx, mp_str_of(pattern), &regex, &error), MP_OK);
    enum mp_match m = os.regex_match(os.ctx, regex, mp_str_of(subject));
    os.regex_free(os.ctx, regex);
    return m;
}

static void clocks_move_forward(void **state)
{
    int64_t a = os.mono_ns(os.ctx);
    assert_true(os.mono_ns(os.ctx) >= a);
    assert_true(os.wall_ns(os.ctx) > 1600000000LL * 1000000000);
}

static void random_bytes_differ(void **state)
{
    uint8_t a[300] = {0}, b[300] = {0};
    assert_int_equal(os.random(os.ctx, a, sizeof a), MP_OK);
    assert_int_equal(os.random(os.ctx, b, sizeof b), MP_OK);
    assert_memory_not_equal(a, b, sizeof a);
}

static void digest_is_sha256(void **state)
{
    const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf}; /* FIPS 180-4, example "abc" */
    uint8_t out[32];
    assert_int_equal(os.digest(os.ctx, "abc", 3, out), MP_OK);
    assert_memory_equal(out, abc, sizeof abc);
}

static void short_key_is_refused(void **state)
{
    char sig[64] = {0};
    mp_str s = {sig, 64};
    assert_int_equal(os.verify_signature(os.ctx, MP_STR("short"), MP_STR("x"), s), MP_EINVAL);
}

/* RFC 8032 §7.1, test 2. */
static void signature_of_the_rfc_is_accepted(void **state)
{
    static const uint8_t key[32] = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a,
                                    0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc,
                                    0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c,
                                    0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
    static const uint8_t sig[64] = {
        0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f,
        0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76,
        0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99,
        0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae,
        0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};
    mp_str k = {(const char *)key, 32}, s = {(const char *)sig, 64};
    assert_int_equal(os.verify_signature(os.ctx, k, MP_STR("r"), s), MP_OK);
    assert_int_equal(os.verify_signature(os.ctx, k, MP_STR("s"), s), MP_EDENIED);
}

static void search_is_not_anchored(void **state)
{
    assert_int_equal(search("b+", "abbc"), MP_MATCH_YES);
    assert_int_equal(search("^b", "abbc"), MP_MATCH_NO);
    assert_int_equal(search("", ""), MP_MATCH_YES);
}

static void dollar_is_the_very_end(void **state)
{
    assert_int_equal(search("^/admin$", "/admin\n"), MP_MATCH_NO);
}

static void nested_repetition_meets_the_limit(void **state)
{
    assert_int_equal(search("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX"),
                     MP_MATCH_LIMIT);
}

static void long_subject_meets_the_limit(void **state)
{
    static char subject[MP_STD_SUBJECT_BYTES + 2];
    memset(subject, 'a', sizeof subject - 1);
    assert_int_equal(search("b", subject), MP_MATCH_LIMIT);
}

static void bad_pattern_is_explained(void **state)
{
    void *regex = NULL;
    const char *error = NULL;
    assert_int_equal(os.regex_compile(os.ctx, MP_STR("("), &regex, &error), MP_EINVAL);
    assert_string_equal(error, "missing closing parenthesis");
    assert_null(regex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_move_forward),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(digest_is_sha256),
        cmocka_unit_test(short_key_is_refused),
        cmocka_unit_test(signature_of_the_rfc_is_accepted),
        cmocka_unit_test(search_is_not_anchored),
        cmocka_unit_test(dollar_is_the_very_end),
        cmocka_unit_test(nested_repetition_meets_the_limit),
        cmocka_unit_test(long_subject_meets_the_limit),
        cmocka_unit_test(bad_pattern_is_explained),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
