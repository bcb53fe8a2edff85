/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inproc/bucket.h"

#define S INT64_C(1000000000)

static bool admit(struct mp_bucket *b, const struct mp_bucket_limit *l, int64_t now_ns)
{
    return mp_bucket_offer(b, l, now_ns) && mp_bucket_take(b, l, now_ns);
}

static unsigned admitted(const struct mp_bucket_limit *l, unsigned offers)
{
    struct mp_bucket b = {0};
    unsigned count = 0;
    for (unsigned i = 0; i < offers; i++) count += admit(&b, l, 0);
    return count;
}

static void half_admits_every_second_request(void **state)
{
    (void)state;
    struct mp_bucket_limit half = mp_bucket_of_share(0.5, 0);
    struct mp_bucket b = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(admit(&b, &half, 0), i % 2 == 1);
    }
}

static void a_share_admits_exactly_its_part(void **state)
{
    (void)state;
    struct mp_bucket_limit tenth = mp_bucket_of_share(0.1, 0), all = mp_bucket_of_share(1, 0);
    struct mp_bucket_limit none = mp_bucket_of_share(0, 0);
    assert_in_range(admitted(&tenth, 100000), 9999, 10000);
    assert_int_equal(admitted(&all, 1000), 1000);
    assert_int_equal(admitted(&none, 1000), 0);
}

static void a_ramp_gives_a_share_back_linearly(void **state)
{
    (void)state;
    struct mp_bucket_limit l = mp_bucket_of_share(0.5, 0.5); /* q + (1-q)k = 75% */
    assert_int_equal(admitted(&l, 1000), 750);
}

static void what_another_throttle_refused_is_not_saved_up(void **state)
{
    (void)state;
    struct mp_bucket_limit half = mp_bucket_of_share(0.5, 0);
    struct mp_bucket b = {0};
    for (int i = 0; i < 100; i++) mp_bucket_offer(&b, &half, 0); /* offered, never taken */
    int burst = 0;
    while (burst < 10 && admit(&b, &half, 0)) burst++;
    assert_in_range(burst, 1, 3);
}

static void a_rate_admits_its_burst_then_one_an_interval(void **state)
{
    (void)state;
    struct mp_bucket_limit l = mp_bucket_of_rate(10, 3, 0); /* 10/s, burst 3 */
    struct mp_bucket b = {0};
    int64_t now = 1000 * S;
    for (int i = 0; i < 3; i++) assert_true(admit(&b, &l, now));
    assert_false(admit(&b, &l, now));
    assert_int_equal(mp_bucket_wait(&b, &l, now), S / 10);
    assert_true(admit(&b, &l, now + S / 10));
    assert_false(admit(&b, &l, now + S / 10));
    /* Idle for long, it holds the burst again and not more. */
    now += 100 * S;
    for (int i = 0; i < 3; i++) assert_true(admit(&b, &l, now));
    assert_false(admit(&b, &l, now));
}

static void a_rate_without_burst_holds_one_second_at_least_one(void **state)
{
    (void)state;
    struct mp_bucket_limit fast = mp_bucket_of_rate(5, 0, 0),
                           slow = mp_bucket_of_rate(5.0 / 60, 0, 0);
    assert_int_equal(admitted(&fast, 100), 5);
    assert_int_equal(admitted(&slow, 100), 1);
    struct mp_bucket_limit never = mp_bucket_of_rate(0, 0, 0);
    assert_int_equal(admitted(&never, 100), 0);
}

static void undo_gives_the_token_back(void **state)
{
    (void)state;
    struct mp_bucket_limit l = mp_bucket_of_rate(1, 1, 0);
    struct mp_bucket b = {0};
    assert_true(admit(&b, &l, S));
    assert_false(admit(&b, &l, S));
    mp_bucket_undo(&b, &l);
    assert_true(admit(&b, &l, S));
}

static void a_clock_that_goes_back_gives_nothing_away(void **state)
{
    (void)state;
    struct mp_bucket_limit l = mp_bucket_of_rate(1, 1, 0);
    struct mp_bucket b = {0};
    assert_true(admit(&b, &l, 100 * S));
    assert_false(admit(&b, &l, 1 * S));
    assert_false(admit(&b, &l, 100 * S + S / 2));
    assert_true(admit(&b, &l, 101 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_admits_every_second_request),
        cmocka_unit_test(a_share_admits_exactly_its_part),
        cmocka_unit_test(a_ramp_gives_a_share_back_linearly),
        cmocka_unit_test(what_another_throttle_refused_is_not_saved_up),
        cmocka_unit_test(a_rate_admits_its_burst_then_one_an_interval),
        cmocka_unit_test(a_rate_without_burst_holds_one_second_at_least_one),
        cmocka_unit_test(undo_gives_the_token_back),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing_away),
    };
    return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
