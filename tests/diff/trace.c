/* SPDX-License-Identifier: Apache-2.0
 * Records and inventory for the signals of a policy.
 */
#include <float.h>
#include <math.h>

#include "base/assert.h"
#include "gen.h"

#define MS INT64_C(1000000)
#define START_NS (INT64_C(1767225600) * 1000 * MS)

struct pool {
    uint64_t rng;
    struct mp_arena *arena;
};

static uint32_t below(struct pool *t, uint32_t n) { return gen_below(&t->rng, n); }
static bool one_in(struct pool *t, uint32_t n) { return below(t, n) == 0; }

static struct slow_value text(const char *s)
{
    return (struct slow_value){true, mp_value_text(mp_str_of(s))};
}

/* ---- numbers: those that rules compare with, their neighbours, and the far ends ---- */

static int64_t an_int(struct pool *t, enum mp_type type)
{
    static const int64_t ints[] = {
        0, 1, 2, 3, 7, 10, 100, 1000, 4096, 2000000, INT64_C(9007199254740993), INT64_MAX};
    static const int64_t durations[] = {1, 50, 100, 1000, 1500, 10000, 60000, 604800000};
    static const int64_t sizes[] = {0, 1, 100, 65536, 1048576, 1000000000};
    int64_t v;
    if (type == MP_TYPE_DURATION) v = one_in(t, 8) ? 333000 : durations[below(t, 8)] * MS;
    else if (type == MP_TYPE_SIZE) v = sizes[below(t, 6)];
    else v = one_in(t, 3) ? ints[below(t, 12)] : (int64_t)below(t, 9);
    if (one_in(t, 8) && v < INT64_MAX) v++;
    if (one_in(t, 8)) v--;
    if (one_in(t, 30)) v = (int64_t)mp_rng_next(&t->rng);
    if (one_in(t, 60)) v = INT64_MIN;
    bool natural = type == MP_TYPE_SIZE || type == MP_TYPE_COUNTER;
    return natural && v < 0 ? 0 : v;
}

static double a_number(struct pool *t, enum mp_type type)
{
    static const double numbers[] = {0.5, 1, 0.1, 0.3, 2.25, 100, 1000000.5, 1e-6, 3, 0};
    static const double percents[] = {0.007, 0.05, 0.5, 0.999, 1, 1.5, 0, 0.333};
    static const double rates[] = {1, 100, 5000.0 / 60, 0.5, 1.0 / 3600, 1000, 10485760};
    double v = type == MP_TYPE_PERCENT || type == MP_TYPE_SCORE ? percents[below(t, 8)]
               : type == MP_TYPE_NUMBER                         ? numbers[below(t, 10)]
                                                                : rates[below(t, 7)];
    if (one_in(t, 6)) v = nextafter(v, INFINITY);
    if (one_in(t, 6)) v = nextafter(v, -INFINITY);
    if (type == MP_TYPE_SCORE) return v < 0 ? 0 : v > 1 ? 1 : v;
    if (one_in(t, 10)) v = (double)below(t, 1000) / 8;
    if (one_in(t, 12)) v = -v;
    if (one_in(t, 40)) v = one_in(t, 2) ? DBL_MAX : 1e300;
    if (one_in(t, 60)) v = -DBL_MAX;
    if (one_in(t, 60)) v = DBL_MIN / 4;
    return v;
}

/* ---- texts ---- */

static const char *const strings[] = {"a",
                                      "b",
                                      "Admin",
                                      "admin",
                                      "12.5",
                                      "-3e2",
                                      "1e400",
                                      "",
                                      "a rather long text 1",
                                      "a rather long text 2",
                                      "a rather lo",
                                      "ABC text 9",
                                      "\xc3\xa4?x",
                                      "x"};
static const char *const clients[] = {"10.0.0.1", "10.0.0.255", "10.1.0.0", "192.0.2.7",
                                      "2001:db8::1"};
static const char *const identities[] = {
    "spiffe://prod/ns/pay/sa/web", "spiffe://prod/ns/ops/sa/web", "spiffe://other/ns/pay/sa/web",
    "spiffe://prod/ns/pay/sa/a"};
static const char *const hosts[] = {"api.example", "a", "b.example"};
static const char *const paths[] = {"/", "/admin", "/admin/users", "/a", "/healthz"};
static const char *const colours[] = {"red", "green", "blue"};
static const char *const hooks[] = {"service", "service", "service", "ingress", "edge"};
static const char *const services[] = {"web", "ns1/api"};
static const char *const instances[] = {"web-1", "web-2", "api-1", "api-2"};

#define ONE_OF(t, list) (list)[below(t, sizeof(list) / sizeof *(list))]

static struct slow_value address(const char *s)
{
    struct slow_value out = {false, {{0, 0}}};
    uint32_t bits;
    out.known = mp_value_address(mp_str_of(s), &out.v, &bits);
    MP_ASSERT(out.known);
    return out;
}

