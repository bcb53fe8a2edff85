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
    waits_for("proxy service/shop/shop-1 has taken mpol-deny, and is not seen to obey it yet");
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
    m.now_ns += INT64_C(7000000000); /* in which we stood still too */
    assert_int_equal(progress().accepted, 1);
    assert_false(look(gate).silent);
    pass(INT64_C(5000000000));
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
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_NOT_YET, MP_STR("answers 404"));
    assert_int_equal(m.ask_count, 1);
    assert_true(m.asks[0].ticket != ticket);
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_PROVEN, MP_STR("")); /* an old ticket */
    assert_int_equal(progress().effective, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
}

/* The one question that is open. */
static void answer_not_yet(const char *seen)
{
    assert_int_equal(m.ask_count, 1);
    uint64_t ticket = m.asks[0].ticket;
    m.ask_count = 0;
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_NOT_YET, mp_str_of(seen));
}

/* A machine that was paused between the change and the first question. */
static void time_in_which_we_stood_still_accuses_nobody(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_read(fake_proxy(&m, shop));
    m.now_ns += INT64_C(7000000000);
    assert_int_equal(progress().held_count, 0);
    answer_not_yet("answers 404"); /* as it was before the pause */
    assert_int_equal(progress().held_count, 0);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    assert_null(strstr(m.log, "does not obey"));
}

/* As when there are more questions than can be asked. */
static void who_could_not_be_asked_is_waited_for_no_longer_and_not_accused(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    fake_read(fake_proxy(&m, shop));
    answer_not_yet("");
    waits_for("proxy service/shop/shop-1 has taken mpol-deny, and is not seen to obey it yet");
    pass(INT64_C(5000000000));
    struct mpol_progress p = progress();
    held_is(&p, "proxy service/shop/shop-1 has taken mpol-deny and is not seen to obey it");
    assert_non_null(strstr(m.log, "nobody could see yet whether it obeys it"));
    assert_int_equal(look(shop).disobeys.len, 0);
    assert_true(mp_str_eq(look(shop).unseen, MP_STR(MP_ENVOY_DENY)));
    answer_not_yet("answers 404"); /* now it is known */
    p = progress();
    held_is(&p, "proxy service/shop/shop-1 has taken mpol-deny and does not obey it");
    assert_non_null(strstr(m.log, "does not obey it: answers 404"));
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(look(shop).unseen.len, 0);
}

/* As where the answer to who is refused is another one than ours. */
static void who_never_obeys_holds_up_only_what_it_carries(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    s.leases[0].hooks = MPOL_SERVICE;
    set_add(&s, "deny", "client", "10.0.0.8")->hooks = MPOL_INGRESS;
    s.desired.revision = 3;
    fake_proxy(&m, shop)->held = true;
    apply();
    fake_pump(&m);
    assert_int_equal(progress().effective, 1);
    answer_not_yet("answers 404");
    waits_for("proxy service/shop/shop-1 has taken and does not obey mpol-deny");
    pass(INT64_C(5000000000));
    assert_int_equal(progress().effective, 3);
    assert_non_null(strstr(m.log, "does not obey it: answers 404"));
    struct mpol_progress p = progress();
    held_is(&p, "proxy service/shop/shop-1 has taken mpol-deny and does not obey it");
    assert_int_equal(p.held[0].lease, 1);
    assert_false(look(shop).proven);
    assert_true(mp_str_eq(look(shop).disobeys, MP_STR(MP_ENVOY_DENY)));
    fake_proxy(&m, shop)->held = false; /* it obeys after all */
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_true(look(shop).proven);
    assert_int_equal(look(shop).disobeys.len, 0);
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
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_UNPROVABLE, MP_STR("nobody"));
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

/* ---- what is to be said of a lease ---- */

struct seen_parts {
    char text[256];
    int len;
};

static void note_part(void *ctx, const struct mp_envoy_part *p)
{
    struct seen_parts *seen = ctx;
    int room = (int)sizeof seen->text - seen->len;
    seen->len += snprintf(seen->text + seen->len, (size_t)room, "%.*s%s%s%s%s%s%.*s;",
                          MP_STR_ARG(p->node), p->refuses ? " refuses" : "",
                          p->passed_over ? " over" : "",
                          p->away ? " away" : "", p->silent ? " silent" : "",
                          p->unproven ? " unproven: " : "", p->unproven ? (int)p->seen.len : 0,
                          p->seen.ptr);
    assert_true(seen->len < (int)sizeof seen->text);
}

static void parts_are(uint64_t lease, const char *text)
{
    struct seen_parts seen = {.len = 0};
    mp_envoy_parts(m.envoy, lease, note_part, &seen);
    assert_string_equal(seen.text, text);
}

static void who_is_away_or_unproven_is_told_of_each_lease(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    want(2, "deny", "client", "10.0.0.7");
    set_add(&s, "deny", "client", "10.0.0.8")->hooks = MPOL_INGRESS;
    s.desired.revision = 3;
    apply();
    fake_pump(&m);
    parts_are(1, "ingress/gate/gate-1 refuses;service/shop/shop-1 refuses;");
    parts_are(2, "ingress/gate/gate-1 refuses;");
    parts_are(3, "");
    set_add(&s, "exempt", "service", "shop");
    s.desired.revision = 4;
    apply();
    fake_pump(&m);
    parts_are(1, "ingress/gate/gate-1 refuses;service/shop/shop-1 refuses over;");
    parts_are(2, "ingress/gate/gate-1 refuses;");
    s.desired.lease_count = 2;
    s.desired.revision = 5;
    apply();
    fake_pump(&m);
    fake_close(fake_proxy(&m, gate)); /* and serves on */
    parts_are(1, "ingress/gate/gate-1 away;service/shop/shop-1 refuses;");
    parts_are(2, "ingress/gate/gate-1 away;");
    set_begin(&s, 6);
    set_add(&s, "deny", "client", "10.0.0.9");
    fake_proxy(&m, shop)->held = true;
    apply();
    fake_pump(&m);
    uint64_t ticket = m.asks[0].ticket;
    m.ask_count = 0;
    mp_envoy_proven(m.envoy, ticket, MP_ENVOY_UNPROVABLE, MP_STR("answers 401 to all"));
    parts_are(1, "ingress/gate/gate-1 away;"
                 "service/shop/shop-1 refuses unproven: answers 401 to all;");
    assert_true(look(shop).unproven);
    assert_int_equal(progress().effective, 6);
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
        TEST(who_never_obeys_holds_up_only_what_it_carries),
        TEST(time_in_which_we_stood_still_accuses_nobody),
        TEST(who_could_not_be_asked_is_waited_for_no_longer_and_not_accused),
        TEST(where_nobody_can_look_the_ack_has_to_do),
        TEST(endpoints_that_are_shown_and_not_merged_do_not_count),
        TEST(a_lease_that_goes_is_gone_when_it_is_proven),
        TEST(who_is_away_or_unproven_is_told_of_each_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
