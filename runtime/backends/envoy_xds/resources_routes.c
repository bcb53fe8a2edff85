/* SPDX-License-Identifier: Apache-2.0
 * mpol-routes: the routes of the proxy's bootstrap, and `route SERVICE to OTHER`. A route between
 * versions of one service is in the endpoints, where every caller meets it; here is what leads to
 * another service.
 */
#include <math.h>

#include "base/assert.h"
#include "envoy_xds/resources_priv.h"

/* RouteConfiguration{name 1, virtual_hosts 2}, VirtualHost{name 1, domains 2, routes 3},
 * Route{match 1, route 2, direct_response 7}, RouteMatch{prefix 1, path 2},
 * DirectResponseAction{status 1}, RouteAction{cluster 1, weighted_clusters 3, timeout 8},
 * WeightedCluster{clusters 1}, ClusterWeight{name 1, weight 2}. */

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

/* Does the lease lead to another service that there is? */
static bool leads_away(const struct envoy_build *b, const struct envoy_lease *l)
{
    const struct mp_envoy_world *w = b->plan->world;
    struct names version = {l->onto, false}, service = {l->onto, false};
    if (l->onto.len == 0 || l->from.len > 0) return false;
    w->instances(w->ctx, l->key, same_version, &version);
    if (version.found) return false;
    w->services(w->ctx, same_name, &service);
    return service.found;
}

/* SERVICE, or SERVICE@VERSION of a bootstrap's route. */
static mp_str service_part(mp_str cluster)
{
    for (size_t i = cluster.len; i > 0; i--) {
        if (cluster.ptr[i - 1] == MP_ENVOY_VERSION_MARK) return mp_str_sub(cluster, 0, i - 1);
    }
    return cluster;
}

static const struct envoy_lease *detour_of(const struct envoy_build *b, mp_str cluster,
                                           uint32_t *weight)
{
    struct envoy_leases of = mp_envoy_leases_of(b->leases, ENVOY_ROUTE, ENVOY_SERVICE);
    for (size_t i = 0; i < of.count; i++) {
        const struct envoy_lease *l = &of.ptr[i];
        if (!mp_str_eq(l->key, cluster) && !mp_str_eq(l->key, service_part(cluster))) continue;
        *weight = (uint32_t)(l->weight * (1 - l->given_back) * PARTS + 0.5);
        if (*weight > 0 && leads_away(b, l)) return l;
    }
    return NULL;
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

static void put_cluster_weight(struct pb_out *out, mp_str name, uint32_t weight)
{
    size_t cluster = pb_begin(out, 1);
    pb_text(out, 1, name);
    pb_wrapped_uint(out, 2, weight);
    pb_end(out, cluster);
}

static void put_route(const struct envoy_build *b, struct pb_out *out,
                      const struct mp_envoy_route *r)
{
    uint32_t weight = 0;
    const struct envoy_lease *detour = detour_of(b, r->service, &weight);
    size_t route = pb_begin(out, 3), match = pb_begin(out, 1);
    pb_text(out, 1, r->prefix);
    pb_end(out, match);
    size_t action = pb_begin(out, 2);
    if (detour == NULL) {
        pb_text(out, 1, r->service);
    } else {
        size_t clusters = pb_begin(out, 3);
        if (weight < PARTS) put_cluster_weight(out, r->service, (uint32_t)PARTS - weight);
        put_cluster_weight(out, detour->onto, weight);
        pb_end(out, clusters);
    }
    pb_duration(out, 8, 0); /* none of ours: long answers are not cut */
    pb_end(out, action);
    pb_end(out, route);
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
        put_route(b, out, &b->audience->routes[i]);
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
