/* SPDX-License-Identifier: Apache-2.0
 * `mpol run --xds --module-socket` and a real Envoy with the module, from the bootstrap that mpol
 * prints.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../envoy/proxy.h"
#include "bed.h"

#define PROBER                                                                                     \
    "rule prober\n"                                                                                \
    "  when count(requests where status == 404) over 5m >= 3 per client.ip max 1k\n"               \
    "  then deny client.ip on service for 30m\n"
#define POLICY(path)                                                                               \
    "use std.mesh\n"                                                                               \
    "rule closed when request.path starts with \"" path "\" then deny request\n" PROBER

static const char inventory[] =
    "{\"entity\":\"service\",\"name\":\"checkout\"}\n"
    "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n";

#define GOOD "127.0.0.3"
#define BAD "127.0.0.2"

struct shop {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
    char xds[32], socket[160];
};

static void start_mpol(struct shop *s)
{
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s->xds,
              s->socket, "--listen=127.0.0.1:0", NULL);
}

static void open_shop_before(struct shop *s, int app_port)
{
    char folder[100];
    int xds_port = port_hold();
    *s = (struct shop){.xds = ""};
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", xds_port);
    snprintf(s->socket, sizeof s->socket, "--module-socket=%s/m.sock", folder);
    put_file("policy.mpol", POLICY("/admin"));
    put_file("inventory.jsonl", inventory);
    if (app_port == 0) upstream_start(&s->app);
    start_mpol(s);
    struct proxy_is is = {"service", "checkout", "checkout-1",
                          app_port != 0 ? app_port : s->app.port, xds_port};
    proxy_start(&s->sidecar, &is, s->socket, NULL);
    wait_status("service/checkout/checkout-1: program 1, leases passed");
}

static void open_shop(struct shop *s) { open_shop_before(s, 0); }

static void close_shop(struct shop *s)
{
    proxy_stop(&s->sidecar);
    if (s->app.pid > 0) upstream_stop(&s->app);
    assert_int_equal(run_stop(&s->mpol), 0);
    run_free(&s->mpol);
}

static void wait_ledger(const char *rule, const char *text)
{
    char word[64];
    const char *out = "";
    snprintf(word, sizeof word, "--rule=%s", rule);
    for (int waited = 0;; pause_between(&waited, text)) {
        if (ask(&out, "ledger", "show", word, "--state=state", NULL) == 0 &&
            strstr(out, text) != NULL)
            return;
    }
}

static void inline_rules_answer_in_the_proxy_and_reach_the_ledger(void **state)
{
    struct shop s;
    open_shop(&s);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    assert_int_equal(get_once(BAD, s.sidecar.port, "/admin/users"), 403);
    wait_ledger("closed", "\"to\":\"effective\"");
    wait_status("refused 1,");
    close_shop(&s);
}

static void another_policy_is_in_force_without_a_gap(void **state)
{
    struct shop s;
    const char *out;
    open_shop(&s);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/admin"), 403);
    put_file("policy.mpol", POLICY("/secret"));
    assert_int_equal(ask(&out, "reload", "--state=state", NULL), 0);
    wait_status("program 2, leases passed");
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/secret"), 403);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/admin"), 200);
    put_file("policy.mpol", "use std.mesh\nrule broken when\n");
    assert_int_not_equal(ask(&out, "reload", "--state=state", NULL), 0);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/secret"), 403);
    close_shop(&s);
}

static void records_of_the_module_trip_rules_and_a_kill_lifts_nothing(void **state)
{
    struct shop s;
    open_shop(&s);
    for (int i = 0; i < 3; i++) assert_int_equal(get_once(BAD, s.sidecar.port, "/404"), 404);
    wait_get_once(BAD, s.sidecar.port, "/", 403);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    wait_status("effective, in force");
    run_kill(&s.mpol);
    run_free(&s.mpol);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
        assert_int_equal(get_once(GOOD, s.sidecar.port, "/admin"), 403);
    }
    start_mpol(&s);
    for (int waited = 0; !status_says("program 1, leases passed");
         pause_between(&waited, "reconnected")) {
        assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    }
    assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    close_shop(&s);
}

static void every_module_has_its_numbers(void **state)
{
#define OF "{proxy=\"service/checkout/checkout-1\"} "
    static const char *const lines[] = {
        "\nmpol_modules 1\n",
        "# TYPE mpol_module_refusals counter\n",
        "\nmpol_module_connected" OF "1\n",
        "\nmpol_module_silent" OF "0\n",
        "\nmpol_module_program_taken" OF "1\n",
        "\nmpol_module_program_passed" OF "1\n",
        "\nmpol_module_verdicts_total" OF,
        "\nmpol_module_dropped_total" OF "0\n",
        "\nmpol_module_cut_total" OF "0\n",
    };
    struct shop s;
    (void)state;
    open_shop(&s);
    assert_int_equal(get_once(BAD, s.sidecar.port, "/admin/users"), 403);
    wait_get(s.mpol.port, "/metrics", 200, "mpol_module_refusals_total" OF "1\n");
    wait_get(s.mpol.port, "/metrics", 200, "mpol_module_records_total" OF "1\n");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        wait_get(s.mpol.port, "/metrics", 200, lines[i]);
    proxy_stop(&s.sidecar);
    wait_get(s.mpol.port, "/metrics", 200, "\nmpol_modules 0\n");
    close_shop(&s);
}

/* ---- an access log beside it ---- */

