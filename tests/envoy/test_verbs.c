/* SPDX-License-Identifier: Apache-2.0
 * What each verb does to a real sidecar and a real gateway, on who asks by address and on who
 * answers: sets of leases go in, requests show what they mean. Who asks by certificate is in
 * test_mesh.c.
 */
#include "proxy.h"

#include <stdio.h>
#include <string.h>

#include "direct.h"
#include "sets.h"

static struct fake_mesh mesh;
static struct set s;
static struct upstream apps[2], copy;
static struct proxy shops[2], gate;
static uint64_t revision;
static struct mpol_arg args[SET_MAX];
static size_t arg_count;

/* ---- a mesh: gate → shop-1 (v1), shop-2 (v2), or copy-1, which has no proxy of its own ---- */

static void open_mesh(void)
{
    char xds[32], name[16];
    int port = port_hold();
    memset(&mesh, 0, sizeof mesh);
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port);
    for (int i = 0; i < 2; i++) {
        upstream_start(&apps[i]);
        snprintf(name, sizeof name, "shop-%d", i + 1);
        struct proxy_is is = {"service", "shop", name, apps[i].port, port};
        proxy_start(&shops[i], &is, "--xff-hops=1", NULL);
        fake_instance(&mesh, i == 0 ? "shop-1" : "shop-2", "shop", i == 0 ? "v1" : "v2",
                      "127.0.0.1", (uint16_t)shops[i].port);
    }
    upstream_start(&copy);
    fake_instance(&mesh, "copy-1", "copy", "v1", "127.0.0.1", (uint16_t)copy.port);
    struct proxy_is at_gate = {"ingress", "gate", "gate-1", 0, port};
    proxy_start(&gate, &at_gate, "--route=/copy=copy", "--route=/=shop", "--xff-hops=1", NULL);
    direct_begin(&mesh, NULL, 3);
    revision = 1;
    set_begin(&s, revision);
    assert_int_equal(mp_envoy_ops.apply(mesh.envoy, &s.desired), MPOL_OK);
    direct_listen(xds);
    direct_wait(revision, true);
    assert_int_equal(get_for("10.0.0.7", gate.port), 200);
}

static int start(void **state)
{
    if (folder_make(state) != 0) return -1;
    open_mesh();
    return 0;
}

static int stop(void **state)
{
    direct_stop();
    return mesh_drop(state);
}

/* ---- sets ---- */

static void begin(void)
{
    set_begin(&s, ++revision);
    arg_count = 0;
}

static struct mpol_lease *add(const char *verb, const char *kind, const char *target)
{
    struct mpol_lease *l = set_add(&s, verb, kind, target);
    if (strchr(target, '/') != NULL && strcmp(kind, "client") == 0)
        l->target_type = mpol_text("cidr");
    return l;
}

/* The arguments of one lease are given one after the other. */
static void with(struct mpol_lease *l, struct mpol_arg a)
{
    if (l->arg_count == 0) l->args = &args[arg_count];
    args[arg_count++] = a;
    l->arg_count++;
}

static void to_number(struct mpol_lease *l, const char *name, const char *type, double number)
{
    with(l, (struct mpol_arg){.name = mpol_text(name),
                              .type = mpol_text(type),
                              .kind = MPOL_ARG_NUMBER,
                              .number = number});
}

static void to_text(struct mpol_lease *l, const char *name, const char *text)
{
    with(l, (struct mpol_arg){.name = mpol_text(name),
                              .type = mpol_text("string"),
                              .kind = MPOL_ARG_TEXT,
                              .text = mpol_text(text)});
}

static void in_force(void)
{
    assert_int_equal(mp_envoy_ops.apply(mesh.envoy, &s.desired), MPOL_OK);
    direct_wait(revision, true);
}

/* One mesh for all tests: what the test before had in force goes first. */
static void begin_anew(void)
{
    begin();
    in_force();
}

/* How many of so many requests were answered with this status. */
static int answered(const char *client, int port, int count, int status)
{
    int seen = 0;
    for (int i = 0; i < count; i++) seen += get_for(client, port) == status;
    return seen;
}

/* ---- who asks ---- */

