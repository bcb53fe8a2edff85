/* SPDX-License-Identifier: Apache-2.0
 * Who is told first when an instance goes into quarantine or comes back.
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

#define TURN_NS INT64_C(100000000)

static const char *const clusters[] = {"shop", NULL};
static const char *const other = "service/shop/shop-2", *const gate_2 = "ingress/gate/gate-2";

static void connect(const char *node, const char *const *names)
{
    assert_true(fake_connect(fake_proxy(&m, node), names));
    fake_pump(&m);
}

static void open_shop(void)
{
    connect(shop, NULL);
    connect(gate, clusters);
    assert_int_equal(progress().effective, 1);
}

/* Responses that it has not looked at yet. */
static uint32_t told(const char *node) { return fake_proxy(&m, node)->inbox_count; }

static void reads(const char *node) { assert_true(fake_read(fake_proxy(&m, node))); }

/* What the proxy has accepted of the name changes with the next response that it reads. */
static void reads_new(const char *node, const char *name)
{
    char before[64];
    snprintf(before, sizeof before, "%s", fake_has(fake_proxy(&m, node), name)->version);
    reads(node);
    assert_string_not_equal(fake_has(fake_proxy(&m, node), name)->version, before);
}

static void all_is_effective(uint64_t revision)
{
    fake_pump(&m);
    assert_int_equal(progress().effective, revision);
    assert_int_equal(told(shop) + told(gate), 0);
}

static struct mpol_lease *quarantined(uint64_t revision, const char *instance)
{
    set_begin(&s, revision);
    return set_add(&s, "quarantine", "instance", instance);
}

/* ---- the order ---- */

static void who_leads_there_is_told_before_the_sidecar_refuses(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    assert_int_equal(told(shop), 0);
    waits_for("proxy ingress/gate/gate-1 has not taken shop");
    reads_new(gate, "shop");
    reads_new(shop, MP_ENVOY_DENY);
    assert_int_equal(progress().accepted, 2);
    all_is_effective(2);
}

static void the_sidecar_opens_before_anybody_leads_there(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    want(3, NULL, NULL, NULL);
    assert_int_equal(told(gate), 0);
    assert_int_equal(progress().accepted, 2);
    reads_new(shop, MP_ENVOY_DENY);
    assert_int_equal(progress().accepted, 2);
    reads_new(gate, "shop");
    assert_int_equal(progress().accepted, 3);
    all_is_effective(3);
}

static void it_opens_with_the_first_step_of_a_ramp(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    quarantined(3, "shop-1")->given_back = 0.25;
    apply();
    assert_int_equal(told(gate), 0);
    reads_new(shop, MP_ENVOY_DENY);
    reads_new(gate, "shop");
    quarantined(4, "shop-1")->given_back = 0.5;
    apply();
    assert_int_equal(told(shop), 0);
    reads_new(gate, "shop");
    all_is_effective(4);
}

static void it_waits_for_all_who_lead_there_by_versions_too(void **state)
{
    (void)state;
    static const char *const versions[] = {"shop@v1", NULL};
    open_shop();
    connect(gate_2, versions);
    want(2, "quarantine", "instance", "shop-1");
    reads(gate);
    assert_int_equal(told(shop), 0);
    reads(gate_2);
    reads_new(shop, MP_ENVOY_DENY);
    want(3, NULL, NULL, NULL);
    assert_int_equal(told(gate) + told(gate_2), 0);
    reads(shop);
    reads_new(gate, "shop");
    reads_new(gate_2, "shop@v1");
}

/* ---- who is not waited for ---- */

static void nobody_waits_where_nobody_leads_there(void **state)
{
    (void)state;
    static const char *const others[] = {"pay", NULL};
    connect(shop, NULL);
    connect(gate, others);
    want(2, "quarantine", "instance", "shop-1");
    reads_new(shop, MP_ENVOY_DENY);
    want(3, NULL, NULL, NULL);
    reads_new(shop, MP_ENVOY_DENY);
    all_is_effective(3);
}

static void nobody_waits_for_an_instance_without_a_sidecar(void **state)
{
    (void)state;
    connect(gate, clusters);
    want(2, "quarantine", "instance", "shop-1");
    reads_new(gate, "shop");
    want(3, NULL, NULL, NULL);
    reads_new(gate, "shop");
}

