/* SPDX-License-Identifier: Apache-2.0
 * Clocks of `for`, and the bounded formula of `verify`, with unknowns at every place.
 */
#include "verify/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S 1000000000LL
#define T MP_TRUE
#define F MP_FALSE
#define U MP_UNKNOWN

static void a_hold_of_nothing_holds_at_once(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    assert_false(mp_hold_step(&h, 5 * S, F, 0));
    assert_true(mp_hold_step(&h, 6 * S, T, 0));
}

static void a_hold_counts_the_time_it_was_true(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    assert_false(mp_hold_step(&h, 0, T, 10 * S));
    assert_int_equal(mp_hold_due(&h, 10 * S), 10 * S);
    assert_false(mp_hold_step(&h, 9 * S, T, 10 * S));
    assert_true(mp_hold_step(&h, 10 * S, T, 10 * S));
}

static void false_resets_a_hold(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    mp_hold_step(&h, 0, T, 10 * S);
    mp_hold_step(&h, 9 * S, F, 10 * S);
    assert_false(mp_hold_runs(&h));
    assert_int_equal(mp_hold_due(&h, 10 * S), MP_NEVER_NS);
    mp_hold_step(&h, 10 * S, T, 10 * S);
    assert_int_equal(mp_hold_due(&h, 10 * S), 20 * S);
}

static void unknown_pauses_a_hold(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    mp_hold_step(&h, 0, T, 10 * S);
    assert_false(mp_hold_step(&h, 6 * S, U, 10 * S));
    assert_int_equal(mp_hold_progress(&h, 30 * S), 6 * S);
    assert_false(mp_hold_step(&h, 30 * S, T, 10 * S));
    assert_int_equal(mp_hold_due(&h, 10 * S), 34 * S);
    assert_true(mp_hold_step(&h, 34 * S, T, 10 * S));
}

static void a_minute_of_unknown_resets_a_hold(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    mp_hold_step(&h, 0, T, 100 * S);
    mp_hold_step(&h, 50 * S, U, 100 * S);
    assert_int_equal(mp_hold_due(&h, 100 * S), 110 * S);
    mp_hold_step(&h, 110 * S, U, 100 * S);
    assert_false(mp_hold_runs(&h));
    /* One nanosecond less does not. */
    struct mp_hold g = {0};
    mp_hold_step(&g, 0, T, 100 * S);
    mp_hold_step(&g, 50 * S, U, 100 * S);
    mp_hold_step(&g, 110 * S - 1, T, 100 * S);
    assert_int_equal(mp_hold_progress(&g, 110 * S - 1), 50 * S);
}

static void the_minute_is_without_a_break(void **state)
{
    (void)state;
    struct mp_hold h = {0};
    mp_hold_step(&h, 0, T, 100 * S);
    mp_hold_step(&h, 10 * S, U, 100 * S);
    mp_hold_step(&h, 60 * S, T, 100 * S);
    mp_hold_step(&h, 61 * S, U, 100 * S);
    mp_hold_step(&h, 120 * S, U, 100 * S);
    assert_int_equal(mp_hold_progress(&h, 120 * S), 11 * S);
}

static void unknown_resets_a_run(void **state)
{
    (void)state;
    struct mp_run r = {0};
    assert_false(mp_run_step(&r, 0, T, 5 * S));
    assert_false(mp_run_step(&r, 4 * S, U, 5 * S));
    assert_false(mp_run_step(&r, 5 * S, T, 5 * S));
    assert_int_equal(mp_run_due(&r, 5 * S), 10 * S);
    assert_true(mp_run_step(&r, 10 * S, T, 5 * S));
}

/* verify φ for 20s within 60s settle 5s, effective at 100 s: looks at [105, 160]. */
static struct mp_check start(void)
{
    struct mp_check c;
    mp_check_start(&c, 100 * S, 5 * S, 60 * S, 20 * S);
    return c;
}

static void nothing_before_settle_counts(void **state)
{
    (void)state;
    struct mp_check c = start();
    assert_int_equal(mp_check_step(&c, 104 * S, T), MP_VERDICT_NONE);
    assert_int_equal(mp_check_due(&c), 105 * S);
    assert_int_equal(mp_check_step(&c, 105 * S, T), MP_VERDICT_NONE);
    assert_int_equal(mp_check_due(&c), 125 * S);
    assert_int_equal(mp_check_step(&c, 125 * S - 1, T), MP_VERDICT_NONE);
    assert_int_equal(mp_check_step(&c, 125 * S, T), MP_VERDICT_CONFIRMED);
}

