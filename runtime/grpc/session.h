/* SPDX-License-Identifier: Apache-2.0
 * session.h - gRPC without sockets: the bytes of one HTTP/2 connection in and out.
 *
 * Owns:    one nghttp2 session, its streams and their queues.
 * Callers: server.c; the fuzz target and tests, which need no socket.
 * Memory:  malloc within the limits of what sessions share.
 */
#ifndef MP_GRPC_SESSION_H
#define MP_GRPC_SESSION_H

#include "grpc/grpc.h"

struct mp_grpc_session;

/* What all sessions of a server share. */
struct mp_grpc_shared {
    const struct mp_grpc_method *methods;
    size_t method_count;
    struct mp_grpc_limits limits; /* none of them 0: mp_grpc_limits_fill() */
    struct mp_grpc_counts counts;
};

/* Puts the default where a 0 is. */
void mp_grpc_limits_fill(struct mp_grpc_limits *limits);

/* What a session asks of whoever owns it. Both may be called from within any call into the
 * session, and must not call back into it there, but wants_out, where the call came from
 * mp_grpc_send or mp_grpc_finish and the session is not busy (mp_grpc_session_busy). */
struct mp_grpc_session_owner {
    void *ctx;
    void (*wants_out)(void *ctx);  /* mp_grpc_session_give() has something */
    void (*wants_call)(void *ctx); /* mp_grpc_session_tell() is due, soon */
};

/* `peer` is borrowed and must outlive the session. */
enum mp_err mp_grpc_session_open(struct mp_grpc_shared *shared, const struct mp_grpc_peer *peer,
                                 const struct mp_grpc_session_owner *owner,
                                 struct mp_grpc_session **out);
/* `closed` is called for all streams that are left. */
void mp_grpc_session_destroy(struct mp_grpc_session *s);

/* Bytes that came. Calls open, message, ended, closed, drained. false: the peer broke HTTP/2; what
 * give() has should still be sent, then the connection closed. */
bool mp_grpc_session_take(struct mp_grpc_session *s, mp_str bytes);
/* The next bytes to send, at most `size`; how many, 0: none now. Calls nothing of the methods. */
size_t mp_grpc_session_give(struct mp_grpc_session *s, char *to, size_t size);
/* Calls drained and closed where they are due. */
void mp_grpc_session_tell(struct mp_grpc_session *s);
/* A stream waits for `drained` with nothing queued: what all streams hold together was full.
 * Whoever owns the session calls mp_grpc_session_tell() again after a while. */
bool mp_grpc_session_starves(const struct mp_grpc_session *s);
/* A call is on its way inside take() or give(): neither may be called now. */
bool mp_grpc_session_busy(const struct mp_grpc_session *s);
/* The peer's first SETTINGS have come. */
bool mp_grpc_session_ready(const struct mp_grpc_session *s);
/* Nothing will be sent or understood any more. */
bool mp_grpc_session_over(const struct mp_grpc_session *s);
void mp_grpc_session_ping(struct mp_grpc_session *s);
/* Finishes all streams with UNAVAILABLE, and says GOAWAY. */
void mp_grpc_session_end(struct mp_grpc_session *s, mp_str text);

#endif
