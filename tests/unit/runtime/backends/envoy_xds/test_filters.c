/* SPDX-License-Identifier: Apache-2.0
 * Proxies with more than one listener: a filter that one of them has, and the one that takes the
 * requests has not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "envoy_xds/names.h"
#include "shop.h"

#define SECOND INT64_C(1000000000)
/* Bits of the filters, as fake_connect() asks for them: deny, allow, throttle, share. */
#define THROTTLE 4u
#define SHARE 8u

static struct fake_proxy *proxy(const char *id)
{
    struct fake_proxy *p = fake_proxy(&m, id);
    p->metadata_admin = "127.0.0.1:9902";
    return p;
}

static void throttle(uint64_t revision, const char *type, double to)
{
    static struct mpol_arg arg;
    arg = (struct mpol_arg){.name = mpol_text("to"), .type = mpol_text(type),
                            .kind = MPOL_ARG_NUMBER, .number = to};
    set_begin(&s, revision);
    struct mpol_lease *l = set_add(&s, "throttle", "client", "10.0.0.8");
    l->id = revision; /* another than the one before */
    l->args = &arg;
    l->arg_count = 1;
    apply();
    fake_pump(&m);
}

static bool says(const char *text) { return strstr(m.log, text) != NULL; }

static void who_lacks_a_filter_at_its_own_listener_carries_nothing_of_it(void **state)
{
    (void)state;
    struct fake_proxy *p = proxy(shop);
    p->bare = "listener plain (127.0.0.1:9) lacks mpol-share";
    p->bare_missing = SHARE;
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_true(says("proxy service/shop/shop-1: listener plain (127.0.0.1:9) lacks mpol-share: "
                     "what comes in there is not governed"));
    assert_true(mp_str_eq(look(shop).bare, mp_str_of(p->bare)));
    m.now_ns += 3 * SECOND;
    throttle(2, "rate", 5); /* that filter it has */
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 2);
    throttle(3, "percent", 0.5);
    struct mpol_progress now = progress();
    held_is(&now, "proxy service/shop/shop-1 does not ask for mpol-share at its listener");
    assert_true(mp_str_eq(look(shop).lacks, MP_STR("mpol-share at its listener")));
    p->bare = NULL; /* mended, and it comes back */
    p->bare_missing = 0;
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 3);
    assert_int_equal(look(shop).bare.len, 0);
}

static void another_listener_without_a_filter_is_named_and_no_more(void **state)
{
    (void)state;
    struct fake_proxy *p = proxy(shop);
    p->bare = "listener stats (127.0.0.1:15090) lacks mpol-deny, mpol-share";
    fake_connect(p, NULL);
    fake_pump(&m);
    m.now_ns += 3 * SECOND;
    throttle(2, "percent", 0.5);
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 2);
    assert_true(mp_str_eq(look(shop).bare, mp_str_of(p->bare)));
}

/* Until somebody has looked, a share at a proxy that has just come may be let through. */
static void nothing_is_effective_before_the_listeners_were_seen(void **state)
{
    (void)state;
    struct fake_proxy *p = proxy(shop);
    fake_connect(p, NULL);
    while (fake_read(p) || fake_prove(&m)) continue;
    set_begin(&s, 2);
    set_add(&s, "deny", "client", "10.0.0.7"); /* of that a probe tells */
    apply();
    while (fake_read(p) || fake_prove(&m)) continue;
    assert_int_equal(progress().effective, 2);
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    set_begin(&s, 3);
    struct mpol_lease *l = set_add(&s, "throttle", "client", "10.0.0.8");
    l->id = 3;
    l->args = &to;
    l->arg_count = 1;
    apply();
    while (fake_read(p) || fake_prove(&m)) continue;
    assert_int_equal(progress().effective, 2);
    waits_for("a proxy that has just come is not known to have all filters yet");
    assert_true(fake_look(&m));
    assert_int_equal(progress().effective, 3);
}

static void who_cannot_be_seen_holds_nothing_up_for_long(void **state)
{
    (void)state;
    struct fake_proxy *p = proxy(shop), *mute = fake_proxy(&m, gate);
    p->hidden = true; /* the admin port gives no answer */
    fake_connect(p, NULL);
    fake_connect(mute, NULL); /* and this one has none */
    fake_pump(&m);
    throttle(2, "percent", 0.5);
    assert_int_equal(progress().effective, 2);
    assert_int_equal(look(shop).bare.len, 0);
    assert_int_equal(mute->looks, 0);
}

static void listeners_are_looked_at_again_when_they_may_be_others(void **state)
{
    static const char *const deny[] = {MP_ENVOY_DENY, NULL}, *const share[] = {MP_ENVOY_SHARE,
                                                                               NULL};
    (void)state;
    struct fake_proxy *p = proxy(shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_RUNTIME, NULL);
    assert_int_equal(p->looks, 0); /* there is nothing to look for */
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, deny);
    assert_int_equal(p->looks, 1);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, share);
    assert_int_equal(p->looks, 1); /* one question at a time */
    fake_pump(&m);
    assert_int_equal(p->looks, 2);
    m.now_ns += 59 * SECOND;
    mp_envoy_tick(m.envoy);
    assert_int_equal(p->looks, 2);
    m.now_ns += SECOND;
    mp_envoy_tick(m.envoy);
    assert_int_equal(p->looks, 3); /* a listener may have come from elsewhere */
    m.now_ns += 60 * SECOND;
    mp_envoy_tick(m.envoy);
    assert_int_equal(p->looks, 4); /* no answer came */
}

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
#define T(name) cmocka_unit_test_setup_teardown(name, open_looking, close_mesh)
    const struct CMUnitTest tests[] = {
        T(who_lacks_a_filter_at_its_own_listener_carries_nothing_of_it),
        T(another_listener_without_a_filter_is_named_and_no_more),
        T(nothing_is_effective_before_the_listeners_were_seen),
        T(who_cannot_be_seen_holds_nothing_up_for_long),
        T(listeners_are_looked_at_again_when_they_may_be_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
