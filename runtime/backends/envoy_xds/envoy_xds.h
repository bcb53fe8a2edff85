/* SPDX-License-Identifier: Apache-2.0
 * envoy_xds.h - Envoys as a mesh: the backend that turns leases into xDS.
 *
 * Owns:    the desired set, the table of proxies, the streams of discovery (ADS) and what each
 *          proxy has acknowledged and obeys.
 * Callers: the engine through mp_envoy_ops (backend.h); the daemon, which owns sockets, the clock
 *          and the prover, through the functions below.
 * Threads: one. No function blocks. The host's functions are called from within calls of this
 *          header and of the vtable; they must not call back into the backend.
 * Memory:  from the allocator given to create, bounded by the limits.
 * Sources: xDS protocol (delta, "Incremental xDS", and the state of the world),
 *          envoyproxy.io/docs/envoy/v1.39/api-docs/xds_protocol; resources.h builds what is sent,
 *          discovery.h reads and writes the messages.
 *
 *        apply(set)                    stream_message(request)
 *            │                               │
 *            ▼                               ▼
 *     backend.c ── resources.h ──► ads.c ──► host.send
 *            ▲                      │ ACK
 *        progress ◄── proxies.c ◄───┴──────► host.prove
 *
 *     accepted  = every concerned proxy ACKed
 *     effective = and host.prove was answered by mp_envoy_proven()
 *
 * Before the first apply no stream is taken: a proxy keeps what it has until this control plane
 * knows what is to be in force, so that a restart never lifts anything.
 */
#ifndef MP_ENVOY_XDS_ENVOY_XDS_H
#define MP_ENVOY_XDS_ENVOY_XDS_H

#include "base/arena.h"
#include "base/err.h"
#include "envoy_xds/world.h"
#include "mpol/backend.h"

struct mp_envoy_node;
struct mp_envoy;        /* the backend: the ctx of mp_envoy_ops */
struct mp_envoy_stream; /* one stream of discovery */

/* Types of resources that are served. */
enum mp_envoy_type {
    MP_ENVOY_ECDS,
    MP_ENVOY_RTDS,
    MP_ENVOY_EDS,
    MP_ENVOY_RDS,
    MP_ENVOY_SDS,
    MP_ENVOY_TYPES
};
/* "ecds", "rtds", ... */
mp_str mp_envoy_type_word(enum mp_envoy_type type);

/* 0 takes the default beside it. */
struct mp_envoy_limits {
    uint32_t proxies;       /* remembered, connected or not: 1,024 */
    uint32_t streams;       /* 1,024 */
    uint32_t subscriptions; /* of one stream, all types: 4,096 */
    uint32_t leases;        /* of all owners: 32,768 */
    size_t lease_bytes;     /* texts and arguments of all leases: 16 MiB */
    size_t resource_bytes;  /* of one resource: 16 MiB; a set that needs more is refused */
    size_t message_bytes;   /* of one request: 4 MiB; a longer one ends its stream */
    /* no answer to a response for so long: the proxy holds nothing up: 5 s */
    int64_t silent_ns;
    /* after the ACK of endpoints, where the node's metadata do not say: 1 s */
    int64_t merge_ns;
    int64_t forget_ns; /* who is away for so long is remembered no more: 24 h */
};

/* ---- proof: what shows that a proxy obeys ---- */

enum mp_envoy_proof_kind {
    MP_ENVOY_PROOF_NONE,     /* nothing can show it: the ACK counts */
    MP_ENVOY_PROOF_REQUEST,  /* GET `path` at the proxy's listener answers `status` */
    MP_ENVOY_PROOF_RUNTIME,  /* admin /runtime?format=json has final_value `value` for `key` */
    MP_ENVOY_PROOF_CLUSTERS, /* admin /clusters?format=json has exactly `endpoints` for `cluster` */
};

enum mp_envoy_health { MP_ENVOY_HEALTHY = 1, MP_ENVOY_UNHEALTHY = 2, MP_ENVOY_DRAINING = 3 };

