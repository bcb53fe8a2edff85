/* SPDX-License-Identifier: Apache-2.0
 * mod.h - the one state of the module inside a proxy's process: gate, link, rings, open streams.
 *
 * Made when the first configuration of any of the three extensions comes, given back with the
 * last one. All configurations of a process must say the same: a proxy is one reporter.
 *
 * Threads: open and close on any thread, under a lock; everything else as gate.h, ring.h and
 *          link.h say.
 */
#ifndef MP_ENVOY_MOD_MOD_H
#define MP_ENVOY_MOD_MOD_H

#include <pthread.h>
#include <stdatomic.h>

#include "envoy_mod/abi.h"
#include "envoy_mod/link.h"
#include "envoy_mod/mod_read.h"

/* LIMIT: leases in force at one time; memory is touched as it is used. */
#define MOD_LEASES_MAX 32768

struct mod_worker;

/* A request, from its headers to its end. */
struct mod_stream {
    void *envoy; /* the proxy's filter */
    struct mod_worker *worker; /* NULL: not among the open ones */
    struct mod_stream *next, **at, *victim;
    int64_t began_ns; /* wall time */
    uint16_t service_len; /* of whom a gateway asks */
    char service[MP_MOD_NAME_MAX];
};

/* The open streams of a worker. The list is the worker's alone; the anchor is one of them,
 * through which another thread can call the worker. */
struct mod_worker {
    _Alignas(64) struct mod_stream *first;
    uint32_t number;
    /* the stream that ends right now is cut: why; else NULL */
    const struct mp_gate_answer *cutting;
    struct mod_room *room; /* of the request at hand */
    pthread_mutex_t lock; /* of the members below */
    struct mod_stream *anchor;
    void *scheduler;      /* of the anchor */
    uint64_t wanted, done;
    _Atomic uint64_t cut;
};

struct mod {
    struct mp_mod_config config;
    uint32_t uses;
    uint32_t worker_count;
    bool cuts; /* this proxy can end a stream */
    struct mp_gate *gate;
    struct mp_link *link;
    struct mp_ring *rings; /* one a worker */
    struct mod_worker *workers;
    struct mp_os os;
};

/* One use of the module's state; `config` as config.h says. In validation the configuration is
 * looked at, and nothing is started: the answer is then a state without a gate. NULL: refused,
 * the log says why. */
struct mod *mod_open(struct abi_text config);
void mod_close(struct mod *m);
/* Ends the link's thread: workers go away after this. */
void mod_stop(struct mod *m);
int64_t mod_wall_ns(void);

/* mod_filter.c, on the stream's worker: may it go on, as leases are now? */
void mod_stream_recheck(struct mod *m, struct mod_stream *s, uint32_t worker,
                        struct mp_gate_answer *out);

/* mod_streams.c: can this proxy end a stream? */
bool mod_streams_can_cut(void);
/* mod_streams.c: on the stream's worker */
void mod_stream_add(struct mod *m, uint32_t worker, struct mod_stream *s);
void mod_stream_remove(struct mod_stream *s);
/* Looks at all open streams of this one's worker, and cuts those that leases deny now. */
void mod_streams_look(struct mod *m, struct mod_stream *s);
/* mod_streams.c: on the link's thread */
void mod_streams_cut(struct mod *m);
bool mod_streams_cut_done(struct mod *m);
uint64_t mod_streams_cut_count(const struct mod *m);

/* Namespace of what a refusal leaves for the logger. */
#define MOD_SPACE MP_STR("mpol")
#define MOD_NOTE_KEY MP_STR("key")
#define MOD_NOTE_SERVICE MP_STR("service")

static inline mp_str mod_str(struct abi_text t) { return (mp_str){t.ptr, t.len}; }
static inline struct abi_text mod_text(mp_str s) { return (struct abi_text){s.ptr, s.len}; }

#endif
