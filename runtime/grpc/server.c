/* SPDX-License-Identifier: Apache-2.0
 * Sockets, timers and TLS around sessions.
 *
 * A call into this module never calls back: what is due after one (a broken socket, a stream that
 * ended) is done by the connection's timer, which is set to 0 for it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "grpc/server_priv.h"

#define IDENTITY_BYTES_MAX 512
#define STARVE_MS 10 /* until one that found the memory of all taken is told to try again */
#define TURNS 4 /* LIMIT: of one connection, before others have theirs */

struct grpc_connection {
    struct mp_grpc_server *server;
    struct grpc_connection *next, *before;
    union grpc_socket socket;
    uv_timer_t timer;
    uv_write_t write;
    unsigned handles; /* of these two, that are not closed yet */
    struct mp_tls *tls;
    struct mp_grpc_session *session; /* NULL: TLS is not ready */
    struct mp_grpc_peer peer;
    char address[80], identity[IDENTITY_BYTES_MAX];
    char *pending; /* what the socket has not taken yet, in the hands of libuv */
    bool writing, failed, ending, closing, serving;
    bool pinged, looked;
    bool due; /* soon() */
    uint64_t began_ms, heard_ms, pinged_ms, ending_ms;
};

static void settle(struct grpc_connection *c);
static void flush(struct grpc_connection *c);

/* ---- closing ---- */

static void server_gone(struct mp_grpc_server *server)
{
    if (!server->closing || server->handles > 0) return;
    mp_tls_context_destroy(server->tls);
    free(server->methods);
    free(server);
}

static void on_connection_closed(uv_handle_t *handle)
{
    struct grpc_connection *c = handle->data;
    struct mp_grpc_server *server = c->server;
    server->handles--;
    if (--c->handles > 0) return;
    mp_tls_destroy(c->tls);
    free(c->pending);
    free(c);
    server_gone(server);
}

static void say_goodbye(struct grpc_connection *c)
{
    if (c->tls == NULL || c->failed || c->writing) return;
    mp_tls_finish(c->tls);
    flush(c);
}

static void close_connection(struct grpc_connection *c)
{
    if (c->closing) return;
    c->closing = true;
    if (c->before != NULL) c->before->next = c->next;
    if (c->before == NULL) c->server->connections = c->next;
    if (c->next != NULL) c->next->before = c->before;
    if (c->serving) c->server->shared.counts.connections_now--;
    struct mp_grpc_session *session = c->session;
    c->session = NULL;
    mp_grpc_session_destroy(session);
    say_goodbye(c);
    uv_close(&c->socket.handle, on_connection_closed);
    uv_close((uv_handle_t *)&c->timer, on_connection_closed);
}

/* ---- writing ---- */

static void on_timer(uv_timer_t *timer);

static void soon(struct grpc_connection *c)
{
    c->due = true;
    if (!c->closing) uv_timer_start(&c->timer, on_timer, 0, 0);
}

/* The connection is closed as soon as what waits has gone out. */
static void end(struct grpc_connection *c)
{
    if (!c->ending) c->ending_ms = uv_now(c->server->loop);
    c->ending = true;
}

static void on_written(uv_write_t *write, int status)
{
    struct grpc_connection *c = write->data;
    c->writing = false;
    free(c->pending);
    c->pending = NULL;
    if (c->closing) return;
    if (status != 0) c->failed = true;
    settle(c);
}

/* The socket is full: the rest goes when it has room. */
static void write_later(struct grpc_connection *c, mp_str rest)
{
    c->pending = malloc(rest.len);
    if (c->pending == NULL) {
        c->failed = true;
        return;
    }
    memcpy(c->pending, rest.ptr, rest.len);
    uv_buf_t buf = uv_buf_init(c->pending, (unsigned)rest.len);
    c->write.data = c;
    c->writing = uv_write(&c->write, &c->socket.stream, &buf, 1, on_written) == 0;
    if (c->writing) return;
    c->failed = true;
    free(c->pending);
    c->pending = NULL;
}

static void write_out(struct grpc_connection *c, mp_str bytes)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.ptr, (unsigned)bytes.len);
    int wrote = uv_try_write(&c->socket.stream, &buf, 1);
    if (wrote == UV_EAGAIN) wrote = 0;
    if (wrote < 0) {
        c->failed = true;
    } else if ((size_t)wrote < bytes.len) {
        write_later(c, mp_str_sub(bytes, (size_t)wrote, bytes.len));
    }
}

