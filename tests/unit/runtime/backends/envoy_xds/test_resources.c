/* SPDX-License-Identifier: Apache-2.0
 * What leases become: read back by a decoder that knows nothing of them (proxy_model.h), and
 * compared with what the leases say.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hash.h"
#include "envoy_wire/pb.h"
#include "envoy_xds/names.h"
#include "envoy_xds/resources.h"
#include "proxy_model.h"
#include "schema/value.h"

#define LEASES_MAX 64
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- a world ---- */

static const struct mp_envoy_instance instances[] = {
    {MP_STR_INIT("checkout-1"), MP_STR_INIT("checkout"), MP_STR_INIT("v1"), MP_STR_INIT("10.1.0.1"),
     80},
    {MP_STR_INIT("checkout-2"), MP_STR_INIT("checkout"), MP_STR_INIT("v2"), MP_STR_INIT("10.1.0.2"),
     80},
    {MP_STR_INIT("checkout-3"), MP_STR_INIT("checkout"), MP_STR_INIT("v2"), MP_STR_INIT("10.1.0.2"),
     81},
    {MP_STR_INIT("checkout-4"), MP_STR_INIT("checkout"), MP_STR_INIT("v2"), MP_STR_INIT(""), 0},
    {MP_STR_INIT("pay-1"), MP_STR_INIT("pay"), MP_STR_INIT("v1"), MP_STR_INIT("2001:db8::7"), 8080},
};
static const mp_str identities[][2] = {
    {MP_STR_INIT("checkout"), MP_STR_INIT("spiffe://shop/ns/a/sa/checkout")},
    {MP_STR_INIT("pay"), MP_STR_INIT("spiffe://shop/ns/a/sa/pay")},
    {MP_STR_INIT("pay"), MP_STR_INIT("spiffe://shop/ns/b/sa/pay")},
    {MP_STR_INIT("web"), MP_STR_INIT("spiffe://shop/ns/a/sa/web")},
};

static void world_instances(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx)
{
    (void)ctx;
    for (size_t i = 0; i < COUNT(instances); i++) {
        if (mp_str_eq(instances[i].service, service) && !each(each_ctx, &instances[i])) return;
    }
}

static bool world_instance(void *ctx, mp_str name, struct mp_envoy_instance *out)
{
    (void)ctx;
    for (size_t i = 0; i < COUNT(instances); i++) {
        if (mp_str_eq(instances[i].name, name)) *out = instances[i];
    }
    return false;
}

static void world_identities(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx)
{
    (void)ctx;
    for (size_t i = 0; i < COUNT(identities); i++) {
        if (mp_str_eq(identities[i][0], service) && !each(each_ctx, identities[i][1])) return;
    }
}

static void world_services(void *ctx, mp_envoy_text_fn each, void *each_ctx)
{
    (void)ctx;
    static const mp_str names[] = {MP_STR_INIT("checkout"), MP_STR_INIT("pay"), MP_STR_INIT("web")};
    for (size_t i = 0; i < COUNT(names) && each(each_ctx, names[i]); i++) continue;
}

/* Half of the random requests are made in a world whose program has guards. */
static bool guarded;

static void world_carves(void *ctx, mp_envoy_carve_fn each, void *each_ctx)
{
    (void)ctx;
    const struct mp_envoy_carve all[] = {{MP_STR_INIT("/static/"), true, false},
                                         {MP_STR_INIT("/healthz"), false, false},
                                         {MP_STR_INIT("/slow"), false, true}};
    for (size_t i = 0; guarded && i < COUNT(all) && each(each_ctx, &all[i]); i++) continue;
}

static bool is_protected(mp_str path)
{
    static const mp_str paths[] = {MP_STR_INIT("/healthz"), MP_STR_INIT("/healthz?a=/b"),
                                   MP_STR_INIT("/static/x")};
    for (size_t i = 0; i < COUNT(paths); i++) {
        if (guarded && mp_str_eq(paths[i], path)) return true;
    }
    return false;
}

static const struct mp_envoy_world world = {.carves = world_carves,
                                            .instances = world_instances,
                                            .instance = world_instance,
                                            .identities = world_identities,
                                            .services = world_services};

static const struct mp_envoy_route routes[] = {{MP_STR_INIT("/pay"), MP_STR_INIT("pay")},
                                               {MP_STR_INIT("/"), MP_STR_INIT("checkout@v1")}};
static const struct mp_envoy_audience sidecar = {.layer = MPOL_SERVICE,
                                                 .service = MP_STR_INIT("checkout"),
                                                 .instance = MP_STR_INIT("checkout-1")};
static const struct mp_envoy_audience gateway = {.layer = MPOL_INGRESS,
                                                 .service = MP_STR_INIT("gateway"),
                                                 .instance = MP_STR_INIT("gateway-1"),
                                                 .routes = routes,
                                                 .route_count = COUNT(routes)};

/* ---- sets ---- */

static struct mp_arena arena;

