/* SPDX-License-Identifier: Apache-2.0
 * One connection to a proxy: questions out, answers in. An idle one is watched, so that it is
 * known when the proxy has closed it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "envoy_prove/prove_priv.h"

#define REQUEST_BYTES 1024

struct prove_link {
    struct mp_prover *prover;
    struct prove_where where;
    struct prove_owner owner;
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct mp_tls *tls;
    struct mp_http1 answer;
    char request[REQUEST_BYTES];
    size_t request_len; /* 0: it has gone out */
    bool connected, asking, used_up, closing;
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct prove_link *link = handle->data;
    struct mp_prover *prover = link->prover;
    mp_tls_destroy(link->tls);
    mp_http1_free(&link->answer);
    free(link);
    prover->handles--;
    prove_gone(prover);
}

void prove_link_close(struct prove_link *link)
{
    if (link == NULL || link->closing) return;
    link->closing = true;
    link->owner = (struct prove_owner){0};
    link->prover->counts.connections_now--;
    uv_close((uv_handle_t *)&link->tcp, on_closed);
}

static void broken(struct prove_link *link, const char *why, bool bad_reply)
{
    if (link->closing) return;
    link->used_up = true;
    struct prove_owner owner = link->owner;
    if (owner.broken != NULL) owner.broken(owner.ctx, why, bad_reply);
}

/* ---- out ---- */

struct write {
    uv_write_t write;
    char bytes[];
};

static void on_written(uv_write_t *write, int status) { free(write); }

/* What cannot be written is not answered, and runs into its time. */
static void to_socket(struct prove_link *link, mp_str bytes)
{
    struct write *w = malloc(sizeof *w + bytes.len);
    if (w == NULL) return;
    memcpy(w->bytes, bytes.ptr, bytes.len);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)bytes.len);
    if (uv_write(&w->write, (uv_stream_t *)&link->tcp, &buf, 1, on_written) != 0) free(w);
}

static void flush(struct prove_link *link)
{
    if (!link->connected || link->closing) return;
    mp_str request = {link->request, link->request_len};
    if (link->tls == NULL) {
        if (request.len > 0) to_socket(link, request);
        link->request_len = 0;
        return;
    }
    if (request.len > 0 && mp_tls_write(link->tls, request) == MP_OK) link->request_len = 0;
    mp_str wire = mp_tls_wire(link->tls);
    if (wire.len == 0) return;
    to_socket(link, wire);
    mp_tls_wire_sent(link->tls, wire.len);
}

