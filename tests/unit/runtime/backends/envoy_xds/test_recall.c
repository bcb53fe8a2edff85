/* SPDX-License-Identifier: Apache-2.0
 * Over a restart: proxies that a life before knew are named until they come back, or for a day.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shop.h"

#define SECOND INT64_C(1000000000)
#define DAY (86400 * SECOND)

/* ---- what is kept between two lives ---- */

#define KEPT_MAX 8
struct kept {
    char node[64], leads_to[64];
    bool used, module, connected;
    int64_t away_ns;
};
static struct kept kept[KEPT_MAX];

static struct kept *kept_of(mp_str node)
{
    struct kept *room = NULL;
    for (int i = 0; i < KEPT_MAX; i++) {
        if (kept[i].used && mp_str_eq(mp_str_of(kept[i].node), node)) return &kept[i];
        if (!kept[i].used && room == NULL) room = &kept[i];
    }
    assert_non_null(room);
    return room;
}

static void keep(void *ctx, const struct mp_envoy_memory *memory)
{
    (void)ctx;
    struct kept *k = kept_of(memory->node);
    *k = (struct kept){.used = true, .module = memory->module, .connected = memory->connected,
                       .away_ns = memory->away_ns};
    snprintf(k->node, sizeof k->node, "%.*s", MP_STR_ARG(memory->node));
    if (memory->leads_to_count > 0)
        snprintf(k->leads_to, sizeof k->leads_to, "%.*s", MP_STR_ARG(memory->leads_to[0]));
}

static void drop(void *ctx, mp_str node)
{
    (void)ctx;
    kept_of(node)->used = false;
}

static void recall(const struct kept *k)
{
    mp_str leads_to = mp_str_of(k->leads_to);
    struct mp_envoy_memory memory = {.node = mp_str_of(k->node), .leads_to = &leads_to,
                                     .leads_to_count = leads_to.len > 0, .module = k->module,
                                     .connected = k->connected, .away_ns = k->away_ns};
    assert_int_equal(mp_envoy_recall(m.envoy, &memory), MP_OK);
}

static void begin(const struct mp_envoy_limits *limits)
{
    struct mp_envoy_host host = fake_host(&m);
    host.forget = drop;
    fake_start_on(&m, limits, &host);
    for (int i = 0; i < KEPT_MAX; i++) {
        if (kept[i].used) recall(&kept[i]);
    }
    want(1, "deny", "client", "10.0.0.7");
}

/* What was known so far is kept; then as a crash. */
static void restart(const struct mp_envoy_limits *limits)
{
    mp_envoy_news(m.envoy, keep, NULL);
    fake_crash(&m);
    begin(limits);
}

static int open_kept(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    memset(kept, 0, sizeof kept);
    fake_instance(&m, "shop-1", "shop", "v1", "10.1.0.1", 9000);
    begin(NULL);
    return 0;
}
#define KEPT(name) cmocka_unit_test_setup_teardown(name, open_kept, close_mesh)

/* ---- what is told ---- */

static void note_part(void *ctx, const struct mp_envoy_part *p)
{
    char *text = ctx;
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%.*s%s%s;", MP_STR_ARG(p->node),
             p->recalled ? " not back" : p->away ? " away" : "", p->module ? " (module)" : "");
}

static void parts_are(const char *text)
{
    char seen[256] = "";
    mp_envoy_parts(m.envoy, 1, note_part, seen);
    assert_string_equal(seen, text);
}

static void count_news(void *ctx, const struct mp_envoy_memory *memory)
{
    (void)memory;
    ++*(int *)ctx;
}

static int news(void)
{
    int count = 0;
    mp_envoy_news(m.envoy, count_news, &count);
    return count;
}

/* ---- tests ---- */

static void who_was_there_is_named_until_it_comes_back(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    parts_are("ingress/gate/gate-1;service/shop/shop-1;");
    restart(NULL);
    parts_are("ingress/gate/gate-1 not back;service/shop/shop-1 not back;");
    assert_true(look(gate).recalled);
    assert_false(look(gate).connected);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    parts_are("ingress/gate/gate-1 not back;service/shop/shop-1;");
    assert_int_equal(progress().effective, 1); /* it holds nothing up */
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    parts_are("ingress/gate/gate-1;service/shop/shop-1;");
    assert_false(look(gate).recalled);
    fake_close(fake_proxy(&m, gate));
    parts_are("ingress/gate/gate-1 away;service/shop/shop-1;");
}