/* The next bytes for the wire; borrowed from the server's room or from TLS. */
static mp_str next_bytes(struct grpc_connection *c)
{
    char *room = c->server->write_room;
    if (c->tls == NULL) return (mp_str){room, mp_grpc_session_give(c->session, room, ROOM_BYTES)};
    mp_str wire = mp_tls_wire(c->tls);
    if (wire.len > 0 || c->session == NULL) return wire;
    mp_str plain = {room, mp_grpc_session_give(c->session, room, ROOM_BYTES)};
    if (plain.len > 0 && mp_tls_write(c->tls, plain) != MP_OK) c->failed = true;
    return mp_tls_wire(c->tls);
}

/* Gives to the socket what it takes. Calls nobody. */
static void flush(struct grpc_connection *c)
{
    while (!c->writing && !c->failed) { /* LIMIT: what sessions queue is bounded */
        mp_str bytes = next_bytes(c);
        if (bytes.len == 0 || c->failed) return;
        write_out(c, bytes);
        if (c->tls != NULL) mp_tls_wire_sent(c->tls, bytes.len);
    }
}

/* ---- what a session asks for ---- */

static void wants_out(void *ctx)
{
    struct grpc_connection *c = ctx;
    /* whoever is inside flushes */
    if (c->session == NULL || mp_grpc_session_busy(c->session)) return;
    flush(c);
    if (c->failed || mp_grpc_session_over(c->session)) soon(c);
}

static void wants_call(void *ctx) { soon(ctx); }

/* ---- time ---- */

static uint64_t since(const struct grpc_connection *c, uint64_t then_ms)
{
    return uv_now(c->server->loop) - then_ms;
}

/* A deadline is over, but the loop may have been held up, and what the peer said may wait in the
 * socket: it is dead when the next look finds it silent too. */
static bool is_dead(struct grpc_connection *c)
{
    const struct mp_grpc_limits *l = &c->server->shared.limits;
    bool ready = c->session != NULL && mp_grpc_session_ready(c->session);
    bool over = ready ? c->pinged && since(c, c->pinged_ms) >= l->dead_ms
                      : since(c, c->began_ms) >= l->handshake_ms;
    if (c->ending) over = since(c, c->ending_ms) >= l->dead_ms;
    if (over && c->looked) return true;
    c->looked = over;
    return false;
}

static uint64_t left(uint64_t whole_ms, uint64_t gone_ms)
{
    return gone_ms < whole_ms ? whole_ms - gone_ms : 1;
}