static int begin(void **state)
{
    (void)state;
    mp_arena_init(&arena, NULL, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mp_arena_free(&arena);
    return 0;
}

static struct mpol_text text_of(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }
static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

struct set {
    struct mpol_lease *leases;
    size_t count, cap;
};

static struct set set_of(size_t cap)
{
    return (struct set){MP_NEW(&arena, struct mpol_lease, cap), 0, cap};
}

static struct mpol_lease *add(struct set *s, const char *verb, const char *kind, const char *target)
{
    assert_true(s->count < s->cap);
    struct mpol_lease *l = &s->leases[s->count++];
    *l = (struct mpol_lease){.size = sizeof *l, .id = s->count, .incident = s->count + 100,
                             .rule = mpol_text("some.rule"), .verb = mpol_text(verb),
                             .target_kind = mpol_text(kind), .hooks = MPOL_ANY_LAYER,
                             .target = text_of(mp_arena_str(&arena, mp_str_of(target)))};
    bool range = strcmp(kind, "client") == 0 && strchr(target, '/') != NULL;
    l->target_type = mpol_text(range ? "cidr" : strcmp(kind, "client") == 0 ? "ip" : "string");
    l->args = MP_NEW(&arena, struct mpol_arg, 4);
    return l;
}

static struct mpol_arg *arg(struct mpol_lease *l, const char *name, const char *type)
{
    struct mpol_arg *a = (struct mpol_arg *)&l->args[l->arg_count++];
    *a = (struct mpol_arg){.name = mpol_text(name), .type = mpol_text(type)};
    return a;
}

static void arg_number(struct mpol_lease *l, const char *name, const char *type, double number)
{
    struct mpol_arg *a = arg(l, name, type);
    a->kind = MPOL_ARG_NUMBER;
    a->number = number;
}

static void arg_text(struct mpol_lease *l, const char *name, const char *text)
{
    struct mpol_arg *a = arg(l, name, "string");
    a->kind = MPOL_ARG_TEXT;
    a->text = mpol_text(text);
}

static struct mp_envoy_resource *build(const struct set *s,
                                       const struct mp_envoy_audience *audience,
                                       enum mp_envoy_type type, const char *name)
{
    struct mp_envoy_plan plan = {s->leases, s->count, &world};
    struct mp_envoy_resource *out;
    uint32_t count;
    assert_int_equal(mp_envoy_build(&plan, audience, type, mp_str_of(name), &arena, &out, &count),
                     MP_OK);
    assert_int_equal(count, 1);
    assert_true(mp_str_eq(out->name, mp_str_of(name)));
    assert_int_equal(out->version.len, 16);
    return out;
}

static mp_str config_of(mp_str resource, const char *type)
{
    mp_str value, url = proxy_any(proxy_bytes(resource, 2), &value);
    assert_true(mp_str_ends(url, mp_str_of(type)));
    return value;
}

static bool check(const struct mpol_lease *l)
{
    char why[200];
    return mp_envoy_lease_check(l, why, sizeof why) == MP_OK;
}

/* ---- what the leases say ---- */

static bool in_net(mp_str text, mp_str range)
{
    struct mp_value who, net;
    uint32_t bits;
    assert_true(mp_value_address(text, &who, &bits) && mp_value_address(range, &net, &bits));
    return mp_value_in_net(who, net, bits);
}

static bool is_who_asks(const struct mpol_lease *l, const struct proxy_request *r)
{
    mp_str target = str_of(l->target);
    if (mp_str_eq(str_of(l->target_kind), MP_STR("client"))) return in_net(r->client, target);
    return mp_str_eq(str_of(l->target_kind), MP_STR("identity")) && r->tls &&
           mp_str_eq(target, r->identity);
}

static bool is_own(const struct mpol_lease *l, const struct mp_envoy_audience *a)
{
    mp_str target = str_of(l->target), kind = str_of(l->target_kind);
    return (mp_str_eq(kind, MP_STR("service")) && mp_str_eq(target, a->service)) ||
           (mp_str_eq(kind, MP_STR("instance")) && mp_str_eq(target, a->instance));
}

static bool has_identity(mp_str service, mp_str identity)
{
    for (size_t i = 0; i < COUNT(identities); i++) {
        if (mp_str_eq(identities[i][0], service) && mp_str_eq(identities[i][1], identity))
            return true;
    }
    return false;
}

static bool refuses(const struct mpol_lease *l, const struct mp_envoy_audience *a,
                    const struct proxy_request *r)
{
    mp_str verb = str_of(l->verb);
    if ((l->hooks & a->layer) == 0) return false;
    if (mp_str_eq(verb, MP_STR("deny"))) return is_who_asks(l, r);
    if (mp_str_eq(verb, MP_STR("require"))) return is_own(l, a) && r->identity.len == 0;
    if (!mp_str_eq(verb, MP_STR("quarantine"))) return false;
    bool calls = mp_str_eq(str_of(l->target_kind), MP_STR("service")) && r->tls &&
        has_identity(str_of(l->target), r->identity);
    return is_own(l, a) || calls || is_who_asks(l, r);
}

static bool exempts(const struct mpol_lease *l, const struct mp_envoy_audience *a,
                    const struct proxy_request *r)
{
    if ((l->hooks & a->layer) == 0 || !mp_str_eq(str_of(l->verb), MP_STR("exempt"))) return false;
    return is_who_asks(l, r) || is_own(l, a);
}

/* Is this policy named after a lease that refuses the request, or after one of the same rule? */
static bool is_named_well(const struct set *s, const struct mp_envoy_audience *a,
                          const struct proxy_request *r, mp_str policy)
{
    for (size_t i = 0; i < s->count; i++) {
        char name[200];
        const struct mpol_lease *l = &s->leases[i];
        int len = snprintf(name, sizeof name, "mpol:%.*s/%llu", MP_STR_ARG(str_of(l->rule)),
                           (unsigned long long)l->id);
        if (refuses(l, a, r) && mp_str_eq((mp_str){name, (size_t)len}, policy)) return true;
    }
    return false;
}

/* ---- random sets ---- */

static const char *const clients[] = {"10.0.0.1", "10.0.0.2", "10.0.1.9", "2001:db8::1",
                                      "192.0.2.7"};
/* As an Envoy writes who asks: a balancer of both families may have mapped an address. */
static const char *const askers[] = {"10.0.0.1",    "10.0.0.2",  "10.0.1.9",
                                     "2001:db8::1", "192.0.2.7", "::ffff:10.0.0.1",
                                     "::ffff:10.0.0.7"};
static const char *const ranges[] = {"10.0.0.0/24", "2001:db8::/32", "10.0.0.2/31"};
static const char *const callers[] = {"spiffe://shop/ns/a/sa/web", "spiffe://shop/ns/b/sa/pay",
                                      "spiffe://shop/ns/a/sa/checkout", "spiffe://other/x"};
static const char *const services[] = {"checkout", "pay", "web", "gateway", "nobody"};
static const char *const names[] = {"checkout-1", "checkout-2", "gateway-1", "nobody-1"};

static const char *const paths[] = {"/pay?x=1",  "/healthz", "/healthz?a=/b", "/healthzz",
                                    "/static/x", "/slow",    "/pay/healthz"};

static uint64_t pick(uint64_t *rng, uint64_t count) { return (mp_rng_next(rng) >> 33) % count; }

static const char *one_of(uint64_t *rng, const char *const *words, size_t count)
{
    return words[pick(rng, count)];
}
#define ONE_OF(rng, words) one_of((rng), (words), COUNT(words))

static void add_random(struct set *s, uint64_t *rng)
{
    struct mpol_lease *l;
    switch (pick(rng, 13)) {
    case 0: l = add(s, "exempt", "client", ONE_OF(rng, clients)); break;
    case 1: l = add(s, "exempt", "client", ONE_OF(rng, ranges)); break;
    case 2: l = add(s, "exempt", "identity", ONE_OF(rng, callers)); break;
    case 3: l = add(s, "exempt", "service", ONE_OF(rng, services)); break;
    case 4: case 5: l = add(s, "deny", "client", ONE_OF(rng, clients)); break;
    case 6: l = add(s, "deny", "client", ONE_OF(rng, ranges)); break;
    case 7: case 8: l = add(s, "deny", "identity", ONE_OF(rng, callers)); break;
    case 9: l = add(s, "quarantine", "service", ONE_OF(rng, services)); break;
    case 10: l = add(s, "quarantine", "instance", ONE_OF(rng, names)); break;
    case 11: l = add(s, "quarantine", "identity", ONE_OF(rng, callers)); break;
    default: l = add(s, "require", "service", ONE_OF(rng, services)); break;
    }
    l->hooks = 1 + (uint32_t)pick(rng, 7);
    l->rule = mpol_text(pick(rng, 2) == 0 ? "one" : "another \"[rule]\"");
}

static struct set random_set(uint64_t *rng)
{
    struct set s = set_of(LEASES_MAX);
    for (uint64_t n = pick(rng, 7); n > 0; n--) add_random(&s, rng);
    return s;
}

static uint64_t seed_of(void)
{
    const char *given = getenv("MPOL_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261125;
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

static void assert_decides(const struct set *s, const struct mp_envoy_audience *a,
                           const struct proxy_request *r)
{
    mp_str policy = {"", 0};
    bool refused = false, exempt = false;
    for (size_t i = 0; i < s->count; i++) {
        refused |= refuses(&s->leases[i], a, r);
        exempt |= exempts(&s->leases[i], a, r);
    }
    enum proxy_outcome out =
        proxy_decides(build(s, a, MP_ENVOY_ECDS, MP_ENVOY_DENY)->bytes, r, &policy);
    if (out == PROXY_ALLOW) {
        out = proxy_decides(build(s, a, MP_ENVOY_ECDS, MP_ENVOY_ALLOW)->bytes, r, &policy);
    }
    exempt |= is_protected(r->path);
    assert_int_equal(out, refused && !exempt ? PROXY_DENY : PROXY_ALLOW);
    if (out == PROXY_DENY) assert_true(is_named_well(s, a, r, policy));
}

static void a_proxy_refuses_what_the_leases_say(void **state)
{
    uint64_t rng = seed_of();
    (void)state;
    for (int i = 0; i < 1500; i++) {
        struct set s = random_set(&rng);
        struct proxy_request r = {.client = mp_str_of(ONE_OF(&rng, askers)),
                                  .tls = pick(&rng, 3) > 0,
                                  .path = mp_str_of(ONE_OF(&rng, paths))};
        guarded = pick(&rng, 2) == 0;
        if (r.tls && pick(&rng, 4) > 0) r.identity = mp_str_of(ONE_OF(&rng, callers));
        assert_decides(&s, pick(&rng, 2) == 0 ? &sidecar : &gateway, &r);
        guarded = false;
        if (i % 100 == 0) {
            mp_arena_free(&arena);
            mp_arena_init(&arena, NULL, 0);
        }
    }
}

static void the_probe_tells_versions_apart(void **state)
{
    uint64_t rng = seed_of();
    static const char *const filters[] = {MP_ENVOY_DENY, MP_ENVOY_ALLOW};
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct set s = random_set(&rng);
        for (size_t f = 0; f < COUNT(filters); f++) {
            struct mp_envoy_resource *one = build(&s, &sidecar, MP_ENVOY_ECDS, filters[f]);
            struct proxy_request r = {.client = MP_STR("10.0.0.1"), .tls = pick(&rng, 2) == 0,
                                      .path = one->proof.path};
            mp_str policy;
            assert_int_equal(one->proof.kind, MP_ENVOY_PROOF_REQUEST);
            assert_int_equal(proxy_decides(one->bytes, &r, &policy), PROXY_DENY);
            assert_true(mp_str_eq(policy, MP_STR(MP_ENVOY_POLICY_PROBE)));
            /* Any other version's probe passes, whoever is refused. */
            r.path = MP_STR("/.mpol/probe/0123456789abcdef");
            assert_int_equal(proxy_decides(one->bytes, &r, &policy), PROXY_ALLOW);
        }
    }
}

/* ---- pure ---- */

static void assert_same_bytes(const struct set *a, const struct set *b)
{
    static const struct {
        enum mp_envoy_type type;
        const char *name;
    } all[] = {{MP_ENVOY_ECDS, MP_ENVOY_DENY},     {MP_ENVOY_ECDS, MP_ENVOY_ALLOW},
               {MP_ENVOY_ECDS, MP_ENVOY_THROTTLE}, {MP_ENVOY_ECDS, MP_ENVOY_SHARE},
               {MP_ENVOY_RTDS, MP_ENVOY_RUNTIME},  {MP_ENVOY_EDS, "checkout"},
               {MP_ENVOY_RDS, MP_ENVOY_ROUTES}};
    for (size_t i = 0; i < COUNT(all); i++) {
        struct mp_envoy_audience who = sidecar;
        who.routes = routes;
        who.route_count = COUNT(routes);
        struct mp_envoy_resource *x = build(a, &who, all[i].type, all[i].name);
        struct mp_envoy_resource *y = build(b, &who, all[i].type, all[i].name);
        assert_true(mp_str_eq(x->bytes, y->bytes));
        assert_true(mp_str_eq(x->version, y->version));
    }
}

static void add_throttles(struct set *s, uint64_t *rng)
{
    struct mpol_lease *l = add(s, "throttle", "client", ONE_OF(rng, clients));
    arg_number(l, "to", pick(rng, 2) == 0 ? "rate" : "percent", 0.25);
    l = add(s, "throttle", "service", ONE_OF(rng, services));
    arg_number(l, "to", pick(rng, 2) == 0 ? "rate" : "percent", 0.5);
    l->given_back = 0.25 * (double)pick(rng, 4);
    l = add(s, "throttle", "identity", ONE_OF(rng, callers));
    arg_number(l, "to", pick(rng, 2) == 0 ? "rate" : "percent", 0.75);
    l = add(s, "route", "service", ONE_OF(rng, services));
    arg_text(l, "to", pick(rng, 2) == 0 ? "v2" : "pay");
    arg_number(l, "weight", "percent", 0.5);
    l->id = s->count - pick(rng, 3); /* of another owner, under the same number */
}

static void order_changes_no_byte(void **state)
{
    uint64_t rng = seed_of();
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct set s = random_set(&rng), other = set_of(LEASES_MAX);
        for (uint64_t n = pick(&rng, 4); n > 0; n--) add_throttles(&s, &rng);
        memcpy(other.leases, s.leases, s.count * sizeof *s.leases);
        other.count = s.count;
        for (size_t k = s.count; k > 1; k--) {
            size_t with = pick(&rng, k);
            struct mpol_lease was = other.leases[k - 1];
            other.leases[k - 1] = other.leases[with];
            other.leases[with] = was;
        }
        assert_same_bytes(&s, &other);
    }
}

static void an_empty_set_is_the_baseline(void **state)
{
    (void)state;
    struct set none = set_of(1), elsewhere = set_of(8);
    struct mpol_lease *l = add(&elsewhere, "deny", "client", "10.0.0.1");
    l->hooks = MPOL_EDGE;
    add(&elsewhere, "exempt", "service", "pay");
    arg_number(add(&elsewhere, "throttle", "service", "pay"), "to", "rate", 5);
    arg_number(add(&elsewhere, "throttle", "instance", "checkout-2"), "to", "percent", 0.5);
    assert_same_bytes(&none, &elsewhere);
    mp_str throttle = config_of(build(&none, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_THROTTLE)->bytes,
                                ".LocalRateLimit");
    assert_true(mp_str_eq(proxy_bytes(throttle, 1), MP_STR(MP_ENVOY_STAT_PREFIX)));
    assert_false(proxy_has(throttle, 4));
    struct mp_envoy_plan plan = {NULL, 0, &world};
    struct mp_envoy_resource *out;
    uint32_t count;
    assert_int_equal(
        mp_envoy_build(&plan, &sidecar, MP_ENVOY_ECDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 4);
    assert_int_equal(
        mp_envoy_build(&plan, &sidecar, MP_ENVOY_RDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 0);
}

/* ---- size ---- */

static uint32_t count_addresses(mp_str message, uint32_t depth)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    uint32_t count = 0;
    while (depth > 0 && pb_next(&in, &f)) {
        if (f.wire != PB_BYTES) continue;
        struct mp_value v;
        uint32_t bits;
        count += mp_value_address(f.bytes, &v, &bits) && bits == 128
                     ? 1
                     : count_addresses(f.bytes, depth - 1);
    }
    return count;
}

static void ten_thousand_addresses_are_one_list(void **state)
{
    (void)state;
    struct set s = set_of(10000);
    for (unsigned i = 0; i < 10000; i++) {
        char ip[40];
        snprintf(ip, sizeof ip, "10.%u.%u.%u", i * 7 % 200, i / 250, i % 250);
        add(&s, "deny", "client", ip);
    }
    struct mp_envoy_resource *r = build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_DENY);
    assert_int_equal(count_addresses(r->bytes, 24), 20000); /* each in both families */
    assert_true(r->bytes.len < 20000 * 28);
    for (unsigned i = 0; i < 10000; i += 977) {
        struct proxy_request ask = {.client = str_of(s.leases[i].target), .path = MP_STR("/")};
        mp_str policy;
        assert_int_equal(proxy_decides(r->bytes, &ask, &policy), PROXY_DENY);
        assert_true(mp_str_eq(policy, MP_STR("mpol:some.rule/1")));
    }
}

static void a_thousand_leases_are_told_apart(void **state)
{
    (void)state;
    struct set s = set_of(1000);
    for (unsigned i = 0; i < 1000; i++) {
        char who[64];
        snprintf(who, sizeof who, "spiffe://shop/ns/a/sa/s%u", i);
        add(&s, "deny", "identity", who);
    }
    struct mp_envoy_resource *r = build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_ALLOW);
    for (unsigned i = 0; i < 1000; i += 331) {
        struct proxy_request ask = {.client = MP_STR("10.0.0.1"), .tls = true, .path = MP_STR("/"),
                                    .identity = str_of(s.leases[i].target)};
        mp_str policy, want = mp_arena_printf(&arena, "mpol:some.rule/%u", i + 1);
        assert_int_equal(proxy_decides(r->bytes, &ask, &policy), PROXY_DENY);
        assert_true(mp_str_eq(policy, want));
    }
}

