/* SPDX-License-Identifier: Apache-2.0
 * Many proxies: who is one, what is accepted, effective, in trouble, and what nobody can carry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "envoy_xds/names.h"
#include "envoy_xds/resources.h"
#include "fake.h"
#include "sets.h"

static struct fake_mesh m;
static struct set s;

static const char *const shop = "service/shop/shop-1", *const gate = "ingress/gate/gate-1";

static int open_mesh(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    fake_instance(&m, "shop-1", "shop", "v1", "10.1.0.1", 9000);
    fake_instance(&m, "shop-2", "shop", "v1", "10.1.0.2", 9000);
    fake_start(&m, NULL);
    set_begin(&s, 1);
    return mp_envoy_ops.apply(m.envoy, &s.desired) == MPOL_OK ? 0 : -1;
}

static int close_mesh(void **state)
{
    (void)state;
    fake_stop(&m);
    return 0;
}

static void apply(void) { assert_int_equal(mp_envoy_ops.apply(m.envoy, &s.desired), MPOL_OK); }

/* A set of one lease. */
static void want(uint64_t revision, const char *verb, const char *kind, const char *target)
{
    set_begin(&s, revision);
    if (verb != NULL) set_add(&s, verb, kind, target);
    apply();
}

static struct mpol_progress progress(void)
{
    struct mpol_progress p = {.size = sizeof p};
    assert_int_equal(mp_envoy_ops.progress(m.envoy, &p), MPOL_OK);
    return p;
}

static struct mp_envoy_counts counts(void)
{
    struct mp_envoy_counts c;
    mp_envoy_counts_get(m.envoy, &c);
    return c;
}

struct find {
    const char *node;
    struct mp_envoy_proxy found;
    bool is;
};

static bool find(void *ctx, const struct mp_envoy_proxy *p)
{
    struct find *f = ctx;
    if (!mp_str_eq(p->node, mp_str_of(f->node))) return true;
    f->found = *p;
    f->is = true;
    return false;
}

static struct mp_envoy_proxy look(const char *node)
{
    struct find f = {.node = node};
    mp_envoy_proxies(m.envoy, find, &f);
    assert_true(f.is);
    return f.found;
}

static void held_is(const struct mpol_progress *p, const char *text)
{
    assert_int_equal(p->held_count, 1);
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)p->held[0].text.len, p->held[0].text.ptr);
    assert_string_equal(line, text);
}

static void waits_for(const char *text)
{
    struct mpol_progress p = progress();
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)p.trouble_text.len, p.trouble_text.ptr);
    assert_int_equal(p.trouble, MPOL_OK);
    assert_string_equal(line, text);
}

/* ---- accepted and effective ---- */

static void accepted_is_the_ack_and_effective_the_proof(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    assert_int_equal(progress().accepted, 1);
    waits_for("proxy service/shop/shop-1 has not taken mpol-deny");
    fake_read(fake_proxy(&m, shop));
    assert_int_equal(progress().accepted, 2);
    assert_int_equal(progress().effective, 1);
    waits_for("proxy service/shop/shop-1 has taken and does not obey mpol-deny");
    assert_int_equal(m.ask_count, 1);
    assert_string_equal(m.asks[0].resource, MP_ENVOY_DENY);
    assert_int_equal(m.asks[0].status, 403);
    assert_true(strncmp(m.asks[0].path, MP_ENVOY_PROBE_PATH, strlen(MP_ENVOY_PROBE_PATH)) == 0);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_false(look(shop).unproven);
}

static void one_that_has_not_acked_holds_it_up(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_read(fake_proxy(&m, shop));
    assert_int_equal(progress().accepted, 1);
    assert_int_equal(look(shop).accepted, 2);
    fake_read(fake_proxy(&m, gate));
    assert_int_equal(progress().accepted, 2);
}

static void one_that_is_not_concerned_does_not(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    fake_proxy(&m, gate)->silent = true;
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7")->hooks = MPOL_SERVICE;
    apply();
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
}

static void one_that_is_gone_does_not_and_gets_it_when_it_comes(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    fake_close(fake_proxy(&m, gate));
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_false(look(gate).connected);
    fake_connect(fake_proxy(&m, gate), NULL);
    assert_int_equal(progress().effective, 2); /* what was effective stays so */
    fake_pump(&m);
    assert_string_equal(fake_has(fake_proxy(&m, gate), MP_ENVOY_DENY)->version,
                        fake_has(fake_proxy(&m, shop), MP_ENVOY_DENY)->version);
}

