/* SPDX-License-Identifier: Apache-2.0
 * What is durable, and another life from what was kept.
 */
#include "kept.h"
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void nothing_is_accepted_or_sent_before_it_is_durable(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2}, .now_ns = T0,
                                        .mono_ns = T0, .store = true};
    options.limits.keys = 256;
    loop_open_with(&l,
                   "use std.mesh\nrule errors when error_rate > 5% per svc\n"
                   "then throttle svc to 50% for 1m and notify \"x\" via slack\n",
                   true, &options);
    loop_set(&l, "error_rate", "a", "8%");
    loop_at(&l, 5);
    saw(&l, "admitted>applying");
    assert_false(loop_saw(&l, "accepted"));
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    saw_in_order(&l, "5.000 lease errors a throttle a applying>accepted", "accepted>effective",
                 NULL);
    assert_false(loop_saw(&l, "message"));
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    saw(&l, "message notify via slack: x");
    mp_engine_store_failed(l.engine, true);
    loop_set(&l, "error_rate", "b", "8%");
    loop_at(&l, 7);
    assert_false(loop_saw(&l, "errors b"));
    mp_engine_store_failed(l.engine, false);
    loop_at(&l, 9);
    saw_in_order(&l, "incident errors b pending>open", "throttle b admitted>applying", NULL);
    loop_close(&l);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, m;
    struct mp_engine_status s;
    kept_open(&kept);
    test_loop(&l, loop_ladder);
    loop_line(&l, "{\"entity\":\"service\",\"name\":\"checkout\",\"callers\":[\"web\"]}");
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_set(&l, "error_rate", "web", "0.1%");
    loop_set(&l, "error_rate", "cart", "8%");
    loop_at(&l, 25);
    kept_take(&kept, l.engine);
    loop_set(&l, "error_rate", "cart", "unknown");
    loop_at(&l, 120);
    kept_take(&kept, l.engine);
    saw(&l, "confirmed>holding");
    loop_close(&l);

    /* A minute later another process begins with what was kept. */
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST,
                                        .hash_key = {1, 2},
                                        .pending = true,
                                        .now_ns = T0 + 180 * SEC,
                                        .mono_ns = 5 * SEC};
    options.limits.keys = 1024;
    options.limits.incidents = 256;
    options.limits.leases = 256;
    loop_open_with(&m, loop_ladder, true, &options);
    kept_restore(&kept, m.engine);
    mp_engine_status(m.engine, &s);
    assert_int_equal(s.leases_in_force, 1);
    assert_int_equal(s.incidents_open, 1);
    /* 15 minutes from 90 s on: ends at 990 s, however long nobody ran. */
    mp_engine_advance(m.engine, T0 + 985 * SEC, 810 * SEC);
    assert_false(loop_saw(&m, "releasing"));
    mp_engine_advance(m.engine, T0 + 991 * SEC, 816 * SEC);
    saw(&m, "990.000 incident errors checkout holding>releasing expired");
    loop_close(&m);
    kept_close(&kept);
}

static void damaged_rows_are_refused(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l;
    kept_open(&kept);
    test_loop(&l, loop_ladder);
    loop_set(&l, "error_rate", "checkout", "8%");
    loop_at(&l, 40);
    kept_take(&kept, l.engine);
    loop_close(&l);
    for (uint32_t i = 0; i < kept.count; i++) {
        if (kept.row[i].bytes.len == 0) continue;
        for (size_t len = 0; len < kept.row[i].bytes.len; len++) {
            struct mp_state_row cut = kept.row[i];
            cut.bytes.len = len;
            test_loop(&l, loop_ladder);
            enum mp_err err = mp_engine_restore(l.engine, &cut);
            loop_close(&l);
            if (err != MP_ECORRUPT) fail_msg("kind %d cut at %zu: %d", (int)cut.kind, len, err);
            if (len > 64) len += 20;
        }
    }
    kept_close(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_accepted_or_sent_before_it_is_durable),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(damaged_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