static struct slow_value a_set(struct pool *t)
{
    struct mp_value *all = MP_NEW(t->arena, struct mp_value, 3);
    uint32_t count = below(t, 4);
    MP_ASSERT(all != NULL);
    for (uint32_t i = 0; i < count; i++)
        all[i] = mp_value_text(mp_str_of(strings[(i * 3 + below(t, 2)) % 9]));
    return (struct slow_value){true, {{(uint64_t)(uintptr_t)all, count}}};
}

static struct slow_value a_value(struct pool *t, struct mp_t_type type)
{
    if (type.is_set) return a_set(t);
    switch (type.base) {
    case MP_TYPE_ENTITY: /* services only */
        return text(one_in(t, 5) ? "nobody" : ONE_OF(t, services));
    case MP_TYPE_IDENTITY: return text(ONE_OF(t, identities));
    case MP_TYPE_HOST: return text(ONE_OF(t, hosts));
    case MP_TYPE_PATH: return text(ONE_OF(t, paths));
    case MP_TYPE_HOOK: return text(ONE_OF(t, hooks));
    case MP_TYPE_ENUM: return text(ONE_OF(t, colours));
    case MP_TYPE_IP: return address(ONE_OF(t, clients));
    case MP_TYPE_STATUS:
        return (struct slow_value){
            true, mp_value_int((int64_t[]){200, 404, 499, 500, 503, 599}[below(t, 6)])};
    case MP_TYPE_PORT: return (struct slow_value){true, mp_value_int(below(t, 65536))};
    default: break;
    }
    switch (mp_type_rep(type.base)) {
    case MP_REP_B: return (struct slow_value){true, mp_value_bool(one_in(t, 2))};
    case MP_REP_I: return (struct slow_value){true, mp_value_int(an_int(t, type.base))};
    case MP_REP_F: return (struct slow_value){true, mp_value_num(a_number(t, type.base))};
    case MP_REP_T: return text(ONE_OF(t, strings));
    default: return (struct slow_value){false, {{0, 0}}};
    }
}

/* ---- records ---- */

static void fill_keys(struct pool *t, struct slow_record *r)
{
    uint32_t i = below(t, 4);
    r->keys = MP_NEW(t->arena, struct slow_value, r->signal->key_count + 1);
    MP_ASSERT(r->keys != NULL);
    for (uint32_t k = 0; k < r->signal->key_count; k++) {
        mp_str name = r->signal->keys[k]->name;
        if (one_in(t, 25) && k > 0) continue;
        if (mp_str_eq(name, MP_STR("service"))) r->keys[k] = text(services[i / 2]);
        if (mp_str_eq(name, MP_STR("instance"))) r->keys[k] = text(instances[i]);
        if (mp_str_eq(name, MP_STR("client"))) r->keys[k] = address(ONE_OF(t, clients));
    }
}

static void fill_fields(struct pool *t, struct slow_record *r)
{
    static const char *const entries[] = {"x", "y"}, *const claims[] = {"g", "h"};
    const struct mp_t_signal *s = r->signal;
    r->fields = MP_NEW(t->arena, struct slow_field, s->field_count + 1);
    MP_ASSERT(r->fields != NULL);
    for (uint32_t i = 0; i < s->field_count; i++) {
        struct mp_t_type type = s->fields[i].type;
        struct slow_field *f = &r->fields[i];
        bool gauge = s->kind != MP_SIGNAL_EVENT;
        if (!gauge && one_in(t, 6)) continue; /* unknown */
        if (!type.is_map) {
            f->value = a_value(t, type);
            if (s->kind == MP_SIGNAL_COUNTER) f->value.v = mp_value_int((int64_t)below(t, 1000));
            continue;
        }
        for (uint32_t k = 0; k < 2; k++) {
            if (one_in(t, 3)) continue;
            type.is_map = false;
            f->entries[f->entry_count++] = (struct slow_entry){
                mp_str_of(type.is_set ? claims[k] : entries[k]), a_value(t, type)};
            type.is_map = true;
        }
    }
}

static uint32_t layer_of(const struct slow_record *r)
{
    for (uint32_t i = 0; i < r->signal->field_count; i++) {
        const struct mp_t_field *f = &r->signal->fields[i];
        if (!mp_str_eq(f->name, MP_STR("layer")) || !r->fields[i].value.known) continue;
        mp_str word = mp_value_as_text(&r->fields[i].value.v);
        if (mp_str_eq(word, MP_STR("ingress"))) return MP_LAYER_INGRESS;
        if (mp_str_eq(word, MP_STR("edge"))) return MP_LAYER_EDGE;
    }
    return MP_LAYER_SERVICE;
}

static const struct mp_t_signal *find_signal(const struct mp_typed *typed, const char *name)
{
    for (uint32_t i = 0; i < typed->signals.len; i++) {
        if (mp_str_eq(typed->signals.ptr[i]->name, mp_str_of(name))) return typed->signals.ptr[i];
    }
    return NULL;
}

static const struct mp_t_signal *pick_signal(struct pool *t, const struct mp_typed *typed)
{
    static const char *const names[] = {"probes", "probes", "probes", "probes",
                                        "probes", "temp",   "load",   "hits"};
    const struct mp_t_signal *s = find_signal(typed, ONE_OF(t, names));
    return s != NULL ? s : find_signal(typed, "probes");
}

