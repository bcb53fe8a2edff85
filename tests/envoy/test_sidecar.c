/* SPDX-License-Identifier: Apache-2.0
 * One service, one sidecar: a decision of an operator or of a rule reaches a real Envoy, is
 * obeyed on new connections and on old ones, outlives the control plane, and is taken back.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip on service for 30m\n";

static const char inventory[] =
    "{\"entity\":\"service\",\"name\":\"checkout\"}\n"
    "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n"
    "{\"entity\":\"instance\",\"name\":\"checkout-2\",\"service\":\"checkout\"}\n";

#define GOOD "127.0.0.3"
#define BAD "127.0.0.2"
#define ONLY_NEW "new requests; streams that run go on: service/checkout/checkout-1 has no module"

struct shop {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar;
    char xds[32];
    int xds_port;
};

static void start_mpol(struct shop *s)
{
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s->xds,
              NULL);
}

static void start_sidecar(const struct shop *s, struct proxy *p, const char *instance)
{
    struct proxy_is is = {"service", "checkout", instance, s->app.port, s->xds_port};
    proxy_start(p, &is, NULL);
}

static void open_shop(struct shop *s)
{
    *s = (struct shop){.xds_port = port_hold()};
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", s->xds_port);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", inventory);
    upstream_start(&s->app);
    start_mpol(s);
    start_sidecar(s, &s->sidecar, "checkout-1");
    wait_status("service/checkout/checkout-1");
}

static void close_shop(struct shop *s)
{
    proxy_stop(&s->sidecar);
    upstream_stop(&s->app);
    assert_int_equal(run_stop(&s->mpol), 0);
    run_free(&s->mpol);
}

/* What was answered lives until the next question. */
static const char *deny(const char *client)
{
    char target[64];
    const char *out;
    snprintf(target, sizeof target, "client.ip=%s", client);
    int code = ask(&out, "decisions", "add", "deny", target, "--on=service", "--for=5m",
                   "--reason=a test", "--yes", "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
    return out;
}

static void allow_again(const char *client)
{
    char target[64];
    const char *out;
    snprintf(target, sizeof target, "client.ip=%s", client);
    int code = ask(&out, "decisions", "delete", target, "--yes", "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
}

/* ---- an operator ---- */

static void a_denied_client_gets_403_and_no_other_does(void **state)
{
    struct shop s;
    struct client kept;
    open_shop(&s);
    client_open(&kept, BAD, s.sidecar.port);
    assert_int_equal(client_get(&kept, "/"), 200);
    assert_non_null(strstr(deny(BAD), "effective (" ONLY_NEW ")"));
    int64_t took = wait_get_once(BAD, s.sidecar.port, "/", 403);
    printf("decision made and answered, then first 403 after %lld us\n", (long long)took);
    assert_int_equal(client_get(&kept, "/"), 403); /* the connection that was there before */
    assert_non_null(strstr(kept.reply, "RBAC: access denied"));
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    wait_status("effective, in force");
    const char *out;
    assert_int_equal(ask(&out, "decisions", "list", "--state=state", NULL), 0);
    assert_non_null(strstr(out, "a test; " ONLY_NEW));
    assert_int_equal(ask(&out, "decisions", "list", "--format=json", "--state=state", NULL), 0);
    assert_non_null(strstr(out, "\"only\":\"" ONLY_NEW "\""));
    allow_again(BAD);
    wait_get_once(BAD, s.sidecar.port, "/", 200);
    assert_int_equal(client_get(&kept, "/"), 200);
    client_close(&kept);
    close_shop(&s);
}

/* A script reads one object, and what it says has happened. */
static void an_answer_in_json_waits_until_it_is_obeyed(void **state)
{
    struct shop s;
    const char *out;
    (void)state;
    open_shop(&s);
    assert_int_equal(ask(&out, "decisions", "add", "deny", "client.ip=" BAD, "--for=5m", "--yes",
                         "--format=json", "--state=state", NULL),
                     0);
    assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    assert_ptr_equal(strstr(out, "{\"version\":1,\"looked\":false,\"how\":\"admitted\","), out);
    if (strstr(out, ",\"state\":\"effective\",\"only\":\"" ONLY_NEW "\",\"facts\":[") == NULL)
        fail_msg("%s", out);
    assert_string_equal(strchr(out, '\n'), "\n");

    proxy_stop(&s.sidecar);
    wait_status("AWAY");
    assert_int_equal(ask(&out, "decisions", "add", "deny", "client.ip=127.0.0.9", "--for=5m", "--yes",
                         "--format=json", "--state=state", NULL),
                     1);
    assert_non_null(
        strstr(out, ",\"state\":\"stuck\",\"trouble\":\"no proxy of layer service is connected\","));
    assert_string_equal(strchr(out, '\n'), "\n");
    close_shop(&s);
}

/* ---- ADS belongs to somebody else ---- */

/* As Istio's sidecars ask whose control plane is istiod: a stream for each thing, and a name of
 * its kind. */
static void write_single(const char *from, const char *to)
{
    static const char source[] =
        "\"api_config_source\": {\"api_type\": \"DELTA_GRPC\", \"transport_api_version\": \"V3\","
        " \"grpc_services\": [{\"envoy_grpc\": {\"cluster_name\": \"mpol-xds\"}}]}";
    char *config = text_replaced(get_file(from), "\"ads\": {}", source);
    char *named =
        text_replaced(config, "\"id\": \"service/checkout/checkout-1\"",
                      "\"id\": \"sidecar~127.0.0.1~checkout-1.default~default.svc.cluster.local\"");
    char *begin = strstr(named, "\"dynamic_resources\":"),
         *end = strstr(named, "\"layered_runtime\":");
    assert_true(begin != NULL && end > begin);
    memmove(begin, end, strlen(end) + 1);
    put_file(to, named);
    free(config);
    free(named);
}

static void an_envoy_with_another_control_plane_obeys(void **state)
{
    struct shop s;
    open_shop(&s);
    proxy_stop(&s.sidecar);
    write_single("checkout-1.json", "single.json");
    proxy_start_file(&s.sidecar, "single.json");
    deny(BAD);
    wait_get_once(BAD, s.sidecar.port, "/", 403);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    run_kill(&s.mpol);
    run_free(&s.mpol);
    for (int i = 0; i < 20; i++) assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    start_mpol(&s);
    wait_status("service/checkout/checkout-1");
    wait_status("ecds 4 of 4 rtds 1 of 1");
    assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    for (int i = 0; i < 3; i++)
        assert_int_equal(get_once("127.0.0.4", s.sidecar.port, "/404"), 404);
    wait_get_once("127.0.0.4", s.sidecar.port, "/", 403); /* its records have the same name */
    allow_again(BAD);
    wait_get_once(BAD, s.sidecar.port, "/", 200);
    close_shop(&s);
}

/* ---- a gateway that leads to all when few are left ---- */

static void a_gateway_in_panic_is_told_and_holds_nothing_up(void **state)
{
    struct shop s;
    struct proxy gate = {0};
    char line[160];
    (void)state;
    open_shop(&s);
    snprintf(line, sizeof line,
             "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\","
             "\"ip\":\"127.0.0.1\",\"port\":%d}\n",
             s.sidecar.port);
    assert_int_equal(run_stop(&s.mpol), 0);
    run_free(&s.mpol);
    put_file("inventory.jsonl", line);
    start_mpol(&s);
    struct proxy_is is = {"ingress", "gate", "gate-1", 0, s.xds_port};
    proxy_start(&gate, &is, "--route=/=checkout", NULL);
    proxy_stop(&gate);
    char *config = text_replaced(get_file("gate-1.json"),
                                 "\"healthy_panic_threshold\": {\"value\": 0},", ""),
         *untold = text_replaced(config, "\"panic_percent\": 0,", "");
    put_file("panics.json", untold);
    free(config);
    free(untold);
    proxy_start_file(&gate, "panics.json");
    wait_get_once(GOOD, gate.port, "/", 200);

    const char *out;
    int code = ask(&out, "decisions", "add", "quarantine", "instance=checkout-1", "--for=5m", "--yes",
                   "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
    run_wait(&s.mpol, "proxy ingress/gate/gate-1: checkout is in panic: 0 of 1 can take requests");
    wait_status("effective, in force");
    wait_status("unproven: checkout is in panic: 0 of 1 can take requests");
    assert_int_equal(ask(&out, "decisions", "list", "--state=state", NULL), 0);
    if (strstr(out, "unproven at ingress/gate/gate-1: checkout is in panic") == NULL)
        fail_msg("%s", out);
    assert_int_equal(get_once(GOOD, gate.port, "/"), 403); /* led to it, and refused there */
    proxy_stop(&gate);
    close_shop(&s);
}

/* ---- the control plane is gone ---- */

static void a_kill_lets_nobody_in_and_the_next_life_says_the_same(void **state)
{
    struct shop s;
    struct proxy fresh = {0};
    open_shop(&s);
    deny(BAD);
    wait_get_once(BAD, s.sidecar.port, "/", 403);
    wait_status("effective, in force");
    run_kill(&s.mpol);
    run_free(&s.mpol);
    for (int i = 0; i < 50; i++) assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    int64_t began = test_now_us();
    start_mpol(&s);
    for (int waited = 0; !status_says("service/checkout/checkout-1");
         pause_between(&waited, "reconnected")) {
        assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    }
    printf("started again and reconciled after %lld us\n", (long long)(test_now_us() - began));
    assert_int_equal(get_once(BAD, s.sidecar.port, "/"), 403);
    /* One that was never here before: its first answer has the lease, so not one request gets
     * through. */
    start_sidecar(&s, &fresh, "checkout-2");
    assert_int_equal(get_once(BAD, fresh.port, "/"), 403);
    assert_int_equal(get_once(GOOD, fresh.port, "/"), 200);
    allow_again(BAD);
    wait_get_once(BAD, s.sidecar.port, "/", 200);
    wait_get_once(BAD, fresh.port, "/", 200);
    proxy_stop(&fresh);
    close_shop(&s);
}

/* ---- a rule ---- */

static void requests_become_records_and_trip_a_rule(void **state)
{
    struct shop s;
    const char *out;
    open_shop(&s);
    for (int i = 0; i < 3; i++) assert_int_equal(get_once(BAD, s.sidecar.port, "/404"), 404);
    wait_get_once(BAD, s.sidecar.port, "/", 403);
    assert_int_equal(get_once(GOOD, s.sidecar.port, "/"), 200);
    wait_status("effective, in force");
    assert_int_equal(ask(&out, "ledger", "show", "--rule=prober", "--state=state", NULL), 0);
    assert_non_null(strstr(out, "\"to\":\"effective\""));
    close_shop(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_denied_client_gets_403_and_no_other_does, folder_make,
                                        mesh_drop),
        cmocka_unit_test_setup_teardown(an_answer_in_json_waits_until_it_is_obeyed, folder_make,
                                        mesh_drop),
        cmocka_unit_test_setup_teardown(a_kill_lets_nobody_in_and_the_next_life_says_the_same,
                                        folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(an_envoy_with_another_control_plane_obeys, folder_make,
                                        mesh_drop),
        cmocka_unit_test_setup_teardown(a_gateway_in_panic_is_told_and_holds_nothing_up,
                                        folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(requests_become_records_and_trip_a_rule, folder_make,
                                        mesh_drop),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
