/* SPDX-License-Identifier: Apache-2.0
 * fleet.h - the control plane's side of modules: all proxies that carry one, seen as a backend.
 *
 * A module that connects is told the program and the leases in force, and again whenever they
 * change; it answers what it has taken, what every worker of it has passed, and what it has seen.
 * A proxy that is away blocks nothing: it keeps what it was told last, and is told anew when it
 * comes back.
 *
 * The fleet may stand before another backend (xDS): each lease then goes to both, what only one of
 * them can do goes to it alone, and a revision counts as accepted or effective when both say so. A
 * `cut`, which only modules can, is held while none that it concerns is connected; the status of a
 * denial is theirs too: the other one answers what it can.
 *
 * Owns:    the proxies that are connected, and the newest frames for them.
 * Callers: daemon (bytes from and to sockets), engine (through mp_fleet_ops).
 * Threads: one. No sockets.
 * Memory:  malloc; a frame of the leases in force, one of the program, a buffer a connection.
 */
#ifndef MP_ENVOY_MOD_FLEET_H
#define MP_ENVOY_MOD_FLEET_H

#include "envoy_mod/frame.h"

struct mp_fleet;
struct mp_fleet_peer;

/* What is known of a proxy. Texts live as long as the connection. */
struct mp_fleet_info {
    mp_str layer, service, instance, version;
    uint32_t workers;
    uint64_t program, leases;               /* taken */
    uint64_t program_passed, leases_passed; /* by every worker */
    mp_str trouble;                         /* what it refused last; empty: nothing */
    bool silent;                            /* has not answered to what it was told */
    struct mp_frame_counts counts;
};

struct mp_fleet_record {
    mp_str upstream; /* "ADDR:PORT" that answered, or empty */
    mp_str peer;     /* identity that the client's certificate showed, or empty */
    mp_str client;   /* address of who asked */
    mp_str key;      /* of an inline rule that refused it: whom it was held for, or empty */
    mp_str details;  /* of a refusal by the proxy's own throttles, which name no rule; else empty */
    mp_str line;
};

struct mp_fleet_host {
    void *ctx;
    /* Sends bytes to a connection; they are copied. What cannot be taken ends the connection
     * later. */
    void (*send)(void *ctx, void *connection, mp_str bytes);
    /* A line of telemetry of this proxy, without its line end: an object of JSON that names
     * neither layer nor, at layer service, service and instance: those are the proxy's own. */
    void (*record)(void *ctx, const struct mp_fleet_info *from,
                   const struct mp_fleet_record *record);
    /* A proxy came, went, took or refused something: for the log. */
    void (*event)(void *ctx, const struct mp_fleet_info *who, const char *what);
    /* Monotonic time. */
    int64_t (*now_ns)(void *ctx);
    /* mp_fleet_carries() may say something else now. It may be called from within every function
     * of this header and of the backend, and must call none but that one. May be NULL. */
    void (*carriers)(void *ctx);
};

/* LIMIT: proxies at one time. One that does not answer for so long is silent: it holds nothing
 * up. */
#define MP_FLEET_PEERS_MAX 1024
#define MP_FLEET_SILENT_NS (INT64_C(5) * 1000000000)

/* `inner` NULL: modules alone carry the leases. */
enum mp_err mp_fleet_create(const struct mp_fleet_host *host, const struct mpol_backend_ops *inner,
                            void *inner_ctx, struct mp_fleet **out);
void mp_fleet_destroy(struct mp_fleet *f);
/* The backend's functions; its context is the struct mp_fleet. They live as long as the fleet. */
const struct mpol_backend_ops *mp_fleet_ops(const struct mp_fleet *f);

/* Puts a program in force in all proxies: the image that the engine was given, and its
 * parameters. */
enum mp_err mp_fleet_program(struct mp_fleet *f, mp_str image, const struct mp_frame_param *params,
                             uint32_t param_count);

/* Tells all proxies what the inventory says, as lines that each have their end. MP_ELIMIT,
 * MP_ENOMEM. */
enum mp_err mp_fleet_inventory(struct mp_fleet *f, mp_str lines);

/* A connection. NULL: too many, or no memory. */
struct mp_fleet_peer *mp_fleet_open(struct mp_fleet *f, void *connection);
/* Bytes from it. False: they are not what a module says, and the connection should be closed. */
bool mp_fleet_take(struct mp_fleet_peer *peer, mp_str bytes);
void mp_fleet_close(struct mp_fleet_peer *peer);

/* Does the module of this proxy hold every lease that a module can, so that nothing else has to?
 * From when all its workers have passed the program and the newest revision until it is gone,
 * silent, or has refused a revision. Where two processes say that they are this proxy, both
 * must. */
bool mp_fleet_carries(const struct mp_fleet *f, mp_str layer, mp_str service, mp_str instance);

/* Has the module of this proxy told records of requests on the connection that it has? Then what
 * else tells of them tells them a second time. */
bool mp_fleet_tells(const struct mp_fleet *f, mp_str layer, mp_str service, mp_str instance);

/* Tells all proxies that have said who they are. */
void mp_fleet_each(const struct mp_fleet *f, void *ctx,
                   void (*proxy)(void *ctx, const struct mp_fleet_info *info));

#endif