static void an_exempt_client_passes_all_denials(void **state)
{
    (void)state;
    begin_anew();
    begin();
    add("deny", "client", "10.0.0.0/24");
    add("deny", "client", "10.0.1.9");
    add("deny", "client", "2001:db8::1");
    add("exempt", "client", "10.0.0.8/31");
    add("exempt", "client", "10.0.0.3");
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[0].port), 403);
    assert_int_equal(get_for("10.0.1.9", shops[0].port), 403);
    assert_int_equal(get_for("2001:DB8:0::1", shops[0].port), 403);
    assert_int_equal(get_for("10.0.0.9", shops[0].port), 200);
    assert_int_equal(get_for("10.0.0.3", shops[0].port), 200);
    assert_int_equal(get_for("10.0.1.8", shops[0].port), 200);
    begin();
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[0].port), 200);
}

static void many_addresses_are_denied_at_once(void **state)
{
    (void)state;
    begin_anew();
    begin();
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.%d.%d.%d", i % 7, i / 250, i % 250 + 1);
        add("deny", "client", text);
    }
    in_force();
    assert_int_equal(get_for("10.0.0.1", shops[0].port), 403);
    assert_int_equal(get_for(s.targets[999], gate.port), 403);
    assert_int_equal(get_for("10.9.0.1", shops[0].port), 200);
}

static void a_rate_of_a_client_is_a_bucket_of_its_own(void **state)
{
    (void)state;
    begin_anew();
    begin();
    struct mpol_lease *l = add("throttle", "client", "10.0.0.7");
    l->hooks = MPOL_INGRESS;
    to_number(l, "to", "rate", 0.001);
    to_number(l, "burst", "int", 5);
    in_force();
    assert_int_equal(answered("10.0.0.7", gate.port, 20, 429), 15);
    assert_int_equal(answered("10.0.0.8", gate.port, 20, 200), 20);
    assert_int_equal(answered("10.0.0.7", shops[0].port, 10, 200), 10); /* at another hook */
}

static void a_share_is_of_one_client_or_of_who_answers(void **state)
{
    (void)state;
    begin_anew();
    begin();
    to_number(add("throttle", "client", "10.0.0.7"), "to", "percent", 0);
    to_number(add("throttle", "client", "10.0.0.8"), "to", "percent", 0.5);
    in_force();
    assert_int_equal(answered("10.0.0.7", shops[0].port, 20, 429), 20);
    assert_in_range(answered("10.0.0.8", shops[0].port, 200, 429), 50, 150);
    assert_int_equal(answered("10.0.0.9", shops[0].port, 20, 200), 20);
    begin();
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    add("exempt", "client", "10.0.0.9");
    in_force();
    assert_int_equal(answered("10.0.0.7", shops[1].port, 20, 429), 20);
    assert_int_equal(answered("10.0.0.9", shops[1].port, 20, 200), 20);
}

/* A look at the certificate of who shows none must not end in a pass. */
static void who_shows_no_certificate_meets_the_share_of_who_answers(void **state)
{
    (void)state;
    begin_anew();
    begin();
    to_number(add("throttle", "identity", "spiffe://shop/ns/default/sa/other"), "to", "percent", 0.5);
    add("exempt", "identity", "spiffe://shop/ns/default/sa/friend");
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered("10.0.0.7", shops[0].port, 20, 429), 20);
    begin();
    to_number(add("throttle", "client", "10.0.0.8"), "to", "percent", 1);
    to_number(add("throttle", "client", "10.0.0.9"), "to", "percent", 0.5);
    to_number(add("throttle", "identity", "spiffe://shop/ns/default/sa/other"), "to", "percent", 0);
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered("10.0.0.7", shops[1].port, 20, 429), 20);
    begin();
    to_number(add("throttle", "identity", "spiffe://shop/ns/default/sa/other"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered("10.0.0.7", shops[0].port, 20, 200), 20);
}

/* ---- who answers ---- */

static void a_rate_of_a_service_is_divided_among_its_instances(void **state)
{
    (void)state;
    begin_anew();
    begin();
    struct mpol_lease *l = add("throttle", "service", "shop");
    to_number(l, "to", "rate", 0.001);
    to_number(l, "burst", "int", 10);
    in_force();
    for (int i = 0; i < 2; i++) assert_int_equal(answered("10.0.0.7", shops[i].port, 20, 200), 5);
}

