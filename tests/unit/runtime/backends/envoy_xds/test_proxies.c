/* SPDX-License-Identifier: Apache-2.0
 * Many proxies: who is one, and who refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "envoy_xds/names.h"
#include "shop.h"

/* ---- who is who ---- */

static void nodes_are_read(void **state)
{
    (void)state;
    struct mp_envoy_node n;
    assert_true(mp_envoy_node_read(MP_STR("service/shop/shop-1"), &n));
    assert_int_equal(n.layer, MPOL_SERVICE);
    assert_true(mp_str_eq(n.service, MP_STR("shop")));
    assert_true(mp_str_eq(n.instance, MP_STR("shop-1")));
    assert_true(mp_envoy_node_read(MP_STR("ingress/prod/gate/gate-1.prod"), &n));
    assert_int_equal(n.layer, MPOL_INGRESS);
    assert_true(mp_str_eq(n.service, MP_STR("prod/gate")));
    assert_true(mp_str_eq(n.instance, MP_STR("gate-1.prod")));
    static const char *const bad[] = {"",
                                      "/",
                                      "service/shop",
                                      "service/shop/",
                                      "service//x",
                                      "/a/b",
                                      "sidecar/shop/shop-1",
                                      "service",
                                      "service//a/b",
                                      "service/shop/a\n",
                                      "service/shop/x/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(mp_envoy_node_read(mp_str_of(bad[i]), &n));
    }
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

/* The older one's connection is dead, and nobody has said so. */
static void of_two_with_one_name_an_older_that_is_silent_goes(void **state)
{
    (void)state;
    struct fake_proxy *old = fake_proxy(&m, shop), *new = fake_proxy(&m, "x");
    fake_connect(old, NULL);
    fake_pump(&m);
    snprintf(new->id, sizeof new->id, "%s", shop);
    fake_connect(new, NULL);
    fake_pump(&m);
    old->silent = true;
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    assert_int_equal(progress().accepted, 1);
    assert_false(old->ended);
    m.now_ns += INT64_C(500000000);
    assert_int_equal(progress().effective, 2);
    assert_true(old->ended);
    assert_int_equal(counts().replaced_streams, 1);
    /* nobody listens any more */
    assert_false(fake_answer(old, old->type, old->nonce, NULL));
    assert_false(look(shop).twins);
    assert_true(look(shop).connected);
}

/* As while Envoy restarts itself: the old process serves on. */
static void two_with_one_name_that_both_answer_are_told(void **state)
{
    (void)state;
    struct fake_proxy *old = fake_proxy(&m, shop), *new = fake_proxy(&m, "x"),
                      *third = fake_proxy(&m, "y");
    snprintf(new->id, sizeof new->id, "%s", shop);
    snprintf(third->id, sizeof third->id, "%s", shop);
    fake_connect(old, NULL);
    fake_pump(&m);
    fake_connect(new, NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_read(new);
    assert_int_equal(progress().accepted, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_true(look(shop).twins);
    assert_true(fake_has(old, MP_ENVOY_DENY) != NULL && fake_has(new, MP_ENVOY_DENY) != NULL);
    assert_string_equal(fake_has(old, MP_ENVOY_DENY)->version,
                        fake_has(new, MP_ENVOY_DENY)->version);
    fake_connect(third, NULL);
    fake_pump(&m);
    assert_true(look(shop).twins);
    assert_false(old->ended || new->ended);
    fake_close(new);
    fake_close(third);
    progress();
    assert_false(look(shop).twins);
    assert_true(look(shop).connected);
}

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

/* Pods of yesterday: whoever takes an instance out of the inventory knows that it is gone. */
static void who_is_away_and_left_the_inventory_is_forgotten(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, "service/shop/shop-2"), NULL);
    fake_connect(fake_proxy(&m, gate), NULL); /* the inventory never had that one */
    fake_pump(&m);
    mp_envoy_tick(m.envoy);
    fake_close(fake_proxy(&m, shop));
    fake_close(fake_proxy(&m, gate));
    mp_envoy_world_changed(m.envoy);
    assert_true(is_told(shop)); /* cut off, and maybe serving on */
    m.instance_count = 0;
    mp_envoy_world_changed(m.envoy);
    assert_false(is_told(shop));
    assert_true(is_told(gate));
    assert_true(look("service/shop/shop-2").connected);
    fake_close(fake_proxy(&m, "service/shop/shop-2"));
    mp_envoy_tick(m.envoy);
    assert_false(is_told("service/shop/shop-2"));
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
    assert_false(is_told(ids[0]));
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

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(nodes_are_read),
        TEST(who_lies_about_its_node_gets_the_baseline),
        TEST(a_service_without_known_identities_may_have_any_that_is_free),
        TEST(a_liar_does_not_drive_out_the_honest_one),
        TEST(of_two_with_one_name_an_older_that_is_silent_goes),
        TEST(two_with_one_name_that_both_answer_are_told),
        TEST(streams_of_one_type_live_beside_each_other),
        TEST(a_changed_inventory_sends_endpoints_anew),
        TEST(who_becomes_known_comes_anew),
        TEST(who_is_away_and_left_the_inventory_is_forgotten),
        TEST(the_one_gone_for_longest_is_forgotten),
        TEST(the_throttle_that_fits_best_has_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