/* One that did not come back in the second life was away for all of it. */
static void the_third_life_knows_since_when(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_close(fake_proxy(&m, gate));
    m.now_ns += 10 * SECOND;
    restart(NULL);
    parts_are("ingress/gate/gate-1 away;service/shop/shop-1 not back;");
    assert_int_equal(m.now_ns - look(gate).since_ns, 10 * SECOND);
    assert_int_equal(look(shop).since_ns, m.now_ns);
    m.now_ns += 5 * SECOND;
    restart(NULL);
    parts_are("ingress/gate/gate-1 away;service/shop/shop-1 away;");
    assert_int_equal(m.now_ns - look(shop).since_ns, 5 * SECOND);
}

/* Its routes say that it leads to a service, its bootstrap that it has a module. */
static void what_it_leads_to_is_known_too(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, gate);
    p->routes[p->route_count++] = "shop";
    fake_connect(p, (const char *const[]){"shop", NULL});
    fake_pump(&m);
    restart(NULL);
    want(2, "drain", "instance", "shop-1");
    parts_are("ingress/gate/gate-1 not back;");
}

static void news_are_told_once(void **state)
{
    (void)state;
    assert_int_equal(news(), 0);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    assert_int_equal(news(), 1);
    assert_int_equal(news(), 0);
    fake_close(fake_proxy(&m, shop));
    fake_connect(fake_proxy(&m, shop), NULL);
    assert_int_equal(news(), 1);
    fake_close(fake_proxy(&m, shop));
    assert_int_equal(news(), 1);
}

static void who_is_not_who_it_says_is_not_kept(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, "sidecar/shop/shop-1"), NULL);
    assert_int_equal(news(), 0);
    struct mp_envoy_memory memory = {.node = MP_STR("sidecar/shop/shop-1")};
    assert_int_equal(mp_envoy_recall(m.envoy, &memory), MP_EINVAL);
    restart(NULL);
    assert_false(is_told("sidecar/shop/shop-1"));
}

static void who_is_away_for_a_day_is_forgotten(void **state)
{
    (void)state;
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_pump(&m);
    restart(NULL);
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_pump(&m);
    mp_envoy_news(m.envoy, keep, NULL);
    m.now_ns += DAY - 1;
    mp_envoy_tick(m.envoy);
    parts_are("ingress/gate/gate-1 not back;service/shop/shop-1;");
    m.now_ns += 1;
    mp_envoy_tick(m.envoy);
    parts_are("service/shop/shop-1;");
    assert_false(is_told(gate));
    restart(NULL);
    parts_are("service/shop/shop-1 not back;");
}

/* Whoever there is no room for is not kept for ever either. */
static void more_than_there_is_room_for_are_forgotten(void **state)
{
    (void)state;
    struct mp_envoy_limits two = {.proxies = 2};
    fake_connect(fake_proxy(&m, shop), NULL);
    fake_connect(fake_proxy(&m, gate), NULL);
    fake_connect(fake_proxy(&m, "service/shop/shop-2"), NULL);
    fake_pump(&m);
    restart(&two);
    mp_envoy_news(m.envoy, keep, NULL);
    int left = 0;
    for (int i = 0; i < KEPT_MAX; i++) left += kept[i].used;
    assert_int_equal(left, 2);
    fake_connect(fake_proxy(&m, "service/shop/shop-3"), NULL);
    fake_connect(fake_proxy(&m, "service/shop/shop-4"), NULL);
    fake_pump(&m);
    parts_are("service/shop/shop-3;service/shop/shop-4;");
    restart(&two);
    parts_are("service/shop/shop-3 not back;service/shop/shop-4 not back;");
}

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
    const struct CMUnitTest tests[] = {
        KEPT(who_was_there_is_named_until_it_comes_back),
        KEPT(the_third_life_knows_since_when),
        KEPT(what_it_leads_to_is_known_too),
        KEPT(news_are_told_once),
        KEPT(who_is_not_who_it_says_is_not_kept),
        KEPT(who_is_away_for_a_day_is_forgotten),
        KEPT(more_than_there_is_room_for_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
