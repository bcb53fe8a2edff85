/* SPDX-License-Identifier: Apache-2.0
 * grpc.h - a gRPC server for long bidirectional streams, on nghttp2, libuv and OpenSSL.
 *
 * Owns:    one listening socket, its connections, their streams and queues.
 * Callers: the daemon (Envoy's discovery and access logs); tests and benches.
 * Threads: one, that of the loop. Callbacks are called from within the loop only, never from
 *          within a call into this module (but mp_grpc_close), so a caller may change its state
 *          around a call.
 * Memory:  malloc, bounded by the limits: a message that comes in grows with its bytes and not
 *          with the length that it claims; queues of what goes out are refused when full.
 *
 * Protocol: "gRPC over HTTP2" (PROTOCOL-HTTP2.md of grpc/grpc), without compression; HTTP/2 is
 *           RFC 9113.
 * A peer that sends what it must not loses its own stream or its own connection, and is counted.
 */
#ifndef MP_GRPC_GRPC_H
#define MP_GRPC_GRPC_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

/* Status codes, numbers of the protocol. */
enum mp_grpc_status {
    MP_GRPC_OK = 0,
    MP_GRPC_CANCELLED = 1,
    MP_GRPC_UNKNOWN = 2,
    MP_GRPC_INVALID_ARGUMENT = 3,
    MP_GRPC_DEADLINE_EXCEEDED = 4,
    MP_GRPC_NOT_FOUND = 5,
    MP_GRPC_PERMISSION_DENIED = 7,
    MP_GRPC_RESOURCE_EXHAUSTED = 8,
    MP_GRPC_FAILED_PRECONDITION = 9,
    MP_GRPC_ABORTED = 10,
    MP_GRPC_UNIMPLEMENTED = 12,
    MP_GRPC_INTERNAL = 13,
    MP_GRPC_UNAVAILABLE = 14,
    MP_GRPC_UNAUTHENTICATED = 16,
};

struct mp_grpc_server;
struct mp_grpc_stream;

/* Who is at the other end; lives as long as the stream. */
struct mp_grpc_peer {
    mp_str address;      /* "127.0.0.1:4711", "[::1]:4711", or "unix" */
    mp_str identity;     /* the one URI SAN of the verified client certificate; empty without TLS */
    uint64_t connection; /* a number that is never used again in this server's life; from 1 */
    bool tls;
};

/* One method. Streams of it are served until a side ends. */
struct mp_grpc_method {
    /* "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources" */
    const char *path;
    size_t message_bytes_max; /* 0: that of the limits */
    void *ctx;                /* the first argument of `open` */
    /* A stream begins; its headers are read, no message yet. The answer is the state that the other
     * functions get. It may send. NULL: refused; it may say why with mp_grpc_finish(), else the
     * peer is told RESOURCE_EXHAUSTED; `closed` is not called then. */
    void *(*open)(void *ctx, struct mp_grpc_stream *stream);
    /* One whole message, borrowed for the call. false: it is not valid, the stream is finished with
     * INVALID_ARGUMENT unless mp_grpc_finish() has said something better. No message comes after
     * that. */
    bool (*message)(void *state, mp_str message);
    /* All that was queued has gone to the socket, after a send that answered MP_ELIMIT. May be
     * NULL. */
    void (*drained)(void *state);
    /* The peer will send no more. NULL: the stream is finished with OK once all is sent. */
    void (*ended)(void *state);
    /* The stream is over, whoever ended it: called exactly once for each `open` that answered a
     * state, also after mp_grpc_finish(). `stream` must not be used from here on. */
    void (*closed)(void *state);
};

/* 0 means the default that is named. */
struct mp_grpc_limits {
    uint32_t connections;       /* 1,024; one more is closed at once */
    uint32_t streams;           /* of a connection: 16 */
    size_t message_bytes;       /* coming in: 4 MiB */
    size_t header_bytes;        /* names and values of one request: 16 KiB */
    /* going out, of a stream: 16 MiB; one message may always be queued alone */
    size_t queued_bytes;
    /* messages coming in and queues going out, of the server: 512 MiB */
    size_t total_bytes;
    /* of flow control, of a stream; of a connection four times that: 1 MiB */
    uint32_t window_bytes;
    uint32_t quiet_ms;          /* nothing heard: a PING is sent: 5,000 */
    uint32_t dead_ms;           /* and nothing heard after it: the connection is closed: 5,000 */
    uint32_t handshake_ms;      /* from accepting to HTTP/2's first SETTINGS: 5,000 */
};