static void an_instance_comes_back_by_weight(void **state)
{
    (void)state;
    begin_anew();
    begin();
    struct mpol_lease *l = add("quarantine", "instance", "shop-2");
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[1].port), 403);
    assert_int_equal(answered("10.0.0.7", gate.port, 30, 200), 30);
    begin();
    l = add("quarantine", "instance", "shop-2");
    l->given_back = 0.5;
    /* What shows where a request went: one of the two refuses this client itself. */
    l = add("deny", "client", "10.0.0.7");
    l->hooks = MPOL_SERVICE;
    in_force();
    assert_int_equal(get_for("10.0.0.8", shops[1].port), 200);
    assert_int_equal(answered("10.0.0.8", gate.port, 30, 200), 30);
}

/* shop-2 refuses everything itself, which shows what the gateway leads to it. */
static void a_route_between_versions_moves_requests(void **state)
{
    (void)state;
    begin_anew();
    begin();
    struct mpol_lease *l = add("route", "service", "shop");
    to_text(l, "from", "v2");
    to_text(l, "to", "v1");
    to_number(l, "weight", "percent", 1);
    l = add("throttle", "instance", "shop-2");
    to_number(l, "to", "percent", 0);
    in_force();
    assert_int_equal(answered("10.0.0.7", gate.port, 40, 200), 40);
    begin();
    l = add("route", "service", "shop");
    to_text(l, "from", "v2");
    to_text(l, "to", "v1");
    to_number(l, "weight", "percent", 0.8);
    l = add("throttle", "instance", "shop-2");
    to_number(l, "to", "percent", 0);
    in_force();
    /* A tenth of what came to the service is left to v2: half of it had been there. */
    assert_in_range(answered("10.0.0.7", gate.port, 200, 429), 12, 28);
}

/* How many of so many requests that carry this header line were answered with this status. */
static int answered_with(const char *line, int count, int status)
{
    int seen = 0;
    for (int i = 0; i < count; i++) seen += get_with(gate.port, line) == status;
    return seen;
}

static struct mpol_lease *route_by_header(const char *to, const char *header, const char *value)
{
    struct mpol_lease *l = add("route", "service", "shop");
    to_text(l, "to", to);
    to_text(l, "header", header);
    to_text(l, "value", value);
    return l;
}

/* shop-2, the only one of v2, refuses everything itself. */
static void a_header_leads_to_a_version_and_others_go_as_before(void **state)
{
    (void)state;
    begin_anew();
    begin();
    route_by_header("v2", "x-canary", "yes");
    to_number(add("throttle", "instance", "shop-2"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered_with("X-Canary: yes\r\n", 20, 429), 20);
    assert_in_range(answered_with("X-Canary: no\r\n", 60, 429), 10, 50);
    assert_in_range(answered_with("", 60, 429), 10, 50);
    begin();
    to_number(add("throttle", "instance", "shop-2"), "to", "percent", 0);
    in_force();
    assert_in_range(answered_with("X-Canary: yes\r\n", 60, 429), 10, 50);
}

static void a_header_leads_to_another_service_by_weight(void **state)
{
    (void)state;
    begin_anew();
    begin();
    route_by_header("copy", "x-copy", "");
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered_with("X-Copy: whatever\r\n", 20, 200), 20);
    assert_int_equal(answered_with("", 20, 429), 20);
    begin();
    to_number(route_by_header("copy", "x-copy", ""), "weight", "percent", 0.5);
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    in_force();
    assert_in_range(answered_with("X-Copy: whatever\r\n", 100, 200), 25, 75);
}

/* The answer is that of who was asked; the copy's is dropped. */
static void a_mirror_gets_a_copy_and_answers_nobody(void **state)
{
    (void)state;
    begin_anew();
    static const char copies[] = "cluster.copy.upstream_rq_200";
    begin();
    to_number(add("throttle", "service", "shop"), "to", "percent", 0);
    to_text(add("mirror", "service", "shop"), "to", "copy");
    in_force();
    long long had = proxy_counter(&gate, copies);
    assert_int_equal(answered_with("", 20, 429), 20);
    wait_counter(&gate, copies, had + 20);
    begin();
    in_force();
    assert_int_equal(answered_with("", 20, 200), 20);
    assert_int_equal(proxy_counter(&gate, copies), had + 20);
}

