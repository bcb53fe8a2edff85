/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_xds/resources.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "envoy_xds/resources_priv.h"

/* ---- which resources there are ---- */

struct row {
    enum mp_envoy_type type;
    mp_str name;
    enum mp_err (*build)(struct envoy_build *b, struct mp_envoy_resource *out);
};

/* In order of name. */
static const struct row rows[] = {
    {MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_ALLOW), mp_envoy_build_identities},
    {MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_DENY), mp_envoy_build_deny},
    {MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_SHARE), mp_envoy_build_share},
    {MP_ENVOY_ECDS, MP_STR_INIT(MP_ENVOY_THROTTLE), mp_envoy_build_throttle},
    {MP_ENVOY_RDS, MP_STR_INIT(MP_ENVOY_ROUTES), mp_envoy_build_routes},
    {MP_ENVOY_RTDS, MP_STR_INIT(MP_ENVOY_RUNTIME), mp_envoy_build_runtime},
    {MP_ENVOY_SDS, MP_STR_INIT(MP_ENVOY_CERTIFICATE), mp_envoy_build_certificate},
    {MP_ENVOY_SDS, MP_STR_INIT(MP_ENVOY_TRUST), mp_envoy_build_trust},
};
#define ROWS (sizeof rows / sizeof *rows)

static enum mp_err build_rows(struct envoy_build *b, enum mp_envoy_type type, mp_str name,
                              struct mp_envoy_resource *out, uint32_t *count)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].type != type || (name.len > 0 && !mp_str_eq(rows[i].name, name))) continue;
        if (type == MP_ENVOY_RDS && b->audience->route_count == 0) continue;
        if (type == MP_ENVOY_SDS && !mp_envoy_has_secret(b, rows[i].name)) continue;
        MP_TRY(rows[i].build(b, &out[*count]));
        ++*count;
    }
    return MP_OK;
}

/* ---- what guards protect ---- */

struct carves {
    struct mp_arena *arena;
    struct mp_envoy_carve *ptr;
    size_t count, cap;
    bool failed;
};

static bool add_carve(void *ctx, const struct mp_envoy_carve *carve)
{
    struct carves *c = ctx;
    if (c->count == c->cap) {
        size_t cap = c->cap == 0 ? 16 : 2 * c->cap;
        struct mp_envoy_carve *grown =
            mp_arena_grow(c->arena, c->ptr, c->cap * sizeof *grown, cap * sizeof *grown,
                          _Alignof(struct mp_envoy_carve));
        if (grown == NULL) {
            c->failed = true;
            return false;
        }
        c->ptr = grown;
        c->cap = cap;
    }
    c->ptr[c->count++] = *carve;
    return true;
}

static int by_path(const void *x, const void *y)
{
    const struct mp_envoy_carve *a = x, *b = y;
    int order = mp_str_cmp(a->path, b->path);
    if (order != 0) return order;
    if (a->prefix != b->prefix) return a->prefix ? 1 : -1;
    return (a->throttles > b->throttles) - (a->throttles < b->throttles);
}

static enum mp_err read_carves(struct envoy_build *b)
{
    const struct mp_envoy_world *w = b->plan->world;
    struct carves c = {.arena = b->arena};
    if (w->carves == NULL) return MP_OK;
    w->carves(w->ctx, add_carve, &c);
    if (c.failed) return MP_ENOMEM;
    if (c.count > 0) qsort(c.ptr, c.count, sizeof *c.ptr, by_path);
    b->carves = c.ptr;
    b->carve_count = c.count;
    return MP_OK;
}

