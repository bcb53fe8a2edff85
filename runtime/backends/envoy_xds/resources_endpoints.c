/* SPDX-License-Identifier: Apache-2.0
 * Endpoints of a service, or of one of its versions: who is quarantined is UNHEALTHY, a `route`
 * from version to version is weights, and so is what has been given back of an instance.
 *
 * The same for every caller, so a shift holds in the whole mesh and not at one gateway. `from`
 * loses the share w of what it had, and `to` gets it:
 *     p(i) = base(i) - w base(i) [i in from] + (w sum of base(from)) / |to| [i in to]
 */
#include <math.h>

#include "base/assert.h"
#include "envoy_xds/resources_priv.h"

#define WHOLE_WEIGHT 1000.0

struct endpoint {
    const struct mp_envoy_instance *instance;
    double part; /* of the balancing; 1: as any other; 0: nothing new */
    bool quarantined, drained;
};

static const struct envoy_lease *least_given_back(struct envoy_leases of, mp_str key)
{
    const struct envoy_lease *best = NULL;
    for (size_t i = 0; i < of.count; i++) {
        if (!mp_str_eq(of.ptr[i].key, key)) continue;
        if (best == NULL || of.ptr[i].given_back < best->given_back) best = &of.ptr[i];
    }
    return best;
}

static void quarantine(struct envoy_build *b, mp_str service, struct endpoint *e)
{
    const struct envoy_lease *whole =
        least_given_back(mp_envoy_leases_of(b->leases, ENVOY_QUARANTINE, ENVOY_SERVICE), service);
    const struct envoy_lease *one = least_given_back(
        mp_envoy_leases_of(b->leases, ENVOY_QUARANTINE, ENVOY_INSTANCE), e->instance->name);
    /* A service of which a part is back is asked again: its own proxies choose the clients. */
    e->quarantined =
        (whole != NULL && whole->given_back <= 0) || (one != NULL && one->given_back <= 0);
    e->part = one != NULL ? one->given_back : 1;
    struct envoy_leases drains = mp_envoy_leases_of(b->leases, ENVOY_DRAIN, ENVOY_INSTANCE);
    e->drained = least_given_back(drains, e->instance->name) != NULL;
}

/* ---- from version to version ---- */

static bool gives(const struct envoy_lease *l, const struct endpoint *e)
{
    if (e->quarantined || e->drained) return false;
    return l->from.len == 0 || mp_str_eq(e->instance->version, l->from);
}

static bool takes(const struct envoy_lease *l, const struct endpoint *e)
{
    return !e->quarantined && !e->drained && mp_str_eq(e->instance->version, l->onto);
}

/* Nothing is moved to a version that nobody runs. */
static void shift(const struct envoy_lease *l, struct endpoint *all, uint32_t count)
{
    double weight = l->weight * (1 - l->given_back), moved = 0, takers = 0;
    for (uint32_t i = 0; i < count; i++) takers += takes(l, &all[i]);
    if (l->onto.len == 0 || takers < 1 || weight <= 0) return;
    for (uint32_t i = 0; i < count; i++) {
        if (!gives(l, &all[i])) continue;
        moved += weight * all[i].part;
        all[i].part -= weight * all[i].part;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (takes(l, &all[i])) all[i].part += moved / takers;
    }
}

static bool plain(const struct endpoint *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!all[i].quarantined && !all[i].drained && fabs(all[i].part - 1) > 1e-9) return false;
    }
    return true;
}

/* ---- writing: ClusterLoadAssignment{cluster_name 1, endpoints 2},
 * LocalityLbEndpoints{lb_endpoints 2}, LbEndpoint{endpoint 1, health_status 2, metadata 3,
 * load_balancing_weight 4}, Metadata{filter_metadata 1}, Endpoint{address 1},
 * Address{socket_address 1}, SocketAddress{address 2, port_value 3} ---- */

static struct mp_envoy_endpoint served(const struct endpoint *e, bool weighted)
{
    struct mp_envoy_endpoint out = {.ip = e->instance->ip, .port = e->instance->port,
                                    .health = MP_ENVOY_HEALTHY};
    double weight = e->part * WHOLE_WEIGHT;
    if (e->quarantined) {
        out.health = MP_ENVOY_UNHEALTHY;
    } else if (e->drained || weight < 0.5) {
        /* There is no weight of nothing. */
        out.health = MP_ENVOY_DRAINING;
    } else if (weighted) {
        out.weight = (uint32_t)(weight + 0.5);
    }
    return out;
}

void mp_envoy_put_version(struct pb_out *out, uint32_t field, mp_str version)
{
    size_t metadata = pb_begin(out, field);
    struct pb_pair balancing = pb_map_begin(out, 1, MP_STR("envoy.lb"));
    pb_struct_text(out, MP_STR(MP_ENVOY_KEY_SUBSET), version);
    pb_pair_end(out, balancing);
    pb_end(out, metadata);
}

