/* SPDX-License-Identifier: Apache-2.0
 * The backend alone in front of a real sidecar and a real gateway: what is told to be effective
 * is so, also where Envoy makes that hard, and Envoys that hang or are without a control plane
 * hurt nobody else.
 */
#include "proxy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "direct.h"
#include "sets.h"

#define SHOP "service/shop/shop-1"

static struct fake_mesh mesh;
static struct set s;
static struct upstream app;
static struct proxy shop, gate;
static char xds[32];
static bool is_open;

/* ---- a mesh: gate → shop-1, and shop-2 at the same service's port without a sidecar ---- */

#define CONFIG_BYTES (64u << 10)

static void replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    size_t rest = strlen(at + strlen(from)) + 1;
    assert_true((size_t)(at - text) + strlen(to) + rest <= CONFIG_BYTES);
    memmove(at + strlen(to), at + strlen(from), rest);
    memcpy(at, to, strlen(to));
}

struct change {
    const char *from, *to;
};

/* The gateway as somebody else might have configured it. */
static void configure_gate(const char *file, const struct change *changes, size_t count)
{
    proxy_stop(&gate);
    char *config = calloc(1, CONFIG_BYTES);
    assert_non_null(config);
    snprintf(config, CONFIG_BYTES, "%s", get_file("gate-1.json"));
    for (size_t i = 0; i < count; i++) replace(config, changes[i].from, changes[i].to);
    put_file(file, config);
    free(config);
    proxy_start_file(&gate, file);
}

/* Who left the merge window as it is. */
static void merge_by_default(void)
{
    static const struct change changes[] = {{", \"update_merge_window\": \"0s\"", ""},
                                            {"\"merge_ms\": 0,", ""}};
    configure_gate("merging.json", changes, 2);
}

/* Who left the panic threshold as it is. */
static void panic_by_default(void)
{
    static const struct change changes[] = {{"\"healthy_panic_threshold\": {\"value\": 0},", ""},
                                            {"\"panic_percent\": 0,", ""}};
    configure_gate("panicking.json", changes, 2);
}

/* Who throws an instance out at its first failure, for longer than any test. */
static void eject_by_itself(void)
{
    static const struct change changes[] = {
        {"\"common_lb_config\":",
         "\"outlier_detection\": {\"consecutive_5xx\": 1, \"base_ejection_time\": \"3600s\", "
         "\"max_ejection_time\": \"3600s\", \"max_ejection_percent\": 100},\n"
         "\"common_lb_config\":"}};
    configure_gate("ejecting.json", changes, 1);
}

static void apply(void) { assert_int_equal(mp_envoy_ops.apply(mesh.envoy, &s.desired), MPOL_OK); }

static void want(uint64_t revision, const char *verb, const char *kind, const char *target)
{
    set_begin(&s, revision);
    if (verb != NULL) set_add(&s, verb, kind, target);
    apply();
}

static void begin(const struct mp_envoy_limits *limits, uint64_t revision)
{
    direct_begin(&mesh, limits, 2);
    is_open = true;
    set_begin(&s, revision);
    apply();
    direct_listen(xds);
}

static int start_proxies(void **state)
{
    int port = port_hold();
    if (folder_make(state) != 0) return -1;
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port);
    upstream_start(&app);
    struct proxy_is at_shop = {"service", "shop", "shop-1", app.port, port};
    struct proxy_is at_gate = {"ingress", "gate", "gate-1", 0, port};
    proxy_start(&shop, &at_shop, "--xff-hops=1", NULL);
    proxy_start(&gate, &at_gate, "--route=/=shop", "--xff-hops=1", NULL);
    return 0;
}

/* The proxies live on from test to test, as they do from control plane to control plane. */
static void open_mesh(const struct mp_envoy_limits *limits)
{
    memset(&mesh, 0, sizeof mesh);
    fake_instance(&mesh, "shop-1", "shop", "v1", "127.0.0.1", (uint16_t)shop.port);
    fake_instance(&mesh, "shop-2", "shop", "v1", "127.0.0.1", (uint16_t)app.port);
    begin(limits, 1);
    direct_wait(1, true);
    assert_int_equal(get_for("10.0.0.7", gate.port), 200);
}