static void one_that_never_answers_holds_nothing_up_for_ever(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    fake_proxy(&m, gate)->silent = true;
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_int_equal(progress().accepted, 1);
    m.now_ns += INT64_C(5000000000);
    assert_int_equal(progress().accepted, 2);
    assert_true(look(gate).silent);
    assert_non_null(strstr(m.log, "does not answer"));
}

static void an_older_ack_counts_for_its_own_revision(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    want(3, "deny", "client", "10.0.0.8");
    fake_read(p);
    assert_int_equal(progress().accepted, 2);
    fake_read(p);
    assert_int_equal(progress().accepted, 3);
    assert_int_equal(progress().effective, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 3);
}

static void a_proof_that_is_not_so_yet_is_asked_again(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_read(fake_proxy(&m, shop));
    uint64_t ticket = m.asks[0].ticket;
    m.ask_count = 0;
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_NOT_YET);
    assert_int_equal(m.ask_count, 1);
    assert_true(m.asks[0].ticket != ticket);
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_PROVEN); /* an old ticket */
    assert_int_equal(progress().effective, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
}

static void where_nobody_can_look_the_ack_has_to_do(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", NULL};
    fake_proxy(&m, gate)->metadata_merge_ms = -1;
    fake_connect(fake_proxy(&m, gate), clusters);
    fake_pump(&m);
    m.now_ns += INT64_C(1000000000);
    assert_int_equal(progress().effective, 1);
    want(2, "quarantine", "instance", "shop-1");
    fake_read(fake_proxy(&m, gate));
    assert_int_equal(m.ask_count, 1);
    assert_string_equal(m.asks[0].resource, "shop");
    uint64_t ticket = m.asks[0].ticket;
    m.ask_count = 0;
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_UNPROVABLE);
    assert_int_equal(progress().accepted, 2);
    assert_int_equal(progress().effective, 1); /* an Envoy merges endpoints for up to a second */
    m.now_ns += INT64_C(1000000000);
    assert_int_equal(progress().effective, 2);
    assert_true(look(gate).unproven);
}

static void endpoints_that_are_shown_and_not_merged_do_not_count(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", NULL};
    fake_proxy(&m, gate)->metadata_merge_ms = 300;
    fake_connect(fake_proxy(&m, gate), clusters);
    fake_pump(&m);
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m); /* the admin port shows it */
    assert_int_equal(progress().accepted, 2);
    assert_int_equal(progress().effective, 0);
    m.now_ns += INT64_C(300000000);
    assert_int_equal(progress().effective, 2);
    assert_false(look(gate).unproven);
}

static void a_lease_that_goes_is_gone_when_it_is_proven(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    want(3, NULL, NULL, NULL);
    fake_read(fake_proxy(&m, shop));
    assert_int_equal(progress().accepted, 3);
    assert_int_equal(progress().effective, 2);
    fake_pump(&m);
    assert_int_equal(progress().effective, 3);
}

/* ---- what nobody can carry ---- */

static void a_lease_without_a_proxy_is_held_and_others_go_on(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7");
    struct mpol_lease *l = set_add(&s, "throttle", "service", "pay");
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    l->args = &to;
    l->arg_count = 1;
    apply();
    fake_pump(&m);
    struct mpol_progress p = progress();
    assert_int_equal(p.effective, 2);
    assert_int_equal(p.trouble, MPOL_OK);
    assert_int_equal(p.held[0].lease, 2);
    held_is(&p, "no service pay is in the inventory, and no proxy of it is connected");
    fake_connect(fake_proxy(&m, "service/pay/pay-1"), NULL);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
}

static void a_layer_without_a_proxy_is_named(void **state)
{
    (void)state;
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7")->hooks = MPOL_EDGE;
    apply();
    struct mpol_progress p = progress();
    held_is(&p, "no proxy of layer edge is connected");
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 1);
    fake_connect(fake_proxy(&m, "edge/out/out-1"), NULL);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
}

