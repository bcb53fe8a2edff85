/* SPDX-License-Identifier: Apache-2.0
 * Envoys whose bootstrap says GRPC where ours says DELTA_GRPC, as many written by hand do: they
 * speak the state of the world, over ADS and in streams of one type, and obey all the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

#define BAD "127.0.0.2"
#define GOOD "127.0.0.3"

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip on service for 30m\n";

struct mesh {
    struct upstream app;
    struct run mpol;
    struct proxy sidecar, gate;
    char xds[32];
    int xds_port;
};

/* ---- bootstraps ---- */

static char *over_ads(const char *config)
{
    return text_replaced(config, "\"DELTA_GRPC\"", "\"GRPC\"");
}

/* The other implementation of discovery that Envoy has, which takes a response for all there is. */
static char *over_unified_ads(const char *config)
{
    char *ads = over_ads(config);
    char *out = text_replaced(ads, "\"layers\": [",
                              "\"layers\": [{\"name\": \"mux\", \"static_layer\": "
                              "{\"envoy.reloadable_features.unified_mux\": true}},");
    free(ads);
    return out;
}

/* Each thing that it asks for has a stream of its own, as where ADS is another control plane's. */
static char *of_one_type(const char *config)
{
    char *out = text_replaced(
        config, "\"ads\": {}",
        "\"api_config_source\": {\"api_type\": \"GRPC\", \"transport_api_version\": \"V3\","
        " \"grpc_services\": [{\"envoy_grpc\": {\"cluster_name\": \"mpol-xds\"}}]}");
    char *begin = strstr(out, "\"dynamic_resources\":"),
         *end = strstr(out, "\"layered_runtime\":");
    assert_true(begin != NULL && end > begin);
    memmove(begin, end, strlen(end) + 1);
    return out;
}

/* Starts the proxy once more with the configuration that it had, rewritten. */
static void restart_as(struct proxy *p, char *(*rewritten)(const char *config))
{
    char file[64];
    proxy_stop(p);
    snprintf(file, sizeof file, "sotw-%.50s", p->file);
    char *config = rewritten(get_file(p->file));
    put_file(file, config);
    free(config);
    proxy_start_file(p, file);
}

/* ---- a mesh: gate → checkout-1 ---- */

static void start_mpol(struct mesh *m)
{
    run_start(&m->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", m->xds,
              NULL);
}

static void open_mesh(struct mesh *m, char *(*rewritten)(const char *config))
{
    char line[200];
    *m = (struct mesh){.xds_port = port_hold(), .sidecar = {.port = port_hold()}};
    snprintf(m->xds, sizeof m->xds, "--xds=127.0.0.1:%d", m->xds_port);
    snprintf(line, sizeof line,
             "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\","
             "\"ip\":\"127.0.0.1\",\"port\":%d}\n",
             m->sidecar.port);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl", line);
    upstream_start(&m->app);
    start_mpol(m);
    struct proxy_is at_sidecar = {"service", "checkout", "checkout-1", m->app.port, m->xds_port};
    struct proxy_is at_gate = {"ingress", "gate", "gate-1", 0, m->xds_port};
    proxy_start(&m->sidecar, &at_sidecar, NULL);
    proxy_start(&m->gate, &at_gate, "--route=/=checkout", NULL);
    restart_as(&m->sidecar, rewritten);
    restart_as(&m->gate, rewritten);
    wait_get_once(GOOD, m->gate.port, "/", 200);
    wait_status("0 leases, state of the world\n      ecds 4 of 4 rtds 1 of 1 acknowledged");
    wait_status("0 leases, state of the world\n      ecds 4 of 4 rtds 1 of 1 eds 1 of 1 "
                "rds 1 of 1 acknowledged");
}

static void close_mesh(struct mesh *m)
{
    proxy_stop(&m->gate);
    proxy_stop(&m->sidecar);
    upstream_stop(&m->app);
    assert_int_equal(run_stop(&m->mpol), 0);
    run_free(&m->mpol);
}

/* Ends when it is effective, or fails. `more`: an argument, or NULL. */
static void decide(const char *verb, const char *target, const char *more)
{
    const char *out;
    int code = ask(&out, "decisions", "add", verb, target, "--for=5m", "--yes", "--state=state",
                   more, NULL);
    if (code != 0 || strstr(out, " effective") == NULL) fail_msg("%s", out);
}

static void take_back(const char *target)
{
    const char *out;
    int code = ask(&out, "decisions", "delete", target, "--yes", "--state=state", NULL);
    if (code != 0) fail_msg("%s", out);
}

/* ---- what both kinds of streams carry ---- */