static void close_mesh(void)
{
    direct_stop();
    is_open = false;
}

/* A test that failed leaves its control plane behind. */
static int drop(void **state)
{
    (void)state;
    if (is_open) direct_stop();
    is_open = false;
    return 0;
}

/* ---- effective ---- */

static void what_is_effective_refuses_from_there_on(void **state)
{
    (void)state;
    struct client kept;
    open_mesh(NULL);
    client_open(&kept, "127.0.0.1", shop.port);
    for (uint64_t round = 0; round < 20; round++) {
        want(2 * round + 2, "deny", "client", "127.0.0.1");
        direct_wait(2 * round + 2, true);
        assert_int_equal(client_get(&kept, "/"), 403);
        want(2 * round + 3, NULL, NULL, NULL);
        direct_wait(2 * round + 3, true);
        assert_int_equal(client_get(&kept, "/"), 200);
    }
    client_close(&kept);
    close_mesh();
}

static void a_thousand_leases_at_once(void **state)
{
    (void)state;
    open_mesh(NULL);
    set_begin(&s, 2);
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.1.%d.%d", i / 250, i % 250 + 1);
        set_add(&s, "deny", "client", text);
    }
    int64_t began = test_now_us();
    apply();
    int64_t applied = test_now_us();
    direct_wait(2, true);
    print_message("1,000 leases: apply %.1f ms, effective on both Envoys after %.1f ms\n",
                  (double)(applied - began) / 1e3, (double)(test_now_us() - began) / 1e3);
    assert_int_equal(get_for("10.1.0.1", shop.port), 403);
    assert_int_equal(get_for("10.1.3.250", gate.port), 403);
    assert_int_equal(get_for("10.1.4.1", gate.port), 200);
    close_mesh();
}

/* Every Envoy is told to change faster than it can be asked whether it has. */
static void a_storm_of_revisions_ends_at_the_last(void **state)
{
    (void)state;
    open_mesh(NULL);
    for (unsigned i = 2; i <= 500; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.1.0.%u", i % 250 + 1);
        want(i, "deny", "client", text);
        if (i % 5 == 0) direct_turn();
    }
    direct_wait(500, true);
    assert_int_equal(get_for("10.1.0.1", shop.port), 403);
    assert_int_equal(get_for("10.1.0.250", shop.port), 200);
    close_mesh();
}

/* ---- endpoints ---- */

/* A body in pieces (RFC 9112 §7.1) as a whole. */
static char *whole_body(const char *body)
{
    char *whole = calloc(1, strlen(body) + 1);
    assert_non_null(whole);
    for (size_t len = 0;;) {
        char *end;
        unsigned long n = strtoul(body, &end, 16);
        if (n == 0 || strlen(end) < n + 2) return whole;
        memcpy(whole + len, end + 2, n);
        len += n;
        body = end + 2 + n + 2;
    }
}

/* What the gateway says of the instance at this port; lives until the next call. */
static const char *told_of(int port, const char *what)
{
    static char value[128];
    char name[80];
    const char *body;
    snprintf(name, sizeof name, "shop::127.0.0.1:%d::%s::", port, what);
    assert_int_equal(get(gate.admin, "/clusters", &body), 200);
    char *whole = whole_body(body), *at = strstr(whole, name);
    if (at == NULL) fail_msg("no %s in: %s", name, whole);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(name), "\n"), at + strlen(name));
    free(whole);
    return value;
}

/* Requests that the gateway has led to the instance of this port. */
static long led_to(int port) { return strtol(told_of(port, "rq_total"), NULL, 10); }

/* Envoy shows a changed health at its admin port at once, and its workers go on for a second. */
static void health_that_is_not_merged_yet_is_not_effective(void **state)
{
    (void)state;
    open_mesh(NULL);
    merge_by_default();
    while (get_for("10.0.0.7", gate.port) != 200) direct_turn();
    for (int i = 0; i < 10; i++) get_for("10.0.0.7", gate.port);
    long before = led_to(app.port);
    assert_true(before > 0 && led_to(shop.port) > 0);
    int64_t began = test_now_us();
    want(2, "quarantine", "instance", "shop-2");
    direct_wait(2, false);
    int64_t accepted = test_now_us();
    for (int i = 0; i < 10; i++) get_for("10.0.0.7", gate.port);
    long between = led_to(app.port);
    direct_wait(2, true);
    int64_t effective = test_now_us();
    print_message(
        "default merge window: accepted after %.1f ms, then %ld of 10 requests to who "
        "is in quarantine; "
        "effective after %.1f ms\n",
        (double)(accepted - began) / 1e3, between - before, (double)(effective - began) / 1e3);
    between = led_to(app.port);
    for (int i = 0; i < 30; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 200);
    assert_int_equal(led_to(app.port), between);
    close_mesh();
}

