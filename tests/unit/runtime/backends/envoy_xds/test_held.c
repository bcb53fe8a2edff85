/* SPDX-License-Identifier: Apache-2.0
 * What nobody can carry, and what is left to modules.
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

static void an_instance_without_a_proxy_is_not_its_service(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "quarantine", "instance", "shop-2");
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "no proxy of instance shop-2 is connected, nor one that leads to shop");
}

/* No proxy of it, no identity that others could refuse, nobody who leads to it. */
static void a_service_that_nobody_can_refuse_is_held(void **state)
{
    (void)state;
    fake_instance(&m, "pay-1", "pay", "v1", "10.1.0.9", 9000);
    mp_envoy_world_changed(m.envoy);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "quarantine", "service", "pay");
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "no proxy of service pay is connected");
    know_identities();
    m.authenticated = false;
    mp_envoy_world_changed(m.envoy);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0); /* the shop refuses who calls itself so */
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
    waits_for("a proxy that has just come is not known to have all filters yet");
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

/* It lets through what all others refuse, though they were there before. */
static void who_comes_later_and_lacks_a_filter_undoes_what_was_effective(void **state)
{
    (void)state;
    static const char *const some[] = {MP_ENVOY_DENY, NULL};
    fake_connect(fake_proxy(&m, gate), NULL);
    want(2, "deny", "identity", "spiffe://mesh/x");
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    fake_open(fake_proxy(&m, shop));
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0); /* it may still ask for more */
    m.now_ns += INT64_C(2000000000);
    struct mpol_progress p = progress();
    held_is(&p,
            "in force at 1 of 2 proxies; proxy service/shop/shop-1 does not ask for mpol-allow");
    assert_int_equal(p.held[0].trouble, MPOL_EINVAL);
    fake_proxy(&m, shop)->silent = true; /* what it lacks it lacks */
    pass(INT64_C(6000000000));
    assert_int_equal(progress().held[0].trouble, MPOL_EINVAL);
    fake_close(fake_proxy(&m, gate));
    p = progress();
    held_is(&p, "proxy service/shop/shop-1 does not ask for mpol-allow");
    fake_close(fake_proxy(&m, shop)); /* nobody is left, and lets nothing through */
    assert_int_equal(progress().held_count, 0);
}

/* What it would say of a lease that is not in the set. */
static void would_say(const struct mpol_lease *l, enum mpol_err err, const char *text)
{
    char why[256] = "";
    assert_int_equal(mp_envoy_ops.carries(m.envoy, l, why, sizeof why), err);
    assert_string_equal(why, text);
}

static void it_can_be_asked_before_a_lease_is_there(void **state)
{
    (void)state;
    static const char *const some[] = {MP_ENVOY_DENY, NULL}, *const clusters[] = {"shop", NULL};
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("string"),
                          .text = mpol_text("v9")};
    struct set draft;
    set_begin(&draft, 0);
    struct mpol_lease *deny = set_add(&draft, "deny", "client", "10.0.0.7");
    struct mpol_lease *who = set_add(&draft, "deny", "identity", "spiffe://mesh/x");
    struct mpol_lease *route = set_add(&draft, "route", "service", "shop");
    route->args = &to;
    route->arg_count = 1;
    would_say(deny, MPOL_EIO, "no proxy of these layers is connected");
    fake_connect(fake_proxy(&m, gate), clusters);
    fake_pump(&m);
    would_say(deny, MPOL_OK, "");
    would_say(route, MPOL_EIO, "no instance of shop has version v9, and no service is called so");
    to.text = mpol_text("v1");
    would_say(route, MPOL_OK, "");
    fake_open(fake_proxy(&m, shop));
    fake_subscribe(fake_proxy(&m, shop), MP_ENVOY_TYPE_EXTENSION, some);
    fake_pump(&m);
    progress();
    would_say(who, MPOL_OK, ""); /* it has just come */
    m.now_ns += INT64_C(2000000000);
    progress();
    would_say(who, MPOL_EINVAL,
              "in force at 1 of 2 proxies; proxy service/shop/shop-1 does not ask for mpol-allow");
    would_say(deny, MPOL_OK, "");
    assert_int_equal(look(shop).lacks.len, 0); /* a question leaves nothing behind */
    char why[8];
    assert_int_equal(mp_envoy_ops.carries(m.envoy, who, why, sizeof why), MPOL_EINVAL);
    assert_string_equal(why, "in forc");
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

/* As where its filter of that name is of another kind: it lets through what the others refuse. */
static void one_of_two_refuses_from_the_start(void **state)
{
    (void)state;
    fake_proxy(&m, shop)->nacks = MP_ENVOY_DENY;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, "service/shop/shop-2"), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_pump(&m);
    struct mpol_progress p = progress();
    held_is(&p, "in force at 1 of 2 proxies; proxy service/shop/shop-1 refused mpol-deny (ecds): "
                "no such thing?under the sun");
    assert_int_equal(p.trouble, MPOL_OK); /* the set is not to blame */
    want(3, "require", "service", "shop"); /* needs another filter */
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 3);
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

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(a_lease_without_a_proxy_is_held_and_others_go_on),
        TEST(a_layer_without_a_proxy_is_named),
        TEST(an_instance_without_a_proxy_is_not_its_service),
        TEST(a_service_that_nobody_can_refuse_is_held),
        TEST(who_does_not_ask_for_a_filter_carries_nothing_of_it),
        TEST(who_has_just_come_and_lacks_a_filter_is_waited_for),
        TEST(a_lease_that_one_proxy_lacks_tells_where_it_is_in_force),
        TEST(who_comes_later_and_lacks_a_filter_undoes_what_was_effective),
        TEST(it_can_be_asked_before_a_lease_is_there),
        TEST(endpoints_are_carried_by_who_asked_for_the_cluster),
        TEST(who_has_carried_a_lease_may_go),
        TEST(one_of_two_refuses_from_the_start),
        TEST(the_only_proxy_refuses_from_the_start),
        TEST(a_long_list_is_left_to_a_module_that_carries),
        TEST(what_a_module_carries_no_more_counts_as_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