static void put_endpoint(struct pb_out *out, const struct mp_envoy_endpoint *e, mp_str version)
{
    size_t lb = pb_begin(out, 2), endpoint = pb_begin(out, 1);
    struct pb_pair address = pb_within(out, 1, 1);
    pb_text(out, 2, e->ip);
    pb_uint(out, 3, e->port);
    pb_pair_end(out, address);
    pb_end(out, endpoint);
    pb_uint(out, 2, e->health);
    if (version.len > 0) mp_envoy_put_version(out, 3, version);
    if (e->weight > 0) pb_wrapped_uint(out, 4, e->weight);
    pb_end(out, lb);
}

static mp_str copy(struct envoy_build *b, mp_str s) { return mp_arena_str(b->arena, s); }

/* `versions`: of each endpoint, empty where it is unknown. */
static enum mp_err write(struct envoy_build *b, mp_str cluster, const struct mp_envoy_endpoint *all,
                         const mp_str *versions, uint32_t count, struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    pb_text(&o, 1, cluster);
    size_t locality = count > 0 ? pb_begin(&o, 2) : 0;
    for (uint32_t i = 0; i < count; i++) put_endpoint(&o, &all[i], versions[i]);
    if (count > 0) pb_end(&o, locality);
    mp_str version = mp_envoy_version(b->arena, pb_view(&o)), name = copy(b, cluster);
    if (o.failed || version.ptr == NULL || name.ptr == NULL) return MP_ENOMEM;
    *out = (struct mp_envoy_resource){
        .name = name, .version = version, .bytes = pb_view(&o),
        .type_url = MP_STR(MP_ENVOY_TYPE_ENDPOINTS),
        .proof = {.kind = MP_ENVOY_PROOF_CLUSTERS, .cluster = name, .endpoints = all,
                  .endpoint_count = count}};
    return MP_OK;
}

/* Two instances at one address are one endpoint; it is out when either of them is. */
static bool same_place(const struct mp_envoy_instance *a, const struct mp_envoy_instance *b)
{
    return a->port == b->port && mp_str_eq(a->ip, b->ip);
}

static uint32_t list(struct envoy_build *b, const struct envoy_instances *from, mp_str service,
                     struct endpoint *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        struct endpoint e = {.instance = &from->ptr[i]};
        quarantine(b, service, &e);
        if (count > 0 && same_place(out[count - 1].instance, e.instance)) {
            out[count - 1].quarantined |= e.quarantined;
            out[count - 1].drained |= e.drained;
            continue;
        }
        out[count++] = e;
    }
    return count;
}

static void apply_shifts(struct envoy_build *b, mp_str service, struct endpoint *all,
                         uint32_t count)
{
    struct envoy_leases routes = mp_envoy_leases_of(b->leases, ENVOY_ROUTE, ENVOY_SERVICE);
    for (size_t i = 0; i < routes.count; i++) {
        /* By header it is a matter of routes. */
        if (routes.ptr[i].header.len > 0) continue;
        if (mp_str_eq(routes.ptr[i].key, service)) shift(&routes.ptr[i], all, count);
    }
}

/* SERVICE@VERSION, read from its end:
 * a service may have the mark in its own name, a version not. */
static mp_str service_of(mp_str cluster, mp_str *version)
{
    *version = MP_STR("");
    for (size_t i = cluster.len; i > 0; i--) {
        if (cluster.ptr[i - 1] != MP_ENVOY_VERSION_MARK) continue;
        *version = mp_str_sub(cluster, i, cluster.len);
        return mp_str_sub(cluster, 0, i - 1);
    }
    return cluster;
}

enum mp_err mp_envoy_build_endpoints(struct envoy_build *b, mp_str cluster,
                                     struct mp_envoy_resource *out)
{
    mp_str version, service = service_of(cluster, &version);
    struct envoy_instances instances;
    MP_TRY(mp_envoy_instances_of(b, service, &instances));
    struct endpoint *all = MP_NEW(b->arena, struct endpoint, instances.count + 1);
    struct mp_envoy_endpoint *to = MP_NEW(b->arena, struct mp_envoy_endpoint, instances.count + 1);
    mp_str *versions = MP_NEW(b->arena, mp_str, instances.count + 1);
    if (all == NULL || to == NULL || versions == NULL) return MP_ENOMEM;
    uint32_t count = list(b, &instances, service, all), kept = 0;
    if (version.len == 0) apply_shifts(b, service, all, count);
    bool weighted = !plain(all, count);
    for (uint32_t i = 0; i < count; i++) {
        if (version.len > 0 && !mp_str_eq(all[i].instance->version, version)) continue;
        versions[kept] = all[i].instance->version;
        to[kept] = served(&all[i], weighted);
        to[kept].ip = copy(b, to[kept].ip);
        if (to[kept++].ip.ptr == NULL) return MP_ENOMEM;
    }
    return write(b, cluster, to, versions, kept, out);
}