static void who_does_not_ask_for_a_filter_carries_nothing_of_it(void **state)
{
    (void)state;
    static const char *const some[] = {MP_ENVOY_DENY, MP_ENVOY_ALLOW, NULL};
    struct mpol_arg to = {
        .name = mpol_text("to"), .type = mpol_text("rate"), .kind = MPOL_ARG_NUMBER, .number = 5};
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_open(fake_proxy(&m, shop));
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7");
    struct mpol_lease *l = set_add(&s, "throttle", "client", "10.0.0.8");
    l->args = &to;
    l->arg_count = 1;
    apply();
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0); /* it has just come, and may ask for more */
    m.now_ns += INT64_C(2000000000);
    set_begin(&s, 3);
    l = set_add(&s, "throttle", "client", "10.0.0.9");
    l->id = 3;
    l->args = &to;
    l->arg_count = 1;
    apply();
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "in force at 1 of 2 proxies; proxy service/shop/shop-1 does not ask for "
                "mpol-throttle");
    assert_true(mp_str_eq(look(shop).lacks, MP_STR(MP_ENVOY_THROTTLE)));
    assert_int_equal(look(gate).lacks.len, 0);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(look(shop).lacks.len, 0);
}

/* Nor is anything told effective meanwhile, or carried for good by those that ask for it. */
static void who_has_just_come_and_lacks_a_filter_is_waited_for(void **state)
{
    (void)state;
    static const char *const some[] = {MP_ENVOY_DENY, MP_ENVOY_ALLOW, NULL};
    struct mpol_arg to = {
        .name = mpol_text("to"), .type = mpol_text("rate"), .kind = MPOL_ARG_NUMBER, .number = 5};
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    assert_int_equal(progress().effective, 1);
    m.now_ns += INT64_C(2000000000);
    fake_open(fake_proxy(&m, shop));
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    set_begin(&s, 2);
    struct mpol_lease *l = set_add(&s, "throttle", "client", "10.0.0.8");
    l->args = &to;
    l->arg_count = 1;
    apply();
    fake_pump(&m);
    struct mpol_progress p = progress();
    assert_int_equal(p.accepted, 2);
    assert_int_equal(p.effective, 1);
    assert_int_equal(p.held_count, 0);
    waits_for("a proxy that has just come has not asked for all filters yet");
    m.now_ns += INT64_C(2000000000);
    p = progress();
    assert_int_equal(p.effective, 2); /* of all that is not held */
    held_is(&p, "in force at 1 of 2 proxies; proxy service/shop/shop-1 does not ask for "
                "mpol-throttle");
}

/* It says where the lease is in force, as far as that has been seen, and who lets through. */
static void a_lease_that_one_proxy_lacks_tells_where_it_is_in_force(void **state)
{
    (void)state;
    static const char *const some[] = {MP_ENVOY_DENY, NULL};
    static const char *const others[] = {"service/a/a-1", "service/b/b-1"};
    for (int i = 0; i < 2; i++) fake_connect(fake_proxy(&m, others[i]), NULL);
    fake_open(fake_proxy(&m, shop));
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    m.now_ns += INT64_C(2000000000);
    fake_proxy(&m, others[0])->held = fake_proxy(&m, others[1])->held = true;
    want(2, "deny", "identity", "spiffe://mesh/x");
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "proxy service/shop/shop-1 does not ask for mpol-allow; 2 others are given it");
    fake_proxy(&m, others[0])->held = false;
    fake_pump(&m);
    p = progress();
    held_is(&p,
            "in force at 1 of 3 proxies; proxy service/shop/shop-1 does not ask for mpol-allow");
    fake_proxy(&m, others[1])->held = false;
    fake_pump(&m);
    p = progress();
    held_is(&p,
            "in force at 2 of 3 proxies; proxy service/shop/shop-1 does not ask for mpol-allow");
    assert_non_null(strstr(m.log, "leases that need it are not in force there"));
    fake_close(fake_proxy(&m, shop)); /* then it lets nobody through */
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    fake_open(fake_proxy(&m, shop)); /* and again, when all others carry the lease */
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    m.now_ns += INT64_C(2000000000);
    progress();
    assert_true(mp_str_eq(look(shop).lacks, MP_STR(MP_ENVOY_ALLOW)));
}

static void endpoints_are_carried_by_who_asked_for_the_cluster(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop@v1", NULL};
    fake_connect(fake_proxy(&m, gate), clusters);
    fake_pump(&m);
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 2);
}

static void who_has_carried_a_lease_may_go(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    fake_close(fake_proxy(&m, shop));
    assert_int_equal(progress().held_count, 0);
    set_begin(&s, 3);
    set_add(&s, "deny", "client", "10.0.0.8")->id = 2;
    apply();
    assert_int_equal(progress().held_count, 1);
}

