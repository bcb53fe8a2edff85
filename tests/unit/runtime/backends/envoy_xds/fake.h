/* SPDX-License-Identifier: Apache-2.0
 * fake.h - a mesh of proxies in memory that speak discovery through envoy_xds.h, and a host around
 * them: no sockets, a clock that stands still until it is moved.
 *
 * A fake keeps what it accepted, as an Envoy does: over the end of its stream, and over the life
 * of a control plane. What a test says in the words of delta, one that speaks the state of the
 * world says as an Envoy would: with every request go all names, the newest nonce, and the version
 * that was taken last.
 */
#ifndef MP_TEST_ENVOY_FAKE_H
#define MP_TEST_ENVOY_FAKE_H

#include "envoy_wire/discovery.h"
#include "envoy_xds/envoy_xds.h"

#define FAKE_PROXIES_MAX 256
#define FAKE_RESOURCES_MAX 64
#define FAKE_INBOX_MAX 64
#define FAKE_ASKS_MAX 4096
#define FAKE_INSTANCES_MAX 512
#define FAKE_TYPES_MAX 8
#define FAKE_NAMES_MAX 64

struct fake_mesh;

#define FAKE_ROUTES_MAX 64

/* What a proxy has accepted. */
struct fake_resource {
    bool used;
    char type[128], name[128], version[64];
    char *bytes;
    size_t len;
};

/* What a proxy that speaks the state of the world says of one type. */
struct fake_list {
    char type[128], names[FAKE_NAMES_MAX][64];
    uint32_t count;
    char nonce[64], version[64]; /* newest; of the last that was taken */
};

struct fake_proxy {
    struct fake_mesh *mesh;
    char id[128];
    const char *identity; /* of its certificate; NULL: none */
    struct mp_envoy_stream *stream;
    struct fake_resource has[FAKE_RESOURCES_MAX];
    /* Responses that it has not looked at yet. */
    struct {
        char *bytes;
        size_t len;
    } inbox[FAKE_INBOX_MAX];
    uint32_t inbox_count;
    size_t room;       /* sends that its queue takes; SIZE_MAX: any number */
    const char *nacks; /* refuses what has a resource of this name; "*": everything */
    bool single;       /* its stream is one of one type */
    bool sotw;         /* speaks the state of the world */
    bool untyped;      /* and leaves out what type it asks for */
    struct fake_list lists[FAKE_TYPES_MAX];
    bool silent;       /* takes responses and answers none */
    bool held;         /* acknowledges, and does not obey: nothing of it is proven */
    bool ended;        /* the control plane ended its stream */
    const char *bare;      /* what is seen of its listeners, of those that lack something */
    uint32_t bare_missing; /* filters of its own listener, as they are asked about */
    bool hidden;           /* nobody sees its listeners */
    uint64_t look;         /* the question about them; 0: none */
    uint32_t looks;
    const char *metadata_admin;
    double metadata_merge_ms; /* below 0: not told */
    /* Services that it leads to by mpol-routes; set before it connects. */
    const char *routes[FAKE_ROUTES_MAX];
    uint32_t route_count;
    bool by_version; /* its clusters choose by version */
    /* Of the last response that it read. */
    char nonce[64], type[128], version[64];
    uint32_t responses, resources_in, removed_in;
};

struct fake_ask {
    uint64_t ticket;
    char node[128], resource[128], path[128], value[64];
    int status;
    enum mp_envoy_proof_kind kind;
};

struct fake_mesh {
    struct mp_envoy *envoy;
    struct fake_proxy proxies[FAKE_PROXIES_MAX];
    uint32_t proxy_count;
    struct fake_ask asks[FAKE_ASKS_MAX];
    uint32_t ask_count;
    int64_t now_ns;
    bool authenticated; /* the port asks for certificates */
    bool nobody_proves;
    bool sotw; /* new proxies speak the state of the world */
    bool looks; /* somebody looks at listeners */
    bool modules_carry; /* all proxies have a module that holds the denials */
    char log[16384];
    uint32_t refusals; /* that were told, and the last of them: node, type, resource, text */
    char refused[512];
    /* The world: texts must live. */
    struct mp_envoy_instance instances[FAKE_INSTANCES_MAX];
    uint32_t instance_count;
    const char *chain, *trust; /* everybody's, with the key "KEY"; NULL: there are none */
    const char *identities[64][2]; /* service, identity */
    uint32_t identity_count;
};

/* The host that the fakes bring, for who adds proxies of another kind. */
struct mp_envoy_host fake_host(struct fake_mesh *m);
/* Is the wire of a stream one of these proxies? */
bool fake_is(const struct fake_mesh *m, const void *wire);
/* Makes the control plane; proxies that are there stay as they are, without streams. `limits` may
 * be NULL. */
void fake_start(struct fake_mesh *m, const struct mp_envoy_limits *limits);
void fake_start_on(struct fake_mesh *m, const struct mp_envoy_limits *limits,
                   const struct mp_envoy_host *host);
/* Ends all streams and the control plane, as a crash would: proxies keep what they have. */
void fake_crash(struct fake_mesh *m);
/* The same, and forgets everything. */
void fake_stop(struct fake_mesh *m);

/* What it knows, as functions. */
struct mp_envoy_world fake_world(struct fake_mesh *m);
struct fake_proxy *fake_proxy(struct fake_mesh *m, const char *id);
void fake_instance(struct fake_mesh *m, const char *name, const char *service, const char *version,
                   const char *ip, uint16_t port);

/* Opens a stream; false: refused. Sends nothing yet. */
bool fake_open(struct fake_proxy *p);
void fake_close(struct fake_proxy *p);
/* Opens a stream and asks for everything that our bootstrap asks for, and for `clusters` (NULL:
 * none, else names and a NULL), with the versions that it has. */
bool fake_connect(struct fake_proxy *p, const char *const *clusters);
/* One request; names and versions as in discovery.h. The node goes with the first of a stream. */
bool fake_request(struct fake_proxy *p, struct mp_discovery_ask *ask);
bool fake_subscribe(struct fake_proxy *p, const char *type, const char *const *names);
/* Reads the next response, and answers it unless it is silent. False: there is none. */
bool fake_read(struct fake_proxy *p);
/* Answers nonce `nonce` of `type`; `error` NULL: ACK. */
bool fake_answer(struct fake_proxy *p, const char *type, const char *nonce, const char *error);
/* Lets everybody read and answer, and the prover look, until nothing moves. */
void fake_pump(struct fake_mesh *m);
/* Answers the questions about listeners. */
bool fake_look(struct fake_mesh *m);
/* Answers the prover's questions about proxies that are not held. */
bool fake_prove(struct fake_mesh *m);

const struct fake_resource *fake_has(const struct fake_proxy *p, const char *name);

#endif
