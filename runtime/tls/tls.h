/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS without sockets: bytes of the wire in, plain bytes out, and the other way round.
 *
 * Owns:    contexts (certificates, trust) and connections. OpenSSL stays inside.
 * Callers: grpc (server), envoy_prove (client), tests.
 * Threads: one at a time for a context and its connections.
 * Memory:  OpenSSL's; about 50 kB a connection. What waits to be sent is as long as what was
 *          written.
 */
#ifndef MP_TLS_TLS_H
#define MP_TLS_TLS_H

#include "base/err.h"
#include "base/str.h"

struct mp_tls_context;
struct mp_tls;

struct mp_tls_options {
    bool server;
    /* Files in PEM. cert and key: who we are, both or none (a server needs them). ca: whom we
     * trust; a server demands a certificate when it is given. A client without `ca` verifies
     * nothing. */
    const char *cert, *key, *ca;
    const char *alpn; /* the one protocol that is spoken ("h2"), or NULL: none is agreed on */
};

/* TLS 1.2 and above. `why` says what is wrong, one line. MP_EINVAL: a file; MP_ENOMEM. */
enum mp_err mp_tls_context_create(const struct mp_tls_options *options, struct mp_tls_context **out,
                                  char *why, size_t why_size);
/* Its connections go on; the memory goes with the last of them. NULL is allowed. */
void mp_tls_context_destroy(struct mp_tls_context *context);
/* Is one of its certificates, our own or one of whom we trust, not valid at this time (seconds
 * since 1970)? `why` gets the first, one line; untouched where all are. */
bool mp_tls_out_of_date(const struct mp_tls_context *context, int64_t now_s, char *why,
                        size_t why_size);

/* One connection; a client has its first bytes to send at once. */
enum mp_err mp_tls_create(struct mp_tls_context *context, struct mp_tls **out);
void mp_tls_destroy(struct mp_tls *tls);

/* Bytes that came from the wire. MP_EINVAL: the peer broke the protocol or was refused,
 * mp_tls_trouble says why; what is to be sent (the alert) should still go out. */
enum mp_err mp_tls_take(struct mp_tls *tls, mp_str wire);
/* Plain bytes out of what was taken: how many, 0 for none now. MP_EINVAL as above. */
enum mp_err mp_tls_read(struct mp_tls *tls, char *to, size_t size, size_t *got);
/* Plain bytes to be sent; all of them are taken. MP_EAGAIN: the handshake is not over. */
enum mp_err mp_tls_write(struct mp_tls *tls, mp_str plain);
/* Says to the peer that this was all. */
void mp_tls_finish(struct mp_tls *tls);
/* Wire bytes that wait to be sent, borrowed until the next call; then how many of them were
 * taken. */
mp_str mp_tls_wire(struct mp_tls *tls);
void mp_tls_wire_sent(struct mp_tls *tls, size_t count);

/* The handshake is over, the peer is verified (if it was to be) and speaks the protocol of
 * `alpn`. */
bool mp_tls_ready(const struct mp_tls *tls);
/* The peer has said that this was all. */
bool mp_tls_ended(const struct mp_tls *tls);
/* The peer's certificate has exactly one subject alternative name of type URI: that.
 * MP_ENOTFOUND: no certificate, none, or more than one; also where it has a NUL or is longer than
 * `size`. */
enum mp_err mp_tls_identity(const struct mp_tls *tls, char *to, size_t size, mp_str *out);
/* A name in the certificate that the peer has shown, also in one that was refused: its first URI,
 * else its first DNS name, else its subject; printable ASCII. Empty: none was shown. Nobody has
 * vouched for it: only for a log. Borrowed until the connection goes. */
mp_str mp_tls_shown_name(struct mp_tls *tls);
/* What went wrong, for a log; never empty after an MP_EINVAL. Borrowed until the next call. */
mp_str mp_tls_trouble(const struct mp_tls *tls);

#endif