void prove_link_ask(struct prove_link *link, const char *path)
{
    MP_ASSERT(prove_link_usable(link));
    int len = snprintf(link->request, sizeof link->request,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mpol\r\nAccept: */*\r\n\r\n", path,
                       link->where.host);
    MP_ASSERT(len > 0 && (size_t)len < sizeof link->request);
    link->request_len = (size_t)len;
    link->asking = true;
    mp_http1_begin(&link->answer, link->prover->o.body_bytes);
    flush(link);
}

/* ---- in ---- */

static void judge(struct prove_link *link, enum mp_http1_got got)
{
    if (got == MP_HTTP1_MORE) return;
    link->asking = false;
    if (got == MP_HTTP1_BAD) {
        broken(link, "no answer in HTTP/1.1, or one that is too long", true);
        return;
    }
    if (!link->answer.keeps) link->used_up = true;
    struct prove_owner owner = link->owner;
    if (owner.answered != NULL) owner.answered(owner.ctx, &link->answer);
}

static void take_plain(struct prove_link *link, mp_str bytes)
{
    size_t used;
    if (!link->asking) { /* nobody has asked for anything */
        broken(link, "it speaks without being asked", true);
        return;
    }
    enum mp_http1_got got = mp_http1_take(&link->answer, bytes, &used);
    if (got == MP_HTTP1_DONE && used < bytes.len) link->used_up = true; /* more than one answer */
    judge(link, got);
}

static void take_tls(struct prove_link *link, mp_str wire)
{
    size_t got = 1;
    enum mp_err err = mp_tls_take(link->tls, wire);
    while (err == MP_OK && got > 0 && !link->closing && !link->used_up) {
        err = mp_tls_read(link->tls, link->prover->plain_room, ROOM_BYTES, &got);
        if (err == MP_OK && got > 0) take_plain(link, (mp_str){link->prover->plain_room, got});
    }
    if (link->closing) return;
    flush(link);
    if (err != MP_OK) broken(link, mp_tls_trouble(link->tls).ptr, true);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct prove_link *link = handle->data;
    *buf = uv_buf_init(link->prover->read_room, ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct prove_link *link = stream->data;
    if (got == 0 || link->closing) return;
    if (got < 0 && link->asking && got == UV_EOF && mp_http1_end(&link->answer) == MP_HTTP1_DONE) {
        link->used_up = true;
        judge(link, MP_HTTP1_DONE);
    } else if (got < 0) {
        broken(link, got == UV_EOF ? "it has closed the connection" : uv_strerror((int)got), false);
    } else if (link->tls != NULL) {
        take_tls(link, (mp_str){buf->base, (size_t)got});
    } else {
        take_plain(link, (mp_str){buf->base, (size_t)got});
    }
    if (!link->closing && link->used_up) uv_read_stop(stream);
}

static void note_made(struct prove_link *link)
{
    struct mp_prover *prover = link->prover;
    struct prove_made *made = &prover->made[prover->made_next];
    struct sockaddr_storage own;
    int len = sizeof own;
    if (uv_tcp_getsockname(&link->tcp, (struct sockaddr *)&own, &len) != 0) return;
    if (uv_ip_name((struct sockaddr *)&own, made->ip, sizeof made->ip) != 0) return;
    bool v6 = own.ss_family == AF_INET6;
    made->port = ntohs(v6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                          : ((struct sockaddr_in *)&own)->sin_port);
    prover->made_next = (prover->made_next + 1) % MADE_MAX;
}

bool mp_prover_made(struct mp_prover *prover, mp_str ip, uint32_t port)
{
    for (uint32_t i = 0; i < MADE_MAX; i++) {
        struct prove_made *made = &prover->made[i];
        if (made->port != port || port == 0 || !mp_str_eq(mp_str_of(made->ip), ip)) continue;
        made->port = 0;
        return true;
    }
    return false;
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct prove_link *link = connect->data;
    if (link->closing) return;
    if (status != 0) {
        broken(link, uv_strerror(status), false);
        return;
    }
    link->connected = true;
    note_made(link);
    uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read);
    flush(link);
}

/* ---- a link ---- */

struct prove_link *prove_link_open(struct mp_prover *prover, const struct prove_where *where)
{
    if (prover->counts.connections_now >= prover->o.connections) return NULL;
    struct prove_link *link = calloc(1, sizeof *link);
    if (link == NULL) return NULL;
    link->prover = prover;
    link->where = *where;
    if (where->tls && mp_tls_create(prover->tls, &link->tls) != MP_OK) {
        free(link);
        return NULL;
    }
    uv_tcp_init(prover->loop, &link->tcp);
    link->tcp.data = link->connect.data = link;
    prover->handles++;
    prover->counts.connections_now++;
    const struct sockaddr *to = (const struct sockaddr *)&link->where.to;
    if (uv_tcp_connect(&link->connect, &link->tcp, to, on_connected) == 0) {
        uv_tcp_nodelay(&link->tcp, 1);
        return link;
    }
    prove_link_close(link);
    return NULL;
}

void prove_link_owner(struct prove_link *link, const struct prove_owner *owner)
{
    link->owner = owner != NULL ? *owner : (struct prove_owner){0};
}

bool prove_link_usable(const struct prove_link *link)
{
    return !link->closing && !link->used_up && !link->asking;
}

bool prove_link_is_to(const struct prove_link *link, const struct prove_where *where)
{
    return link->where.tls == where->tls && strcmp(link->where.host, where->host) == 0;
}

