/* SPDX-License-Identifier: Apache-2.0
 * What an admin port of Envoy 1.39 writes, and what is wanted of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "envoy_prove/readback.h"

#define HOST(port, health, weight)                                                           \
    "{\"address\":{\"socket_address\":{\"address\":\"127.0.0.1\",\"port_value\":" port "}}," \
    "\"stats\":[{\"name\":\"cx_total\"}],\"health_status\":{" health "},\"weight\":" weight  \
    ",\"locality\":{}}"
#define CLUSTERS(hosts)                                                                            \
    "{\"cluster_statuses\":[{\"name\":\"mpol-xds\"},"                                              \
    "{\"name\":\"checkout\",\"host_statuses\":[" hosts "]}]}"
#define EDS(status) "\"eds_health_status\":\"" status "\""

#define IN MP_PROVE_IN
#define OUT MP_PROVE_OUT

struct row {
    const char *body;
    enum mp_prove_state a, b; /* of ports 9001 and 9002 */
    uint32_t weight;          /* of 9001 */
    size_t count;
    enum mp_readback got;
    const char *seen;
};

static const char both[] =
    CLUSTERS(HOST("9001", EDS("HEALTHY"), "1") "," HOST("9002", EDS("HEALTHY"), "1"));
static const char second_out[] =
    CLUSTERS(HOST("9001", EDS("HEALTHY"), "5") "," HOST("9002", EDS("UNHEALTHY"), "1"));
static const char second_gone[] = CLUSTERS(HOST("9001", EDS("HEALTHY"), "5"));
static const char ejected[] =
    CLUSTERS(HOST("9001", EDS("HEALTHY") ",\"failed_outlier_check\":true", "1"));
static const char ejected_beside_out[] =
    CLUSTERS(HOST("9001", EDS("HEALTHY") ",\"failed_outlier_check\":true", "1") "," HOST(
        "9002", EDS("UNHEALTHY"), "1"));
static const char sick_beside_out[] =
    CLUSTERS(HOST("9001", EDS("HEALTHY") ",\"failed_active_health_check\":true", "1") "," HOST(
        "9002", EDS("UNHEALTHY"), "1"));
/* As where clusters are called otherwise than the service whose endpoints they ask for. */
#define ALIAS(name, hosts)                                                                         \
    "{\"name\":\"" name "\",\"eds_service_name\":\"checkout\",\"host_statuses\":[" hosts "]}"
static const char aliases[] =
    "{\"cluster_statuses\":[{\"name\":\"checkout\",\"eds_service_name\":\"pay\"},"
    ALIAS("outbound|80||checkout", HOST("9001", EDS("HEALTHY"), "1")) ","
    ALIAS("other", HOST("9001", EDS("UNHEALTHY"), "1")) "]}";
static const char draining[] = CLUSTERS(HOST("9001", EDS("DRAINING"), "1"));

