/* SPDX-License-Identifier: Apache-2.0
 * Lints: each one says its thing, and says nothing where it should not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "checked.h"
#include "lint/lint.h"

#define MESH "use std.mesh\n"

static void assert_lints_at(enum mp_lint_level level, const char *text, const char *codes)
{
    struct checked c;
    checked_open(&c, text);
    assert_string_equal(checked_codes(&c), "");
    const struct mp_lint_options options = {
        .level = level, .files = &c.file, .file_count = 1, .today_days = 20454}; /* 2026-01-01 */
    assert_int_equal(mp_lint(c.typed, &c.sources, &options, &c.diags), MP_OK);
    mp_diags_sort(&c.diags);
    const char *got = checked_codes(&c);
    if (strcmp(got, codes) != 0) {
        print_error("wanted \"%s\", got \"%s\"\n%s", codes, got, checked_text(&c));
        fail();
    }
    checked_close(&c);
}

#define assert_errors(text, codes) assert_lints_at(MP_LINT_ERRORS, MESH text, codes)
#define assert_warnings(text, codes) assert_lints_at(MP_LINT_WARNINGS, MESH text, codes)

static void conditions_that_traffic_cannot_change(void **state)
{
    assert_errors("rule r when error_rate > 150% then notify \"x\"\n", "L101");
    assert_errors("rule r when count(requests) over 1m >= 0 per svc then notify \"x\"\n", "L101");
    assert_errors("rule r when error_rate > 99% then notify \"x\"\n", "");
    (void)state;
}

static void contradictions(void **state)
{
    assert_errors("rule r when error_rate > 5% and error_rate < 3% then notify \"x\"\n", "L102");
    assert_errors("rule r when error_rate > 5% and error_rate over 1m < 3% then notify \"x\"\n",
                  "");
    assert_errors(
        "rule r when svc.tier is batch and svc.tier is critical and error_rate > 5% "
        "then notify \"x\"\n",
        "L102");
    assert_errors("rule r when error_rate > 5% or error_rate < 3% then notify \"x\"\n", "");
    (void)state;
}

static void steps_that_are_never_reached(void **state)
{
    assert_errors("rule r when error_rate > 5% then throttle svc to 50% else notify \"x\"\n",
                  "L105");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50%\n"
                  " verify error_rate < 1% for 10s within 1m else rollback else page \"x\"\n",
                      "L105");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50%\n"
                  " verify error_rate < 1% for 10s within 1m else rollback and page \"x\"\n", "");
    (void)state;
}

static void an_until_beside_its_trigger(void **state)
{
    assert_errors("rule r when error_rate > 5% then throttle svc to 50% until error_rate < 6%\n",
                  "L131");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50% until error_rate < 5%\n",
                  "L131");
    assert_errors(
        "rule r when error_rate > 5% then throttle svc to 50% until error_rate < 5% for 5m\n", "");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50% until error_rate < 4%\n",
                  "");
    assert_errors(
        "rule r when error_rate > 5% then throttle svc to 50% until error_rate over 5m < 5%\n", "");
    assert_errors(
        "param trip: percent = 5% in 1%..20%\nparam calm: percent = 0.5% in 0%..1%\n"
        "rule r when error_rate > trip then throttle svc to 50% until error_rate < calm\n",
        "");
    assert_errors(
        "rule r when request_rate < 1/s then throttle svc to 50% until request_rate > 0.5/s\n",
        "L131");
    (void)state;
}

static void a_check_that_is_too_short(void **state)
{
    assert_errors("rule r when error_rate > 5% then quarantine svc for 15m\n"
                  " verify count(requests) over 30s == 0 for 20s within 40s\n", "L133");
    assert_errors("rule r when error_rate > 5% then quarantine svc for 15m\n"
                  " verify count(requests) over 30s == 0 within 1m\n", "");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50% for 15m\n"
                  " verify error_rate < 1% for 1m within 30s\n", "L133");
    (void)state;
}

static void an_until_that_the_action_blinds(void **state)
{
    assert_errors("rule r when error_rate > 5% then quarantine svc until error_rate < 1% for 5m\n",
                  "L151");
    assert_errors(
        "rule r when error_rate > 5% then throttle svc to 50% until error_rate < 1% for 5m\n", "");
    assert_errors("rule r when error_rate > 5% then throttle svc to 50%\n"
                  " verify error_rate < 1% for 10s within 1m\n"
                  "else quarantine svc until error_rate < 1% for 5m\n", "");
    (void)state;
}

static void what_nobody_uses(void **state)
{
    assert_warnings(
        "param a: percent = 5%\nlist b: ip = [ 10.0.0.1 ]\n"
        "def c per service: percent = error_rate\n"
        "rule r when error_rate > 5% then notify \"x\"\n",
        "L106 L106 L106");
    assert_warnings("param a: percent = 5%\ndef c per service: percent = error_rate + a\n"
                    "rule r when c > 5% then notify \"x\"\n", "");
    assert_warnings("list b: ip = [ ]\nrule r when client.ip in b then notify \"x\"\n", "L107");
    (void)state;
}