/* An endpoint as it is served. Health as envoy.config.core.v3.HealthStatus has it. */
struct mp_envoy_endpoint {
    mp_str ip;
    uint16_t port;
    enum mp_envoy_health health;
    uint32_t weight; /* ≥ 1; 0: none was served, which is 1 */
};

struct mp_envoy_proof {
    enum mp_envoy_proof_kind kind;
    mp_str path;
    int status;
    mp_str key, value;
    mp_str cluster;
    const struct mp_envoy_endpoint *endpoints; /* in order of ip as bytes, then port */
    uint32_t endpoint_count;
};

/* What the prover is asked to look at, again and again until it is so or until it cannot. All
 * texts are borrowed for the call. */
struct mp_envoy_ask {
    uint64_t ticket;  /* of this question; never used again */
    /* an earlier question to the same proxy that needs no answer any more; 0: none */
    uint64_t replaces;
    mp_str node;      /* "service/checkout/checkout-2" */
    mp_str peer;      /* where its stream comes from */
    mp_str listen;    /* of the node's metadata, "ADDR:PORT"; empty: unknown */
    bool tls;
    mp_str admin;     /* "ADDR:PORT"; empty: unknown */
    /* its healthy_panic_threshold: when fewer hosts of a cluster can take requests,
     * all are led to */
    uint32_t panic_percent;
    enum mp_envoy_type type;
    mp_str resource;  /* its name */
    const struct mp_envoy_proof *what;
};

/* What is looked at: has each listener of a proxy that speaks HTTP all of these filters? Texts are
 * borrowed for the call. */
struct mp_envoy_look {
    uint64_t ticket; /* of this question; never used again */
    mp_str node, peer, listen, admin; /* as in struct mp_envoy_ask */
    const mp_str *filters;
    uint32_t filter_count;
};

/* ---- the host: everything that this module is not ---- */

enum mp_envoy_note { MP_ENVOY_INFO, MP_ENVOY_WARNING };

struct mp_envoy_refusal {
    mp_str node, type, resource, text; /* type: `ecds` */
};

struct mp_envoy_host {
    void *ctx;
    /* Queues one response of the stream's variant on the wire given to mp_envoy_stream_open;
     * `bytes` are borrowed for the call. MP_ELIMIT: the queue is full; mp_envoy_stream_drained()
     * when it is not. Another error: the stream is over, mp_envoy_stream_closed() will be
     * called. */
    enum mp_err (*send)(void *ctx, void *wire, mp_str bytes);
    /* Ends a stream that another one replaced; mp_envoy_stream_closed() follows, later. */
    void (*end)(void *ctx, void *wire, mp_str why);
    /* Asks the prover; the answer is mp_envoy_proven(), later. NULL: nobody can prove. */
    void (*prove)(void *ctx, const struct mp_envoy_ask *ask);
    /* The question needs no answer any more. NULL where prove is NULL. */
    void (*prove_cancel)(void *ctx, uint64_t ticket);
    /* One line for the log, no line end. May be NULL. */
    void (*log)(void *ctx, enum mp_envoy_note note, mp_str line);
    /* Monotonic time. */
    int64_t (*now_ns)(void *ctx);
    /* Does a module in this proxy hold all denials that a module can, as far as is known? Call
     * mp_envoy_modules_changed() when the answer may be another one. NULL: no. */
    bool (*module_carries)(void *ctx, const struct mp_envoy_node *node);
    /* Looks at the listeners of a proxy; the answer is mp_envoy_looked(), later. NULL: nobody
     * can. */
    void (*look)(void *ctx, const struct mp_envoy_look *look);
    /* This proxy is remembered no more: what mp_envoy_news() told of it is to be thrown away. May
     * be NULL. */
    void (*forget)(void *ctx, mp_str node);
    /* A proxy that is known refused a resource by itself (NACK), for the first time or again; it
     * keeps what it had. When it is over mp_envoy_refuses() tells. Texts are borrowed for the call,
     * which calls nothing here. May be NULL. */
    void (*refused)(void *ctx, const struct mp_envoy_refusal *refusal);
};