static void held_is(const char *text)
{
    struct mpol_progress p = direct_progress();
    assert_int_equal(p.held_count, 1);
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)p.held[0].text.len, p.held[0].text.ptr);
    assert_string_equal(line, text);
}

static void what_leads_nowhere_is_told_and_never_in_force(void **state)
{
    (void)state;
    begin_anew();
    begin();
    to_text(add("route", "service", "shop"), "to", "v9");
    in_force();
    held_is("no instance of shop has version v9, and no service is called so");
    begin();
    to_text(add("mirror", "service", "shop"), "to", "nosuch");
    in_force();
    held_is("no service nosuch is in the inventory");
    begin();
    add("quarantine", "service", "nosuch");
    in_force();
    held_is("no service nosuch is in the inventory, and no proxy of it is connected");
    begin();
    to_text(add("mirror", "service", "copy"), "to", "shop");
    in_force();
    assert_int_equal(direct_progress().held_count, 0);
    begin_anew();
    begin();
    struct mpol_lease *l = add("throttle", "service", "shop");
    l->hooks = MPOL_INGRESS;
    to_number(l, "to", "percent", 0.5);
    in_force();
    held_is("the proxies of service shop are at layer service: write `on service`");
}

static void a_drained_instance_is_led_to_no_more(void **state)
{
    (void)state;
    begin_anew();
    begin();
    add("drain", "instance", "shop-2");
    to_number(add("throttle", "instance", "shop-2"), "to", "percent", 0);
    in_force();
    assert_int_equal(answered("10.0.0.7", gate.port, 40, 200), 40);
    assert_int_equal(get_for("10.0.0.7", shops[1].port), 429); /* there it is, and answers */
}

static void a_service_comes_back_client_by_client(void **state)
{
    (void)state;
    int back = 0;
    begin_anew();
    begin();
    add("quarantine", "service", "shop");
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[0].port), 403);
    begin();
    add("quarantine", "service", "shop")->given_back = 0.5;
    in_force();
    for (int i = 1; i <= 100; i++) {
        char client[32];
        snprintf(client, sizeof client, "10.0.3.%d", i);
        int first = get_for(client, shops[0].port);
        assert_int_equal(get_for(client, shops[0].port), first);
        assert_int_equal(get_for(client, shops[1].port), first); /* everywhere the same clients */
        back += first == 200;
    }
    assert_in_range(back, 30, 70);
}

static void without_a_certificate_nobody_is_let_in(void **state)
{
    (void)state;
    begin_anew();
    begin();
    struct mpol_lease *l = add("require", "service", "shop");
    to_text(l, "what", "mtls");
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[0].port), 403);
    begin();
    in_force();
    assert_int_equal(get_for("10.0.0.7", shops[0].port), 200);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exempt_client_passes_all_denials),
        cmocka_unit_test(many_addresses_are_denied_at_once),
        cmocka_unit_test(a_rate_of_a_client_is_a_bucket_of_its_own),
        cmocka_unit_test(a_share_is_of_one_client_or_of_who_answers),
        cmocka_unit_test(who_shows_no_certificate_meets_the_share_of_who_answers),
        cmocka_unit_test(a_rate_of_a_service_is_divided_among_its_instances),
        cmocka_unit_test(an_instance_comes_back_by_weight),
        cmocka_unit_test(a_route_between_versions_moves_requests),
        cmocka_unit_test(a_header_leads_to_a_version_and_others_go_as_before),
        cmocka_unit_test(a_header_leads_to_another_service_by_weight),
        cmocka_unit_test(a_mirror_gets_a_copy_and_answers_nobody),
        cmocka_unit_test(what_leads_nowhere_is_told_and_never_in_force),
        cmocka_unit_test(a_drained_instance_is_led_to_no_more),
        cmocka_unit_test(a_service_comes_back_client_by_client),
        cmocka_unit_test(without_a_certificate_nobody_is_let_in),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, start, stop);
}