static unsigned number(const struct shop *s, const char *name)
{
    const char *body, *at;
    char line[100];
    snprintf(line, sizeof line, "\n%s ", name);
    assert_int_equal(get(s->mpol.port, "/metrics", &body), 200);
    assert_non_null(at = strstr(body, line));
    return (unsigned)strtoul(at + strlen(line), NULL, 10);
}

static unsigned logged(const struct shop *s)
{
    return number(s, "mpol_als_requests_total") + number(s, "mpol_als_doubled_total");
}

/* Whoever wrote the bootstrap has added the module to what was there. */
static void what_module_and_access_log_tell_counts_once(void **state)
{
    static const char log[] =
        "\"access_log\": [{\"name\": \"envoy.access_loggers.http_grpc\", \"typed_config\": "
        "{\"@type\": \"type.googleapis.com/"
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig\", "
        "\"common_config\": {\"log_name\": \"mpol\", \"transport_api_version\": \"V3\", "
        "\"buffer_size_bytes\": 0, \"grpc_service\": {\"envoy_grpc\": "
        "{\"cluster_name\": \"mpol-xds\"}}}}},";
    struct shop s;
    (void)state;
    open_shop(&s);
    proxy_stop(&s.sidecar);
    char *config = replaced(get_file("checkout-1.json"), "\"access_log\": [", log);
    put_file("both.json", config);
    free(config);
    proxy_start_file(&s.sidecar, "both.json");
    wait_get_once(GOOD, s.sidecar.port, "/", 200);
    static const char told[] =
        "mpol_module_records_total{proxy=\"service/checkout/checkout-1\"}";
    wait_get(s.mpol.port, "/metrics", 200, told);
    for (int waited = 0; number(&s, told) < 1; pause_between(&waited, "the module tells")) {}
    for (int waited = 0; logged(&s) < 1; pause_between(&waited, "the access log tells")) {}
    unsigned before = number(&s, "mpol_als_requests_total"), asked = logged(&s) + 20;
    for (int i = 0; i < 20; i++) assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    for (int waited = 0; logged(&s) < asked; pause_between(&waited, "all are told")) {}
    assert_int_equal(number(&s, "mpol_als_requests_total"), before);
    run_wait(&s.mpol, "are passed over: the proxy's module tells of its requests");
    close_shop(&s);
}

/* ---- a long list ---- */

#define MANY 40

static const char *address(int i)
{
    static char text[32];
    snprintf(text, sizeof text, "127.0.1.%d", i + 1);
    return text;
}

static void all_are_refused(const struct shop *s)
{
    for (int i = 0; i < MANY; i++) {
        if (get_once(address(i), s->sidecar.port, "/") != 403) fail_msg("%s got in", address(i));
    }
}

static bool filters_name(const struct shop *s, const char *text)
{
    return proxy_admin_says(&s->sidecar, "/config_dump?resource=ecds_filters", text);
}

/* The filters are given other things too, so that what they hold is the newest that they got. */
static void wait_list_is(const struct shop *s, bool there)
{
    for (int waited = 0; filters_name(s, "127.0.1.40") != there;
         pause_between(&waited, there ? "the list is back" : "the list is gone")) {}
}

/* What is not effective yet may not be in the ledger either, and be gone with the process. */
static void wait_all_effective(void)
{
    unsigned there = 0;
    for (int waited = 0; there < MANY; pause_between(&waited, "all are effective")) {
        const char *out = "";
        there = 0;
        if (ask(&out, "decisions", "list", "--state=state", NULL) != 0) continue;
        while ((out = strstr(out, " effective")) != NULL) there++, out++;
    }
}