/* ---- throttles ---- */

static void a_rate_of_a_service_is_divided(void **state)
{
    (void)state;
    struct set s = set_of(4);
    struct mpol_lease *l = add(&s, "throttle", "service", "checkout");
    arg_number(l, "to", "rate", 30);
    arg_number(l, "burst", "int", 60);
    mp_str with = config_of(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_THROTTLE)->bytes,
                            ".ExtensionWithMatcher"), throttle;
    proxy_any(proxy_bytes(proxy_bytes(with, 2), 2), &throttle);
    mp_str bucket = proxy_bytes(throttle, 3);
    /* Three instances have an address. */
    assert_int_equal(proxy_number(bucket, 1), 20);
    assert_int_equal(proxy_number(proxy_bytes(bucket, 2), 1), 10);
    assert_int_equal(proxy_number(proxy_bytes(bucket, 3), 1), 1);
    assert_int_equal(proxy_number(proxy_bytes(throttle, 2), 1), 429);
    l->given_back = 0.5;
    with = config_of(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_THROTTLE)->bytes,
                     ".ExtensionWithMatcher");
    proxy_any(proxy_bytes(proxy_bytes(with, 2), 2), &throttle);
    assert_int_equal(proxy_number(proxy_bytes(proxy_bytes(throttle, 3), 2), 1), 20);
}

