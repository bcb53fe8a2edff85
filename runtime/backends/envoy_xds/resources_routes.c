/* SPDX-License-Identifier: Apache-2.0
 * mpol-routes: the routes of the proxy's bootstrap, `route SERVICE to OTHER`, `route` by header and
 * `mirror`. A route of all requests between versions of one service is in the endpoints, where
 * every caller meets it; here is what leads to another service, or depends on the request.
 */
#include <math.h>

#include "base/assert.h"
#include "envoy_xds/resources_priv.h"

/* RouteConfiguration{name 1, virtual_hosts 2}, VirtualHost{name 1, domains 2, routes 3},
 * Route{match 1, route 2, direct_response 7}, RouteMatch{prefix 1, path 2, headers 6},
 * HeaderMatcher{name 1, present_match 7, string_match 13{exact 1}}, DirectResponseAction{status 1},
 * RouteAction{cluster 1, weighted_clusters 3, metadata_match 4, timeout 8,
 * request_mirror_policies 30}, WeightedCluster{clusters 1}, ClusterWeight{name 1, weight 2,
 * metadata_match 3}, RequestMirrorPolicy{cluster 1, runtime_fraction 3{default_value 1}},
 * FractionalPercent{numerator 1, denominator 2: MILLION is 2}. */

#define PARTS 1000000.0

struct names {
    mp_str wanted;
    bool found;
};

static bool same_version(void *ctx, const struct mp_envoy_instance *instance)
{
    struct names *n = ctx;
    n->found |= mp_str_eq(instance->version, n->wanted);
    return !n->found;
}

static bool same_name(void *ctx, mp_str name)
{
    struct names *n = ctx;
    n->found |= mp_str_eq(name, n->wanted);
    return !n->found;
}

enum envoy_onto mp_envoy_leads_onto(const struct envoy_lease *l, const struct mp_envoy_world *w)
{
    struct names version = {l->onto, false}, service = {l->onto, false};
    if (l->verb == ENVOY_ROUTE) w->instances(w->ctx, l->key, same_version, &version);
    if (version.found) return ENVOY_ONTO_VERSION;
    if (l->from.len > 0) return ENVOY_ONTO_NOTHING;
    w->services(w->ctx, same_name, &service);
    return service.found ? ENVOY_ONTO_SERVICE : ENVOY_ONTO_NOTHING;
}

bool mp_envoy_lease_aim(const struct mpol_lease *lease, const struct mp_envoy_world *world,
                        struct mp_envoy_aim *out)
{
    struct envoy_lease l;
    const char *why;
    mp_str kind = {lease->target_kind.ptr, lease->target_kind.len};
    mp_str verb = {lease->verb.ptr, lease->verb.len};
    if (!mp_str_eq(verb, MP_STR("route")) && !mp_str_eq(verb, MP_STR("mirror"))) return false;
    if (!mp_str_eq(kind, MP_STR("service")) || mp_envoy_lease_read(lease, NULL, &l, &why) != MP_OK)
        return false;
    enum envoy_onto onto = mp_envoy_leads_onto(&l, world);
    bool by_header = l.header.len > 0;
    *out = (struct mp_envoy_aim){
        .by_routes = onto == ENVOY_ONTO_SERVICE || (by_header && onto == ENVOY_ONTO_VERSION),
        .by_version = by_header && onto == ENVOY_ONTO_VERSION,
        .nowhere = onto == ENVOY_ONTO_NOTHING,
        .mirror = l.verb == ENVOY_MIRROR,
        .onto = l.onto};
    return true;
}

/* SERVICE, or SERVICE@VERSION of a bootstrap's route. */
static mp_str service_part(mp_str cluster)
{
    for (size_t i = cluster.len; i > 0; i--) {
        if (cluster.ptr[i - 1] == MP_ENVOY_VERSION_MARK) return mp_str_sub(cluster, 0, i - 1);
    }
    return cluster;
}

/* A lease in force that says where requests to a cluster go. */
struct detour {
    const struct envoy_lease *lease; /* NULL: none */
    enum envoy_onto onto;
    uint32_t weight; /* 1 .. PARTS */
};

/* What a lease does to a cluster now; false: nothing. */
static bool leads(const struct envoy_build *b, const struct envoy_lease *l, mp_str cluster,
                  struct detour *out)
{
    if (!mp_str_eq(l->key, cluster) && !mp_str_eq(l->key, service_part(cluster))) return false;
    uint32_t weight = (uint32_t)(l->weight * (1 - l->given_back) * PARTS + 0.5);
    enum envoy_onto onto = mp_envoy_leads_onto(l, b->plan->world);
    *out = (struct detour){l, onto, weight};
    return weight > 0 && onto != ENVOY_ONTO_NOTHING;
}

/* The first of a verb, of those with a header or without, that leads to another service. */
static struct detour detour_of(const struct envoy_build *b, enum envoy_verb verb, mp_str cluster)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, verb, ENVOY_SERVICE);
    struct detour d;
    for (size_t i = 0; i < of.count; i++) {
        if (of.ptr[i].header.len > 0 || !leads(b, &of.ptr[i], cluster, &d)) continue;
        if (d.onto == ENVOY_ONTO_SERVICE) return d;
    }
    return (struct detour){NULL, ENVOY_ONTO_NOTHING, 0};
}

