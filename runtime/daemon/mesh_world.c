/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/mesh_world_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "daemon/mesh_secrets.h"
#include "inventory/inventory.h"
#include "program/program.h"

struct identity {
    mp_str service, uri;
};

struct place {
    struct mp_value address;
    const struct mp_envoy_instance *instance; /* whose ip and port this is */
};

struct dm_mesh_world {
    struct mp_envoy_carve *carves;
    size_t carve_count;
    struct mp_arena arena;
    struct mp_envoy_instance *by_name, *by_service; /* the same, in two orders */
    struct place *places;                           /* in order of address, then port */
    size_t instance_count, place_count;
    mp_str *services;
    size_t service_count;
    struct identity *by_uri, *of_service; /* the same, in two orders */
    size_t identity_count;
    const struct dm_secrets *secrets; /* NULL: none are served */
};

struct dm_mesh_world *dm_mesh_world_create(void)
{
    struct dm_mesh_world *w = calloc(1, sizeof *w);
    if (w != NULL) mp_arena_init(&w->arena, NULL, 0);
    return w;
}

void dm_mesh_world_destroy(struct dm_mesh_world *w)
{
    if (w == NULL) return;
    mp_arena_free(&w->arena);
    free(w);
}

/* ---- the inventory → texts ---- */

struct reading {
    struct dm_mesh_world *w;
    struct mp_inventory *inv;
    const struct mp_program *p;
    bool failed;
};

static uint32_t entity_named(const struct mp_program *p, const char *name)
{
    uint32_t i = 0;
    while (i < p->entity_count &&
           !mp_str_eq(mp_program_text(p, p->entity[i].name), mp_str_of(name)))
        i++;
    return i < p->entity_count ? i : MP_NONE;
}

static uint32_t attr_named(const struct mp_program *p, uint32_t entity, const char *name)
{
    for (uint32_t i = 0; i < p->attr_count && entity != MP_NONE; i++) {
        const struct mp_attr_row *a = &p->attr[i];
        if (a->entity == entity && mp_str_eq(mp_program_text(p, a->name), mp_str_of(name)))
            return i;
    }
    return MP_NONE;
}

static mp_str text_of(struct reading *r, enum mp_type type, struct mp_value v)
{
    char room[48];
    mp_str text = MP_STR("");
    if (mp_type_rep(type) == MP_REP_T) text = mp_value_as_text(&v);
    if (mp_type_rep(type) == MP_REP_A) text = (mp_str){room, mp_value_address_text(v, room)};
    mp_str kept = mp_arena_str(&r->w->arena, text);
    r->failed |= kept.ptr == NULL;
    return kept;
}

static mp_str attr_text(struct reading *r, uint32_t attr, struct mp_value key)
{
    struct mp_value v;
    if (attr == MP_NONE || !mp_inventory_attr(r->inv, attr, key, &v)) return MP_STR("");
    const struct mp_attr_row *row = &r->p->attr[attr];
    enum mp_type type = row->target != MP_NONE ? (enum mp_type)r->p->entity[row->target].key_type
                                               : (enum mp_type)row->type;
    return text_of(r, type, v);
}

static uint16_t attr_port(struct reading *r, uint32_t attr, struct mp_value key)
{
    struct mp_value v;
    if (attr == MP_NONE || mp_type_rep((enum mp_type)r->p->attr[attr].type) != MP_REP_I) return 0;
    if (!mp_inventory_attr(r->inv, attr, key, &v)) return 0;
    int64_t port = mp_value_as_int(v);
    return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

static void read_instances(struct reading *r)
{
    uint32_t entity = entity_named(r->p, "instance");
    uint32_t service = attr_named(r->p, entity, "service"),
             version = attr_named(r->p, entity, "version");
    uint32_t ip = attr_named(r->p, entity, "ip"), port = attr_named(r->p, entity, "port");
    uint32_t count = entity != MP_NONE ? mp_inventory_count(r->inv, entity) : 0;
    r->w->by_name = MP_NEW(&r->w->arena, struct mp_envoy_instance, count + 1);
    r->w->by_service = MP_NEW(&r->w->arena, struct mp_envoy_instance, count + 1);
    r->w->places = MP_NEW(&r->w->arena, struct place, count + 1);
    r->failed |= r->w->by_name == NULL || r->w->by_service == NULL || r->w->places == NULL;
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct mp_value key = mp_inventory_entry(r->inv, entity, i);
        r->w->by_name[r->w->instance_count++] = (struct mp_envoy_instance){
            .name = text_of(r, (enum mp_type)r->p->entity[entity].key_type, key),
            .service = attr_text(r, service, key),
            .version = attr_text(r, version, key),
            .ip = attr_text(r, ip, key),
            .port = attr_port(r, port, key)};
    }
}

