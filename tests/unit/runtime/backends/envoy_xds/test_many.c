/* SPDX-License-Identifier: Apache-2.0
 * A thousand leases, a hundred proxies, and any order of events.
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
#include "shop.h"

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

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(a_thousand_leases_reach_a_hundred_proxies),
        TEST(sharing_changes_no_byte),
        TEST(too_many_leases_are_refused_and_nothing_changes),
        TEST(any_way_ends_at_the_same_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