void gen_trace(uint64_t seed, bool slots, const struct mp_typed *typed, struct mp_arena *arena,
               uint32_t count, struct gen_event *events)
{
    struct pool t = {seed * 0x2545f4914f6cdd1du + 77, arena};
    int64_t now = START_NS + (int64_t)below(&t, 1000) * MS;
    for (uint32_t i = 0; i < count; i++) {
        struct gen_event *e = &events[i];
        int64_t step =
            slots ? 100 + (int64_t)below(&t, 900) : (int64_t)below(&t, 900) * !one_in(&t, 4);
        if (one_in(&t, 25)) step += (int64_t)below(&t, 20000);
        now += step * MS + (one_in(&t, 3) ? below(&t, 1000000) : 0);
        if (slots) now += 100 * MS - now % (100 * MS) + (int64_t)below(&t, 90) * MS;
        *e = (struct gen_event){.at_ns = now, .tick = one_in(&t, 12)};
        if (e->tick) continue;
        struct slow_record *r = &e->record;
        *r = (struct slow_record){
            .signal = pick_signal(&t, typed), .time_ns = now, .heard_ns = now, .weight = 1};
        if (one_in(&t, 6)) r->time_ns -= (int64_t)below(&t, 1500) * MS;
        if (one_in(&t, 12)) r->time_ns += (int64_t)below(&t, 1900) * MS;
        if (one_in(&t, 8)) r->weight = 1 + (int64_t)below(&t, 9);
        if (one_in(&t, 10)) e->id = 1 + below(&t, 5);
        fill_keys(&t, r);
        fill_fields(&t, r);
        r->layer = layer_of(r);
    }
}

/* ---- inventory ---- */

struct fact {
    const char *entity, *key, *attr, *entry, *value; /* value NULL: a set of callers */
};

static const struct fact facts[] = {
    {"service", "web", "tier", NULL, "critical"},
    {"service", "ns1/api", "tier", NULL, "batch"},
    {"service", "web", "labels", "team", "pay"},
    {"service", "ns1/api", "labels", "team", "shop"},
    {"service", "web", "candidate", NULL, "v2"},
    {"service", "web", "callers", NULL, NULL},
    {"service", "ns1/api", "callers", NULL, NULL},
    {"instance", "web-1", "zone", NULL, "z1"},
    {"instance", "web-2", "zone", NULL, "z2"},
    {"instance", "api-1", "zone", NULL, "z1"},
    {"client", "10.0.0.1", "country", NULL, "de"},
    {"client", "10.0.0.255", "country", NULL, "de"},
    {"client", "192.0.2.7", "country", NULL, "fr"},
    {"client", "10.0.0.1", "asn", NULL, "64500"},
    {"client", "10.1.0.0", "asn", NULL, "64511"},
    {"client", "2001:db8::1", "bot", NULL, "true"},
};

static const struct mp_t_attr *find_attr(const struct mp_typed *typed, const char *entity,
                                         const char *name)
{
    for (uint32_t i = 0; i < typed->entities.len; i++) {
        const struct mp_t_entity *e = typed->entities.ptr[i];
        if (!mp_str_eq(e->name, mp_str_of(entity))) continue;
        for (uint32_t k = 0; k < e->attr_count; k++) {
            if (mp_str_eq(e->attrs[k].name, mp_str_of(name))) return &e->attrs[k];
        }
    }
    return NULL;
}

uint32_t gen_attrs(uint64_t seed, const struct mp_typed *typed, struct mp_arena *arena,
                   struct slow_attr *out, uint32_t room)
{
    struct pool t = {seed * 0x9e3779b97f4a7c15u + 5, arena};
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof facts / sizeof *facts && count < room; i++) {
        const struct fact *f = &facts[i];
        const struct mp_t_attr *attr = find_attr(typed, f->entity, f->attr);
        if (attr == NULL || one_in(&t, 4)) continue;
        struct slow_attr *a = &out[count++];
        *a = (struct slow_attr){.attr = attr};
        a->key =
            slow_rep(attr->owner->attrs[0].type) == MP_REP_A ? address(f->key).v : text(f->key).v;
        if (f->entry != NULL) a->entry = mp_str_of(f->entry);
        if (f->value == NULL) {
            struct mp_value *all = MP_NEW(arena, struct mp_value, 2);
            MP_ASSERT(all != NULL);
            all[0] = text("ns1/api").v;
            all[1] = text("web").v;
            a->value = (struct slow_value){true, {{(uint64_t)(uintptr_t)all, 1 + below(&t, 2)}}};
        } else if (attr->type.base == MP_TYPE_ASN) {
            a->value = (struct slow_value){true, mp_value_int(f->value[4] == '0' ? 64500 : 64511)};
        } else if (attr->type.base == MP_TYPE_BOOL) {
            a->value = (struct slow_value){true, mp_value_bool(true)};
        } else {
            a->value = text(f->value);
        }
    }
    return count;
}
