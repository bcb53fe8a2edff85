/* SPDX-License-Identifier: Apache-2.0
 * client.h - a gRPC client for tests and benches, on the caller's loop: stands in for an Envoy.
 *
 * It is as small as it can be: one connection, calls with any number of messages both ways.
 * Callbacks are called from within the loop. It can also misbehave (options), so that a server
 * can be seen to cope.
 */
#ifndef MP_TESTS_GRPC_CLIENT_H
#define MP_TESTS_GRPC_CLIENT_H

#include <uv.h>

#include "base/str.h"

struct grpc_client;
struct grpc_call;

struct grpc_client_options {
    const char *target;           /* "127.0.0.1:PORT" or "unix:PATH" */
    bool tls;                     /* with ALPN h2; the server is verified when `ca` is given */
    const char *cert, *key, *ca;  /* files in PEM, or NULL */
    const char *alpn;             /* NULL: "h2" */
    int32_t window_bytes;         /* of flow control, of streams and connection; 0: 16 MiB */
    size_t data_bytes;            /* of one DATA frame, at most; 0: as HTTP/2 has it */
    bool deaf;                    /* PINGs are not answered */
    const char *content_type;     /* NULL: application/grpc */
    const char *method;           /* NULL: POST */
    const char *more_name, *more_value; /* a header more, or NULL */
    /* The connection is over: refused, closed, broken. `why` is for a human. May be NULL. Called
     * once. */
    void (*closed)(void *ctx, const char *why);
    void *ctx;
};

struct grpc_call_options {
    const char *path;
    void (*message)(void *ctx, mp_str message); /* may be NULL */
    /* The call is over; status of gRPC, or -1 where the server gave none (HTTP status or error in
     * text). Called once, unless the client is closed by grpc_client_close. May be NULL. */
    void (*ended)(void *ctx, int status, mp_str text);
    void *ctx;
};

/* Connects in the background; calls may be made and messages sent at once. NULL: no memory, no such
 * target, no such file. */
struct grpc_client *grpc_client_open(uv_loop_t *loop, const struct grpc_client_options *options);
/* No callback comes any more; memory is given back when the loop has run. */
void grpc_client_close(struct grpc_client *client);
bool grpc_client_connected(const struct grpc_client *client);

struct grpc_call *grpc_call_open(struct grpc_client *client,
                                 const struct grpc_call_options *options);
void grpc_call_send(struct grpc_call *call, mp_str message);
/* Bytes as they are, without the 5 bytes before them. */
void grpc_call_send_raw(struct grpc_call *call, mp_str bytes);
void grpc_call_half_close(struct grpc_call *call); /* nothing more will be sent */
void grpc_call_cancel(struct grpc_call *call);     /* RST_STREAM; `ended` comes */
/* Reads no more from the socket, or again. */
void grpc_client_pause(struct grpc_client *client, bool paused);

#endif