static void the_slowest_rate_of_a_client_holds(void **state)
{
    (void)state;
    struct set s = set_of(4);
    arg_number(add(&s, "throttle", "client", "2001:DB8:0:0::1"), "to", "rate", 5);
    arg_number(add(&s, "throttle", "client", "2001:db8::1"), "to", "rate", 0.05);
    mp_str with = config_of(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_THROTTLE)->bytes,
                            ".ExtensionWithMatcher"), throttle, second;
    proxy_any(proxy_bytes(proxy_bytes(with, 2), 2), &throttle);
    mp_str descriptor = proxy_bytes(throttle, 8), entry = proxy_bytes(descriptor, 1);
    assert_false(proxy_nth(throttle, 8, 1, &second));
    assert_true(mp_str_eq(proxy_bytes(entry, 1), MP_STR("remote_address")));
    assert_true(mp_str_eq(proxy_bytes(entry, 2), MP_STR("2001:db8::1")));
    mp_str bucket = proxy_bytes(descriptor, 2);
    assert_int_equal(proxy_number(bucket, 1), 1);
    assert_int_equal(proxy_number(proxy_bytes(bucket, 2), 1), 1);
    assert_int_equal(proxy_number(proxy_bytes(bucket, 3), 1), 20);
}

static double refused_share(const struct set *s, const struct mp_envoy_audience *a)
{
    mp_str layer = proxy_bytes(build(s, a, MP_ENVOY_RTDS, MP_ENVOY_RUNTIME)->bytes, 2);
    struct pb_value share, numerator;
    assert_true(pb_struct_get(layer, MP_STR(MP_ENVOY_KEY_SHARE), &share));
    assert_true(pb_struct_get(share.text, MP_STR("numerator"), &numerator));
    return numerator.number;
}

