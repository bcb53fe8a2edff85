/* SPDX-License-Identifier: Apache-2.0
 * prove.h - what a proxy says it has is one thing, what it does is another: asks the proxy itself.
 *
 * Three questions, each asked again after 1, 2, 4 … 50 ms until the answer is the wanted one or
 * the time is over:
 * - the listener: GET PATH (/.mpol/probe/VERSION) must be answered with STATUS (403: the policy
 *   of that version is in force; 404: not yet), on a connection that was open before, if there is
 *   one, and on a new one; and a path that nobody denies must not: who answers everything alike
 *   (authentication before our filters, a redirect) proves nothing;
 * - the admin port's /clusters?format=json: a cluster's endpoints are out, in, or weigh what they
 * should, and those that are out are not led to because so few are left (panic);
 * - the admin port's /runtime?format=json: keys have their values.
 *
 * And one that is asked until there is an answer, whatever it is: the admin port's /config_dump,
 * whether each listener that speaks HTTP has all of our filters.
 *
 * Owns:    sockets to proxies; of each proxy's listener one connection stays open between proofs,
 *          as long as there are connections to spare.
 * Callers: the daemon, for backends/envoy_xds.
 * Threads: one, that of the loop. `done` is called from within the loop only, never from within a
 *          call into this module (but mp_prover_close).
 * Memory:  malloc, bounded: `tasks` tasks, of each at most two connections and one body.
 *
 * A proxy is not trusted: whatever it answers, and if it never does, only its own proofs are lost.
 */
#ifndef MP_ENVOY_PROVE_PROVE_H
#define MP_ENVOY_PROVE_PROVE_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct mp_prover;

enum mp_prove_kind { MP_PROVE_LISTENER, MP_PROVE_CLUSTERS, MP_PROVE_RUNTIME, MP_PROVE_FILTERS };

enum mp_prove_state {
    MP_PROVE_OUT, /* not listed, or listed as unhealthy or draining by EDS: gets no requests */
    /* listed, and neither of these; other marks (outlier, active check) do not matter */
    MP_PROVE_IN,
};

/* One endpoint of a cluster as the proxy must have it. */
struct mp_prove_endpoint {
    mp_str address; /* "127.0.0.1:9002", "[::1]:9002" */
    enum mp_prove_state state;
    uint32_t weight; /* of one that is in; 0: any */
};

/* One key of the runtime and its final value, over all layers: "30" also matches 30. An empty
 * value: the key must not be there, or be empty. */
struct mp_prove_value {
    mp_str key, value;
};

enum mp_prove_result {
    MP_PROVE_PROVEN,
    MP_PROVE_NOT_YET,     /* it answers, and shows something else, until the time was over */
    MP_PROVE_PANIC,       /* as wanted, and its cluster in panic until the time was over */
    /* no usable answer for `reply_ms`: refused, hung, broke the protocol, answers all alike */
    MP_PROVE_UNREACHABLE,
};

struct mp_proof {
    enum mp_prove_result result;
    mp_str text;       /* what was seen last, for a log; one line, bounded, printable ASCII */
    /* FILTERS, NOT_YET: those that the task's own listener lacks, a bit for each */
    uint32_t missing;
    uint32_t attempts; /* requests that were sent */
    uint64_t took_us;  /* from mp_prove() on */
};

/* Everything is copied by mp_prove(). */
struct mp_prove_task {
    enum mp_prove_kind kind;
    uint64_t proxy;      /* any number; tasks with the same one are of the same proxy */
    mp_str address;      /* "ADDR:PORT", "[ADDR]:PORT": the listener, or the admin port */
    /* the listener speaks TLS; who it is is not verified: that it obeys is asked */
    bool tls;
    mp_str path;         /* LISTENER: letters, digits, '-', '_', '.', '/'; its last character is changed
                          * for the path that nobody denies */
    unsigned status;     /* LISTENER: 0 means 403 */
    mp_str cluster;      /* CLUSTERS: its name in the bootstrap */
    /* All of its endpoints: one that is in and not named here is not yet gone. */
    const struct mp_prove_endpoint *endpoints;
    size_t endpoint_count;
    /* CLUSTERS: healthy_panic_threshold: when a smaller part of all hosts can take requests, Envoy
     * leads to those that are out too. 0: it never does */
    unsigned panic_percent;
    const struct mp_prove_value *values; /* RUNTIME */
    size_t value_count;
    const mp_str *filters; /* FILTERS: names; LIMIT: 32 */
    size_t filter_count;
    mp_str listen;        /* FILTERS: "ADDR:PORT" of its own listener; empty: none is */
    uint32_t deadline_ms; /* 0: that of the options */
    /* exactly once, unless cancelled before */
    void (*done)(void *ctx, const struct mp_proof *proof);
    void *ctx;
};

/* 0 means the default that is named. */
struct mp_prover_options {
    uint32_t tasks;       /* at a time: 4,096 */
    uint32_t proxy_tasks; /* at a time, of one proxy: 32 */
    uint32_t connections; /* at a time; tasks wait for one: 256 */
    uint32_t deadline_ms; /* 2,000 */
    uint32_t reply_ms;    /* for one answer, connecting included: 500 */
    size_t body_bytes;    /* of one answer: 4 MiB */
    /* Files in PEM: what is shown to listeners that ask for a certificate; both or none. */
    const char *cert, *key;
};

/* Since the start, but those marked `now`. */
struct mp_prover_counts {
    uint64_t tasks_now, connections_now;
    uint64_t tasks, proven, not_yet, panics, unreachable, cancelled;
    uint64_t refused;  /* mp_prove() answered MP_ELIMIT */
    uint64_t attempts; /* requests sent */
    uint64_t bad_replies; /* no HTTP, too long, no JSON */
};

/* The loop must outlive the prover; options may be NULL. MP_EINVAL: cert or key; MP_ENOMEM. */
enum mp_err mp_prover_open(uv_loop_t *loop, const struct mp_prover_options *options,
                           struct mp_prover **out);
/* Another certificate for connections from now on. MP_EINVAL, MP_ENOMEM: it stays as it was. */
enum mp_err mp_prover_renew(struct mp_prover *prover, const char *cert, const char *key);
/* Ends; tasks that are left are answered MP_PROVE_UNREACHABLE before this returns. The loop must
 * run until the handles are gone; then the memory is given back too. NULL is allowed. */
void mp_prover_close(struct mp_prover *prover);
void mp_prover_counts_get(const struct mp_prover *prover, struct mp_prover_counts *out);

/* Starts a proof. `ticket` (may be NULL) names it for mp_prove_cancel(); never 0. MP_ELIMIT: too
 * many at a time, of all or of this proxy; MP_EINVAL: the address or the path; MP_ENOMEM. */
enum mp_err mp_prove(struct mp_prover *prover, const struct mp_prove_task *task, uint64_t *ticket);
/* Was it this prover that connected from there? For logs of connections, which have nothing else
 * to tell our questions by. Of the last 1,024 connections; each is told once, since others get
 * the port later. */
bool mp_prover_made(struct mp_prover *prover, mp_str ip, uint32_t port);
/* `done` will not be called any more. A ticket that is over is ignored. */
void mp_prove_cancel(struct mp_prover *prover, uint64_t ticket);
/* The proxy is gone: its tasks are cancelled, the connection that was kept is closed. */
void mp_prove_forget(struct mp_prover *prover, uint64_t proxy);

#endif