static void arm(struct grpc_connection *c)
{
    const struct mp_grpc_limits *l = &c->server->shared.limits;
    uint64_t wait_ms;
    if (c->due) {
        wait_ms = 1; /* not 0: others, and the socket, have their turn in between */
    } else if (c->ending) {
        wait_ms = left(l->dead_ms, since(c, c->ending_ms));
    } else if (c->session == NULL || !mp_grpc_session_ready(c->session)) {
        wait_ms = left(l->handshake_ms, since(c, c->began_ms));
    } else if (c->pinged) {
        wait_ms = left(l->dead_ms, since(c, c->pinged_ms));
    } else {
        wait_ms = left(l->quiet_ms, since(c, c->heard_ms));
    }
    bool starves = c->session != NULL && mp_grpc_session_starves(c->session);
    if (starves && wait_ms > STARVE_MS) wait_ms = STARVE_MS;
    uv_timer_start(&c->timer, on_timer, wait_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct grpc_connection *c = timer->data;
    const struct mp_grpc_limits *l = &c->server->shared.limits;
    if (!c->due && is_dead(c)) {
        c->server->shared.counts.dead_peers++;
        close_connection(c);
        return;
    }
    bool ready = c->session != NULL && mp_grpc_session_ready(c->session);
    if (ready && !c->pinged && since(c, c->heard_ms) >= l->quiet_ms) {
        mp_grpc_session_ping(c->session);
        c->pinged = true;
        c->pinged_ms = uv_now(c->server->loop);
    }
    settle(c);
}

/* After everything that happened to a connection, at the level of the loop. */
static void settle(struct grpc_connection *c)
{
    for (int i = 0; i < TURNS; i++) {
        c->due = false;
        if (c->session != NULL && !c->failed) mp_grpc_session_tell(c->session);
        flush(c);
        if (!c->due) break;
    }
    bool over = c->ending || (c->session != NULL && mp_grpc_session_over(c->session));
    if (c->failed || (over && !c->writing)) {
        close_connection(c);
        return;
    }
    arm(c);
}

/* ---- reading ---- */

static void refuse_tls(struct grpc_connection *c, mp_str why)
{
    struct mp_grpc_server *server = c->server;
    server->shared.counts.tls_refused++;
    snprintf(server->trouble, sizeof server->trouble, "%s: %.*s", c->address, MP_STR_ARG(why));
    const struct mp_grpc_refused peer = {c->peer.address, mp_tls_shown_name(c->tls), why};
    if (server->refused != NULL) server->refused(server->refused_ctx, &peer);
    end(c); /* the alert still goes out */
}

static bool open_session(struct grpc_connection *c)
{
    const struct mp_grpc_session_owner owner = {c, wants_out, wants_call};
    if (mp_grpc_session_open(&c->server->shared, &c->peer, &owner, &c->session) == MP_OK)
        return true;
    c->failed = true;
    return false;
}

/* The handshake is over: who is it? */
static void meet(struct grpc_connection *c)
{
    if (mp_tls_identity(c->tls, c->identity, sizeof c->identity, &c->peer.identity) != MP_OK) {
        refuse_tls(
            c,
            MP_STR("the client's certificate does not have exactly one URI as alternative name"));
        return;
    }
    open_session(c);
}

static void take_plain(struct grpc_connection *c, mp_str bytes)
{
    if (!mp_grpc_session_take(c->session, bytes)) end(c);
}

static void take_tls(struct grpc_connection *c, mp_str wire)
{
    size_t got = 0;
    enum mp_err err = mp_tls_take(c->tls, wire);
    if (err == MP_OK && c->session == NULL && mp_tls_ready(c->tls)) meet(c);
    /* LIMIT: what is in the wire bytes */
    while (err == MP_OK && c->session != NULL && !c->ending) {
        err = mp_tls_read(c->tls, c->server->plain_room, ROOM_BYTES, &got);
        if (err != MP_OK || got == 0) break;
        take_plain(c, (mp_str){c->server->plain_room, got});
    }
    if (err != MP_OK)
        refuse_tls(c, err == MP_ENOMEM ? MP_STR("out of memory") : mp_tls_trouble(c->tls));
    if (mp_tls_ended(c->tls)) end(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct grpc_connection *c = handle->data;
    *buf = uv_buf_init(c->server->read_room, ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct grpc_connection *c = stream->data;
    if (got == 0) return;
    if (got < 0) {
        c->failed = true;
        close_connection(c);
        return;
    }
    c->heard_ms = uv_now(c->server->loop);
    c->pinged = c->looked = false;
    if (c->ending || c->failed) return; /* it only waits for its last bytes to go */
    mp_str bytes = {buf->base, (size_t)got};
    if (c->tls != NULL) {
        take_tls(c, bytes);
    } else {
        take_plain(c, bytes);
    }
    settle(c);
}

/* ---- accepting ---- */

static void name_peer(struct grpc_connection *c)
{
    struct sockaddr_storage from;
    int size = sizeof from;
    char host[64] = "?";
    snprintf(c->address, sizeof c->address, "unix");
    if (!c->server->local &&
        uv_tcp_getpeername(&c->socket.tcp, (struct sockaddr *)&from, &size) == 0) {
        bool v6 = from.ss_family == AF_INET6;
        const struct sockaddr_in *in = (const struct sockaddr_in *)&from;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&from;
        uv_inet_ntop(from.ss_family,
                     v6 ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr, host,
                     sizeof host);
        snprintf(c->address, sizeof c->address, v6 ? "[%s]:%u" : "%s:%u", host,
                 ntohs(v6 ? in6->sin6_port : in->sin_port));
    }
    c->peer = (struct mp_grpc_peer){.address = mp_str_of(c->address),
                                    .connection = c->server->next_connection++,
                                    .tls = c->tls != NULL};
}

static void add_connection(struct grpc_connection *c)
{
    struct mp_grpc_server *server = c->server;
    if (server->local) {
        uv_pipe_init(server->loop, &c->socket.pipe, 0);
    } else {
        uv_tcp_init(server->loop, &c->socket.tcp);
    }
    uv_timer_init(server->loop, &c->timer);
    c->socket.handle.data = c->timer.data = c;
    c->handles = 2;
    server->handles += 2;
    c->next = server->connections;
    if (c->next != NULL) c->next->before = c;
    server->connections = c;
}

/* Ready to be read from; false: it is to be closed. */
static bool begin(struct grpc_connection *c)
{
    struct mp_grpc_server *server = c->server;
    c->began_ms = c->heard_ms = uv_now(server->loop);
    if (!server->local) uv_tcp_nodelay(&c->socket.tcp, 1);
    if (server->tls != NULL && mp_tls_create(server->tls, &c->tls) != MP_OK) return false;
    name_peer(c);
    if (c->tls == NULL && !open_session(c)) return false;
    return uv_read_start(&c->socket.stream, on_alloc, on_read) == 0;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct mp_grpc_server *server = listener->data;
    struct grpc_connection *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    c->server = server;
    add_connection(c);
    if (uv_accept(listener, &c->socket.stream) != 0) {
        close_connection(c);
        return;
    }
    struct mp_grpc_counts *counts = &server->shared.counts;
    if (counts->connections_now >= server->shared.limits.connections) {
        counts->connections_refused++;
        close_connection(c);
        return;
    }
    counts->connections_now++;
    counts->connections++;
    c->serving = true;
    if (begin(c)) {
        settle(c);
    } else {
        close_connection(c);
    }
}

/* ---- public ---- */

static enum mp_err make_tls(const struct mp_grpc_options *o, struct mp_tls_context **out, char *why,
                            size_t why_size)
{
    int given = (o->cert != NULL) + (o->key != NULL) + (o->client_ca != NULL);
    if (given == 0) return MP_OK;
    if (given != 3) {
        snprintf(why, why_size,
                 "mutual TLS needs a certificate, its key and the CA of clients, all three");
        return MP_EINVAL;
    }
    const struct mp_tls_options tls = {
        .server = true, .cert = o->cert, .key = o->key, .ca = o->client_ca, .alpn = "h2"};
    return mp_tls_context_create(&tls, out, why, why_size);
}

enum mp_err mp_grpc_renew(struct mp_grpc_server *server, const struct mp_grpc_options *o, char *why,
                          size_t why_size)
{
    struct mp_tls_context *fresh = NULL;
    snprintf(why, why_size, "out of memory");
    MP_TRY(make_tls(o, &fresh, why, why_size));
    if (server->tls == NULL || fresh == NULL) {
        mp_tls_context_destroy(fresh);
        snprintf(why, why_size, "what speaks plain stays plain, what speaks TLS stays with it");
        return MP_EINVAL;
    }
    mp_tls_context_destroy(server->tls);
    server->tls = fresh;
    return MP_OK;
}

bool mp_grpc_out_of_date(const struct mp_grpc_server *server, int64_t now_s, char *why,
                         size_t why_size)
{
    return server->tls != NULL && mp_tls_out_of_date(server->tls, now_s, why, why_size);
}

static enum mp_err copy_methods(struct mp_grpc_server *server, const struct mp_grpc_options *o)
{
    server->methods = calloc(o->method_count + 1, sizeof *server->methods);
    if (server->methods == NULL) return MP_ENOMEM;
    for (size_t i = 0; i < o->method_count; i++) {
        MP_ASSERT(o->methods[i].open != NULL && o->methods[i].message != NULL &&
                  o->methods[i].closed != NULL);
        server->methods[i] = o->methods[i];
    }
    server->shared.methods = server->methods;
    server->shared.method_count = o->method_count;
    return MP_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct mp_grpc_server *server = handle->data;
    server->handles--;
    server_gone(server);
}

enum mp_err mp_grpc_open(uv_loop_t *loop, const struct mp_grpc_options *o,
                         struct mp_grpc_server **out, char *why, size_t why_size)
{
    MP_ASSERT(why_size > 0);
    snprintf(why, why_size, "out of memory");
    struct mp_grpc_server *server = calloc(1, sizeof *server);
    if (server == NULL) return MP_ENOMEM;
    server->loop = loop;
    server->next_connection = 1;
    server->refused = o->refused;
    server->refused_ctx = o->refused_ctx;
    server->shared.limits = o->limits;
    mp_grpc_limits_fill(&server->shared.limits);
    enum mp_err err = copy_methods(server, o);
    if (err == MP_OK) err = make_tls(o, &server->tls, why, why_size);
    if (err == MP_OK) err = grpc_listen(server, o->listen, on_connection, why, why_size);
    if (server->listening) {
        server->listener.handle.data = server;
        server->handles++;
    }
    if (err != MP_OK) {
        mp_grpc_close(server);
        return err;
    }
    *out = server;
    return MP_OK;
}

uint16_t mp_grpc_port(const struct mp_grpc_server *server)
{
    struct sockaddr_storage at;
    int size = sizeof at;
    if (server->local ||
        uv_tcp_getsockname(&server->listener.tcp, (struct sockaddr *)&at, &size) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&at)->sin6_port
                                          : ((const struct sockaddr_in *)&at)->sin_port);
}

void mp_grpc_close(struct mp_grpc_server *server)
{
    if (server == NULL) return;
    while (server->connections != NULL) {
        struct grpc_connection *c = server->connections;
        if (c->session != NULL) {
            mp_grpc_session_end(c->session, MP_STR("the server ends"));
            flush(c);
        }
        close_connection(c);
    }
    server->closing = true;
    if (server->listening) {
        uv_close(&server->listener.handle, on_listener_closed);
    } else {
        server_gone(server);
    }
}

void mp_grpc_counts_get(const struct mp_grpc_server *server, struct mp_grpc_counts *out)
{
    *out = server->shared.counts;
}

mp_str mp_grpc_tls_trouble(const struct mp_grpc_server *server)
{
    return mp_str_of(server->trouble);
}
