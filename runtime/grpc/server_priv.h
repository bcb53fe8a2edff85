/* SPDX-License-Identifier: Apache-2.0
 * server_priv.h - what server.c and listen.c share.
 */
#ifndef MP_GRPC_SERVER_PRIV_H
#define MP_GRPC_SERVER_PRIV_H

#include "grpc/session.h"
#include "tls/tls.h"

#define ROOM_BYTES (64u << 10)

union grpc_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct mp_grpc_server {
    uv_loop_t *loop;
    struct mp_grpc_shared shared;
    struct mp_grpc_method *methods;
    struct mp_tls_context *tls; /* NULL: plain */
    char trouble[256];          /* of TLS, the last */
    void (*refused)(void *ctx, const struct mp_grpc_refused *peer);
    void *refused_ctx;
    union grpc_socket listener;
    bool local;                 /* a unix socket */
    bool listening, closing;
    uint32_t handles;           /* of connections and the listener, that are not closed yet */
    struct grpc_connection *connections;
    uint64_t next_connection;
    char read_room[ROOM_BYTES], plain_room[ROOM_BYTES], write_room[ROOM_BYTES];
};

/* listen.c: binds and listens; `why` says what is wrong. */
enum mp_err grpc_listen(struct mp_grpc_server *server, const char *where,
                        uv_connection_cb on_connection, char *why, size_t why_size);

#endif