/* With Envoy's own panic threshold requests go to the quarantined when all are. */
static void when_all_are_in_quarantine_nobody_is_asked(void **state)
{
    (void)state;
    open_mesh(NULL);
    want(2, "quarantine", "service", "shop");
    direct_wait(2, true);
    for (int i = 0; i < 10; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 503);
    assert_int_equal(get_for("10.0.0.7", shop.port), 403);
    want(3, NULL, NULL, NULL);
    direct_wait(3, true);
    for (int i = 0; i < 10; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 200);
    close_mesh();
}

/* ---- beside what Envoy decides by itself ---- */

/* All of the mesh, and an instance where nobody listens. */
static int open_with_a_dead_one(void)
{
    int dead = port_hold();
    memset(&mesh, 0, sizeof mesh);
    fake_instance(&mesh, "shop-1", "shop", "v1", "127.0.0.1", (uint16_t)shop.port);
    fake_instance(&mesh, "shop-2", "shop", "v1", "127.0.0.1", (uint16_t)app.port);
    fake_instance(&mesh, "shop-3", "shop", "v1", "127.0.0.1", (uint16_t)dead);
    begin(NULL, 1);
    eject_by_itself();
    direct_wait(1, true);
    while (strstr(told_of(dead, "health_flags"), "failed_outlier_check") == NULL) {
        get_for("10.0.0.7", gate.port);
        direct_turn();
    }
    return dead;
}

static void want_out(uint64_t revision, const char *const *instances)
{
    set_begin(&s, revision);
    for (; *instances != NULL; instances++) set_add(&s, "quarantine", "instance", *instances);
    apply();
    direct_wait(revision, true);
}

/* It is out, but by nobody's word: it neither hinders a lease of another nor is one of its own. */
static void who_is_thrown_out_is_not_who_obeys(void **state)
{
    (void)state;
    int dead = open_with_a_dead_one();
    want_out(2, (const char *const[]){"shop-2", NULL});
    long before = led_to(app.port);
    for (int i = 0; i < 30; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 200);
    assert_int_equal(led_to(app.port), before);
    assert_string_equal(told_of(dead, "health_flags"), "/failed_outlier_check");

    want_out(3, (const char *const[]){"shop-2", "shop-3", NULL});
    assert_non_null(strstr(told_of(dead, "health_flags"), "/failed_eds_health"));
    assert_non_null(strstr(told_of(dead, "health_flags"), "/failed_outlier_check"));

    /* Nobody is left, and who is in quarantine is still not asked. */
    want_out(4, (const char *const[]){"shop-1", "shop-2", NULL});
    before = led_to(app.port) + led_to(shop.port);
    for (int i = 0; i < 10; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 503);
    assert_int_equal(led_to(app.port) + led_to(shop.port), before);

    want_out(5, (const char *const[]){NULL});
    assert_string_equal(told_of(dead, "health_flags"), "/failed_outlier_check");
    for (int i = 0; i < 10; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 200);
    close_mesh();
}

static bool look_unproven(void *ctx, const struct mp_envoy_proxy *p)
{
    if (p->layer == MPOL_INGRESS) *(bool *)ctx = p->unproven;
    return true;
}

static bool gate_is_unproven(void)
{
    bool unproven = false;
    mp_envoy_proxies(mesh.envoy, look_unproven, &unproven);
    return unproven;
}