static void shares_of_who_answers_are_in_the_runtime(void **state)
{
    (void)state;
    struct set s = set_of(4);
    assert_true(refused_share(&s, &sidecar) == 0);
    struct mpol_lease *l = add(&s, "throttle", "service", "checkout");
    arg_number(l, "to", "percent", 0.3);
    assert_true(refused_share(&s, &sidecar) == 700000);
    assert_true(refused_share(&s, &gateway) == 0);
    l->given_back = 0.5;
    assert_true(refused_share(&s, &sidecar) == 350000);
    arg_number(add(&s, "throttle", "instance", "checkout-1"), "to", "percent", 0);
    assert_true(refused_share(&s, &sidecar) == 1000000);
    add(&s, "exempt", "service", "checkout");
    assert_true(refused_share(&s, &sidecar) == 0);
}

static void a_client_has_a_share_of_its_own(void **state)
{
    (void)state;
    struct set s = set_of(8);
    arg_number(add(&s, "throttle", "client", "10.0.0.1"), "to", "percent", 0.5);
    arg_number(add(&s, "throttle", "client", "10.0.0.2"), "to", "percent", 0.5);
    arg_number(add(&s, "throttle", "service", "checkout"), "to", "percent", 0.5);
    add(&s, "exempt", "client", "10.0.0.2");
    mp_str with = config_of(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_SHARE)->bytes,
                            ".ExtensionWithMatcher"), fault;
    struct proxy_request r = {.client = MP_STR("10.0.0.1"), .path = MP_STR("/")};
    assert_int_equal(proxy_matches(proxy_bytes(with, 3), &r, &fault), PROXY_EXECUTE);
    /* Both must admit it: a quarter passes. */
    assert_int_equal(proxy_number(proxy_bytes(proxy_bytes(fault, 2), 3), 1), 750000);
    r.client = MP_STR("10.0.0.2");
    assert_int_equal(proxy_matches(proxy_bytes(with, 3), &r, &fault), PROXY_SKIP);
    r.client = MP_STR("10.0.0.3");
    assert_int_equal(proxy_matches(proxy_bytes(with, 3), &r, &fault), PROXY_EXECUTE);
    assert_true(mp_str_eq(proxy_bytes(fault, 9), MP_STR(MP_ENVOY_KEY_SHARE)));
}