static const struct row rows[] = {
    {both, IN, IN, 0, 2, MP_READBACK_AS_WANTED, ""},
    {both, IN, IN, 1, 2, MP_READBACK_AS_WANTED, ""},
    {both, IN, IN, 2, 2, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout weighs 1"},
    {both, IN, OUT, 0, 2, MP_READBACK_OTHERWISE, "127.0.0.1:9002 of checkout is still in"},
    {both, IN, IN, 0, 1, MP_READBACK_OTHERWISE, "127.0.0.1:9002 of checkout is still in"},
    {both, OUT, OUT, 0, 0, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout is still in"},
    {second_out, IN, OUT, 5, 2, MP_READBACK_AS_WANTED, ""},
    {second_out, IN, IN, 5, 2, MP_READBACK_OTHERWISE, "127.0.0.1:9002 of checkout is still out"},
    {second_out, IN, IN, 5, 1, MP_READBACK_AS_WANTED, ""}, /* kept by health checks, gets nothing */
    {second_gone, IN, OUT, 0, 2, MP_READBACK_AS_WANTED, ""},
    {second_gone, IN, IN, 0, 2, MP_READBACK_OTHERWISE, "127.0.0.1:9002 of checkout is not there"},
    {ejected, IN, OUT, 0, 1, MP_READBACK_AS_WANTED, ""}, /* of its own making, not ours */
    /* Envoy has thrown it out, and that is nobody's lease: it may come back at any time. */
    {ejected, OUT, OUT, 0, 1, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout is still in"},
    {ejected_beside_out, IN, OUT, 0, 2, MP_READBACK_AS_WANTED, ""},
    {aliases, IN, OUT, 0, 1, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout is still out"},
    {aliases, OUT, OUT, 0, 1, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout is still in"},
    {draining, OUT, OUT, 0, 1, MP_READBACK_AS_WANTED, ""},
    {CLUSTERS(""), OUT, OUT, 0, 2, MP_READBACK_AS_WANTED, ""},
    {CLUSTERS(""), IN, OUT, 0, 2, MP_READBACK_OTHERWISE, "127.0.0.1:9001 of checkout is not there"},
    {"{\"cluster_statuses\":[]}", IN, OUT, 0, 2, MP_READBACK_OTHERWISE,
     "127.0.0.1:9001 of checkout is not there"},
    {"{}", OUT, OUT, 0, 2, MP_READBACK_BAD, "no JSON as an admin port writes it"},
    {"[]", OUT, OUT, 0, 2, MP_READBACK_BAD, "no JSON as an admin port writes it"},
    {"", OUT, OUT, 0, 2, MP_READBACK_BAD, "no JSON as an admin port writes it"},
    {"{\"cluster_statuses\":[7,null,{\"name\":[]}]}", OUT, OUT, 0, 2, MP_READBACK_AS_WANTED, ""},
};

static void clusters_are_compared(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        const struct mp_prove_endpoint e[] = {{MP_STR("127.0.0.1:9001"), r->a, r->weight},
                                              {MP_STR("127.0.0.1:9002"), r->b, 0}};
        const struct mp_prove_task task = {.kind = MP_PROVE_CLUSTERS,
                                           .cluster = MP_STR("checkout"),
                                           .endpoints = e,
                                           .endpoint_count = r->count};
        char seen[160] = "";
        assert_int_equal(mp_readback(&task, mp_str_of(r->body), seen, sizeof seen), r->got);
        assert_string_equal(seen, r->seen);
    }
}

/* Below its threshold Envoy leads requests to all hosts that it knows, whoever is out. */
static void a_cluster_in_panic_is_seen(void **state)
{
    static const struct {
        const char *body;
        enum mp_prove_state a, b;
        size_t count;
        unsigned threshold;
        enum mp_readback got;
        const char *seen;
    } panics[] = {
        {second_out, IN, OUT, 2, 50, MP_READBACK_AS_WANTED, ""},
        {second_out, IN, OUT, 2, 51, MP_READBACK_PANIC,
         "checkout is in panic: 1 of 2 can take requests, so all are led to"},
        {ejected_beside_out, IN, OUT, 2, 0, MP_READBACK_AS_WANTED, ""},
        {ejected_beside_out, IN, OUT, 2, 50, MP_READBACK_PANIC,
         "checkout is in panic: 0 of 2 can take requests, so all are led to"},
        {sick_beside_out, IN, OUT, 2, 1, MP_READBACK_PANIC,
         "checkout is in panic: 0 of 2 can take requests, so all are led to"},
        {ejected_beside_out, IN, IN, 2, 50, MP_READBACK_OTHERWISE,
         "127.0.0.1:9002 of checkout is still out"},
        {ejected, IN, OUT, 1, 50, MP_READBACK_AS_WANTED, ""}, /* nobody of ours is out */
        {draining, OUT, OUT, 1, 50, MP_READBACK_PANIC,
         "checkout is in panic: 0 of 1 can take requests, so all are led to"},
        {second_gone, IN, OUT, 2, 100, MP_READBACK_AS_WANTED, ""}, /* who is gone is not led to */
    };
    (void)state;
    for (size_t i = 0; i < sizeof panics / sizeof panics[0]; i++) {
        const struct mp_prove_endpoint e[] = {{MP_STR("127.0.0.1:9001"), panics[i].a, 0},
                                              {MP_STR("127.0.0.1:9002"), panics[i].b, 0}};
        const struct mp_prove_task task = {.kind = MP_PROVE_CLUSTERS,
                                           .cluster = MP_STR("checkout"),
                                           .endpoints = e,
                                           .endpoint_count = panics[i].count,
                                           .panic_percent = panics[i].threshold};
        char seen[160] = "";
        assert_int_equal(mp_readback(&task, mp_str_of(panics[i].body), seen, sizeof seen),
                         panics[i].got);
        assert_string_equal(seen, panics[i].seen);
    }
}

static void runtime_is_compared(void **state)
{
    mp_str body = MP_STR(
        "{\"entries\":{\"mpol.share\":{\"final_value\":\"30\",\"layer_values\":[\"30\",\"\"]},"
        "\"mpol.version\":{\"final_value\":\"abc\"}},\"layers\":[\"mpol\",\"admin\"]}");
    static const struct {
        mp_str key, value;
        enum mp_readback got;
        const char *seen;
    } want[] = {
        {MP_STR_INIT("mpol.share"), MP_STR_INIT("30"), MP_READBACK_AS_WANTED, ""},
        {MP_STR_INIT("mpol.share"), MP_STR_INIT("300000"), MP_READBACK_OTHERWISE,
         "mpol.share is \"30\""},
        {MP_STR_INIT("mpol.version"), MP_STR_INIT("abc"), MP_READBACK_AS_WANTED, ""},
        {MP_STR_INIT("mpol.other"), MP_STR_INIT(""), MP_READBACK_AS_WANTED, ""},
        {MP_STR_INIT("mpol.other"), MP_STR_INIT("0"), MP_READBACK_OTHERWISE, "mpol.other is \"\""},
        {MP_STR_INIT("mpol.share"), MP_STR_INIT(""), MP_READBACK_OTHERWISE, "mpol.share is \"30\""},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const struct mp_prove_value v = {want[i].key, want[i].value};
        const struct mp_prove_task task = {
            .kind = MP_PROVE_RUNTIME, .values = &v, .value_count = 1};
        char seen[160] = "";
        assert_int_equal(mp_readback(&task, body, seen, sizeof seen), want[i].got);
        assert_string_equal(seen, want[i].seen);
    }
    const struct mp_prove_task task = {.kind = MP_PROVE_RUNTIME};
    char seen[160];
    assert_int_equal(mp_readback(&task, MP_STR("{\"entries\":[]}"), seen, sizeof seen),
                     MP_READBACK_BAD);
}

/* ---- listeners ---- */

#define FILTER(name) "{\"name\":\"" name "\",\"config_discovery\":{\"type_urls\":[]}}"
#define PLAIN(name) "{\"name\":\"" name "\",\"typed_config\":{}}"
#define HTTP(filters)                                                                              \
    "{\"filters\":[{\"name\":\"other\"},{\"name\":\"h\",\"typed_config\":{\"@type\":\"type."    \
    "googleapis.com/x.v3.HttpConnectionManager\",\"http_filters\":[" filters "]}}]}"
/* With routes of which some change a filter. */
#define ROUTED(filters, name) \
    "{\"filters\":[{\"typed_config\":{\"@type\":\"x.v3.HttpConnectionManager\"," \
    "\"http_filters\":[" filters "],\"route_config\":{\"virtual_hosts\":[{\"routes\":[" \
    "{\"route\":{}},{\"typed_per_filter_config\":{\"" name "\":{\"disabled\":true}}}]}]}}}]}"
#define TCP "{\"filters\":[{\"name\":\"t\",\"typed_config\":{\"@type\":\"x.v3.TcpProxy\"}}]}"
#define AT(name, ip, port, chains)                                                                 \
    "{\"listener\":{\"name\":\"" name "\",\"address\":{\"socket_address\":{\"address\":\"" ip     \
    "\",\"port_value\":" port "}},\"filter_chains\":[" chains "]}}"
#define STATICS(listeners) "{\"configs\":[{\"static_listeners\":[" listeners "]}]}"
#define BOTH FILTER("mpol-deny") "," FILTER("mpol-share")
#define ALL "mpol-deny, mpol-share"

static void listeners_without_a_filter_are_found(void **state)
{
    static const struct {
        const char *body, *listen;
        enum mp_readback got;
        uint32_t missing;
        const char *seen;
    } rows_of_listeners[] = {
        {"{}", "1.1.1.1:80", MP_READBACK_AS_WANTED, 0, ""},
        {"[]", "1.1.1.1:80", MP_READBACK_BAD, 0, "no JSON as an admin port writes it"},
        {"{\"configs\":7}", "", MP_READBACK_BAD, 0, "no JSON as an admin port writes it"},
        {"{\"configs\":[7,{\"static_listeners\":[7,{\"listener\":7}]}]}", "",
         MP_READBACK_AS_WANTED, 0, ""},
        {STATICS(AT("a", "1.1.1.1", "80", HTTP(BOTH "," PLAIN("router")))), "1.1.1.1:80",
         MP_READBACK_AS_WANTED, 0, ""},
        {STATICS(AT("t", "1.1.1.1", "21", TCP)), "1.1.1.1:80", MP_READBACK_OTHERWISE, 0,
         "listener t (1.1.1.1:21) passes TCP on"},
        {STATICS(AT("t", "1.1.1.1", "21", TCP) "," AT("a", "1.1.1.1", "80", HTTP(BOTH) "," TCP)),
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 0,
         "listener a (1.1.1.1:80) passes TCP on; so do 1 more"},
        {STATICS(AT("t", "1.1.1.1", "21", TCP) "," AT("b", "1.1.1.1", "81", HTTP(""))),
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 0,
         "listener b (1.1.1.1:81) lacks " ALL "; so do 1 more"},
        {STATICS(AT("a", "1.1.1.1", "80", HTTP(FILTER("mpol-deny")))), "1.1.1.1:80",
         MP_READBACK_OTHERWISE, 2, "listener a (1.1.1.1:80) lacks mpol-share"},
        /* one of that name that is not configured by us */
        {STATICS(AT("a", "1.1.1.1", "80", HTTP(FILTER("mpol-deny") "," PLAIN("mpol-share")))),
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 2, "listener a (1.1.1.1:80) lacks mpol-share"},
        {STATICS(AT("a", "1.1.1.1", "80", HTTP(FILTER("mpol-deny") ",{\"name\":\"mpol-share\","
                                               "\"config_discovery\":{},\"disabled\":true}"))),
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 2, "listener a (1.1.1.1:80) lacks mpol-share"},
        /* every chain must have it; what listens everywhere listens there */
        {STATICS(AT("a", "0.0.0.0", "80", HTTP(BOTH) "," HTTP(""))), "1.1.1.1:80",
         MP_READBACK_OTHERWISE, 3, "listener a (0.0.0.0:80) lacks " ALL},
        {STATICS(AT("a", "::1", "80", HTTP(""))), "[::]:80", MP_READBACK_OTHERWISE, 3,
         "listener a ([::1]:80) lacks " ALL},
        /* a route may have its reasons: it is told, and the listener has the filter */
        {STATICS(AT("a", "1.1.1.1", "80", ROUTED(BOTH, "mpol-deny"))), "1.1.1.1:80",
         MP_READBACK_OTHERWISE, 0, "listener a (1.1.1.1:80) has routes that change mpol-deny"},
        {STATICS(AT("a", "1.1.1.1", "80", ROUTED(BOTH, "mpol-other"))), "1.1.1.1:80",
         MP_READBACK_AS_WANTED, 0, ""},
        {STATICS(AT("a", "1.1.1.1", "80", ROUTED(FILTER("mpol-deny"), "mpol-deny"))), "1.1.1.1:80",
         MP_READBACK_OTHERWISE, 2,
         "listener a (1.1.1.1:80) lacks mpol-share, and routes change mpol-deny"},
        {STATICS(AT("a", "1.1.1.1", "80", ROUTED("", "mpol-deny"))), "1.1.1.1:80",
         MP_READBACK_OTHERWISE, 3, "listener a (1.1.1.1:80) lacks " ALL},
        /* others do not count as its own, and come after it */
        {STATICS(AT("a", "1.1.1.1", "81", HTTP(""))), "1.1.1.1:80", MP_READBACK_OTHERWISE, 0,
         "listener a (1.1.1.1:81) lacks " ALL},
        {STATICS(AT("a", "1.1.1.1", "81", HTTP(""))), "", MP_READBACK_OTHERWISE, 0,
         "listener a (1.1.1.1:81) lacks " ALL},
        {STATICS(AT("a", "1.1.1.1", "81", HTTP("")) "," AT(
             "b", "1.1.1.1", "80", HTTP(FILTER("mpol-share"))) "," AT("c", "1.1.1.1", "82",
                                                                     HTTP(""))),
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 1,
         "listener b (1.1.1.1:80) lacks mpol-deny; so do 2 more"},
        {"{\"configs\":[{\"dynamic_listeners\":[{\"name\":\"d\",\"active_state\":" AT(
             "d", "1.1.1.1", "80", HTTP("")) "},{\"warming_state\":" AT("e", "1.1.1.1", "82",
                                                                        HTTP("")) "}]}]}",
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 3,
         "listener d (1.1.1.1:80) lacks " ALL "; so do 1 more"},
        {"{\"configs\":[{\"static_listeners\":[{\"listener\":{\"name\":\"a\",\"address\":{"
         "\"socket_address\":{\"address\":\"1.1.1.1\",\"port_value\":9}},"
         "\"additional_addresses\":[{\"address\":{\"socket_address\":{\"address\":\"1.1.1.1\","
         "\"port_value\":80}}}],\"default_filter_chain\":" HTTP("") "}}]}]}",
         "1.1.1.1:80", MP_READBACK_OTHERWISE, 3, "listener a (1.1.1.1:9) lacks " ALL},
    };
    static const mp_str filters[] = {MP_STR_INIT("mpol-deny"), MP_STR_INIT("mpol-share")};
    (void)state;
    for (size_t i = 0; i < sizeof rows_of_listeners / sizeof *rows_of_listeners; i++) {
        const struct mp_prove_task task = {.kind = MP_PROVE_FILTERS, .filters = filters,
                                           .filter_count = 2,
                                           .listen = mp_str_of(rows_of_listeners[i].listen)};
        char seen[160] = "";
        uint32_t missing = 77;
        assert_int_equal(mp_readback_listeners(&task, mp_str_of(rows_of_listeners[i].body),
                                               &missing, seen, sizeof seen),
                         rows_of_listeners[i].got);
        assert_string_equal(seen, rows_of_listeners[i].seen);
        assert_int_equal(missing, rows_of_listeners[i].missing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_compared),
        cmocka_unit_test(a_cluster_in_panic_is_seen),
        cmocka_unit_test(runtime_is_compared),
        cmocka_unit_test(listeners_without_a_filter_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
