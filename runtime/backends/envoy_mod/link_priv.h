/* SPDX-License-Identifier: Apache-2.0
 * link_priv.h - the link's state, and the file that it keeps; this folder only.
 */
#ifndef MP_ENVOY_MOD_LINK_PRIV_H
#define MP_ENVOY_MOD_LINK_PRIV_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "envoy_mod/link.h"

/* What was taken last, and whether the control plane still waits to hear that all workers have
 * passed. */
struct outstanding {
    uint64_t revision;
    bool waits;
};

struct mp_link {
    struct mp_mod_config config;
    struct mp_gate *gate;
    uint32_t workers;
    struct mp_ring *rings;
    uint32_t ring_count;
    struct mp_link_host host;
    pthread_t thread;
    bool has_thread;
    int wake_fd;
    _Atomic bool stop, asleep;
    /* the thread's own */
    int fd;
    int64_t retry_at, counts_at, backoff_ms; /* monotonic */
    struct mp_frame_out in, out;
    size_t sent; /* of out */
    struct outstanding program, leases;
    struct mp_frame_out kept_program, kept_inventory, kept_leases; /* whole frames */
    bool state_due;
};

/* link_state.c: the file: a frame of each kind, or of some. Bodies borrow `bytes` and
 * `leases_now`. */
struct link_state {
    mp_str program, inventory, leases;
    char *bytes;
    struct mp_frame_out leases_now; /* without those that have ended */
};
/* Where the newest frame of a kind is kept. */
struct mp_frame_out *link_state_kept(struct mp_link *l, uint8_t what);
/* False: there is none, or it is damaged. */
bool link_state_read(struct mp_link *l, int64_t now_wall_ns, struct link_state *out);
void link_state_free(struct link_state *state);
/* Written beside it, then renamed: what is there is always whole. */
bool link_state_write(struct mp_link *l);

#endif