/* A TLS peer that was not let in, or that broke TLS later. Borrowed for the call. */
struct mp_grpc_refused {
    mp_str address; /* as in mp_grpc_peer */
    mp_str name;    /* of the certificate that it showed, by its own word; empty: it showed none */
    mp_str why;     /* one line without a full stop */
};

struct mp_grpc_options {
    /* "ADDR:PORT", "[ADDR]:PORT", ":PORT" (loopback) with numeric ADDR and PORT (0: any free
     * one), or "unix:PATH". */
    const char *listen;
    /* Files in PEM: our certificate (with its chain), its key, and the CAs of clients. All three,
     * or all NULL. Without them the server speaks plain HTTP/2, and listens on loopback or a unix
     * socket only. With them every client must show a certificate of these CAs with exactly one
     * URI SAN. */
    const char *cert, *key, *client_ca;
    /* Told of each TLS peer that is refused. May be NULL. */
    void (*refused)(void *ctx, const struct mp_grpc_refused *peer);
    void *refused_ctx;
    const struct mp_grpc_method *methods; /* copied; the texts must live as long as the server */
    size_t method_count;
    struct mp_grpc_limits limits;
};

/* Since the start, but those marked `now`. */
struct mp_grpc_counts {
    uint64_t connections_now, streams_now;
    uint64_t queued_bytes_now; /* wait to be sent */
    uint64_t queue_memory_now, incoming_bytes_now; /* memory for them, and for what comes in */
    uint64_t connections, streams;
    uint64_t messages_in, messages_out, bytes_in, bytes_out; /* bytes: of messages */
    uint64_t connections_refused; /* one too many */
    /* no or wrong certificate, identity or version: tls_trouble says more */
    uint64_t tls_refused;
    uint64_t protocol_errors;     /* connections that ended because the peer broke HTTP/2 */
    uint64_t dead_peers;          /* no answer to a PING, or no handshake in time */
    uint64_t streams_refused;     /* unknown method, no gRPC, too many streams */
    uint64_t headers_too_large, messages_too_large, messages_compressed, messages_cut,
        messages_invalid;
    uint64_t queue_full;          /* sends that answered MP_ELIMIT */
};

/* Listens. The loop must outlive the server. MP_EINVAL (address, missing file, plain where it
 * must not be), MP_EIO (the socket), MP_ENOMEM; then `why` says what, one line without a full
 * stop. */
enum mp_err mp_grpc_open(uv_loop_t *loop, const struct mp_grpc_options *options,
                         struct mp_grpc_server **out, char *why, size_t why_size);
/* The port it listens on; 0 for a unix socket. */
uint16_t mp_grpc_port(const struct mp_grpc_server *server);
/* Is one of its certificates not valid at this time (seconds since 1970)? `why` gets which, one
 * line; untouched where all are, or where it speaks plain. */
bool mp_grpc_out_of_date(const struct mp_grpc_server *server, int64_t now_s, char *why,
                         size_t why_size);
/* Certificate, key and CAs anew, as in the options: for who comes from now on; connections that are
 * there go on. MP_EINVAL with `why` (also where it speaks plain), MP_ENOMEM: it stays as it was. */
enum mp_err mp_grpc_renew(struct mp_grpc_server *server, const struct mp_grpc_options *options,
                          char *why, size_t why_size);
/* Ends: peers are told (UNAVAILABLE, GOAWAY), `closed` is called for all streams before this
 * returns, sockets are closed. The loop must run until its handles are gone; then the memory is
 * given back too. NULL is allowed. Not from within a callback. */
void mp_grpc_close(struct mp_grpc_server *server);
void mp_grpc_counts_get(const struct mp_grpc_server *server, struct mp_grpc_counts *out);
/* What the last refused TLS peer did wrong; empty when none was.
 * Borrowed until the loop runs on. */
mp_str mp_grpc_tls_trouble(const struct mp_grpc_server *server);

/* Queues one message, and gives to the socket what it takes at once. MP_ELIMIT: the queue is
 * full, the message is not queued; `drained` will be called. MP_ESTALE: the stream is finished or
 * broken, `closed` has been or will be called. MP_ENOMEM. */
enum mp_err mp_grpc_send(struct mp_grpc_stream *stream, mp_str message);
/* Bytes that are queued and not given to the socket yet. */
size_t mp_grpc_queued(const struct mp_grpc_stream *stream);
/* Ends the stream after what is queued; `text` is for the peer's log (any UTF-8, at most 1,024
 * bytes are sent). Nothing is received any more. A second call does nothing. */
void mp_grpc_finish(struct mp_grpc_stream *stream, enum mp_grpc_status status, mp_str text);
const struct mp_grpc_peer *mp_grpc_stream_peer(const struct mp_grpc_stream *stream);

#endif