/* The module holds it, and Envoy's filters do when there is no module any more. */
static void a_long_list_is_in_one_of_two_hands(void **state)
{
    struct shop s;
    (void)state;
    open_shop(&s);
    for (int i = 0; i < MANY; i++) {
        for (int k = 0; k < 3; k++) get_once(address(i), s.sidecar.port, "/404");
        wait_get_once(address(i), s.sidecar.port, "/", 403);
    }
    wait_list_is(&s, false);
    all_are_refused(&s);
    wait_all_effective();
    run_kill(&s.mpol);
    run_free(&s.mpol);
    all_are_refused(&s);
    put_file("policy.mpol", "use std.mesh\n" PROBER); /* what needs no module */
    run_start(&s.mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s.xds,
              "--listen=127.0.0.1:0", NULL);
    wait_list_is(&s, true);
    all_are_refused(&s);
    run_kill(&s.mpol);
    run_free(&s.mpol);
    start_mpol(&s);
    wait_list_is(&s, false);
    all_are_refused(&s);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    close_shop(&s);
}

/* With the module in all of them there is nothing that goes on. */
static void what_is_denied_is_not_only_new_requests(void **state)
{
    struct shop s;
    const char *out;
    (void)state;
    open_shop(&s);
    int code = ask(&out, "decisions", "add", "deny", "client.ip=" BAD, "--for=5m", "--yes",
                   "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
    assert_non_null(strstr(out, " effective\n"));
    assert_int_equal(ask(&out, "decisions", "list", "--state=state", NULL), 0);
    assert_null(strstr(out, "new requests"));
    close_shop(&s);
}

/* ---- streams, and answers of the module's own ---- */

static const char *decide(const char *verb, const char *more, bool in_force)
{
    const char *out;
    int code = ask(&out, "decisions", "add", verb, "client.ip=" BAD, "--for=5m", "--yes",
                   "--state=state", more, NULL);
    if ((code == 0) != in_force) fail_msg("%s", out);
    return out;
}

static void open_stream(struct bed_client *c, const char *from, int port)
{
    *c = (struct bed_client){.fd = -1, .from = from};
    assert_true(bed_connect(c, from, port));
    assert_int_equal(bed_stream(c, "/stream"), 200);
    assert_true(bed_stream_goes_on(c));
}

static void an_operator_cuts_what_is_open(void **state)
{
    struct shop s;
    struct bed_client bad, good, again;
    struct bed_service *app = bed_service_start();
    open_shop_before(&s, bed_service_port(app));
    open_stream(&bad, BAD, s.sidecar.port);
    open_stream(&good, GOOD, s.sidecar.port);
    decide("cut", "--on=service", true);
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    while (bed_stream_goes_on(&bad)) assert_true(bed_now_ns() < until);
    wait_status("cut 127.0.0.2");
    open_stream(&again, BAD, s.sidecar.port); /* it is in force */
    decide("throttle", "to=50%", true);       /* a new set, and the cut is in it */
    wait_status("throttle 127.0.0.2");
    for (int i = 0; i < 20; i++) assert_true(bed_stream_goes_on(&again));
    for (int i = 0; i < 20; i++) assert_true(bed_stream_goes_on(&good));
    /* At a hook where there is no proxy it waits, and says so. */
    assert_non_null(strstr(decide("cut", "--on=edge", false),
                           "stuck: no proxy with the module is connected"));
    bed_disconnect(&bad);
    bed_disconnect(&good);
    bed_disconnect(&again);
    close_shop(&s);
    bed_service_stop(app);
}

static void a_denial_answers_as_it_says(void **state)
{
    struct shop s;
    open_shop(&s);
    decide("deny", "status=451", true);
    wait_get_once(BAD, s.sidecar.port, "/", 451);
    wait_status("effective, in force");
    for (int i = 0; i < 20; i++) assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 451);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    close_shop(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(inline_rules_answer_in_the_proxy_and_reach_the_ledger,
                                        folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(another_policy_is_in_force_without_a_gap, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(records_of_the_module_trip_rules_and_a_kill_lifts_nothing,
                                        folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(every_module_has_its_numbers, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(what_module_and_access_log_tell_counts_once, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(a_long_list_is_in_one_of_two_hands, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(what_is_denied_is_not_only_new_requests, folder_make,
                                        folder_drop),
        cmocka_unit_test_setup_teardown(an_operator_cuts_what_is_open, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(a_denial_answers_as_it_says, folder_make, folder_drop),
    };
    const char *envoy = proxy_program();
    if (argc < 3 || envoy == NULL || !bed_loads_modules(envoy)) return PROXY_SKIPPED;
    harness_command(argv[1]);
    setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", argv[2], 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