static void strong_actions(void **state)
{
    assert_warnings("rule r when error_rate > 5% then quarantine svc\n", "L140 L141");
    assert_warnings("rule r when error_rate > 5% then quarantine svc\n"
                    " verify error_rate of svc.callers < 1% for 10s within 1m\nlimit 2 per 10m\n",
                        "");
    assert_warnings("never quarantine svc more than 2 services per 10m\n"
                    "rule r when error_rate > 5% then quarantine svc\n"
                    " verify error_rate of svc.callers < 1% for 10s within 1m\n", "");
    (void)state;
}

static void the_same_condition_twice(void **state)
{
    assert_warnings("rule a when error_rate > 5% for 10s then notify \"x\"\n"
                    "rule b when error_rate > 5% for 10s then throttle svc to 50%\n", "L104");
    assert_warnings("rule a when error_rate > 5% for 10s then notify \"x\"\n"
                    "rule b when error_rate > 5% for 20s then throttle svc to 50%\n", "");
    assert_warnings(
        "rule a when error_rate > 5% then notify \"x\"\n"
        "rule b when error_rate > 5% unless svc.tier is batch then throttle svc to 50%\n",
        "");
    (void)state;
}

static void patterns_without_patterns(void **state)
{
    assert_warnings("rule a when request.path matches 'admin' then notify \"x\"\n", "L160");
    assert_warnings("rule a when request.path matches 'adm[i]n' then notify \"x\"\n", "");
    assert_lints_at(MP_LINT_ALL, MESH "@owner \"a\" @severity low\n"
                    "rule a when request.path like \"/admin/*\" then notify \"x\"\n", "L162");
    (void)state;
}

/* What fires and what does not, and the repairs: tests/golden/lint/L143_sent_twice.mpol. */
static void what_is_sent_twice(void **state)
{
#define DENY(when) "rule r when " when " then deny request\n"
    assert_warnings(DENY("request.args[\"a\"] == \"1\""), "L143");
    assert_warnings(DENY("\"1\" == request.args[\"a\"]"), "L143");
    assert_warnings(DENY("request.args[\"a\"] default \"\" == \"1\""), "L143");
    assert_warnings(DENY("request.args[\"a\"] matches '^(a|b)'"), "");
    assert_warnings(DENY("request.args[\"a\"] matches '1\\$'"), "");
    assert_warnings(DENY("request.json[\"a\"] == \"1\""), "");
    assert_warnings(DENY("request.user_agent == \"x\""), "");
    assert_errors(DENY("request.args[\"a\"] == \"1\""), "");
    assert_warnings("# mpol: allow L143 until 2027-01-31 \"refused when it comes twice\"\n"
                    DENY("request.args[\"a\"] == \"1\""), "");
#undef DENY
    (void)state;
}

static void advice_on_checks_and_windows(void **state)
{
    assert_warnings(
        "rule r when ratio(requests where status in 5xx) over 1m > 5% per svc then notify \"x\"\n",
        "L120");
    assert_warnings("rule r when max(cpu) over 10s > 90% per instance then notify \"x\"\n", "L121");
    assert_warnings(
        "rule r when cpu > 90% unless instance.service.tier is batch then notify \"x\"\n", "L110");
    assert_warnings("rule r when request.user != \"root\" then notify \"x\"\n", "L111");
    assert_warnings("rule r when error_rate > 5% then throttle svc to 50% until error_rate < 1%\n",
                    "L132");
    assert_warnings(
        "rule r when count(requests) over 1m > 5 per request.headers[\"x\"], client max 1k\n"
        " then throttle client to 5/s\n",
        "");
    (void)state;
}

#define BAD "rule r when error_rate > 150% then notify \"x\"\n"

static void a_comment_allows_a_lint_until_its_day(void **state)
{
    assert_errors("# mpol: allow L101 until 2026-01-01 \"for a drill\"\n" BAD, "");
    assert_errors("# mpol: allow L101 until 2025-12-31 \"for a drill\"\n" BAD, "L101");
    assert_errors("# mpol: allow L102 until 2027-01-01 \"other\"\n" BAD, "L101");
    assert_errors("# mpol: allow L102 L101 until 2027-01-01 \"both\"\n" BAD, "");
    assert_errors("# mpol: allow L101 \"for ever\"\n" BAD, "L101");
    assert_errors("# mpol: allow L101 until 2027-01-01\nparam a: percent = 5%\n" BAD, "L101");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_that_traffic_cannot_change),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(steps_that_are_never_reached),
        cmocka_unit_test(an_until_beside_its_trigger),
        cmocka_unit_test(a_check_that_is_too_short),
        cmocka_unit_test(an_until_that_the_action_blinds),
        cmocka_unit_test(what_nobody_uses),
        cmocka_unit_test(strong_actions),
        cmocka_unit_test(the_same_condition_twice),
        cmocka_unit_test(patterns_without_patterns),
        cmocka_unit_test(what_is_sent_twice),
        cmocka_unit_test(advice_on_checks_and_windows),
        cmocka_unit_test(a_comment_allows_a_lint_until_its_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