static void who_does_not_answer_is_waited_for_a_moment(void **state)
{
    (void)state;
    open_shop();
    fake_proxy(&m, gate)->silent = true;
    want(2, "quarantine", "instance", "shop-1");
    reads(gate);
    m.now_ns += TURN_NS - 1;
    assert_int_equal(progress().accepted, 1);
    assert_int_equal(told(shop), 0);
    m.now_ns += 1;
    assert_int_equal(progress().accepted, 1);
    reads_new(shop, MP_ENVOY_DENY);
}

static void a_silent_sidecar_holds_up_nobody_who_leads_there(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    fake_proxy(&m, shop)->silent = true;
    want(3, NULL, NULL, NULL);
    reads(shop);
    assert_int_equal(told(gate), 0);
    m.now_ns += TURN_NS;
    progress();
    reads_new(gate, "shop");
}

/* What it does not answer for long it is told, and nobody waits for that. */
static void who_is_silent_for_long_is_not_waited_for_at_all(void **state)
{
    (void)state;
    open_shop();
    fake_proxy(&m, gate)->silent = true;
    want(2, "quarantine", "instance", "shop-2");
    pass(INT64_C(5000000000));
    progress();
    assert_true(look(gate).silent);
    want(3, "quarantine", "instance", "shop-1");
    reads_new(shop, MP_ENVOY_DENY);
}

static void who_refuses_its_endpoints_is_not_waited_for(void **state)
{
    (void)state;
    open_shop();
    fake_proxy(&m, gate)->nacks = "shop";
    want(2, "quarantine", "instance", "shop-1");
    assert_int_equal(told(shop), 0);
    reads(gate);
    reads_new(shop, MP_ENVOY_DENY);
}

static void who_goes_away_is_not_waited_for(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    fake_close(fake_proxy(&m, gate));
    progress();
    reads_new(shop, MP_ENVOY_DENY);
    all_is_effective(2);
}

/* ---- what does not wait ---- */

static void a_whole_service_is_told_at_once(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "service", "shop");
    reads_new(shop, MP_ENVOY_DENY);
    reads_new(gate, "shop");
}

static void a_denial_in_the_same_set_does_not_wait(void **state)
{
    (void)state;
    open_shop();
    quarantined(2, "shop-1");
    set_add(&s, "deny", "client", "10.0.0.7");
    apply();
    reads_new(shop, MP_ENVOY_DENY);
}

static void a_denial_that_comes_while_one_waits_does_not(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    assert_int_equal(told(shop), 0);
    set_add(&s, "deny", "client", "10.0.0.7");
    s.desired.revision = 3;
    apply();
    reads_new(shop, MP_ENVOY_DENY);
    all_is_effective(3);
}

static void another_denial_lets_it_wait_on(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    set_add(&s, "deny", "client", "10.0.0.7")->hooks = MPOL_INGRESS;
    s.desired.revision = 3;
    apply();
    assert_int_equal(told(shop), 0);
    assert_int_equal(told(gate), 2); /* of two types */
    all_is_effective(3);
}

static void one_that_comes_back_holds_up_none_that_goes(void **state)
{
    (void)state;
    open_shop();
    connect(other, NULL);
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    want(3, "quarantine", "instance", "shop-2"); /* in the place of the other */
    assert_int_equal(told(other), 0);
    reads_new(shop, MP_ENVOY_DENY);
    reads_new(gate, "shop");
    reads_new(other, MP_ENVOY_DENY);
    all_is_effective(3);
}

static void one_that_goes_while_another_comes_back_does_not_wait_for_it(void **state)
{
    (void)state;
    open_shop();
    connect(other, NULL);
    want(2, "quarantine", "instance", "shop-1");
    fake_pump(&m);
    want(3, NULL, NULL, NULL);
    assert_int_equal(told(gate), 0);
    want(4, "quarantine", "instance", "shop-2");
    reads_new(gate, "shop");
    reads_new(other, MP_ENVOY_DENY);
    all_is_effective(4);
}

static void one_that_changes_its_mind_tells_nobody(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    want(3, NULL, NULL, NULL);
    assert_int_equal(told(shop), 0);
    all_is_effective(3);
}