/* ---- endpoints ---- */

static const struct mp_envoy_endpoint *endpoints(const struct set *s, const char *cluster,
                                                 uint32_t count)
{
    struct mp_envoy_resource *r = build(s, &sidecar, MP_ENVOY_EDS, cluster);
    assert_int_equal(r->proof.kind, MP_ENVOY_PROOF_CLUSTERS);
    assert_int_equal(r->proof.endpoint_count, count);
    /* What is to be proven is what is served. */
    mp_str one;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(proxy_nth(proxy_bytes(r->bytes, 2), 2, i, &one));
        mp_str address = proxy_bytes(proxy_bytes(proxy_bytes(one, 1), 1), 1);
        assert_true(mp_str_eq(proxy_bytes(address, 2), r->proof.endpoints[i].ip));
        assert_int_equal(proxy_number(address, 3), r->proof.endpoints[i].port);
        assert_int_equal(proxy_number(one, 2), r->proof.endpoints[i].health);
        assert_int_equal(proxy_number(proxy_bytes(one, 4), 1), r->proof.endpoints[i].weight);
    }
    return r->proof.endpoints;
}

static void quarantined_instances_are_unhealthy(void **state)
{
    (void)state;
    struct set s = set_of(4);
    const struct mp_envoy_endpoint *e = endpoints(&s, "checkout", 3);
    for (int i = 0; i < 3; i++) assert_true(e[i].health == MP_ENVOY_HEALTHY && e[i].weight == 0);
    struct mpol_lease *l = add(&s, "quarantine", "instance", "checkout-2");
    e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[1].health, MP_ENVOY_UNHEALTHY);
    assert_int_equal(e[0].health, MP_ENVOY_HEALTHY);
    l->given_back = 0.25;
    e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[1].health, MP_ENVOY_HEALTHY);
    assert_int_equal(e[0].weight, 4 * e[1].weight);
    add(&s, "quarantine", "service", "checkout");
    e = endpoints(&s, "checkout", 3);
    for (int i = 0; i < 3; i++) assert_int_equal(e[i].health, MP_ENVOY_UNHEALTHY);
    endpoints(&s, "pay", 1);
    endpoints(&s, "nobody", 0);
    assert_int_equal(endpoints(&s, "checkout@v2", 2)[0].health, MP_ENVOY_UNHEALTHY);
}

static void a_drained_instance_gets_nothing_new(void **state)
{
    (void)state;
    struct set s = set_of(4);
    add(&s, "drain", "instance", "checkout-2");
    const struct mp_envoy_endpoint *e = endpoints(&s, "checkout", 3);
    assert_true(e[0].health == MP_ENVOY_HEALTHY && e[0].weight == 0);
    assert_int_equal(e[1].health, MP_ENVOY_DRAINING);
    assert_int_equal(e[2].health, MP_ENVOY_HEALTHY);
    /* Nobody is moved to it either. */
    arg_text(add(&s, "route", "service", "checkout"), "to", "v2");
    e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[0].health, MP_ENVOY_DRAINING);
    assert_int_equal(e[1].health, MP_ENVOY_DRAINING);
    assert_int_equal(e[2].weight, 2000);
}

