/* SPDX-License-Identifier: Apache-2.0
 * world.h - what the control plane must know about services, instances and identities.
 *
 * Owns:    nothing. A table of functions over somebody's inventory.
 * Callers: envoy_xds calls them while it builds resources and judges proxies; the daemon
 *          implements them over the engine's inventory, tests over a few arrays.
 * Threads: that of the backend. No function may block or change what it tells about.
 * Memory:  texts are borrowed and hold until the function returns to whoever changes the inventory;
 *          envoy_xds copies what it keeps.
 * When what they tell has changed, call mp_envoy_world_changed().
 */
#ifndef MP_ENVOY_XDS_WORLD_H
#define MP_ENVOY_XDS_WORLD_H

#include "base/str.h"

/* One instance, as an inventory line names it. */
struct mp_envoy_instance {
    mp_str name;    /* "checkout-2" */
    mp_str service; /* "checkout"; empty: unknown */
    mp_str version; /* "v1"; empty: unknown */
    /* "127.0.0.1", numeric, IPv4 or IPv6; empty: unknown, and then it is no endpoint */
    mp_str ip;
    uint16_t port;  /* 0: unknown, and then it is no endpoint */
};

/* They answer false to stop. */
typedef bool (*mp_envoy_instance_fn)(void *ctx, const struct mp_envoy_instance *instance);
typedef bool (*mp_envoy_text_fn)(void *ctx, mp_str text);

/* What is served by SDS, as PEM. */
enum mp_envoy_secret {
    MP_ENVOY_SECRET_TRUST,   /* certificates of who may issue others */
    MP_ENVOY_SECRET_REVOKED, /* lists of what they have taken back (CRL) */
    MP_ENVOY_SECRET_CHAIN,   /* certificate of a service, and those above it */
    MP_ENVOY_SECRET_KEY,     /* its private key */
};

/* A path that guards protect, as `request.path` has it, or all that begin with it. */
struct mp_envoy_carve {
    mp_str path;
    bool prefix;
    bool throttles; /* from throttles alone */
};
typedef bool (*mp_envoy_carve_fn)(void *ctx, const struct mp_envoy_carve *carve);

struct mp_envoy_world {
    void *ctx;
    /* Every instance of `service`, in any order. */
    void (*instances)(void *ctx, mp_str service, mp_envoy_instance_fn each, void *each_ctx);
    /* The instance of this name. False: unknown. */
    bool (*instance)(void *ctx, mp_str name, struct mp_envoy_instance *out);
    /* The instance that listens there. False: none, or more than one. */
    bool (*instance_at)(void *ctx, mp_str ip, uint16_t port, struct mp_envoy_instance *out);
    /* Every identity ("spiffe://shop/ns/default/sa/checkout") of `service`, in any order; none:
     * nothing is known about its identities. */
    void (*identities)(void *ctx, mp_str service, mp_envoy_text_fn each, void *each_ctx);
    /* The service that has this identity; empty: none, or more than one. */
    mp_str (*service_of)(void *ctx, mp_str identity);
    /* Every service that an inventory line named, in any order. */
    void (*services)(void *ctx, mp_envoy_text_fn each, void *each_ctx);
    /* A secret; empty: there is none. `service` is asked for CHAIN and KEY. NULL: there are no
     * secrets. A key may be told only where its bytes travel encrypted to a peer that is known. */
    mp_str (*secret)(void *ctx, enum mp_envoy_secret which, mp_str service);
    /* Every path that a guard of the program protects, in any order. NULL: there are none. */
    void (*carves)(void *ctx, mp_envoy_carve_fn each, void *each_ctx);
};

#endif