/* ---- life ---- */

/* `alloc` NULL: malloc. World and host are copied, their contexts borrowed. MP_ENOMEM. */
enum mp_err mp_envoy_create(const struct mp_alloc *alloc, const struct mp_envoy_limits *limits,
                            const struct mp_envoy_world *world, const struct mp_envoy_host *host,
                            struct mp_envoy **out);
/* All streams must be closed before; the mesh keeps what it has. NULL is allowed. */
void mp_envoy_destroy(struct mp_envoy *e);

/* The backend's table for mp_engine_backend(engine, &mp_envoy_ops, envoy). */
extern const struct mpol_backend_ops mp_envoy_ops;

/* ---- streams of discovery ---- */

/* Who is at the other end of a stream. */
struct mp_envoy_peer {
    mp_str address;     /* for the log */
    mp_str identity;    /* URI SAN of the verified client certificate; empty: there is none */
    /* The port asks for certificates: then who has no identity of its service is unknown and gets
     * the baseline. */
    bool authenticated;
    /* A stream of one type of resources (`DeltaExtensionConfigs`, `StreamRuntime`...): it lives
     * beside other streams of its node. Else, a stream of all types (ADS), it takes the place of
     * an older one. */
    bool single;
    enum mp_envoy_type type; /* of a single one; a request may leave its type out then */
    /* Messages are DiscoveryRequest and -Response (`StreamAggregatedResources`...), the state of
     * the world; else DeltaDiscoveryRequest and -Response. */
    bool sotw;
};

/* A stream begins. `wire` is what host.send gets. NULL: there are too many, or no set was applied
 * yet. */
struct mp_envoy_stream *mp_envoy_stream_open(struct mp_envoy *e, void *wire,
                                             const struct mp_envoy_peer *peer);
/* One request. False: it was no such thing or too much; end this stream with
 * mp_envoy_stream_why() and call mp_envoy_stream_closed(). No message may follow. */
bool mp_envoy_stream_message(struct mp_envoy_stream *s, mp_str bytes);
/* Why the last message was refused, one line; empty: it was not. Borrowed until the stream is
 * closed. */
mp_str mp_envoy_stream_why(const struct mp_envoy_stream *s);
/* There is room again after host.send answered MP_ELIMIT. */
void mp_envoy_stream_drained(struct mp_envoy_stream *s);
/* The stream is over, whoever ended it. `s` is gone. */
void mp_envoy_stream_closed(struct mp_envoy_stream *s);

/* ---- the prover's answers ---- */

enum mp_envoy_proven {
    MP_ENVOY_PROVEN,     /* it is so */
    /* It answers, and shows something else; or, where nothing was seen, it could not be asked.
     * Asked again with another ticket. */
    MP_ENVOY_NOT_YET,
    /* there is no address, nobody answers there, or what is shown has no effect (panic): the ACK
     * has to do */
    MP_ENVOY_UNPROVABLE,
};
/* An answer to the question with this ticket, and what was seen if it is no proof. A ticket that is
 * not asked any more is ignored. */
void mp_envoy_proven(struct mp_envoy *e, uint64_t ticket, enum mp_envoy_proven answer, mp_str seen);

/* ---- changes that no lease made ---- */

/* The inventory changed: endpoints and identities are built anew, and what differs is sent. */
void mp_envoy_world_changed(struct mp_envoy *e);
/* host.module_carries may answer otherwise. Proxies whose module carries are not given what is
 * left to it; those whose module carries no more are given it again, and until they have it the
 * newest revision counts as new. */
void mp_envoy_modules_changed(struct mp_envoy *e);

/* ---- over a restart ---- */

/* What the next life should know of a proxy, so that it can name it while it has not come back.
 * Texts are borrowed for the call. */