static void the_only_proxy_refuses_from_the_start(void **state)
{
    (void)state;
    want(2, "deny", "client", "10.0.0.7");
    fake_proxy(&m, shop)->nacks = MP_ENVOY_DENY;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "proxy service/shop/shop-1 refused mpol-deny (ecds): no such thing?under the sun");
    assert_int_equal(p.held[0].trouble, MPOL_EINVAL);
}

/* ---- who is who ---- */

static void nodes_are_read(void **state)
{
    (void)state;
    struct mp_envoy_node n;
    assert_true(mp_envoy_node_read(MP_STR("service/shop/shop-1"), &n));
    assert_int_equal(n.layer, MPOL_SERVICE);
    assert_true(mp_str_eq(n.service, MP_STR("shop")));
    assert_true(mp_str_eq(n.instance, MP_STR("shop-1")));
    static const char *const bad[] = {"",
                                      "/",
                                      "service/shop",
                                      "service/shop/",
                                      "service//x",
                                      "/a/b",
                                      "sidecar/shop/shop-1",
                                      "service/shop/a/b",
                                      "service/shop/a\n",
                                      "service/shop/x/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(mp_envoy_node_read(mp_str_of(bad[i]), &n));
    }
}

static void know_identities(void)
{
    m.authenticated = true;
    m.identities[0][0] = "shop";
    m.identities[0][1] = "spiffe://mesh/shop";
    m.identities[1][0] = "pay";
    m.identities[1][1] = "spiffe://mesh/pay";
    m.identity_count = 2;
}

static void who_lies_about_its_node_gets_the_baseline(void **state)
{
    (void)state;
    know_identities();
    struct fake_proxy *honest = fake_proxy(&m, shop), *liar = fake_proxy(&m, "service/shop/shop-2");
    honest->identity = "spiffe://mesh/shop";
    liar->identity = "spiffe://mesh/pay";
    fake_connect(honest, NULL);
    fake_connect(liar, NULL);
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_true(look(shop).known);
    assert_false(look("service/shop/shop-2").known);
    assert_int_equal(look("service/shop/shop-2").leases, 0);
    assert_string_not_equal(fake_has(liar, MP_ENVOY_DENY)->version,
                            fake_has(honest, MP_ENVOY_DENY)->version);
    assert_int_equal(counts().unknown_proxies, 1);
    assert_int_equal(progress().effective, 2);
}

static void a_service_without_known_identities_may_have_any_that_is_free(void **state)
{
    (void)state;
    know_identities();
    struct mp_envoy_node n;
    struct mp_envoy_peer peer = {.authenticated = true, .identity = MP_STR("spiffe://mesh/other")};
    assert_true(mp_envoy_node_read(MP_STR("ingress/gate/gate-1"), &n));
    assert_true(mp_envoy_may_speak(m.envoy, &n, &peer));
    peer.identity = MP_STR("spiffe://mesh/pay");
    assert_false(mp_envoy_may_speak(m.envoy, &n, &peer));
    peer.identity = MP_STR("");
    assert_false(mp_envoy_may_speak(m.envoy, &n, &peer));
    peer.authenticated = false;
    assert_true(mp_envoy_may_speak(m.envoy, &n, &peer));
}

static void a_liar_does_not_drive_out_the_honest_one(void **state)
{
    (void)state;
    know_identities();
    struct fake_proxy *honest = fake_proxy(&m, shop);
    honest->identity = "spiffe://mesh/shop";
    fake_connect(honest, NULL);
    fake_pump(&m);
    struct fake_proxy *liar = fake_proxy(&m, "x");
    snprintf(liar->id, sizeof liar->id, "%s", shop);
    liar->identity = "spiffe://mesh/pay";
    fake_connect(liar, NULL);
    fake_pump(&m);
    assert_false(honest->ended);
    assert_int_equal(counts().replaced_streams, 0);
}

static void of_two_with_one_name_the_newer_stays(void **state)
{
    (void)state;
    struct fake_proxy *old = fake_proxy(&m, shop), *new = fake_proxy(&m, "x");
    fake_connect(old, NULL);
    fake_pump(&m);
    snprintf(new->id, sizeof new->id, "%s", shop);
    fake_connect(new, NULL);
    assert_true(old->ended);
    assert_int_equal(counts().replaced_streams, 1);
    /* nobody listens any more */
    assert_false(fake_answer(old, MP_ENVOY_TYPE_EXTENSION, "1", NULL));
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_true(look(shop).connected);
}