static void a_shift_moves_weight_from_version_to_version(void **state)
{
    (void)state;
    struct set s = set_of(4);
    struct mpol_lease *l = add(&s, "route", "service", "checkout");
    arg_text(l, "from", "v2");
    arg_text(l, "to", "v1");
    arg_number(l, "weight", "percent", 0.9);
    const struct mp_envoy_endpoint *e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[0].weight, 2800);
    assert_int_equal(e[1].weight, 100);
    assert_int_equal(e[2].weight, 100);
    l->given_back = 1.0 / 3;
    e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[0].weight, 2200);
    assert_int_equal(e[1].weight, 400);
}

static void a_whole_shift_drains_and_one_to_nobody_does_nothing(void **state)
{
    (void)state;
    struct set s = set_of(4), away = set_of(4);
    arg_text(add(&s, "route", "service", "checkout"), "to", "v1");
    const struct mp_envoy_endpoint *e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[0].health, MP_ENVOY_HEALTHY);
    assert_int_equal(e[1].health, MP_ENVOY_DRAINING);
    arg_text(add(&away, "route", "service", "checkout"), "to", "v9");
    e = endpoints(&away, "checkout", 3);
    for (int i = 0; i < 3; i++) assert_true(e[i].health == MP_ENVOY_HEALTHY && e[i].weight == 0);
    /* Its only instance of v1 is out: nothing may be moved to it. */
    add(&s, "quarantine", "instance", "checkout-1");
    e = endpoints(&s, "checkout", 3);
    assert_int_equal(e[0].health, MP_ENVOY_UNHEALTHY);
    assert_int_equal(e[1].health, MP_ENVOY_HEALTHY);
}

static void a_weight_that_is_computed_is_brought_into_its_range(void **state)
{
    static const double weights[] = {7, -1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct set s = set_of(4);
        struct mpol_lease *l = add(&s, "route", "service", "checkout");
        arg_text(l, "to", "v1");
        arg_number(l, "weight", "percent", weights[i]);
        assert_int_equal(mp_envoy_lease_fits(l, NULL, 0), MP_OK);
        const struct mp_envoy_endpoint *e = endpoints(&s, "checkout", 3);
        assert_int_equal(e[0].health, MP_ENVOY_HEALTHY);
        assert_int_equal(e[1].health, i == 0 ? MP_ENVOY_DRAINING : MP_ENVOY_HEALTHY);
    }
}

/* ---- routes ---- */

static void routes_lead_to_another_service_by_weight(void **state)
{
    (void)state;
    struct set s = set_of(4);
    struct mpol_lease *l = add(&s, "route", "service", "checkout");
    arg_text(l, "to", "web");
    arg_number(l, "weight", "percent", 0.25);
    struct mp_envoy_resource *r = build(&s, &gateway, MP_ENVOY_RDS, MP_ENVOY_ROUTES);
    mp_str host = proxy_bytes(r->bytes, 2), route, cluster;
    assert_true(proxy_nth(host, 3, 0, &route));
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(route, 1), 2), r->proof.path));
    assert_int_equal(proxy_number(proxy_bytes(route, 7), 1), r->proof.status);
    assert_true(proxy_nth(host, 3, 1, &route));
    assert_int_equal(proxy_number(proxy_bytes(route, 7), 1), 404);
    assert_true(proxy_nth(host, 3, 2, &route));
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(route, 2), 1), MP_STR("pay")));
    assert_true(proxy_nth(host, 3, 3, &route));
    mp_str weighted = proxy_bytes(proxy_bytes(route, 2), 3);
    assert_true(proxy_nth(weighted, 1, 1, &cluster));
    assert_true(mp_str_eq(proxy_bytes(cluster, 1), MP_STR("web")));
    assert_int_equal(proxy_number(proxy_bytes(cluster, 2), 1), 250000);
}

/* ---- secrets ---- */

static mp_str world_secret(void *ctx, enum mp_envoy_secret which, mp_str service)
{
    (void)ctx;
    bool checkout = mp_str_eq(service, MP_STR("checkout"));
    switch (which) {
    case MP_ENVOY_SECRET_TRUST: return MP_STR("CA");
    case MP_ENVOY_SECRET_REVOKED: return MP_STR("CRL");
    case MP_ENVOY_SECRET_CHAIN: return checkout ? MP_STR("CERT") : MP_STR("");
    case MP_ENVOY_SECRET_KEY: return checkout ? MP_STR("KEY") : MP_STR("");
    }
    return MP_STR("");
}