/* Another's gateway: with both out it leads to both, and that is not proven. */
static void a_gateway_in_panic_is_told_as_unproven(void **state)
{
    (void)state;
    open_mesh(NULL);
    panic_by_default();
    while (get_for("10.0.0.7", gate.port) != 200) direct_turn();
    want_out(2, (const char *const[]){"shop-2", NULL}); /* a half is left */
    assert_false(gate_is_unproven());
    long before = led_to(app.port);
    for (int i = 0; i < 10; i++) assert_int_equal(get_for("10.0.0.7", gate.port), 200);
    assert_int_equal(led_to(app.port), before);

    want_out(3, (const char *const[]){"shop-1", "shop-2", NULL});
    assert_true(gate_is_unproven());
    for (int i = 0; i < 10; i++) get_for("10.0.0.7", gate.port);
    assert_true(led_to(app.port) > before); /* it does: that is what was told */

    want_out(4, (const char *const[]){"shop-2", NULL});
    assert_false(gate_is_unproven());
    close_mesh();
}

/* ---- Envoys and control planes that are not there ---- */

static void one_that_hangs_holds_nothing_up_and_obeys_when_it_wakes(void **state)
{
    (void)state;
    struct mp_envoy_limits limits = {.silent_ns = INT64_C(300000000)};
    open_mesh(&limits);
    assert_int_equal(kill(shop.pid, SIGSTOP), 0);
    want(2, "deny", "client", "10.0.0.7");
    while (direct_progress().effective < 2) direct_turn();
    assert_non_null(strstr(mesh.log, "proxy " SHOP " does not answer"));
    while (get_for("10.0.0.7", gate.port) != 403) direct_turn(); /* it may be slow, and hangs not */
    assert_int_equal(kill(shop.pid, SIGCONT), 0);
    direct_wait(2, true);
    assert_int_equal(get_for("10.0.0.7", shop.port), 403);
    close_mesh();
}

/* How often it has tried in vain to come to its control plane. */
static long long failures(const struct proxy *p)
{
    return proxy_counter(p, "cluster.mpol-xds.upstream_cx_connect_fail");
}

/* For as long as it takes an Envoy to try in vain eight times to come back. */
static void without_a_control_plane_nothing_is_lifted(void **state)
{
    (void)state;
    int asked = 0;
    open_mesh(NULL);
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7");
    set_add(&s, "quarantine", "instance", "shop-2");
    apply();
    direct_wait(2, true);
    direct_crash();
    is_open = false;
    int64_t began = test_now_us();
    long long at_shop = failures(&shop) + 400, at_gate = failures(&gate) + 400;
    while (failures(&shop) < at_shop || failures(&gate) < at_gate) {
        assert_int_equal(get_for("10.0.0.7", shop.port), 403);
        assert_int_equal(get_for("10.0.0.7", gate.port), 403);
        assert_int_equal(get_for("10.0.0.8", gate.port), 200);
        asked++;
    }
    int64_t away = test_now_us();
    direct_begin(&mesh, NULL, 2);
    is_open = true;
    s.desired.revision = 9;
    apply();
    direct_listen(xds);
    direct_wait(9, true);
    print_message(
        "away for %.1f s (%d rounds of requests); reconciled %.0f ms after it came back\n",
        (double)(away - began) / 1e6, asked, (double)(test_now_us() - away) / 1e3);
    assert_int_equal(get_for("10.0.0.7", shop.port), 403);
    struct mp_envoy_counts counts;
    mp_envoy_counts_get(mesh.envoy, &counts);
    assert_int_equal(counts.resources, 0); /* they had it all */
    want(10, NULL, NULL, NULL);
    direct_wait(10, true);
    assert_int_equal(get_for("10.0.0.7", shop.port), 200);
    close_mesh();
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_teardown(name, drop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_effective_refuses_from_there_on),
        TEST(a_thousand_leases_at_once),
        TEST(a_storm_of_revisions_ends_at_the_last),
        TEST(when_all_are_in_quarantine_nobody_is_asked),
        TEST(one_that_hangs_holds_nothing_up_and_obeys_when_it_wakes),
        TEST(without_a_control_plane_nothing_is_lifted),
        TEST(who_is_thrown_out_is_not_who_obeys), /* these leave another gateway behind */
        TEST(a_gateway_in_panic_is_told_as_unproven),
        TEST(health_that_is_not_merged_yet_is_not_effective),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, start_proxies, mesh_drop);
}