/* An Envoy whose ADS is somebody else's asks for each filter on a stream of its own. */
static void streams_of_one_type_live_beside_each_other(void **state)
{
    (void)state;
    static const char *const deny[] = {MP_ENVOY_DENY, NULL}, *const throttle[] = {MP_ENVOY_THROTTLE,
                                                                                  NULL};
    struct fake_proxy *a = fake_proxy(&m, shop), *b = fake_proxy(&m, "b"), *c = fake_proxy(&m, "c");
    struct fake_proxy *all[] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        snprintf(all[i]->id, sizeof all[i]->id, "%s", shop);
        all[i]->single = true;
    }
    fake_open(a);
    fake_subscribe(a, MP_ENVOY_TYPE_EXTENSION, deny);
    fake_open(b);
    fake_subscribe(b, MP_ENVOY_TYPE_EXTENSION, throttle);
    fake_pump(&m);
    m.now_ns += INT64_C(2000000000);
    struct mpol_arg to = {
        .name = mpol_text("to"), .type = mpol_text("rate"), .kind = MPOL_ARG_NUMBER, .number = 5};
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7");
    struct mpol_lease *l = set_add(&s, "throttle", "client", "10.0.0.8");
    l->args = &to;
    l->arg_count = 1;
    apply();
    fake_read(a);
    assert_int_equal(progress().accepted, 1);
    fake_read(b);
    assert_int_equal(progress().accepted, 2);
    assert_int_equal(progress().held_count, 0);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_int_equal(look(shop).types[MP_ENVOY_ECDS].acked, 2);
    fake_open(c); /* it lost a stream and did not tell */
    fake_subscribe(c, MP_ENVOY_TYPE_EXTENSION, deny);
    assert_true(a->ended);
    assert_false(b->ended);
    fake_pump(&m);
    fake_close(c);
    assert_true(look(shop).connected);
    fake_close(b);
    assert_false(look(shop).connected);
}

static void a_changed_inventory_sends_endpoints_anew(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", NULL};
    struct fake_proxy *p = fake_proxy(&m, gate);
    fake_connect(p, clusters);
    fake_pump(&m);
    uint32_t had = p->resources_in;
    mp_envoy_world_changed(m.envoy);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had); /* nothing that it was told is different */
    fake_instance(&m, "shop-3", "shop", "v2", "10.1.0.3", 9000);
    mp_envoy_world_changed(m.envoy);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had + 1);
    assert_int_equal(progress().effective, 1);
}

static void who_becomes_known_comes_anew(void **state)
{
    (void)state;
    know_identities();
    m.identities[0][1] = "spiffe://mesh/shop-old";
    struct fake_proxy *p = fake_proxy(&m, shop);
    p->identity = "spiffe://mesh/shop";
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_false(look(shop).known);
    m.identities[0][1] = "spiffe://mesh/shop";
    mp_envoy_world_changed(m.envoy);
    assert_true(p->ended);
}

static void the_one_gone_for_longest_is_forgotten(void **state)
{
    (void)state;
    fake_crash(&m);
    struct mp_envoy_limits small = {.proxies = 2};
    fake_start(&m, &small);
    set_begin(&s, 1);
    apply();
    static const char *const ids[] = {"service/a/a", "service/b/b", "service/c/c"};
    fake_connect(fake_proxy(&m, ids[0]), NULL);
    fake_connect(fake_proxy(&m, ids[1]), NULL);
    assert_false(fake_connect(fake_proxy(&m, ids[2]), NULL)); /* both are there */
    fake_close(fake_proxy(&m, ids[0]));
    assert_true(fake_connect(fake_proxy(&m, ids[2]), NULL));
    struct find f = {.node = ids[0]};
    mp_envoy_proxies(m.envoy, find, &f);
    assert_false(f.is);
}

/* ---- who refused ---- */