static void other_words_of_one_that_waits_are_told_at_once(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    quarantined(3, "shop-1")->rule = mpol_text("another");
    apply();
    reads_new(shop, MP_ENVOY_DENY);
    all_is_effective(3);
}

/* LIMIT: 16 instances of one set. */
static void of_very_many_none_waits(void **state)
{
    (void)state;
    static char names[17][32], nodes[17][64];
    for (int i = 0; i < 17; i++) {
        snprintf(names[i], sizeof names[i], "many-%d", i);
        snprintf(nodes[i], sizeof nodes[i], "service/shop/many-%d", i);
        fake_instance(&m, names[i], "shop", "v1", "10.1.1.1", (uint16_t)(9000 + i));
    }
    mp_envoy_world_changed(m.envoy);
    open_shop();
    connect(nodes[0], NULL);
    set_begin(&s, 2);
    for (int i = 0; i < 16; i++) set_add(&s, "quarantine", "instance", names[i]);
    apply();
    assert_int_equal(told(nodes[0]), 0);
    set_begin(&s, 3);
    apply();
    fake_pump(&m);
    set_begin(&s, 4);
    for (int i = 0; i < 17; i++) set_add(&s, "quarantine", "instance", names[i]);
    apply();
    reads_new(nodes[0], MP_ENVOY_DENY);
}

/* ---- first answers are whole ---- */

static bool has_policy(const char *node, const char *name, const char *text)
{
    const struct fake_resource *r = fake_has(fake_proxy(&m, node), name);
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= r->len; i++) {
        if (memcmp(r->bytes + i, text, len) == 0) return true;
    }
    return false;
}

static void who_comes_while_it_would_wait_is_told_at_once(void **state)
{
    (void)state;
    open_shop();
    want(2, "quarantine", "instance", "shop-1");
    fake_close(fake_proxy(&m, shop));
    assert_true(fake_connect(fake_proxy(&m, shop), NULL));
    while (told(shop) > 0) reads(shop);
    assert_true(has_policy(shop, MP_ENVOY_DENY, "mpol:rule/1"));
    assert_int_equal(told(gate), 1); /* it has not looked yet */
}

static void after_a_restart_the_first_answer_has_it(void **state)
{
    (void)state;
    open_shop();
    fake_crash(&m);
    fake_start(&m, NULL);
    want(2, "quarantine", "instance", "shop-1");
    assert_true(fake_connect(fake_proxy(&m, gate), clusters));
    assert_true(fake_connect(fake_proxy(&m, shop), NULL));
    while (told(shop) > 0) reads(shop);
    assert_true(has_policy(shop, MP_ENVOY_DENY, "mpol:rule/1"));
    assert_true(told(gate) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(who_leads_there_is_told_before_the_sidecar_refuses),
        TEST(the_sidecar_opens_before_anybody_leads_there),
        TEST(it_opens_with_the_first_step_of_a_ramp),
        TEST(it_waits_for_all_who_lead_there_by_versions_too),
        TEST(nobody_waits_where_nobody_leads_there),
        TEST(nobody_waits_for_an_instance_without_a_sidecar),
        TEST(who_does_not_answer_is_waited_for_a_moment),
        TEST(a_silent_sidecar_holds_up_nobody_who_leads_there),
        TEST(who_is_silent_for_long_is_not_waited_for_at_all),
        TEST(who_refuses_its_endpoints_is_not_waited_for),
        TEST(who_goes_away_is_not_waited_for),
        TEST(a_whole_service_is_told_at_once),
        TEST(a_denial_in_the_same_set_does_not_wait),
        TEST(a_denial_that_comes_while_one_waits_does_not),
        TEST(another_denial_lets_it_wait_on),
        TEST(one_that_comes_back_holds_up_none_that_goes),
        TEST(one_that_goes_while_another_comes_back_does_not_wait_for_it),
        TEST(one_that_changes_its_mind_tells_nobody),
        TEST(other_words_of_one_that_waits_are_told_at_once),
        TEST(of_very_many_none_waits),
        TEST(who_comes_while_it_would_wait_is_told_at_once),
        TEST(after_a_restart_the_first_answer_has_it),
    };
    shop_speaks(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