enum mp_err mp_envoy_build(const struct mp_envoy_plan *plan,
                           const struct mp_envoy_audience *audience, enum mp_envoy_type type,
                           mp_str name, struct mp_arena *arena, struct mp_envoy_resource **out,
                           uint32_t *count)
{
    struct envoy_build b = {.plan = plan, .audience = audience, .arena = arena};
    struct mp_envoy_resource *made = MP_NEW(arena, struct mp_envoy_resource, ROWS);
    uint32_t made_count = 0;
    if (made == NULL) return MP_ENOMEM;
    const struct mp_envoy_read *read = plan->read;
    if (read == NULL) {
        const struct mpol_lease *bad;
        enum mp_err err = mp_envoy_read(plan->leases, plan->lease_count, arena, &read, &bad);
        MP_ASSERT(err == MP_OK || err == MP_ENOMEM); /* who made the plan has asked lease_fits */
        MP_TRY(err);
    }
    /* Endpoints are the same for everybody, so what holds at any layer holds there. */
    uint32_t layer = type == MP_ENVOY_EDS ? 0 : audience->layer;
    MP_TRY(mp_envoy_leases_at(read, layer, arena, &b.leases));
    if (type == MP_ENVOY_ECDS) MP_TRY(read_carves(&b));
    if (type != MP_ENVOY_EDS) {
        MP_TRY(build_rows(&b, type, name, made, &made_count));
    } else if (name.len > 0) {
        MP_TRY(mp_envoy_build_endpoints(&b, name, made));
        made_count = 1;
    }
    *out = made;
    *count = made_count;
    return MP_OK;
}

/* ---- names and versions ---- */

/* Never a secret: a version only has to differ when the bytes do. */
static const struct mp_hash_key version_key = {0x6d706f6c20782d64, 0x732076657273696f};

mp_str mp_envoy_version(struct mp_arena *arena, mp_str bytes)
{
    return mp_arena_printf(arena, "%016" PRIx64, mp_siphash(version_key, bytes.ptr, bytes.len));
}

mp_str mp_envoy_policy_name(struct mp_arena *arena, const struct envoy_lease *l)
{
    return mp_arena_printf(arena, MP_ENVOY_POLICY_PREFIX "%.*s/%" PRIu64, MP_STR_ARG(l->rule),
                           l->lease->id);
}

enum mp_err mp_envoy_extension(struct envoy_build *b, mp_str name,
                               const struct envoy_config *config, mp_str version,
                               struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    pb_text(&o, 1, name);
    struct pb_pair any = pb_any_begin(&o, 2, config->type_url);
    pb_raw(&o, config->value);
    pb_pair_end(&o, any);
    if (version.len == 0) version = mp_envoy_version(b->arena, pb_view(&o));
    if (o.failed || version.ptr == NULL) return MP_ENOMEM;
    *out = (struct mp_envoy_resource){.name = name, .version = version, .bytes = pb_view(&o),
                                      .type_url = MP_STR(MP_ENVOY_TYPE_EXTENSION)};
    return MP_OK;
}

/* ---- instances ---- */

static bool add_instance(void *ctx, const struct mp_envoy_instance *instance)
{
    struct envoy_instances *all = ctx;
    if (instance->ip.len == 0 || instance->port == 0) return true;
    if (all->count == all->cap) {
        uint32_t cap = all->cap == 0 ? 16 : 2 * all->cap;
        struct mp_envoy_instance *grown =
            mp_arena_grow(all->arena, all->ptr, all->cap * sizeof *grown, cap * sizeof *grown,
                          _Alignof(struct mp_envoy_instance));
        if (grown == NULL) {
            all->failed = true;
            return false;
        }
        all->ptr = grown;
        all->cap = cap;
    }
    all->ptr[all->count++] = *instance;
    return true;
}

static int by_endpoint(const void *x, const void *y)
{
    const struct mp_envoy_instance *a = x, *b = y;
    int order = mp_str_cmp(a->ip, b->ip);
    if (order != 0) return order;
    if (a->port != b->port) return a->port < b->port ? -1 : 1;
    return mp_str_cmp(a->name, b->name);
}

enum mp_err mp_envoy_instances_of(struct envoy_build *b, mp_str service,
                                  struct envoy_instances *out)
{
    const struct mp_envoy_world *w = b->plan->world;
    *out = (struct envoy_instances){.arena = b->arena};
    w->instances(w->ctx, service, add_instance, out);
    if (out->failed) return MP_ENOMEM;
    if (out->count > 0) qsort(out->ptr, out->count, sizeof *out->ptr, by_endpoint);
    return MP_OK;
}