static void the_throttle_that_fits_best_has_refused(void **state)
{
    (void)state;
    struct mpol_arg to = {
        .name = mpol_text("to"), .type = mpol_text("rate"), .kind = MPOL_ARG_NUMBER, .number = 5};
    set_begin(&s, 2);
    struct mpol_lease *l = set_add(&s, "throttle", "service", "shop");
    l->rule = mpol_text("crowd");
    l->args = &to;
    l->arg_count = 1;
    l = set_add(&s, "throttle", "client", "10.0.0.7");
    l->rule = mpol_text("stuffing");
    l->args = &to;
    l->arg_count = 1;
    apply();
    struct mp_envoy_refused what = {.layer = MPOL_SERVICE, .service = MP_STR("shop"),
                                    .client = MP_STR("10.0.0.7")};
    mp_str rule;
    uint64_t lease;
    assert_true(mp_envoy_refused_by(m.envoy, &what, &rule, &lease));
    assert_true(mp_str_eq(rule, MP_STR("stuffing")));
    what.client = MP_STR("10.0.0.8");
    assert_true(mp_envoy_refused_by(m.envoy, &what, &rule, &lease));
    assert_true(mp_str_eq(rule, MP_STR("crowd")));
    assert_int_equal(lease, 1);
    what.share = true;
    assert_false(mp_envoy_refused_by(m.envoy, &what, &rule, &lease));
}

/* ---- long lists and modules ---- */

static bool has_bytes(const struct fake_proxy *p, const char *name, const char *text)
{
    const struct fake_resource *r = fake_has(p, name);
    return r != NULL && mp_str_contains((mp_str){r->bytes, r->len}, mp_str_of(text));
}

/* A list of one rule, longer than what is told address by address, and a denial of another. */
static void deny_a_list(uint64_t revision, double given_back)
{
    char text[48];
    set_begin(&s, revision);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", i + 1);
        set_add(&s, "deny", "client", text)->given_back = given_back;
    }
    set_add(&s, "deny", "client", "10.9.9.9")->rule = mpol_text("other");
    apply();
}

static void a_long_list_is_left_to_a_module_that_carries(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    deny_a_list(2, 0);
    fake_pump(&m);
    assert_true(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));
    assert_int_equal(progress().effective, 2);

    m.modules_carry = true; /* it has passed them */
    mp_envoy_modules_changed(m.envoy);
    fake_pump(&m);
    assert_false(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));
    assert_true(has_bytes(p, MP_ENVOY_DENY, "10.9.9.9"));
    deny_a_list(3, 0);
    fake_pump(&m);
    assert_false(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));
    assert_int_equal(progress().effective, 3);
    fake_connect(p, NULL); /* anew, and it still carries */
    fake_pump(&m);
    assert_false(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));

    deny_a_list(4, 0.01); /* modules leave to the filters what is being given back */
    fake_pump(&m);
    assert_true(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));
}

static void what_a_module_carries_no_more_counts_as_new(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    m.modules_carry = true;
    fake_connect(p, NULL);
    deny_a_list(2, 0);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    p->silent = true; /* the list is on its way */
    m.modules_carry = false;
    mp_envoy_modules_changed(m.envoy);
    assert_int_equal(progress().accepted, 1);
    assert_int_equal(progress().effective, 1);
    p->silent = false;
    fake_pump(&m);
    assert_true(has_bytes(p, MP_ENVOY_DENY, "10.0.0.77"));
    assert_int_equal(progress().effective, 2);
    uint64_t responses = counts().responses;
    mp_envoy_modules_changed(m.envoy); /* nothing has changed */
    assert_int_equal(counts().responses, responses);
}

/* ---- many ---- */

static void a_thousand_leases_reach_a_hundred_proxies(void **state)
{
    (void)state;
    char text[48];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "service/s%d/s%d-1", i, i);
        fake_connect(fake_proxy(&m, text), NULL);
    }
    fake_pump(&m);
    set_begin(&s, 2);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250 + 1);
        set_add(&s, "deny", "client", text);
    }
    apply();
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    set_begin(&s, 3);
    s.desired.lease_count = 1000;
    s.leases[500].given_back = 0.5;
    uint64_t responses = counts().responses;
    apply();
    fake_pump(&m);
    assert_int_equal(progress().effective, 3);
    assert_int_equal(counts().responses - responses, 100);
}

