/* SPDX-License-Identifier: Apache-2.0
 * gate.h - what decides inside a proxy: the program in force, the leases in force, and an answer
 * to every request, on the proxy's own threads.
 *
 * Owns:    a table of leases (inproc), programs with what they need to be judged, one place a
 *          worker.
 * Callers: the hooks of the module (ask, recheck), its link (program, leases, step).
 * Threads: one publisher; every worker has a number and a thread of its own. Asking locks nothing
 *          and allocates nothing. A program or a table that was replaced is freed when every
 *          worker has finished what it began before (inproc.h: the same epochs).
 * Memory:  grows with programs; a table has room for the leases named at the start.
 */
#ifndef MP_ENVOY_MOD_GATE_H
#define MP_ENVOY_MOD_GATE_H

#include "base/hash.h"
#include "base/os.h"
#include "envoy_mod/frame.h"
#include "ingest/ingest.h"

struct mp_gate;

/* Where a proxy finds a field of a request. The word is the path in the
 * vocabulary; one that ends in a dot is a map, whose entries are asked for by name. TIME is
 * nanoseconds. */
#define MP_GATE_FIELDS(X)                                                                   \
    X(LAYER, "layer", TEXT) X(SERVICE, "service.name", TEXT)                                \
    X(INSTANCE, "instance.name", TEXT) X(CLIENT, "client.ip", TEXT)                         \
    X(CLIENT_IDENTITY, "client.identity", TEXT) X(METHOD, "method", TEXT)                   \
    X(SCHEME, "scheme", TEXT) X(HOST, "host", TEXT) X(PORT, "port", INT)                    \
    X(PATH, "path", TEXT) X(RAW_PATH, "raw_path", TEXT) X(QUERY, "query", TEXT)             \
    X(USER_AGENT, "user_agent", TEXT) X(PEER, "peer", TEXT) X(CALLER, "caller", TEXT)       \
    X(MTLS, "mtls", TRUTH) X(HTTP_VERSION, "http_version", TEXT)                            \
    X(ROUTE, "route.name", TEXT) X(CONNECTION_ID, "connection_id", TEXT)                    \
    X(BYTES_IN, "bytes_in", INT) X(GRPC_SERVICE, "grpc_service", TEXT)                      \
    X(GRPC_METHOD, "grpc_method", TEXT) X(STATUS, "status", INT)                            \
    X(LATENCY, "latency", TIME) X(BYTES_OUT, "bytes_out", INT) X(RESET, "reset", TRUTH)     \
    X(TIMEOUT, "timeout", TRUTH) X(GRPC_STATUS, "grpc_status", INT)                         \
    X(SUCCESS, "success", TRUTH) X(PRINCIPAL, "principal", TEXT)                            \
    X(HEADER, "headers.", TEXT) X(COOKIE, "cookies.", TEXT) X(ARG, "args.", TEXT)           \
    X(RESPONSE_HEADER, "response_headers.", TEXT)

enum mp_gate_source {
#define X(name, word, kind) MP_GATE_##name,
    MP_GATE_FIELDS(X)
#undef X
    MP_GATE_SOURCE_COUNT
};

/* A field that the program in force reads of `requests`. */
struct mp_gate_want {
    enum mp_gate_source source;
    mp_str entry;    /* of HEADER, COOKIE, ARG, RESPONSE_HEADER: which one; borrows the program */
    mp_str path;     /* as telemetry names it */
    bool at_end;     /* known only when the request has ended */
    bool judged;     /* an inline rule in force looks at it */
    uint32_t slot;   /* for the gate */
};

enum mp_gate_got {
    MP_GATE_ABSENT,
    MP_GATE_IS,
    MP_GATE_TOO_LONG /* it is there, and longer than the host can tell */
};
/* Who answers for the fields of a request. `get` sets kind and text or integer where it IS. CALLER
 * it is not asked for: that is the service which has the identity PEER. */
