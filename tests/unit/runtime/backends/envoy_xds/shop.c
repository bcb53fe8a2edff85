/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shop.h"

struct fake_mesh m;
struct set s;

const char *const shop = "service/shop/shop-1", *const gate = "ingress/gate/gate-1";

static bool sotw;

bool shop_speaks(int argc, char **argv)
{
    sotw = argc > 1 && strcmp(argv[1], "sotw") == 0;
    return sotw;
}

static int open_with(bool looks)
{
    memset(&m, 0, sizeof m);
    m.sotw = sotw;
    m.looks = looks;
    fake_instance(&m, "shop-1", "shop", "v1", "10.1.0.1", 9000);
    fake_instance(&m, "shop-2", "shop", "v1", "10.1.0.2", 9000);
    fake_start(&m, NULL);
    set_begin(&s, 1);
    return mp_envoy_ops.apply(m.envoy, &s.desired) == MPOL_OK ? 0 : -1;
}

int open_mesh(void **state)
{
    (void)state;
    return open_with(false);
}

int open_looking(void **state)
{
    (void)state;
    return open_with(true);
}

int close_mesh(void **state)
{
    (void)state;
    fake_stop(&m);
    return 0;
}

void apply(void) { assert_int_equal(mp_envoy_ops.apply(m.envoy, &s.desired), MPOL_OK); }

void want(uint64_t revision, const char *verb, const char *kind, const char *target)
{
    set_begin(&s, revision);
    if (verb != NULL) set_add(&s, verb, kind, target);
    apply();
}

void deny_clients(uint64_t revision, unsigned count)
{
    char address[32];
    set_begin(&s, revision);
    for (unsigned i = 0; i < count; i++) {
        snprintf(address, sizeof address, "10.0.%u.%u", i / 250, i % 250 + 1);
        set_add(&s, "deny", "client", address);
    }
    apply();
}

struct mpol_progress progress(void)
{
    struct mpol_progress p = {.size = sizeof p};
    assert_int_equal(mp_envoy_ops.progress(m.envoy, &p), MPOL_OK);
    return p;
}

void pass(int64_t ns)
{
    const int64_t step_ns = 500000000;
    for (; ns > 0; ns -= step_ns) {
        m.now_ns += ns < step_ns ? ns : step_ns;
        progress();
    }
}

struct mp_envoy_counts counts(void)
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

static struct find look_for(const char *node)
{
    struct find f = {.node = node};
    mp_envoy_proxies(m.envoy, find, &f);
    return f;
}

bool is_told(const char *node) { return look_for(node).is; }

struct mp_envoy_proxy look(const char *node)
{
    struct find f = look_for(node);
    assert_true(f.is);
    return f.found;
}

void held_is(const struct mpol_progress *p, const char *text)
{
    assert_int_equal(p->held_count, 1);
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)p->held[0].text.len, p->held[0].text.ptr);
    assert_string_equal(line, text);
}

void waits_for(const char *text)
{
    struct mpol_progress p = progress();
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)p.trouble_text.len, p.trouble_text.ptr);
    assert_int_equal(p.trouble, MPOL_OK);
    assert_string_equal(line, text);
}

void know_identities(void)
{
    m.authenticated = true;
    m.identities[0][0] = "shop";
    m.identities[0][1] = "spiffe://mesh/shop";
    m.identities[1][0] = "pay";
    m.identities[1][1] = "spiffe://mesh/pay";
    m.identity_count = 2;
}