static void is_built_the_same(struct fake_proxy *p, const char *type_url, enum mp_envoy_type type)
{
    struct mp_arena a;
    struct mp_envoy_resource *built;
    struct mp_envoy_node node;
    uint32_t count;
    mp_arena_init(&a, NULL, 0);
    assert_true(mp_envoy_node_read(mp_str_of(p->id), &node));
    struct mp_envoy_audience who = {
        .layer = node.layer, .service = node.service, .instance = node.instance};
    struct mp_envoy_world world = fake_world(&m);
    struct mp_envoy_plan plan = {s.leases, s.desired.lease_count, &world};
    assert_int_equal(mp_envoy_build(&plan, &who, type, MP_STR(""), &a, &built, &count), MP_OK);
    assert_int_equal(count, type == MP_ENVOY_ECDS ? 4 : 1);
    for (uint32_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", MP_STR_ARG(built[i].name));
        const struct fake_resource *has = fake_has(p, name);
        assert_non_null(has);
        assert_string_equal(has->type, type_url);
        assert_int_equal(has->len, built[i].bytes.len);
        assert_memory_equal(has->bytes, built[i].bytes.ptr, has->len);
    }
    mp_arena_free(&a);
}

static const char *random_target(const char *kind, uint64_t r, char out[48])
{
    static const char *const services[] = {"shop", "pay", "gate", "nobody"};
    const char *service = services[r & 3];
    if (strcmp(kind, "client") == 0) {
        snprintf(out, 48, "10.0.0.%u", (unsigned)(r & 7) + 1);
    } else if (strcmp(kind, "identity") == 0) {
        snprintf(out, 48, "spiffe://mesh/%s", service);
    } else {
        snprintf(out, 48, strcmp(kind, "instance") == 0 ? "%s-1" : "%s", service);
    }
    return out;
}

/* What is built once for many is, byte for byte, what each would have got alone. */
static void sharing_changes_no_byte(void **state)
{
    (void)state;
    static const char *const ids[] = {"service/shop/shop-1", "service/shop/shop-2",
                                      "service/pay/pay-1",   "service/a/a-1",
                                      "ingress/gate/gate-1", "edge/out/out-1"};
    uint64_t seed = 20261125;
    print_message("seed %llu\n", (unsigned long long)seed);
    know_identities();
    m.authenticated = false;
    struct mpol_arg onto = {.name = mpol_text("to"), .type = mpol_text("string"),
                            .text = mpol_text("v1")};
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    for (int i = 0; i < 6; i++) fake_connect(fake_proxy(&m, ids[i]), NULL);
    for (unsigned round = 2; round < 300; round++) {
        set_begin(&s, round);
        for (unsigned n = (unsigned)(mp_rng_next(&seed) >> 60); n > 0; n--) {
            char text[48];
            uint64_t r = mp_rng_next(&seed) >> 8;
            const struct mpol_capability *c =
                &mp_envoy_ops.capabilities[r % mp_envoy_ops.capability_count];
            struct mpol_lease *l =
                set_add(&s, c->verb, c->target, random_target(c->target, r >> 8, text));
            l->hooks = (uint32_t)(r >> 16) % 7 + 1;
            l->given_back = (c->flags & MPOL_CAN_PARTIAL) != 0 ? (double)(r >> 24 & 3) / 4 : 0;
            bool throttle = strcmp(c->verb, "throttle") == 0;
            bool leads = strcmp(c->verb, "route") == 0 || strcmp(c->verb, "mirror") == 0;
            l->args = throttle ? &to : &onto;
            l->arg_count = throttle || leads;
        }
        apply();
        fake_pump(&m);
        if (round % 10 == 0) fake_connect(fake_proxy(&m, ids[round / 10 % 6]), NULL);
        fake_pump(&m);
        for (int i = 0; i < 6; i++) {
            is_built_the_same(fake_proxy(&m, ids[i]), MP_ENVOY_TYPE_EXTENSION, MP_ENVOY_ECDS);
            is_built_the_same(fake_proxy(&m, ids[i]), MP_ENVOY_TYPE_RUNTIME, MP_ENVOY_RTDS);
        }
    }
}

static void too_many_leases_are_refused_and_nothing_changes(void **state)
{
    (void)state;
    fake_crash(&m);
    struct mp_envoy_limits small = {.leases = 2};
    fake_start(&m, &small);
    want(1, "deny", "client", "10.0.0.1");
    set_begin(&s, 2);
    for (int i = 0; i < 3; i++) set_add(&s, "deny", "identity", "spiffe://mesh/x");
    assert_int_equal(mp_envoy_ops.apply(m.envoy, &s.desired), MPOL_ELIMIT);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    assert_int_equal(progress().effective, 1);
}