static void denies_shares_and_quarantines(struct mesh *m)
{
    struct client kept;
    client_open(&kept, BAD, m->sidecar.port);
    assert_int_equal(client_get(&kept, "/"), 200);
    decide("deny", "client.ip=" BAD, "--on=service");
    assert_int_equal(client_get(&kept, "/"), 403);
    assert_int_equal(get_once(BAD, m->sidecar.port, "/"), 403);
    assert_int_equal(get_once(GOOD, m->sidecar.port, "/"), 200);
    take_back("client.ip=" BAD);
    wait_get_once(BAD, m->sidecar.port, "/", 200);
    client_close(&kept);

    /* What is read back is shown a moment before the workers have it. */
    decide("throttle", "service=checkout", "to=0%");
    wait_get_once(GOOD, m->sidecar.port, "/", 429);
    take_back("service=checkout");
    wait_get_once(GOOD, m->sidecar.port, "/", 200);

    decide("quarantine", "instance=checkout-1", NULL);
    assert_int_equal(get_once(GOOD, m->sidecar.port, "/"), 403);
    wait_get_once(GOOD, m->gate.port, "/", 503); /* its endpoint is unhealthy */
    take_back("instance=checkout-1");
    wait_get_once(GOOD, m->gate.port, "/", 200);

    for (int i = 0; i < 3; i++) assert_int_equal(get_once(BAD, m->sidecar.port, "/404"), 404);
    wait_get_once(BAD, m->sidecar.port, "/", 403); /* a rule's own decision */
    const char *out;
    int waited = 0;
    while (ask(&out, "ledger", "show", "--rule=prober", "--state=state", NULL) != 0 ||
           strstr(out, "\"to\":\"effective\"") == NULL) {
        pause_between(&waited, "the decision on disk");
    }
}

static void outlives_the_control_plane(struct mesh *m)
{
    run_kill(&m->mpol);
    run_free(&m->mpol);
    for (int i = 0; i < 20; i++) assert_int_equal(get_once(BAD, m->sidecar.port, "/"), 403);
    start_mpol(m);
    int waited = 0;
    while (!status_says("service/checkout/checkout-1") || !status_says("ecds 4 of 4 rtds 1 of 1")) {
        assert_int_equal(get_once(BAD, m->sidecar.port, "/"), 403);
        pause_between(&waited, "reconnected");
    }
    wait_status("effective, in force");
    assert_int_equal(get_once(BAD, m->sidecar.port, "/"), 403);
    assert_int_equal(get_once(GOOD, m->sidecar.port, "/"), 200);
    take_back("client=" BAD);
    wait_get_once(BAD, m->sidecar.port, "/", 200);
}

static void an_envoy_that_says_grpc_obeys(void **state)
{
    struct mesh m;
    (void)state;
    open_mesh(&m, over_ads);
    denies_shares_and_quarantines(&m);
    outlives_the_control_plane(&m);
    close_mesh(&m);
}

static void an_envoy_with_a_unified_mux_obeys(void **state)
{
    struct mesh m;
    (void)state;
    open_mesh(&m, over_unified_ads);
    denies_shares_and_quarantines(&m);
    outlives_the_control_plane(&m);
    close_mesh(&m);
}

static void streams_of_one_type_obey_too(void **state)
{
    struct mesh m;
    (void)state;
    open_mesh(&m, of_one_type);
    denies_shares_and_quarantines(&m);
    outlives_the_control_plane(&m);
    close_mesh(&m);
}

/* ---- refusing ---- */

/* Filters are taken in their own type only, and ours are another one when somebody is exempt. */
static char *narrow(const char *config)
{
    return text_replaced(
        config, "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC");
}

static void refuses_and_keeps(char *(*rewritten)(const char *config))
{
    struct mesh m;
    const char *out;
    open_mesh(&m, rewritten);
    restart_as(&m.sidecar, narrow);
    decide("deny", "client.ip=" BAD, "--on=service");
    int code = ask(&out, "decisions", "add", "exempt", "client.ip=127.0.0.9", "--on=service",
                   "--for=5m", "--yes", "--state=state", NULL);
    assert_int_equal(code, 1);
    if (strstr(out, "refused mpol-deny") == NULL) fail_msg("%s", out);
    wait_status("REFUSED");
    assert_true(status_says("ExtensionWithMatcher"));
    assert_int_equal(get_once(BAD, m.sidecar.port, "/"), 403);
    assert_int_equal(get_once(GOOD, m.sidecar.port, "/"), 200);
    take_back("client.ip=127.0.0.9");
    take_back("client.ip=" BAD);
    wait_get_once(BAD, m.sidecar.port, "/", 200); /* what it can take it is sent again */
    close_mesh(&m);
}

static void a_refusal_keeps_the_state_before_and_is_told(void **state)
{
    (void)state;
    refuses_and_keeps(over_ads);
}

static void so_does_one_of_a_unified_mux(void **state)
{
    (void)state;
    refuses_and_keeps(over_unified_ads);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_envoy_that_says_grpc_obeys, folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(an_envoy_with_a_unified_mux_obeys, folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(streams_of_one_type_obey_too, folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(a_refusal_keeps_the_state_before_and_is_told, folder_make,
                                        mesh_drop),
        cmocka_unit_test_setup_teardown(so_does_one_of_a_unified_mux, folder_make, mesh_drop),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