struct mp_envoy_memory {
    mp_str node;
    const mp_str *leads_to; /* services and their versions, by its routes */
    uint32_t leads_to_count;
    bool module;     /* its bootstrap has one */
    bool connected;
    int64_t away_ns; /* for so long, where it is not */
};
typedef void (*mp_envoy_memory_fn)(void *ctx, const struct mp_envoy_memory *memory);
/* Known proxies of which something else is to be kept than was told here last. */
void mp_envoy_news(struct mp_envoy *e, mp_envoy_memory_fn each, void *ctx);
/* The life before knew it: it is away until it comes. Before the first stream, in any order; where
 * there are too many, those that were away for longest are forgotten. MP_EINVAL: that is no node
 * id, or it leads to too many. MP_ENOMEM. */
enum mp_err mp_envoy_recall(struct mp_envoy *e, const struct mp_envoy_memory *memory);

/* ---- questions ---- */

/* A node id "LAYER/SERVICE/INSTANCE", read; a service may be "NAMESPACE/NAME". */
struct mp_envoy_node {
    uint32_t layer; /* MPOL_INGRESS, MPOL_SERVICE or MPOL_EDGE */
    mp_str layer_word, service, instance;
};
/* False: it is none (other layer words, an empty part, a control character, > 256 bytes); `out` is
 * untouched. Texts borrow `id`. */
bool mp_envoy_node_read(mp_str id, struct mp_envoy_node *out);
#define MP_ENVOY_NODE_MAX 256 /* bytes of such an id */
struct mp_discovery_node;
/* What a node is called here: `node` of its metadata `mpol`, else what Istio's agent calls it,
 * read as such an id, else its id. Borrows the node or `room`. */
mp_str mp_envoy_node_name(const struct mp_discovery_node *node, char room[MP_ENVOY_NODE_MAX]);
/* May who has this identity speak as that node? Yes, when the port asks for no certificates; when
 * it is one of the node's service; and when nothing is known about the identities of that
 * service, unless the identity is that of another one. */
bool mp_envoy_may_speak(const struct mp_envoy *e, const struct mp_envoy_node *node,
                        const struct mp_envoy_peer *peer);

/* What was seen of its listeners. */
struct mp_envoy_looked {
    bool seen;        /* there was an answer */
    uint32_t missing; /* filters that its own listener (`listen`) lacks, a bit for each asked for */
    mp_str text;      /* of the first listener that lacks one, one line; empty: none does */
};
void mp_envoy_looked(struct mp_envoy *e, uint64_t ticket, const struct mp_envoy_looked *seen);
/* Once in a while (a second, say): has listeners looked at that were not for long, and forgets who
 * has been away for too long. */
void mp_envoy_tick(struct mp_envoy *e);

/* What is known about one proxy; texts are borrowed for the call. */
struct mp_envoy_proxy_type {
    uint32_t subscribed, acked; /* resources; `acked`: it has the version that is desired */
    uint64_t sent, acks, nacks; /* responses */
};
struct mp_envoy_proxy {
    mp_str node; /* as it named itself */
    uint32_t layer;
    mp_str service, instance, identity, address;
    mp_str agent; /* "1.39.3" */
    mp_str listen, admin;
    bool tls, module;
    bool sotw; /* a stream of it speaks the state of the world */
    bool connected;
    bool recalled; /* from the life before, at whose end it was connected; it has not come back */
    bool known;    /* the node id is good and the identity fits; else it gets the baseline */
    bool silent;   /* has not answered for limits.silent_ns */
    bool twins;    /* two have this name, and both answer */
    bool proven;   /* what could be seen was seen, and all that it has taken it obeys */
    bool unproven; /* some of what it has was not proven, because nobody could look */
    mp_str disobeys; /* a resource that it has taken and does not obey; empty: none */
    mp_str unseen;   /* a resource that it took long ago, and nobody could ask; empty: none */
    mp_str seen;     /* what it showed last that was no proof */
    int64_t since_ns;     /* connected or gone, host.now_ns */
    int64_t ack_ns, nack_ns; /* last; 0: never */
    /* of the last NACK; empty: none since the last good one */
    mp_str nack_type, nack_resource, nack_text;
    /* a resource that a lease in force needs and it does not ask for; empty: none */
    mp_str lacks;
    /* a listener of it that lacks a filter: "listener plain (127.0.0.1:80) lacks mpol-share";
     * empty: none is known */
    mp_str bare;
    uint64_t accepted, effective; /* revisions of the last owner's set */
    uint32_t leases; /* in force that concern it */
    struct mp_envoy_proxy_type types[MP_ENVOY_TYPES];
};
typedef bool (*mp_envoy_proxy_fn)(void *ctx, const struct mp_envoy_proxy *proxy);
/* Every proxy that is or was connected, in the life before too, in order of node id, as it was when
 * progress was told. */
