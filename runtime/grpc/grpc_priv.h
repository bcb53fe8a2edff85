/* SPDX-License-Identifier: Apache-2.0
 * grpc_priv.h - what session.c and stream.c share.
 */
#ifndef MP_GRPC_GRPC_PRIV_H
#define MP_GRPC_GRPC_PRIV_H

#include <nghttp2/nghttp2.h>

#include "grpc/session.h"

#define GRPC_HEAD_BYTES 5 /* compressed flag, length of the message in four bytes, big end first */
#define KEPT_BYTES (64u << 10) /* a buffer that is larger is given back when it is empty */
#define PATH_BYTES_MAX 256

/* A message that comes in. */
struct grpc_incoming {
    uint8_t head[GRPC_HEAD_BYTES];
    unsigned head_len;
    uint32_t need; /* valid when the head is whole */
    char *bytes;
    size_t len, cap;
};

/* Bytes that wait to go out: [from, from + len). */
struct grpc_outgoing {
    char *bytes;
    size_t from, len, cap;
};

struct mp_grpc_stream {
    struct mp_grpc_session *session;
    struct mp_grpc_stream *next, *before;
    int32_t id;
    const struct mp_grpc_method *method; /* NULL: refused before it began */
    void *state;                         /* NULL: `closed` is not due */
    struct grpc_incoming in;
    struct grpc_outgoing out;
    size_t header_bytes;
    char path[PATH_BYTES_MAX];
    size_t path_len;
    bool post, grpc, encoded;
    bool began;      /* the headers of the answer are submitted */
    bool finished;   /* mp_grpc_finish */
    bool deferred;   /* nghttp2 waits to be told of more bytes */
    bool peer_ended;
    bool waits;      /* for `drained` */
    bool due;        /* and is told in this turn */
    bool gone;       /* at the level of HTTP/2 */
    enum mp_grpc_status status;
    char text[1025]; /* of the end */
    size_t text_len;
};

struct mp_grpc_session {
    struct mp_grpc_shared *shared;
    const struct mp_grpc_peer *peer;
    struct mp_grpc_session_owner owner;
    nghttp2_session *h2;
    struct mp_grpc_stream *streams;
    const uint8_t *rest; /* of what nghttp2 wants to send */
    size_t rest_len;
    bool busy, ready, broken, telling, counted;
};

/* stream.c */
struct mp_grpc_stream *grpc_stream_open(struct mp_grpc_session *s, int32_t id);
/* Memory and place in the list; calls nothing. */
void grpc_stream_free(struct mp_grpc_stream *stream);
/* All request headers are there. */
void grpc_stream_begin(struct mp_grpc_stream *stream);
void grpc_stream_take(struct mp_grpc_stream *stream, mp_str bytes);
void grpc_stream_ended(struct mp_grpc_stream *stream);
/* It waits for room, and it is not its own queue that is full. */
bool grpc_stream_starves(const struct mp_grpc_stream *stream);
/* Ends a stream that has no answer yet by one block of headers. */
void grpc_stream_refuse(struct mp_grpc_stream *stream, enum mp_grpc_status status,
                        const char *text);

#endif
