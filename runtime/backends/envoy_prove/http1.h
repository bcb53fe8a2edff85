/* SPDX-License-Identifier: Apache-2.0
 * http1.h - one answer of HTTP/1.1 (RFC 9112) out of bytes, without sockets: status and body.
 *
 * The other end is not trusted: lines, headers and body are bounded, and what two readers could
 * take differently (two lengths, a length and chunks) is refused.
 */
#ifndef MP_ENVOY_PROVE_HTTP1_H
#define MP_ENVOY_PROVE_HTTP1_H

#include "base/err.h"
#include "base/str.h"

#define MP_HTTP1_LINE_BYTES 8192 /* LIMIT: of a line of the head, or of a chunk's */
/* LIMIT: of all lines of an answer, trailers included */
#define MP_HTTP1_HEAD_BYTES_MAX (64u << 10)

enum mp_http1_got { MP_HTTP1_MORE, MP_HTTP1_DONE, MP_HTTP1_BAD };

enum mp_http1_state {
    MP_HTTP1_STATUS_LINE, MP_HTTP1_HEADER, MP_HTTP1_BODY, MP_HTTP1_BODY_TO_END,
    MP_HTTP1_CHUNK_SIZE, MP_HTTP1_CHUNK, MP_HTTP1_CHUNK_END, MP_HTTP1_TRAILER, MP_HTTP1_OVER
};

struct mp_http1 {
    enum mp_http1_state state;
    unsigned status;
    bool keeps;          /* the connection may be used again */
    size_t body_max;
    char *body;          /* malloc; valid when DONE */
    size_t body_len, body_cap;
    /* inside */
    bool has_length, chunked;
    size_t left;         /* of the body, or of the chunk */
    size_t head_bytes;
    size_t line_len;
    char line[MP_HTTP1_LINE_BYTES];
};

/* Before each answer; a body that was there is forgotten, its memory kept. The first time on
 * zeroed memory. */
void mp_http1_begin(struct mp_http1 *h, size_t body_max);
void mp_http1_free(struct mp_http1 *h);
/* The next bytes; *used of them belong to this answer. */
enum mp_http1_got mp_http1_take(struct mp_http1 *h, mp_str bytes, size_t *used);
/* The connection has ended: an answer without a length is whole now, another one is cut. */
enum mp_http1_got mp_http1_end(struct mp_http1 *h);

#endif