/* How many identities all services have. */
static size_t identities_of(struct reading *r, uint32_t entity, uint32_t attr)
{
    size_t total = 0;
    struct mp_value set;
    for (uint32_t i = 0; attr != MP_NONE && i < mp_inventory_count(r->inv, entity); i++) {
        struct mp_value key = mp_inventory_entry(r->inv, entity, i);
        if (mp_inventory_attr(r->inv, attr, key, &set)) total += (size_t)set.w[1];
    }
    return total;
}

static void read_services(struct reading *r)
{
    uint32_t entity = entity_named(r->p, "service"), attr = attr_named(r->p, entity, "identities");
    if (attr != MP_NONE && !r->p->attr[attr].is_set) attr = MP_NONE;
    uint32_t count = entity != MP_NONE ? mp_inventory_count(r->inv, entity) : 0;
    size_t identities = identities_of(r, entity, attr);
    struct dm_mesh_world *w = r->w;
    w->services = MP_NEW(&w->arena, mp_str, count + 1);
    w->by_uri = MP_NEW(&w->arena, struct identity, identities + 1);
    w->of_service = MP_NEW(&w->arena, struct identity, identities + 1);
    r->failed |= w->services == NULL || w->by_uri == NULL || w->of_service == NULL;
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct mp_value set, key = mp_inventory_entry(r->inv, entity, i);
        mp_str name = text_of(r, (enum mp_type)r->p->entity[entity].key_type, key);
        w->services[w->service_count++] = name;
        if (attr == MP_NONE || !mp_inventory_attr(r->inv, attr, key, &set)) continue;
        const struct mp_value *members = (const struct mp_value *)(uintptr_t)set.w[0];
        for (uint64_t k = 0; k < set.w[1] && w->identity_count < identities; k++) {
            w->by_uri[w->identity_count++] = (struct identity){
                name, text_of(r, (enum mp_type)r->p->attr[attr].type, members[k])};
        }
    }
}

/* ---- the program's guards ---- */

static void read_carves(struct reading *r)
{
    const struct mp_program *p = r->p;
    struct dm_mesh_world *w = r->w;
    w->carves = MP_NEW(&w->arena, struct mp_envoy_carve, p->carve_count + 1);
    r->failed |= w->carves == NULL;
    for (uint32_t i = 0; i < p->carve_count && !r->failed; i++) {
        mp_str verb = mp_program_text(p, p->guard[p->carve[i].guard].verb);
        mp_str path = mp_arena_str(&w->arena, mp_program_text(p, p->carve[i].path));
        r->failed |= path.ptr == NULL;
        w->carves[w->carve_count++] = (struct mp_envoy_carve){
            path, p->carve[i].prefix != 0, mp_str_eq(verb, MP_STR("throttle"))};
    }
}

/* ---- in order ---- */

static int order_name(const void *a, const void *b)
{
    return mp_str_cmp(((const struct mp_envoy_instance *)a)->name,
                      ((const struct mp_envoy_instance *)b)->name);
}

static int order_service(const void *a, const void *b)
{
    int by = mp_str_cmp(((const struct mp_envoy_instance *)a)->service,
                        ((const struct mp_envoy_instance *)b)->service);
    return by != 0 ? by : order_name(a, b);
}

static int order_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int by = mp_value_cmp(MP_REP_A, x->address, y->address);
    return by != 0 ? by : (int)x->instance->port - (int)y->instance->port;
}

static int order_uri(const void *a, const void *b)
{
    return mp_str_cmp(((const struct identity *)a)->uri, ((const struct identity *)b)->uri);
}

static int order_owner(const void *a, const void *b)
{
    int by =
        mp_str_cmp(((const struct identity *)a)->service, ((const struct identity *)b)->service);
    return by != 0 ? by : order_uri(a, b);
}

static void put_in_order(struct dm_mesh_world *w)
{
    uint32_t bits;
    memcpy(w->by_service, w->by_name, w->instance_count * sizeof *w->by_name);
    memcpy(w->of_service, w->by_uri, w->identity_count * sizeof *w->by_uri);
    qsort(w->by_name, w->instance_count, sizeof *w->by_name, order_name);
    qsort(w->by_service, w->instance_count, sizeof *w->by_service, order_service);
    qsort(w->by_uri, w->identity_count, sizeof *w->by_uri, order_uri);
    qsort(w->of_service, w->identity_count, sizeof *w->of_service, order_owner);
    for (size_t i = 0; i < w->instance_count; i++) {
        struct place p = {.instance = &w->by_name[i]};
        if (p.instance->port == 0 || !mp_value_address(p.instance->ip, &p.address, &bits)) continue;
        w->places[w->place_count++] = p;
    }
    qsort(w->places, w->place_count, sizeof *w->places, order_place);
}