struct mp_gate_host {
    void *ctx;
    enum mp_gate_got (*get)(void *ctx, const struct mp_gate_want *want, struct mp_field_in *out);
};

/* A request with a field that an inline rule looks at and that is too long to be told is refused
 * with status 431 (RFC 6585, 5) in this name, which no rule can have: else padding would be a way
 * past the rule. */
#define MP_GATE_TOO_LONG_RULE MP_STR("too-long")

struct mp_gate_options {
    uint32_t workers;   /* places: numbers below it */
    uint32_t leases;    /* LIMIT: in force at one time */
    bool cuts;          /* the host can end open streams: `cut` is taken too */
    struct mp_hash_key key;
    const struct mp_os *os; /* memory, regular expressions; outlives the gate */
};

enum mp_err mp_gate_create(const struct mp_gate_options *options, struct mp_gate **out);
/* No worker asks any more. NULL is nothing. */
void mp_gate_destroy(struct mp_gate *g);

/* ---- the publisher ---- */

/* Puts a program in force: checked as if an enemy had written it. On failure the old one stays,
 * and `why` receives a static text. MP_EAGAIN: workers still hold older ones. */
enum mp_err mp_gate_program(struct mp_gate *g, struct mp_frame_program *program, const char **why);
/* Puts lines of inventory in force, instead of those before: attributes, and who has which
 * identity. A line that is none of an entity is passed over. On failure the old ones stay.
 * MP_ELIMIT, MP_ENOMEM, MP_EAGAIN. */
enum mp_err mp_gate_inventory(struct mp_gate *g, mp_str lines, const char **why);
/* Puts a set of leases in force, whole or not at all. Errors as mpol_backend_ops.apply. */
enum mp_err mp_gate_leases(struct mp_gate *g, const struct mpol_desired *set, const char **why);
/* Frees what every worker has passed. */
void mp_gate_step(struct mp_gate *g);
/* The newest program and set that every worker has passed: no request meets an older one. */
void mp_gate_passed(const struct mp_gate *g, uint64_t *program, uint64_t *leases);
/* Does the set in force refuse or cut anybody who may have a stream open? */
bool mp_gate_may_cut(const struct mp_gate *g);

/* ---- workers ---- */

#define MP_GATE_RULE_MAX 128
#define MP_GATE_KEY_MAX 96

struct mp_gate_answer {
    bool allow;
    bool by_lease;
    int status;              /* of a refusal */
    int64_t retry_after_ns;  /* 0: unknown */
    uint32_t rule_len, key_len;
    char rule[MP_GATE_RULE_MAX];
    char key[MP_GATE_KEY_MAX]; /* of an inline rule: whom it is held for, or empty */
};

/* Answers a request. Without a program everything passes. */
void mp_gate_ask(struct mp_gate *g, uint32_t worker, const struct mp_gate_host *host,
                 int64_t wall_ns, uint32_t layer, struct mp_gate_answer *out);
/* The same for a stream that was let in and began at wall time `began_ns`: what leases deny or cut
 * it now; takes nothing from any throttle, and asks no inline rule. */
void mp_gate_recheck(struct mp_gate *g, uint32_t worker, const struct mp_gate_host *host,
                     int64_t wall_ns, int64_t began_ns, uint32_t layer,
                     struct mp_gate_answer *out);
/* The fields that the program in force reads, for telemetry; between enter and leave. NULL: no
 * program. */
const struct mp_gate_want *mp_gate_enter(struct mp_gate *g, uint32_t worker, uint32_t *count);
/* The service that has this identity, as the inventory says; empty: none, or more than one.
 * Between enter and leave of the same worker. */
mp_str mp_gate_caller(struct mp_gate *g, uint32_t worker, mp_str identity);
void mp_gate_leave(struct mp_gate *g, uint32_t worker);

/* Sums over all workers. Any thread. */
void mp_gate_counts(const struct mp_gate *g, uint64_t *verdicts, uint64_t *refusals);

#endif