/* Proxies come, go, refuse, are silent and slow, sets change: when all that is over everybody has
 * the same. */
static void any_way_ends_at_the_same_state(void **state)
{
    (void)state;
    uint64_t seed = 20261125;
    print_message("seed %llu\n", (unsigned long long)seed);
    static const char *const ids[] = {"service/a/a", "service/a/b", "ingress/g/g", "edge/e/e"};
    for (unsigned round = 2; round < 600; round++) {
        uint64_t r = mp_rng_next(&seed);
        struct fake_proxy *p = fake_proxy(&m, ids[r >> 60 & 3]);
        switch (r >> 32 & 7) {
        case 0: fake_connect(p, NULL); break;
        case 1: fake_close(p); break;
        case 2: p->silent = !p->silent; break;
        case 3: p->nacks = p->nacks == NULL ? MP_ENVOY_DENY : NULL; break;
        case 4: m.now_ns += INT64_C(700000000); break;
        case 5: fake_read(p); break;
        case 6: p->held = !p->held; break;
        default: fake_pump(&m); break;
        }
        set_begin(&s, round);
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u", (unsigned)(r >> 8 & 3) + 1);
        if ((r & 1) != 0) set_add(&s, "deny", "client", text);
        apply();
        struct mpol_progress now = progress();
        assert_true(now.effective <= now.accepted && now.accepted <= round);
    }
    for (size_t i = 0; i < 4; i++) {
        struct fake_proxy *p = fake_proxy(&m, ids[i]);
        p->silent = p->held = false;
        p->nacks = NULL;
        fake_connect(p, NULL);
    }
    fake_pump(&m);
    want(1000, "deny", "client", "10.0.0.99");
    fake_pump(&m);
    assert_int_equal(progress().effective, 1000);
    for (size_t i = 1; i < 4; i++) {
        assert_string_equal(fake_has(fake_proxy(&m, ids[i]), MP_ENVOY_DENY)->version,
                            fake_has(fake_proxy(&m, ids[0]), MP_ENVOY_DENY)->version);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_mesh, close_mesh)
    const struct CMUnitTest tests[] = {
        TEST(accepted_is_the_ack_and_effective_the_proof),
        TEST(one_that_has_not_acked_holds_it_up),
        TEST(one_that_is_not_concerned_does_not),
        TEST(one_that_is_gone_does_not_and_gets_it_when_it_comes),
        TEST(one_that_never_answers_holds_nothing_up_for_ever),
        TEST(an_older_ack_counts_for_its_own_revision),
        TEST(a_proof_that_is_not_so_yet_is_asked_again),
        TEST(where_nobody_can_look_the_ack_has_to_do),
        TEST(endpoints_that_are_shown_and_not_merged_do_not_count),
        TEST(a_lease_that_goes_is_gone_when_it_is_proven),
        TEST(a_lease_without_a_proxy_is_held_and_others_go_on),
        TEST(a_layer_without_a_proxy_is_named),
        TEST(who_does_not_ask_for_a_filter_carries_nothing_of_it),
        TEST(who_has_just_come_and_lacks_a_filter_is_waited_for),
        TEST(a_lease_that_one_proxy_lacks_tells_where_it_is_in_force),
        TEST(endpoints_are_carried_by_who_asked_for_the_cluster),
        TEST(who_has_carried_a_lease_may_go),
        TEST(the_only_proxy_refuses_from_the_start),
        TEST(nodes_are_read),
        TEST(who_lies_about_its_node_gets_the_baseline),
        TEST(a_service_without_known_identities_may_have_any_that_is_free),
        TEST(a_liar_does_not_drive_out_the_honest_one),
        TEST(of_two_with_one_name_the_newer_stays),
        TEST(streams_of_one_type_live_beside_each_other),
        TEST(a_changed_inventory_sends_endpoints_anew),
        TEST(who_becomes_known_comes_anew),
        TEST(the_one_gone_for_longest_is_forgotten),
        TEST(the_throttle_that_fits_best_has_refused),
        TEST(a_long_list_is_left_to_a_module_that_carries),
        TEST(what_a_module_carries_no_more_counts_as_new),
        TEST(a_thousand_leases_reach_a_hundred_proxies),
        TEST(sharing_changes_no_byte),
        TEST(too_many_leases_are_refused_and_nothing_changes),
        TEST(any_way_ends_at_the_same_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