static void the_last_possible_run_confirms(void **state)
{
    (void)state;
    struct mp_check c = start();
    mp_check_step(&c, 105 * S, F);
    mp_check_step(&c, 140 * S, T);
    assert_int_equal(mp_check_due(&c), 160 * S);
    assert_int_equal(mp_check_step(&c, 160 * S, T), MP_VERDICT_CONFIRMED);
}

static void a_run_that_begins_too_late_fails(void **state)
{
    (void)state;
    struct mp_check c = start();
    mp_check_step(&c, 105 * S, F);
    mp_check_step(&c, 140 * S + 1, T);
    assert_int_equal(mp_check_step(&c, 160 * S, T), MP_VERDICT_FAILED);
}

static void a_run_that_breaks_at_its_end_does_not_confirm(void **state)
{
    (void)state;
    struct mp_check c = start();
    mp_check_step(&c, 105 * S, T);
    assert_int_equal(mp_check_step(&c, 125 * S, F), MP_VERDICT_NONE);
    /* But one that was long enough before it broke has satisfied the formula. */
    struct mp_check d = start();
    mp_check_step(&d, 105 * S, T);
    assert_int_equal(mp_check_step(&d, 126 * S, F), MP_VERDICT_CONFIRMED);
}

static void false_known_to_the_end_has_failed(void **state)
{
    (void)state;
    struct mp_check c = start();
    for (int s = 105; s < 160; s++) assert_int_equal(mp_check_step(&c, s * S, F), MP_VERDICT_NONE);
    assert_int_equal(mp_check_step(&c, 160 * S, F), MP_VERDICT_FAILED);
}

/* Unknown anywhere in the last hold leaves the question open; before it, it does not. */
static void unknown_in_the_last_hold_is_inconclusive(void **state)
{
    (void)state;
    for (int at = 105; at < 160; at++) {
        struct mp_check c = start();
        enum mp_verdict_kind kind = MP_VERDICT_NONE;
        for (int s = 105; s <= 160; s++) {
            assert_int_equal(kind, MP_VERDICT_NONE);
            kind = mp_check_step(&c, s * S, s == at ? U : F);
        }
        assert_int_equal(kind, at >= 140 ? MP_VERDICT_INCONCLUSIVE : MP_VERDICT_FAILED);
    }
}

static void unknown_all_along_is_inconclusive(void **state)
{
    (void)state;
    struct mp_check c = start();
    mp_check_step(&c, 105 * S, U);
    assert_int_equal(mp_check_due(&c), 160 * S);
    assert_int_equal(mp_check_step(&c, 160 * S, U), MP_VERDICT_INCONCLUSIVE);
}

static void unknown_breaks_a_run_of_true(void **state)
{
    (void)state;
    for (int at = 106; at < 125; at++) {
        struct mp_check c = start();
        enum mp_verdict_kind kind = MP_VERDICT_NONE;
        int s = 105;
        for (; s <= 160 && kind == MP_VERDICT_NONE; s++)
            kind = mp_check_step(&c, s * S, s == at ? U : T);
        assert_int_equal(kind, MP_VERDICT_CONFIRMED);
        assert_int_equal(s - 1, at + 21);
    }
}

static void a_check_without_hold_confirms_at_the_first_true(void **state)
{
    (void)state;
    struct mp_check c;
    mp_check_start(&c, 0, 0, 10 * S, 0);
    assert_int_equal(mp_check_step(&c, 0, U), MP_VERDICT_NONE);
    assert_int_equal(mp_check_step(&c, 3 * S, F), MP_VERDICT_NONE);
    assert_int_equal(mp_check_step(&c, 4 * S, T), MP_VERDICT_CONFIRMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_of_nothing_holds_at_once),
        cmocka_unit_test(a_hold_counts_the_time_it_was_true),
        cmocka_unit_test(false_resets_a_hold),
        cmocka_unit_test(unknown_pauses_a_hold),
        cmocka_unit_test(a_minute_of_unknown_resets_a_hold),
        cmocka_unit_test(the_minute_is_without_a_break),
        cmocka_unit_test(unknown_resets_a_run),
        cmocka_unit_test(nothing_before_settle_counts),
        cmocka_unit_test(the_last_possible_run_confirms),
        cmocka_unit_test(a_run_that_begins_too_late_fails),
        cmocka_unit_test(a_run_that_breaks_at_its_end_does_not_confirm),
        cmocka_unit_test(false_known_to_the_end_has_failed),
        cmocka_unit_test(unknown_in_the_last_hold_is_inconclusive),
        cmocka_unit_test(unknown_all_along_is_inconclusive),
        cmocka_unit_test(unknown_breaks_a_run_of_true),
        cmocka_unit_test(a_check_without_hold_confirms_at_the_first_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
