/* SPDX-License-Identifier: Apache-2.0
 * How far many proxies have come: what is accepted and what effective.
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

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
