/* SPDX-License-Identifier: Apache-2.0
 * Whole loops on a virtual clock.
 */
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void explain(const struct loop *l, const char *wanted)
{
    if (!loop_saw(l, wanted)) fail_msg("not seen: %s\nseen:\n%s", wanted, l->log);
}

static void a_record_quarantines_and_the_ttl_releases(void **state)
{
    (void)state;
    struct loop l;
    loop_open(&l,
              "use std.mesh\nparam x: percent = 5%\n"
              "when error_rate > x then quarantine svc for 30s\n",
              false, MP_ENGINE_REPLAY);
    loop_traffic(&l, "checkout", "10.0.0.7", 0, 10, 10, 20);
    loop_traffic(&l, "checkout", "10.0.0.7", 10, 60, 10, 0);
    loop_at(&l, 120);
    explain(&l, "pending>open");
    explain(&l, "quarantine checkout accepted>effective");
    explain(&l, "open>holding");
    explain(&l, "holding>releasing expired");
    explain(&l, "releasing>released expired");
    assert_int_equal(loop_count(&l, "pending>open"), 1);
    if (getenv("SHOW") != NULL) printf("%s", l.log);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_quarantines_and_the_ttl_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
