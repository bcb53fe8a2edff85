/* SPDX-License-Identifier: Apache-2.0
 * One HTTP/1.1 connection over TLS, blocking, with the few things that a client of the stories
 * must be able to do by itself: call from an address of its choice, keep a connection, resume a
 * session, watch a stream.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shop.h"

#define WAIT_S 10 /* for an answer, and for the next piece of a stream */
#define HEAD_MAX 4096

struct wire {
    struct wire_place place;
    char from[40];
    int fd;
    SSL *tls;
    SSL_SESSION *session; /* of the newest ticket */
    bool resume, chunked;
    char in[HEAD_MAX + 1]; /* what has come and was not used yet */
    size_t in_len, body_left;
};

/* ---- the connection ---- */

/* TLS 1.3 sends tickets after the handshake: each replaces the one before. */
static int on_ticket(SSL *tls, SSL_SESSION *session)
{
    struct wire *w = SSL_get_app_data(tls);
    if (w == NULL) return 0;
    SSL_SESSION_free(w->session);
    w->session = session;
    return 1;
}

struct wire *wire_create(const struct wire_place *place)
{
    struct wire *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->place = *place;
    w->fd = -1;
    snprintf(w->from, sizeof w->from, "%s", place->from);
    w->place.from = w->from;
    SSL_CTX_set_session_cache_mode(place->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(place->tls, on_ticket);
    return w;
}

void wire_drop(struct wire *w)
{
    if (w->tls != NULL) {
        SSL_shutdown(w->tls); /* says goodbye, and keeps the session usable */
        SSL_free(w->tls);
    }
    if (w->fd >= 0) close(w->fd);
    w->tls = NULL;
    w->fd = -1;
    w->in_len = 0;
}

void wire_destroy(struct wire *w)
{
    if (w == NULL) return;
    wire_drop(w);
    SSL_SESSION_free(w->session);
    free(w);
}

bool wire_is_open(const struct wire *w) { return w->tls != NULL; }

void wire_resume(struct wire *w, bool on) { w->resume = on; }

static int dial(const struct wire_place *place)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct timeval wait = {WAIT_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return -1;
    inet_pton(AF_INET, place->from, &from.sin_addr);
    to.sin_port = htons(place->port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool connect_wire(struct wire *w)
{
    w->fd = dial(&w->place);
    w->tls = w->fd >= 0 ? SSL_new(w->place.tls) : NULL;
    if (w->tls == NULL) {
        wire_drop(w);
        return false;
    }
    SSL_set_app_data(w->tls, w);
    SSL_set_fd(w->tls, w->fd);
    if (w->resume && w->session != NULL) SSL_set_session(w->tls, w->session);
    if (SSL_connect(w->tls) == 1) return true;
    wire_drop(w);
    return false;
}

/* ---- one request ---- */

static bool send_all(struct wire *w, const char *bytes, size_t len)
{
    while (len > 0) {
        int sent = SSL_write(w->tls, bytes, len < 16384 ? (int)len : 16384);
        if (sent <= 0) return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static bool send_ask(struct wire *w, const struct wire_ask *ask)
{
    static const char zeros[16384];
    char head[1024];
    int len =
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nhost: %s\r\ncontent-length: %zu\r\n%s\r\n",
                 ask->method != NULL ? ask->method : "GET", ask->path,
                 ask->host != NULL ? ask->host : "shop", ask->body_bytes,
                 ask->headers != NULL ? ask->headers : "");
    if (len < 0 || (size_t)len >= sizeof head || !send_all(w, head, (size_t)len)) return false;
    for (size_t left = ask->body_bytes; left > 0;) {
        size_t piece = left < sizeof zeros ? left : sizeof zeros;
        if (!send_all(w, zeros, piece)) return false;
        left -= piece;
    }
    return true;
}

static bool read_more(struct wire *w)
{
    if (w->in_len == HEAD_MAX) return false;
    int got = SSL_read(w->tls, w->in + w->in_len, (int)(HEAD_MAX - w->in_len));
    if (got <= 0) return false;
    w->in_len += (size_t)got;
    w->in[w->in_len] = '\0';
    return true;
}

static void eat(struct wire *w, size_t len)
{
    memmove(w->in, w->in + len, w->in_len - len + 1);
    w->in_len -= len;
}

/* The value of a header in the head that ends at `end`, or NULL. */
static const char *header(const struct wire *w, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = w->in; at != NULL && at < end; at = strstr(at, "\r\n")) {
        at += at == w->in ? 0 : 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':')
            return at + len + 1 + strspn(at + len + 1, " ");
        if (at == w->in && strstr(at, "\r\n") == NULL) return NULL;
    }
    return NULL;
}

static bool read_head(struct wire *w, struct wire_answer *out)
{
    const char *end = NULL;
    while ((end = w->in_len > 0 ? strstr(w->in, "\r\n\r\n") : NULL) == NULL) {
        if (!read_more(w)) return false;
    }
    if (sscanf(w->in, "HTTP/1.%*d %d", &out->status) != 1) return false;
    const char *length = header(w, end, "content-length"),
               *coding = header(w, end, "transfer-encoding");
    const char *instance = header(w, end, "x-instance");
    w->body_left = length != NULL ? strtoul(length, NULL, 10) : 0;
    w->chunked = coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
    if (instance != NULL) {
        snprintf(out->instance, sizeof out->instance, "%.*s", (int)strcspn(instance, "\r"),
                 instance);
    }
    eat(w, (size_t)(end - w->in) + 4);
    return true;
}

/* Services answer chunked only on streams; Envoy's own answers have a length. */
static bool read_body(struct wire *w)
{
    for (;;) {
        size_t have = w->in_len < w->body_left ? w->in_len : w->body_left;
        if (have > 0) eat(w, have);
        w->body_left -= have;
        if (w->body_left == 0) return true;
        if (!read_more(w)) return false;
    }
}

static bool exchange(struct wire *w, const struct wire_ask *ask, bool stream,
                     struct wire_answer *out)
{
    /* Who is refused is told so before all of the body was taken: then the rest cannot be sent. */
    bool sent = send_ask(w, ask);
    if (!read_head(w, out)) return false;
    bool whole = stream || (!w->chunked && read_body(w));
    if (!sent) wire_drop(w);
    return whole || !sent;
}

static struct wire_answer ask_wire(struct wire *w, const struct wire_ask *ask, bool stream)
{
    struct wire_answer answer = {0};
    int64_t begun = tell_now_ns();
    for (int attempt = 0; attempt < 2 && answer.status == 0; attempt++) {
        answer.fresh = w->tls == NULL;
        if (answer.fresh && !connect_wire(w)) break;
        answer.resumed = SSL_session_reused(w->tls) == 1;
        if (exchange(w, ask, stream, &answer)) break;
        /* A kept connection may have been closed under us:
         * that is tried once more, on a new one. */
        answer.status = 0;
        bool again = !answer.fresh;
        wire_drop(w);
        if (!again) break;
    }
    answer.took_ns = tell_now_ns() - begun;
    return answer;
}

struct wire_answer wire_get(struct wire *w, const struct wire_ask *ask)
{
    return ask_wire(w, ask, false);
}

struct wire_answer wire_open_stream(struct wire *w, const struct wire_ask *ask)
{
    return ask_wire(w, ask, true);
}

bool wire_more(struct wire *w)
{
    w->in_len = 0;
    bool more = w->tls != NULL && read_more(w);
    /* The last chunk ends a stream in good order. */
    if (more && w->in_len >= 5 && memcmp(w->in + w->in_len - 5, "0\r\n\r\n", 5) == 0) more = false;
    if (!more) wire_drop(w);
    return more;
}
