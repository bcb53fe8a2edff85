/* SPDX-License-Identifier: Apache-2.0
 * A refusal (NACK) is told when it comes, and asked about until it is over.
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

#define MINUTE INT64_C(60000000000)

static enum mp_envoy_stand stand(const char *node, const char *type)
{
    return mp_envoy_refuses(m.envoy, mp_str_of(node), mp_str_of(type));
}

static struct fake_proxy *refusing(const char *resource)
{
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_TAKES);
    p->nacks = resource;
    deny_clients(2, 1);
    fake_pump(&m);
    return p;
}

static void it_is_told_with_its_words_and_ends_with_an_ack(void **state)
{
    (void)state;
    struct fake_proxy *p = refusing(MP_ENVOY_DENY);
    assert_int_equal(m.refusals, 1);
    assert_string_equal(m.refused, "service/shop/shop-1 ecds mpol-deny: "
                                   "no such thing?under the sun");
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_REFUSES);
    assert_int_equal(stand(shop, "rtds"), MP_ENVOY_TAKES);
    p->nacks = NULL;
    p->silent = true;
    deny_clients(3, 2);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_OWES);
    p->silent = false;
    fake_pump(&m);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_TAKES);
    assert_int_equal(m.refusals, 1);
}

/* What it refused is wanted no more, and what is wanted it has: nothing is sent, no ACK comes. */
static void it_ends_when_nobody_wants_it_any_more(void **state)
{
    (void)state;
    refusing(MP_ENVOY_DENY);
    deny_clients(3, 0);
    fake_pump(&m);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_TAKES);
}

/* A lease is not needed for it. */
static void a_refused_baseline_is_told_too(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    p->nacks = MP_ENVOY_THROTTLE;
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_int_equal(m.refusals, 1); /* all together, then it alone, which is told */
    assert_non_null(strstr(m.refused, MP_ENVOY_THROTTLE));
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_REFUSES); /* though it took the others since */
}

static void of_who_is_away_nobody_knows(void **state)
{
    (void)state;
    struct fake_proxy *p = refusing(MP_ENVOY_DENY);
    fake_close(p);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_OWES);
    fake_connect(p, NULL);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_OWES);
    fake_pump(&m);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_REFUSES);
    assert_int_equal(m.refusals, 2);
    fake_close(p);
    pass(INT64_C(86400) * 1000000000);
    mp_envoy_tick(m.envoy);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_NO_MORE);
}

/* Another bootstrap has come in its place, which has no such filters. */
static void who_asks_for_it_no_more_is_waited_for_a_minute(void **state)
{
    (void)state;
    struct fake_proxy *p = refusing(MP_ENVOY_DENY);
    static const char *const names[] = {MP_ENVOY_RUNTIME, NULL};
    fake_close(p);
    assert_true(fake_open(p));
    fake_subscribe(p, MP_ENVOY_TYPE_RUNTIME, names);
    fake_pump(&m);
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_OWES);
    m.now_ns += MINUTE;
    assert_int_equal(stand(shop, "ecds"), MP_ENVOY_NO_MORE);
    assert_int_equal(stand(shop, "rtds"), MP_ENVOY_TAKES);
}

static void of_who_is_unknown_nothing_is_told(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, "somebody");
    p->nacks = "*";
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_int_equal(m.refusals, 0);
    assert_int_equal(stand("somebody", "ecds"), MP_ENVOY_NO_MORE);
    assert_int_equal(stand("service/shop/shop-9", "ecds"), MP_ENVOY_NO_MORE);
    assert_int_equal(stand(shop, "no type"), MP_ENVOY_NO_MORE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_told_with_its_words_and_ends_with_an_ack),
        TEST(it_ends_when_nobody_wants_it_any_more),
        TEST(a_refused_baseline_is_told_too),
        TEST(of_who_is_away_nobody_knows),
        TEST(who_asks_for_it_no_more_is_waited_for_a_minute),
        TEST(of_who_is_unknown_nothing_is_told),
    };
    shop_speaks(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