void mp_envoy_proxies(const struct mp_envoy *e, mp_envoy_proxy_fn each, void *ctx);

/* What a proxy makes of the resources of one type that it is to have now. */
enum mp_envoy_stand {
    MP_ENVOY_REFUSES, /* it has refused one of them, and not taken it since */
    MP_ENVOY_OWES,    /* not connected, or it has not answered yet: nobody knows */
    MP_ENVOY_TAKES,   /* it has acknowledged them all */
    MP_ENVOY_NO_MORE  /* there is no such proxy, or it asks for none for a minute already */
};
/* `type`: "ecds", as in struct mp_envoy_refusal. */
enum mp_envoy_stand mp_envoy_refuses(const struct mp_envoy *e, mp_str node, mp_str type);

/* What is to be said of a lease at one proxy that has a part in it. */
struct mp_envoy_part {
    mp_str node;
    /* Its own filters refuse requests for the lease. They judge a request when it begins, so a
     * stream that runs goes on, unless a module in the proxy cuts it. */
    bool refuses;
    bool module;   /* its bootstrap has one */
    bool away;     /* not connected: it has what it was told before */
    bool recalled; /* away since the life before ended */
    bool silent;   /* connected, and does not answer */
    bool twins;    /* two have this name, and one of them is asked whether it obeys */
    bool unproven; /* nobody could look whether it obeys */
    bool passed_over; /* an `exempt` of its service or instance passes over what is refused */
    mp_str seen;   /* what it showed last that was no proof */
    int64_t since_ns; /* connected or away, host.now_ns */
};
typedef void (*mp_envoy_part_fn)(void *ctx, const struct mp_envoy_part *part);
/* Every proxy that carries a part of this lease of the last owner's set, and those that are away
 * and would. */
void mp_envoy_parts(const struct mp_envoy *e, uint64_t lease, mp_envoy_part_fn each, void *ctx);

/* Which lease refused a request, where the proxy names no policy (`local_rate_limited`,
 * `fault_filter_abort`): the throttle whose target fits best, client before identity before
 * instance before service. Empty parts are unknown. */
struct mp_envoy_refused {
    uint32_t layer;
    mp_str service, instance, client, identity;
    bool share; /* by a share (fault), else by a rate */
};
/* False: none fits. `rule` is borrowed until the next apply. */
bool mp_envoy_refused_by(const struct mp_envoy *e, const struct mp_envoy_refused *what,
                         mp_str *rule, uint64_t *lease);

/* Since create. */
struct mp_envoy_counts {
    uint64_t streams, streams_refused, messages, garbage, oversize, too_many;
    uint64_t acks, nacks, stale_nonces, unknown_types;
    uint64_t responses, resources, removed, bytes; /* sent */
    uint64_t builds;                               /* lists of resources made anew */
    uint64_t unknown_proxies, replaced_streams, proven, unprovable;
};
void mp_envoy_counts_get(const struct mp_envoy *e, struct mp_envoy_counts *out);

#endif
