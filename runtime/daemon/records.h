/* SPDX-License-Identifier: Apache-2.0
 * records.h - what proxies tell of requests and connections (access log service) → engine.
 *
 * Owns:    the names that the program in force reads of such entries, who speaks on each stream,
 *          counts.
 * Callers: mesh.c, from within the loop.
 * Threads: one. Memory: malloc when something opens; nothing while entries pass.
 *
 * Who speaks: node id LAYER/SERVICE/INSTANCE of the stream's first message, checked against the
 * identity of its connection. A sidecar and an edge speak of themselves: service and instance of
 * a record are theirs, whatever an entry says. A gateway speaks of whom it asked: the service is
 * the cluster that its route chose (`checkout@v2` is `checkout`), the instance the one that
 * listens at the upstream address. Who asks: the client's address; the identity of the
 * certificate that it showed, never a header; and the service that has this identity. An entry
 * with a rule of ours in its details is a record of `refusals`, not of `requests`; our probes are
 * no records at all, nor is a request that the module of the same proxy tells of. The time of a
 * record is the end of its request, and never after now.
 */
#ifndef MP_DAEMON_RECORDS_H
#define MP_DAEMON_RECORDS_H

#include "base/str.h"
#include "envoy_xds/world.h"

struct dm;
struct mp_envoy;
struct mp_grpc_peer;
struct mp_prover;
struct dm_records;

/* `envoy` and `world` must outlive it. NULL: no memory. */
struct dm_records *dm_records_open(struct dm *d, struct mp_envoy *envoy,
                                   const struct mp_envoy_world *world);
/* Whose connections to proxies are no records; NULL: nobody's (any more). */
void dm_records_prover(struct dm_records *r, struct mp_prover *prover);
/* All streams must be closed before. NULL is allowed. */
void dm_records_close(struct dm_records *r);

/* One stream of StreamAccessLogs; `peer` lives as long as the stream. NULL: no memory. */
void *dm_records_stream(struct dm_records *r, const struct mp_grpc_peer *peer);
/* One message. False: it is malformed, and the stream should end. */
bool dm_records_message(void *stream, mp_str bytes);
void dm_records_stream_closed(void *stream);

/* Tells the engine that what proxies tell of is heard of while a known one is connected, and that
 * it is silent once none is (R6: all proxies are one source). About once a second, and after a
 * stream of discovery has come or gone. */
void dm_records_tick(struct dm_records *r);

struct dm_records_counts {
    uint64_t streams, streams_now, messages;
    uint64_t malformed;     /* messages; their streams were ended */
    uint64_t requests, refusals, connections; /* records */
    uint64_t probes;        /* entries of our own questions */
    uint64_t intermediate;  /* entries of what has not ended */
    uint64_t doubled;       /* entries of requests that the proxy's module tells of */
    uint64_t unread;        /* the program in force reads no such signal */
    /* entries of a proxy whose node id is none of ours, or that may not speak */
    uint64_t unknown;
    uint64_t foreign;       /* entries under another node id than the stream's first */
    uint64_t other_logs;    /* entries of logs that are not named as ours */
    uint64_t many_names;    /* records of callers whose certificate has several URIs */
};
void dm_records_counts_get(const struct dm_records *r, struct dm_records_counts *out);

#endif
