/* SPDX-License-Identifier: Apache-2.0
 * discovery.h - messages of Envoy's discovery services: the control plane's side, and a proxy's for
 * tests.
 *
 * Owns:    nothing. Callers: envoy_xds/ads, fake proxies of tests.
 * Threads: pure. Memory: what was read borrows the message; what is written goes where pb_out says.
 * Source:  envoy/service/discovery/v3/discovery.proto, envoy/config/core/v3/base.proto.
 *
 * There are two variants. In delta a request names what is wanted more, or no more, and a response
 * has a version and a name for each resource. In the state of the world (SotW) every request lists
 * all that is wanted, a response has one version for all that it brings, which the proxy repeats
 * once it has taken it, and no word for what is not there.
 *
 * A message is checked whole before anything of it is answered; walking its lists cannot fail then.
 */
#ifndef MP_ENVOY_WIRE_DISCOVERY_H
#define MP_ENVOY_WIRE_DISCOVERY_H

#include "base/err.h"
#include "envoy_wire/pb.h"

/* envoy.config.core.v3.Node, of which a proxy sends some 50 kB of names of extensions too. */
struct mp_discovery_node {
    mp_str id, cluster;
    mp_str user_agent;                /* `envoy` */
    uint32_t major, minor, patch;     /* user_agent_build_version; 0.0.0: not told */
    mp_str region, zone, sub_zone;
    mp_str metadata;                  /* a Struct message: pb_struct_get */
};

/* Reads a Node message; also that of an access log. */
enum mp_err mp_discovery_read_node(mp_str message, struct mp_discovery_node *out, const char **why);

enum mp_discovery_variant {
    MP_DISCOVERY_DELTA, /* DeltaDiscoveryRequest and -Response */
    MP_DISCOVERY_SOTW,  /* DiscoveryRequest and -Response */
};

struct mp_discovery_request {
    bool has_node; /* the first request of a stream has one */
    struct mp_discovery_node node;
    mp_str type_url, nonce; /* nonce empty: no answer to a response */
    /* Names: pb_many_next on a copy. SotW: `subscribe` is all that is wanted. */
    struct pb_many subscribe, unsubscribe;
    struct pb_many versions;               /* delta: name → version: pb_many_next_entry */
    mp_str version;                        /* SotW: of the last response that was taken */
    bool has_error;                        /* the response of `nonce` was refused (NACK) */
    int32_t error_code;                    /* google.rpc.Code */
    mp_str error_text;                     /* the proxy's words: may hold anything that is UTF-8 */
};

/* MP_EINVAL: malformed, *why (static) says how; *out is untouched. */
enum mp_err mp_discovery_read_request(enum mp_discovery_variant variant, mp_str message,
                                      struct mp_discovery_request *out, const char **why);

struct mp_discovery_resource {
    mp_str name, version;   /* SotW: the name is in the value, the version that of the response */
    mp_str type_url, value; /* of the Any */
};

struct mp_discovery_response {
    enum mp_discovery_variant variant;
    mp_str system_version, type_url, nonce;
    mp_str control_plane; /* identifier; empty: left out */
    const struct mp_discovery_resource *resources;
    size_t resource_count;
    const mp_str *removed; /* SotW: none */
    size_t removed_count;
};

/* Failure is in out->failed. */
void mp_discovery_write_response(struct pb_out *out, const struct mp_discovery_response *r);

/* ---- a proxy's side ---- */

struct mp_discovery_pair {
    mp_str name, version;
};

struct mp_discovery_ask {
    enum mp_discovery_variant variant;
    const struct mp_discovery_node *node; /* NULL: left out; its metadata is written as it is */
    mp_str type_url, nonce;
    mp_str version; /* SotW alone; as `unsubscribe` and `versions` are delta's */
    const mp_str *subscribe, *unsubscribe;
    size_t subscribe_count, unsubscribe_count;
    const struct mp_discovery_pair *versions;
    size_t version_count;
    bool has_error;
    int32_t error_code;
    mp_str error_text;
};

void mp_discovery_write_node(struct pb_out *out, uint32_t field,
                             const struct mp_discovery_node *node);
void mp_discovery_write_request(struct pb_out *out, const struct mp_discovery_ask *ask);

struct mp_discovery_answer {
    enum mp_discovery_variant variant;
    mp_str system_version, type_url, nonce, control_plane;
    struct pb_many resources; /* mp_discovery_next_resource */
    struct pb_many removed;   /* names */
};

enum mp_err mp_discovery_read_response(enum mp_discovery_variant variant, mp_str message,
                                       struct mp_discovery_answer *out, const char **why);
/* The next of answer->resources, which it walks. */
bool mp_discovery_next_resource(struct mp_discovery_answer *answer,
                                struct mp_discovery_resource *out);

#endif