/* ---- writing ---- */

static void put_direct(struct pb_out *out, uint32_t how, mp_str path, int status)
{
    size_t route = pb_begin(out, 3), match = pb_begin(out, 1);
    pb_text(out, how, path);
    pb_end(out, match);
    size_t response = pb_begin(out, 7);
    pb_uint(out, 1, (uint64_t)status);
    pb_end(out, response);
    pb_end(out, route);
}

static void put_cluster_weight(struct pb_out *out, mp_str name, uint32_t weight, mp_str version)
{
    size_t cluster = pb_begin(out, 1);
    pb_text(out, 1, name);
    pb_wrapped_uint(out, 2, weight);
    if (version.len > 0) mp_envoy_put_version(out, 3, version);
    pb_end(out, cluster);
}

/* Fields of a RouteAction: the part that the detour takes, and what is left. */
static void put_clusters(struct pb_out *out, const struct detour *d, mp_str cluster)
{
    if (d->lease == NULL) {
        pb_text(out, 1, cluster);
        return;
    }
    bool away = d->onto == ENVOY_ONTO_SERVICE;
    size_t clusters = pb_begin(out, 3);
    if (d->weight < PARTS)
        put_cluster_weight(out, cluster, (uint32_t)PARTS - d->weight, MP_STR(""));
    put_cluster_weight(out, away ? d->lease->onto : cluster, d->weight,
                       away ? MP_STR("") : d->lease->onto);
    pb_end(out, clusters);
}

static void put_mirror(struct pb_out *out, const struct detour *m)
{
    size_t policy = pb_begin(out, 30);
    pb_text(out, 1, m->lease->onto);
    struct pb_pair fraction = pb_within(out, 3, 1);
    pb_uint(out, 1, m->weight);
    pb_uint(out, 2, 2);
    pb_pair_end(out, fraction);
    pb_end(out, policy);
}

static void put_header(struct pb_out *out, const struct envoy_lease *l)
{
    size_t header = pb_begin(out, 6);
    pb_text(out, 1, l->header);
    if (l->value.len > 0) {
        size_t exactly = pb_begin(out, 13);
        pb_text(out, 1, l->value);
        pb_end(out, exactly);
    } else {
        pb_bool(out, 7, true);
    }
    pb_end(out, header);
}

/* One route; where the detour has a header, of the requests that carry it. */
static void put_route(const struct envoy_build *b, struct pb_out *out,
                      const struct mp_envoy_route *r, const struct detour *d)
{
    struct detour mirror = detour_of(b, ENVOY_MIRROR, r->service);
    size_t route = pb_begin(out, 3), match = pb_begin(out, 1);
    pb_text(out, 1, r->prefix);
    if (d->lease != NULL && d->lease->header.len > 0) put_header(out, d->lease);
    pb_end(out, match);
    size_t action = pb_begin(out, 2);
    put_clusters(out, d, r->service);
    pb_duration(out, 8, 0); /* none of ours: long answers are not cut */
    if (mirror.lease != NULL) put_mirror(out, &mirror);
    pb_end(out, action);
    pb_end(out, route);
}

/* By header first, the oldest lease before others; then what is left of the prefix. */
static void put_routes(const struct envoy_build *b, struct pb_out *out,
                       const struct mp_envoy_route *r)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, ENVOY_ROUTE, ENVOY_SERVICE);
    struct detour d;
    for (size_t i = 0; i < of.count; i++) {
        if (of.ptr[i].header.len == 0 || !leads(b, &of.ptr[i], r->service, &d)) continue;
        if (d.onto == ENVOY_ONTO_VERSION && !b->audience->by_version) continue;
        put_route(b, out, r, &d);
    }
    d = detour_of(b, ENVOY_ROUTE, r->service);
    put_route(b, out, r, &d);
}

static void put_config(const struct envoy_build *b, struct pb_out *out, mp_str proof)
{
    pb_text(out, 1, MP_STR(MP_ENVOY_ROUTES));
    size_t host = pb_begin(out, 2);
    pb_text(out, 1, MP_STR("mpol"));
    pb_text(out, 2, MP_STR("*"));
    if (proof.len > 0) put_direct(out, 2, proof, 204);
    put_direct(out, 1, MP_STR(MP_ENVOY_OWN_PATH), 404);
    for (uint32_t i = 0; i < b->audience->route_count; i++)
        put_routes(b, out, &b->audience->routes[i]);
    pb_end(out, host);
}

enum mp_err mp_envoy_build_routes(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    put_config(b, &o, MP_STR(""));
    mp_str version = mp_envoy_version(b->arena, pb_view(&o));
    mp_str path = mp_arena_printf(b->arena, MP_ENVOY_ROUTES_PATH "%.*s", MP_STR_ARG(version));
    if (version.ptr == NULL || path.ptr == NULL) return MP_ENOMEM;
    o.len = 0;
    put_config(b, &o, path);
    if (o.failed) return MP_ENOMEM;
    *out = (struct mp_envoy_resource){
        .name = MP_STR(MP_ENVOY_ROUTES), .version = version, .bytes = pb_view(&o),
        .type_url = MP_STR(MP_ENVOY_TYPE_ROUTES),
        .proof = {.kind = MP_ENVOY_PROOF_REQUEST, .path = path, .status = 204}};
    return MP_OK;
}
