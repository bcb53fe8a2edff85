/* SPDX-License-Identifier: Apache-2.0 */
#include "liar.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM_BYTES 4096

struct talk {
    struct liar *liar;
    struct talk *next;
    uv_tcp_t tcp;
    struct mp_tls *tls;
    unsigned number, requests;
    char line[ROOM_BYTES];
    size_t len;
    bool closing;
};

struct liar {
    uv_loop_t *loop;
    uv_tcp_t listener;
    struct mp_tls_context *tls;
    liar_fn answer;
    void *ctx;
    char address[32];
    unsigned connections, open;
    struct talk *talks;
    bool closing;
    char room[ROOM_BYTES];
    uint16_t peer_port;
};

static void gone(struct liar *l)
{
    if (l->closing && l->open == 0) free(l);
}

static void on_talk_closed(uv_handle_t *handle)
{
    struct talk *t = handle->data;
    struct liar *l = t->liar;
    struct talk **at = &l->talks;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    mp_tls_destroy(t->tls);
    free(t);
    l->open--;
    gone(l);
}

static void hang_up(struct talk *t)
{
    if (t->closing) return;
    t->closing = true;
    uv_close((uv_handle_t *)&t->tcp, on_talk_closed);
}

struct write {
    uv_write_t write;
    char bytes[];
};

static void on_written(uv_write_t *write, int status) { free(write); }

static void to_socket(struct talk *t, mp_str bytes)
{
    struct write *w = malloc(sizeof *w + bytes.len);
    if (w == NULL) abort();
    memcpy(w->bytes, bytes.ptr, bytes.len);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)bytes.len);
    if (uv_write(&w->write, (uv_stream_t *)&t->tcp, &buf, 1, on_written) != 0) free(w);
}

static void flush_tls(struct talk *t)
{
    mp_str wire = mp_tls_wire(t->tls);
    if (wire.len == 0) return;
    to_socket(t, wire);
    mp_tls_wire_sent(t->tls, wire.len);
}

static void say(struct talk *t, const char *text)
{
    if (t->tls == NULL) {
        to_socket(t, mp_str_of(text));
        return;
    }
    mp_tls_write(t->tls, mp_str_of(text));
    flush_tls(t);
}

static void request(struct talk *t)
{
    char path[256];
    if (sscanf(t->line, "GET %255s HTTP/1.1\r\n", path) != 1) abort();
    const char *text = t->liar->answer(t->liar->ctx, t->number, t->requests++, path);
    t->len = 0;
    if (text == NULL) return;
    if (*text == '\0') {
        hang_up(t);
    } else {
        say(t, text);
    }
}

static void take(struct talk *t, mp_str bytes)
{
    for (size_t i = 0; i < bytes.len && !t->closing; i++) {
        if (t->len + 1 == sizeof t->line) abort();
        t->line[t->len++] = bytes.ptr[i];
        t->line[t->len] = '\0';
        if (t->len > 4 && strcmp(t->line + t->len - 4, "\r\n\r\n") == 0) request(t);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct talk *t = handle->data;
    *buf = uv_buf_init(t->liar->room, ROOM_BYTES);
}

static void take_tls(struct talk *t, mp_str wire)
{
    char plain[ROOM_BYTES];
    size_t got = 1;
    if (mp_tls_take(t->tls, wire) != MP_OK) hang_up(t);
    while (got > 0 && !t->closing && mp_tls_read(t->tls, plain, sizeof plain, &got) == MP_OK)
        take(t, (mp_str){plain, got});
    if (!t->closing) flush_tls(t);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct talk *t = stream->data;
    if (got < 0) hang_up(t);
    if (got <= 0 || t->closing) return;
    if (t->tls != NULL) {
        take_tls(t, (mp_str){buf->base, (size_t)got});
    } else {
        take(t, (mp_str){buf->base, (size_t)got});
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct liar *l = listener->data;
    struct talk *t = calloc(1, sizeof *t);
    if (t == NULL || status != 0) abort();
    t->liar = l;
    t->number = l->connections++;
    t->next = l->talks;
    l->talks = t;
    l->open++;
    uv_tcp_init(l->loop, &t->tcp);
    t->tcp.data = t;
    if (l->tls != NULL && mp_tls_create(l->tls, &t->tls) != MP_OK) abort();
    if (uv_accept(listener, (uv_stream_t *)&t->tcp) != 0) abort();
    uv_read_start((uv_stream_t *)&t->tcp, on_alloc, on_read);
    struct sockaddr_in peer;
    int size = sizeof peer;
    if (uv_tcp_getpeername(&t->tcp, (struct sockaddr *)&peer, &size) == 0)
        l->peer_port = ntohs(peer.sin_port);
}

uint16_t liar_peer_port(const struct liar *l) { return l->peer_port; }

struct liar *liar_open(uv_loop_t *loop, struct mp_tls_context *tls, liar_fn answer, void *ctx)
{
    struct sockaddr_in at;
    int size = sizeof at;
    struct liar *l = calloc(1, sizeof *l);
    if (l == NULL) abort();
    *l = (struct liar){.loop = loop, .tls = tls, .answer = answer, .ctx = ctx};
    uv_tcp_init(loop, &l->listener);
    l->listener.data = l;
    uv_ip4_addr("127.0.0.1", 0, &at);
    if (uv_tcp_bind(&l->listener, (struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&l->listener, 64, on_connection) != 0 ||
        uv_tcp_getsockname(&l->listener, (struct sockaddr *)&at, &size) != 0) {
        abort();
    }
    snprintf(l->address, sizeof l->address, "127.0.0.1:%u", ntohs(at.sin_port));
    return l;
}

const char *liar_address(const struct liar *l) { return l->address; }
unsigned liar_connections(const struct liar *l) { return l->connections; }
unsigned liar_open_connections(const struct liar *l) { return l->open; }

void liar_hang_up(struct liar *l)
{
    for (struct talk *t = l->talks; t != NULL; t = t->next) hang_up(t);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct liar *l = handle->data;
    l->open--;
    gone(l);
}

void liar_close(struct liar *l)
{
    liar_hang_up(l);
    l->closing = true;
    l->open++; /* the listener */
    uv_close((uv_handle_t *)&l->listener, on_listener_closed);
}