static void a_service_gets_its_own_certificate_and_nobody_unknown_gets_one(void **state)
{
    (void)state;
    struct mp_envoy_world w = world;
    struct mp_envoy_plan plan = {.world = &w};
    struct mp_envoy_resource *out;
    uint32_t count;
    assert_int_equal(
        mp_envoy_build(&plan, &sidecar, MP_ENVOY_SDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 0);
    w.secret = world_secret;
    assert_int_equal(
        mp_envoy_build(&plan, &sidecar, MP_ENVOY_SDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 2);
    mp_str certificate = proxy_bytes(out[0].bytes, 2), trust = proxy_bytes(out[1].bytes, 4);
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(certificate, 1), 2), MP_STR("CERT")));
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(certificate, 2), 2), MP_STR("KEY")));
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(trust, 1), 2), MP_STR("CA")));
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(trust, 7), 2), MP_STR("CRL")));
    assert_int_equal(
        mp_envoy_build(&plan, &gateway, MP_ENVOY_SDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 1);
    plan.no_secrets = true;
    assert_int_equal(
        mp_envoy_build(&plan, &sidecar, MP_ENVOY_SDS, MP_STR(""), &arena, &out, &count), MP_OK);
    assert_int_equal(count, 0);
}

/* ---- what is given back ---- */

static void what_is_given_back_is_chosen_by_client_and_incident(void **state)
{
    (void)state;
    unsigned passed = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct set s = set_of(1);
        char ip[40];
        snprintf(ip, sizeof ip, "10.9.%u.%u", i / 250, i % 250);
        struct mpol_lease *l = add(&s, "deny", "client", ip);
        l->incident = 1 + i % 7;
        l->given_back = 0.25;
        struct proxy_request r = {.client = mp_str_of(ip), .path = MP_STR("/")};
        mp_str policy;
        bool passes = proxy_decides(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_DENY)->bytes, &r,
                                    &policy) == PROXY_ALLOW;
        passed += passes;
        /* Who has been let go stays free while more is given back. */
        l->given_back = 0.75;
        if (!passes) continue;
        assert_int_equal(
            proxy_decides(build(&s, &sidecar, MP_ENVOY_ECDS, MP_ENVOY_DENY)->bytes, &r, &policy),
            PROXY_ALLOW);
    }
    assert_in_range(passed, 200, 300);
}

/* ---- what is refused ---- */

static void leases_that_no_proxy_can_carry_are_refused(void **state)
{
    (void)state;
    struct set s = set_of(32);
    assert_false(check(add(&s, "deny", "asn", "64500")));
    assert_false(check(add(&s, "cap", "service", "checkout")));
    assert_false(check(add(&s, "deny", "client", "10.0.0.0")) &&
                 check(add(&s, "deny", "client", "no address")));
    assert_false(check(add(&s, "throttle", "service", "checkout")));
    struct mpol_lease *l = add(&s, "throttle", "client", "10.0.0.0/24");
    arg_number(l, "to", "rate", 5);
    assert_false(check(l));
    l = add(&s, "throttle", "client", "10.0.0.1");
    arg_number(l, "to", "rate", 0);
    assert_false(check(l));
    l = add(&s, "deny", "client", "10.0.0.1");
    arg_number(l, "status", "status", 451);
    assert_false(check(l));
    char why[200];
    assert_int_equal(mp_envoy_lease_fits(l, why, sizeof why), MP_OK); /* where it is held already */
    l = add(&s, "require", "service", "checkout");
    arg_text(l, "what", "jwt");
    assert_false(check(l));
    l = add(&s, "deny", "identity", "spiffe://a\nb");
    assert_false(check(l));
    l = add(&s, "deny", "identity", "spiffe://a\xff");
    assert_false(check(l));
    l = add(&s, "deny", "identity", "spiffe://a");
    l->rule = mpol_text("a\x01" "b");
    assert_false(check(l));
    l->rule = mpol_text("a \"b\" [c]/d");
    assert_true(check(l));
}

static void a_lease_concerns_those_who_must_carry_it(void **state)
{
    (void)state;
    struct set s = set_of(8);
    struct mpol_lease *l = add(&s, "deny", "client", "10.0.0.1");
    assert_true(mp_envoy_concerns(l, &world, &sidecar));
    l->hooks = MPOL_INGRESS;
    assert_false(mp_envoy_concerns(l, &world, &sidecar));
    l = add(&s, "throttle", "service", "checkout");
    arg_number(l, "to", "percent", 0.5);
    assert_true(mp_envoy_concerns(l, &world, &sidecar));
    assert_false(mp_envoy_concerns(l, &world, &gateway));
    assert_true(mp_envoy_concerns(add(&s, "quarantine", "service", "checkout"), &world, &gateway));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_proxy_refuses_what_the_leases_say),
        T(the_probe_tells_versions_apart),
        T(order_changes_no_byte),
        T(an_empty_set_is_the_baseline),
        T(ten_thousand_addresses_are_one_list),
        T(a_thousand_leases_are_told_apart),
        T(a_rate_of_a_service_is_divided),
        T(the_slowest_rate_of_a_client_holds),
        T(shares_of_who_answers_are_in_the_runtime),
        T(a_client_has_a_share_of_its_own),
        T(quarantined_instances_are_unhealthy),
        T(a_drained_instance_gets_nothing_new),
        T(a_shift_moves_weight_from_version_to_version),
        T(a_weight_that_is_computed_is_brought_into_its_range),
        T(a_whole_shift_drains_and_one_to_nobody_does_nothing),
        T(routes_lead_to_another_service_by_weight),
        T(a_service_gets_its_own_certificate_and_nobody_unknown_gets_one),
        T(what_is_given_back_is_chosen_by_client_and_incident),
        T(leases_that_no_proxy_can_carry_are_refused),
        T(a_lease_concerns_those_who_must_carry_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
