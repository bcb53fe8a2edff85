/* SPDX-License-Identifier: Apache-2.0
 * resources.h - what a proxy is to be given, as a pure function of what is to be in force.
 *
 *     resources = build(leases, world, audience, type)
 *
 * Owns:    nothing. No clock, no sockets, no state: the same leases in any order, the same world
 *          and the same audience make the same bytes, in every process.
 * Callers: envoy_xds/backend.c; tests.
 * Threads: pure.
 * Memory:  all of it from the arena that is given; the plan is borrowed for the call.
 *
 * What a verb becomes, by resource (names.h):
 *   mpol-deny      RBAC with a tree of matchers, looked through from the top: the probe; `deny` by
 *                  address (a hash table, tries); `quarantine` of who answers.
 *   mpol-allow     RBAC with policies: `deny` by identity, `quarantine` of who asks,
 *                  `require mtls`.
 *   mpol-throttle  local rate limit: `throttle ... to N/s`, a token bucket per target and proxy.
 *   mpol-share     fault: `throttle ... to P%`; the share of who answers is in mpol-runtime.
 *   all four       `exempt`, and paths that guards protect, pass the filter over.
 *   mpol-runtime   RTDS: the share that is refused, and a version to read back.
 *   SERVICE, SERVICE@VERSION
 *                  EDS: the instances; quarantined ones are UNHEALTHY, a `drain` is DRAINING, a
 *                  `route` between versions and what has been given back of a quarantine are
 *                  weights.
 *   mpol-routes    RDS: the routes of the proxy's bootstrap, `route` to another service in weights,
 *                  `route` by header, `mirror`.
 *   mpol-cert, mpol-trust
 *                  SDS: certificate and key of the service; who is trusted, and what is revoked.
 * Which verbs that are is in capability/envoy.def.
 */
#ifndef MP_ENVOY_XDS_RESOURCES_H
#define MP_ENVOY_XDS_RESOURCES_H

#include "base/arena.h"
#include "base/err.h"
#include "envoy_xds/envoy_xds.h"
#include "envoy_xds/world.h"
#include "mpol/backend.h"

/* Leases whose words have been read, in an order of their own. */
struct mp_envoy_read;

/* What is to be in force. */
struct mp_envoy_plan {
    const struct mpol_lease *leases; /* in any order, of all owners; each has passed lease_check */
    size_t lease_count;
    const struct mp_envoy_world *world;
    bool no_secrets; /* for a proxy that is not known */
    const struct mp_envoy_read *read; /* of these leases; NULL: they are read for the call */
};

/* A route of the proxy's bootstrap, in its order. */
struct mp_envoy_route {
    mp_str prefix;  /* "/pay" */
    mp_str service; /* "checkout" */
};

/* Who is to be given it. */
struct mp_envoy_audience {
    uint32_t layer; /* MPOL_INGRESS, MPOL_SERVICE or MPOL_EDGE */
    mp_str service, instance;
    const struct mp_envoy_route *routes;
    uint32_t route_count;
    bool module; /* its module holds long lists of addresses: they are left out here */
    bool by_version; /* its clusters choose endpoints by version where a route says so */
};

struct mp_envoy_resource {
    mp_str name;
    /* 16 hexadecimal digits, of the bytes (mpol-deny: of those without the probe) */
    mp_str version;
    mp_str type_url; /* of the resource: goes into the Any and the response */
    mp_str bytes;    /* value of the Any */
    struct mp_envoy_proof proof;
};

/* Reads leases once, for the builds of many audiences; they and the arena outlive *out.
 * MP_EUNSUPPORTED, MP_EINVAL: *bad is one that mp_envoy_lease_fits refuses. MP_ENOMEM. */
enum mp_err mp_envoy_read(const struct mpol_lease *leases, size_t count, struct mp_arena *arena,
                          const struct mp_envoy_read **out, const struct mpol_lease **bad);

/* Builds the resources of `type` for the audience, in order of name. `name` empty: all that the
 * type has for this audience without being asked by name (EDS: none). Else that one alone; for
 * EDS the name is that of a cluster, SERVICE or SERVICE@VERSION, whether the world knows it or
 * not (no endpoints then), and the audience does not matter. A name that the type has not makes
 * no resource. MP_ENOMEM. */
enum mp_err mp_envoy_build(const struct mp_envoy_plan *plan,
                           const struct mp_envoy_audience *audience, enum mp_envoy_type type,
                           mp_str name, struct mp_arena *arena, struct mp_envoy_resource **out,
                           uint32_t *count);

/* Must a proxy like this carry a part of the lease by itself? A quarantine concerns everybody who
 * may call or be called. */
bool mp_envoy_concerns(const struct mpol_lease *lease, const struct mp_envoy_world *world,
                       const struct mp_envoy_audience *audience);

/* Can this lease be carried out? MP_EUNSUPPORTED: the verb, the target, a hook or an argument is
 * not of ours. MP_EINVAL: a key that is no address, a rate below 0, ... One line in `why`. A denial
 * can, whatever its status: better 403 than no denial of what has been in force before. */
enum mp_err mp_envoy_lease_fits(const struct mpol_lease *lease, char *why, size_t why_size);
/* The same of one that is new: and exactly as it says? */
enum mp_err mp_envoy_lease_check(const struct mpol_lease *lease, char *why, size_t why_size);

/* What a lease that leads requests somewhere is a matter of, as the world is now. */
struct mp_envoy_aim {
    bool by_routes;  /* of mpol-routes */
    bool by_version; /* and of clusters that choose by version */
    bool nowhere;    /* no service and no version is called `onto` */
    bool mirror;
    mp_str onto;     /* borrows the lease */
};
/* False: it leads nowhere else, since it is no `route` and no `mirror`. */
bool mp_envoy_lease_aim(const struct mpol_lease *lease, const struct mp_envoy_world *world,
                        struct mp_envoy_aim *out);

/* A throttle of a lease as it is now: false where it is none, or of the other kind. */
bool mp_envoy_lease_share(const struct mpol_lease *lease, double *admitted);
bool mp_envoy_lease_rate(const struct mpol_lease *lease, double *per_second, double *burst);

#endif
