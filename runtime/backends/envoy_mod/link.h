/* SPDX-License-Identifier: Apache-2.0
 * link.h - the module's thread of its own: a connection to the control plane, made again and again.
 *
 * Brings programs and leases into the gate, tells what was taken and what every worker has
 * passed, and ships what is in the rings. While nobody is there everything stays in force
 * (fail-static), and rings that are full count what they drop.
 *
 * Owns:    the thread, the socket, copies of the newest frames (for the file `state`).
 * Callers: the hooks: start and stop on the proxy's main thread, wake on any.
 * Threads: the gate's publisher is this thread, between start and stop.
 * LIMIT:   a record waits for at most 1 MiB of others to be sent; then its ring fills.
 */
#ifndef MP_ENVOY_MOD_LINK_H
#define MP_ENVOY_MOD_LINK_H

#include "envoy_mod/config.h"
#include "envoy_mod/gate.h"
#include "envoy_mod/ring.h"

struct mp_link;

/* What the link needs of the proxy around it. All but `log` may be called on the link's thread
 * only. */
struct mp_link_host {
    void *ctx;
    void (*log)(void *ctx, bool warning, const char *text);
    /* Leases that refuse somebody have come: look at all open streams. */
    void (*cut)(void *ctx);
    /* Has every worker looked, since the last call of `cut`? */
    bool (*cut_done)(void *ctx);
    uint64_t (*cut_count)(void *ctx);
};

struct mp_link_options {
    const struct mp_mod_config *config; /* copied */
    struct mp_gate *gate;
    uint32_t workers;
    struct mp_ring *rings;              /* ring_count of them; they outlive the link */
    uint32_t ring_count;
    struct mp_link_host host;
};

/* Puts what the file `state` holds in force, then starts the thread, if there is a socket to
 * connect to. MP_ENOMEM, MP_EIO. */
enum mp_err mp_link_start(const struct mp_link_options *options, struct mp_link **out);
/* Ends the thread and waits for it. What is in force stays, and workers may still wake it. Once
 * or twice is the same. */
void mp_link_stop(struct mp_link *link);
/* Stops it, if need be, and frees it. NULL is nothing. */
void mp_link_destroy(struct mp_link *link);
/* A ring has something, or workers have passed something. Costs a load where the link is awake. */
void mp_link_wake(struct mp_link *link);

#endif
