/* SPDX-License-Identifier: Apache-2.0
 * mesh_priv.h - what the files mesh*.c share.
 */
#ifndef MP_DAEMON_MESH_PRIV_H
#define MP_DAEMON_MESH_PRIV_H

#include "daemon/daemon_priv.h"
#include "daemon/mesh_secrets.h"
#include "daemon/mesh_world_priv.h"
#include "daemon/records.h"
#include "envoy_prove/prove.h"
#include "envoy_xds/envoy_xds.h"
#include "grpc/grpc.h"
#include "tls/pem.h"

struct mesh_proof;

#define OUT_OF_DATE_BYTES 256
#define MESH_DOORS 12

/* A path at which discovery is asked for. */
struct mesh_door;
struct mesh_entry {
    struct dm_mesh *m;
    const struct mesh_door *door;
};

/* Peers that the port did not let in, of one address, name and reason. */
struct mesh_refusal {
    char host[80], name[160], why[160];
    uint64_t count; /* 0: a free row */
    int64_t last_ns, said_ns;
};
#define REFUSED_ROWS 16
struct mesh_refusals {
    struct mesh_refusal rows[REFUSED_ROWS];
    uint32_t lines; /* in the log, since minute_ns */
    int64_t minute_ns;
};

/* The mesh of proxies that `--xds` serves. */
struct dm_mesh {
    struct dm *d;
    struct dm_mesh_world *world;
    struct dm_secrets *secrets; /* NULL: none are served */
    struct mp_envoy *envoy;
    struct mp_grpc_server *server;
    struct mesh_entry entries[MESH_DOORS];
    struct mp_prover *prover;
    struct dm_records *records; /* what proxies saw */
    struct mesh_proof *proofs;  /* that are asked for; a list */
    /* Of the port's own certificates: what was said of their dates, and why what lies there now is
     * not used; empty: nothing. `files` changes with the files. */
    char out_of_date[OUT_OF_DATE_BYTES], not_used[OUT_OF_DATE_BYTES];
    uint64_t files;
    struct mesh_refusals refusals;
    uv_timer_t prove_timer;     /* what host.prove could not begin at once */
    bool timers_open;
};

/* By the wall clock, seconds since 1970. */
int64_t mesh_now_s(const struct dm_mesh *m);

/* mesh_certificates.c: those of the port itself */
/* Are the files what they should be? False: it has said which is not. Before the port is opened. */
bool mesh_certificates_ready(struct dm_mesh *m);
/* Takes files that were renewed, and tells what has become out of date. */
void mesh_certificates_look(struct dm_mesh *m);

/* mesh_prove.c: envoy_xds's questions → the prover, and back */
void mesh_prove(void *ctx, const struct mp_envoy_ask *ask);
void mesh_prove_cancel(void *ctx, uint64_t ticket);
void mesh_look(void *ctx, const struct mp_envoy_look *look);
bool mesh_prove_open(struct dm_mesh *m);
void mesh_prove_close(struct dm_mesh *m);

/* mesh_refused.c: the port refuses a peer -> a row of `status`, and a line of the log, paced */
void mesh_refused(void *ctx, const struct mp_grpc_refused *peer);
/* A line for each that came within the last hour; `now_ns` of the clock that only goes forward. */
void mesh_refused_tell(const struct dm_mesh *m, int64_t now_ns, struct dm_bytes *out);

/* mesh_nacks.c: envoy_xds is told of a NACK -> an incident */
void mesh_nack(void *ctx, const struct mp_envoy_refusal *refusal);

/* mesh_memory.c: envoy_xds forgets a proxy -> its row goes */
void mesh_forget(void *ctx, mp_str node);

#endif