bool dm_mesh_world_read(struct dm_mesh_world *w, struct mp_inventory *inv,
                        const struct mp_program *p)
{
    mp_arena_free(&w->arena);
    *w = (struct dm_mesh_world){.secrets = w->secrets};
    mp_arena_init(&w->arena, NULL, 0);
    struct reading r = {w, inv, p, false};
    read_instances(&r);
    if (!r.failed) read_services(&r);
    if (!r.failed) read_carves(&r);
    if (!r.failed) put_in_order(w);
    if (r.failed) w->instance_count = w->service_count = w->identity_count = w->place_count = 0;
    if (r.failed) w->carve_count = 0;
    return !r.failed;
}

/* ---- what is asked ---- */

/* The first that is not before `key`. */
static size_t lower_bound(const void *rows, size_t count, size_t size, const void *key,
                          int (*order)(const void *, const void *))
{
    size_t from = 0;
    while (count > 0) {
        size_t half = count / 2;
        bool before = order((const char *)rows + (from + half) * size, key) < 0;
        from += before ? half + 1 : 0;
        count = before ? count - half - 1 : half;
    }
    return from;
}

static void instances(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx)
{
    const struct dm_mesh_world *w = ctx;
    struct mp_envoy_instance key = {.service = service};
    size_t i = lower_bound(w->by_service, w->instance_count, sizeof key, &key, order_service);
    for (; i < w->instance_count && mp_str_eq(w->by_service[i].service, service); i++) {
        if (!each(each_ctx, &w->by_service[i])) return;
    }
}

static bool instance(void *ctx, mp_str name, struct mp_envoy_instance *out)
{
    const struct dm_mesh_world *w = ctx;
    struct mp_envoy_instance key = {.name = name};
    size_t i = lower_bound(w->by_name, w->instance_count, sizeof key, &key, order_name);
    if (i == w->instance_count || !mp_str_eq(w->by_name[i].name, name)) return false;
    *out = w->by_name[i];
    return true;
}

static bool instance_at(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out)
{
    const struct dm_mesh_world *w = ctx;
    struct mp_envoy_instance at = {.port = port};
    struct place key = {.instance = &at};
    uint32_t bits;
    if (!mp_value_address(ip, &key.address, &bits)) return false;
    size_t i = lower_bound(w->places, w->place_count, sizeof key, &key, order_place);
    if (i == w->place_count || order_place(&w->places[i], &key) != 0) return false;
    if (i + 1 < w->place_count && order_place(&w->places[i + 1], &key) == 0) return false;
    *out = *w->places[i].instance;
    return true;
}

static void identities(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx)
{
    const struct dm_mesh_world *w = ctx;
    struct identity key = {.service = service};
    size_t i = lower_bound(w->of_service, w->identity_count, sizeof key, &key, order_owner);
    for (; i < w->identity_count && mp_str_eq(w->of_service[i].service, service); i++) {
        if (!each(each_ctx, w->of_service[i].uri)) return;
    }
}

static mp_str service_of(void *ctx, mp_str uri)
{
    const struct dm_mesh_world *w = ctx;
    struct identity key = {.uri = uri};
    size_t i = lower_bound(w->by_uri, w->identity_count, sizeof key, &key, order_uri);
    if (i == w->identity_count || !mp_str_eq(w->by_uri[i].uri, uri)) return MP_STR("");
    bool more = i + 1 < w->identity_count && mp_str_eq(w->by_uri[i + 1].uri, uri);
    return more ? MP_STR("") : w->by_uri[i].service;
}

static void services(void *ctx, mp_envoy_text_fn each, void *each_ctx)
{
    const struct dm_mesh_world *w = ctx;
    for (size_t i = 0; i < w->service_count; i++) {
        if (!each(each_ctx, w->services[i])) return;
    }
}

static void carves(void *ctx, mp_envoy_carve_fn each, void *each_ctx)
{
    const struct dm_mesh_world *w = ctx;
    for (size_t i = 0; i < w->carve_count; i++) {
        if (!each(each_ctx, &w->carves[i])) return;
    }
}

static mp_str secret(void *ctx, enum mp_envoy_secret which, mp_str service)
{
    const struct dm_mesh_world *w = ctx;
    return w->secrets != NULL ? dm_secrets_get(w->secrets, which, service) : MP_STR("");
}

void dm_mesh_world_secrets(struct dm_mesh_world *w, const struct dm_secrets *secrets)
{
    w->secrets = secrets;
}

struct mp_envoy_world dm_mesh_world_view(struct dm_mesh_world *w)
{
    return (struct mp_envoy_world){.ctx = w, .instances = instances, .instance = instance,
                                   .instance_at = instance_at, .identities = identities,
                                   .service_of = service_of, .services = services, .secret = secret,
                                   .carves = carves};
}
