/* SPDX-License-Identifier: Apache-2.0
 * The files of --inventory are the truth about what they name: what goes from them goes from the
 * gateway that is told of it, by a reload, by itself, and over a restart.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asker.h"

#define PAY(n)                                                                                     \
    "{\"entity\":\"instance\",\"name\":\"pay-" #n "\",\"service\":\"pay\",\"ip\":\"10.0.0." #n     \
    "\",\"port\":80}\n"
#define PAY_SERVICE "{\"entity\":\"service\",\"name\":\"pay\"}\n"

static struct run r;

/* ---- a gateway that asks where `pay` is ---- */

static struct asker gateway;

static void gateway_comes(void)
{
    asker_comes(&gateway, "ingress/gateway/gateway-1", ASKER_EDS, "pay");
}

static void gateway_goes(void) { asker_goes(&gateway); }

static bool leads_to(const char *address)
{
    mp_str all = {gateway.last, gateway.last_len};
    return mp_str_contains(all, mp_str_of(address));
}

/* Until it has been told of just these: a letter of "123" is an instance. */
static void gateway_leads_to(const char *which)
{
    static const char *const all[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
    bool right = false;
    for (int waited = 0; !right;) {
        right = gateway.answers > 0;
        for (size_t i = 0; i < 3; i++) {
            right &= leads_to(all[i]) == (strchr(which, '1' + (int)i) != NULL);
        }
        askers_run();
        if (!right) pause_between(&waited, which);
    }
}

/* ---- the rest ---- */

static void start(const char *telemetry)
{
    put_file("p.mpol", flood_policy);
    run_start(&r, "p.mpol", "--state=state", "--xds=unix:xds", "--inventory=i", telemetry, NULL);
}

static void stop(void)
{
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

/* What `mpol reload` says, and its exit code. */
static void reload_says(int code, const char *text)
{
    const char *out;
    int got = ask(&out, "reload", "--state=state", NULL);
    if (got != code || strstr(out, text) == NULL) fail_msg("%d: %s, not %s", got, out, text);
}

/* The file may have been read by itself just before: then the log has it alone. */
static void reload_changes(const char *what)
{
    const char *out;
    assert_int_equal(ask(&out, "reload", "--state=state", NULL), 0);
    if (strstr(out, what) == NULL && strstr(out, "as it was") == NULL) fail_msg("%s", out);
    run_wait(&r, what);
}

static void what_has_gone_from_the_file_goes_from_the_gateway(void **state)
{
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    start(NULL);
    gateway_comes();
    gateway_leads_to("12");
    put_file("i", PAY_SERVICE PAY(1) PAY(3));
    reload_changes("inventory: 1 came (instance pay-3), 1 gone (instance pay-2)");
    gateway_leads_to("13");
    reload_says(0, "inventory: as it was");
    put_file("i", PAY_SERVICE PAY(3));
    assert_int_equal(kill(r.pid, SIGHUP), 0);
    run_wait(&r, "inventory: 1 gone (instance pay-1)");
    gateway_leads_to("3");
    gateway_goes();
    stop();
}

static void a_file_that_changes_is_read_by_itself(void **state)
{
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    start(NULL);
    gateway_comes();
    gateway_leads_to("12");
    put_file("i", PAY_SERVICE PAY(2));
    gateway_leads_to("2");
    add_to_file("i", PAY(3));
    gateway_leads_to("23");
    gateway_goes();
    stop();
}

static void a_broken_file_changes_nothing(void **state)
{
    static const struct {
        const char *text, *why;
    } broken[] = {
        {PAY_SERVICE PAY(1) "{\"entity\":\"instance\",\"na", "i:3: "},
        {PAY_SERVICE PAY(1) "{\"service\":\"pay\",\"status\":500}\n", "i:3: not a line about"},
        {"", "i: it names nothing"},
        {"\n\n", "i: it names nothing"},
    };
    char said[128];
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    start(NULL);
    gateway_comes();
    gateway_leads_to("12");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put_file("i", broken[i].text);
        reload_says(1, "generation");
        snprintf(said, sizeof said, "the inventory stays as it was: %s", broken[i].why);
        reload_says(1, said);
        wait_status(broken[i].why);
    }
    assert_int_equal(unlink("i"), 0);
    reload_says(1, "the inventory stays as it was: i: No such file");
    gateway_leads_to("12");
    put_file("i", PAY_SERVICE PAY(2));
    reload_changes("1 gone (instance pay-1)");
    assert_false(status_says("the inventory stays"));
    gateway_leads_to("2");
    gateway_goes();
    stop();
}

/* Who waits for somebody to write a FIFO answers nobody: not once does anything wait here. */
static void what_is_no_file_is_refused_and_stops_nothing(void **state)
{
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    start(NULL);
    gateway_comes();
    gateway_leads_to("12");
    assert_int_equal(unlink("i"), 0);
    assert_int_equal(mkfifo("i", 0600), 0);
    reload_says(1, "the inventory stays as it was: i: not a regular file");
    assert_int_equal(unlink("i"), 0);
    put_file("i", PAY_SERVICE PAY(2));
    gateway_leads_to("2");
    assert_int_equal(unlink("p.mpol"), 0);
    assert_int_equal(mkfifo("p.mpol", 0600), 0);
    reload_says(1, "p.mpol: not a regular file");
    assert_int_equal(unlink("p.mpol"), 0);
    put_file("p.mpol", flood_policy);
    reload_says(0, "is in force");
    gateway_goes();
    stop();
}

static void what_has_gone_is_gone_after_a_restart(void **state)
{
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    start(NULL);
    gateway_comes();
    gateway_leads_to("12");
    gateway_goes();
    run_kill(&r);
    run_free(&r);
    put_file("i", PAY_SERVICE PAY(1));
    start(NULL);
    assert_true(run_said(&r, "inventory: 1 gone (instance pay-2)"));
    gateway_comes();
    gateway_leads_to("1");
    gateway_goes();
    stop();
    put_file("i", PAY_SERVICE "{ no line\n"); /* then nothing goes */
    start(NULL);
    assert_true(run_said(&r, "i:2: "));
    gateway_comes();
    gateway_leads_to("1");
    gateway_goes();
    stop();
}

static void what_telemetry_has_said_stays(void **state)
{
    put_file("i", PAY_SERVICE PAY(1) PAY(2));
    put_file("t", PAY(3));
    start("--telemetry=t");
    gateway_comes();
    gateway_leads_to("123");
    put_file("i", PAY_SERVICE PAY(2));
    reload_changes("inventory: 1 gone (instance pay-1)");
    gateway_leads_to("23");
    gateway_goes();
    stop();
    put_file("i", PAY_SERVICE PAY(1));
    start("--telemetry=t");
    gateway_comes();
    gateway_leads_to("13");
    gateway_goes();
    stop();
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, asker_begin, asker_finish)
    const struct CMUnitTest tests[] = {
        CASE(what_has_gone_from_the_file_goes_from_the_gateway),
        CASE(a_file_that_changes_is_read_by_itself),
        CASE(a_broken_file_changes_nothing),
        CASE(what_is_no_file_is_refused_and_stops_nothing),
        CASE(what_has_gone_is_gone_after_a_restart),
        CASE(what_telemetry_has_said_stays),
    };
    if (argc < 2) return 2;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
