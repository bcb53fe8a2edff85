/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/tls.h"

#define WINDOW_BYTES (16 << 20)
#define ROOM_BYTES (64u << 10)

struct grpc_call {
    struct grpc_client *client;
    struct grpc_call *next;
    struct grpc_call_options o;
    int32_t id;
    char *in, *out;
    size_t in_len, in_cap, out_from, out_len, out_cap;
    bool half_closed, deferred;
    int status;
    char text[2048];
};

struct grpc_client {
    struct grpc_client_options o;
    uv_loop_t *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    uv_connect_t connect;
    uv_idle_t later; /* flushes after a callback of nghttp2 */
    int handles;
    nghttp2_session *h2;
    struct mp_tls_context *tls_context;
    struct mp_tls *tls;
    struct grpc_call *calls;
    bool connected, busy, over;
    char read_room[ROOM_BYTES], plain_room[ROOM_BYTES];
};

/* ---- the end ---- */

static void free_call(struct grpc_call *call)
{
    free(call->in);
    free(call->out);
    free(call);
}

static void on_closed(uv_handle_t *handle)
{
    struct grpc_client *c = handle->data;
    if (--c->handles > 0) return;
    nghttp2_session_del(c->h2);
    while (c->calls != NULL) {
        struct grpc_call *call = c->calls;
        c->calls = call->next;
        free_call(call);
    }
    mp_tls_destroy(c->tls);
    mp_tls_context_destroy(c->tls_context);
    free(c);
}

static void call_over(struct grpc_call *call, int status, mp_str text)
{
    void (*ended)(void *, int, mp_str) = call->o.ended;
    call->o.ended = NULL;
    if (ended != NULL) ended(call->o.ctx, status, text);
}

void grpc_client_close(struct grpc_client *c)
{
    if (c == NULL || c->over) return;
    c->over = true;
    uv_close(&c->socket.handle, on_closed);
    uv_close((uv_handle_t *)&c->later, on_closed);
}

static void broken(struct grpc_client *c, const char *why)
{
    if (c->over) return;
    for (struct grpc_call *call = c->calls; call != NULL; call = call->next) {
        call_over(call, -1, mp_str_of(why));
    }
    if (c->over) return;
    if (c->o.closed != NULL) c->o.closed(c->o.ctx, why);
    grpc_client_close(c);
}

/* ---- out ---- */

struct write {
    uv_write_t write;
    struct grpc_client *client;
    char bytes[];
};

static void on_written(uv_write_t *write, int status) { free(write); }

static void to_socket(struct grpc_client *c, mp_str bytes)
{
    struct write *w = malloc(sizeof *w + bytes.len);
    if (w == NULL) abort();
    w->client = c;
    memcpy(w->bytes, bytes.ptr, bytes.len);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)bytes.len);
    if (uv_write(&w->write, &c->socket.stream, &buf, 1, on_written) != 0) free(w);
}

static void flush_tls(struct grpc_client *c)
{
    mp_str wire = mp_tls_wire(c->tls);
    if (wire.len == 0) return;
    to_socket(c, wire);
    mp_tls_wire_sent(c->tls, wire.len);
}

static void flush(struct grpc_client *c)
{
    if (!c->connected || c->busy || c->over) return;
    if (c->tls != NULL) flush_tls(c);
    if (c->tls != NULL && !mp_tls_ready(c->tls)) return;
    c->busy = true;
    for (;;) {
        const uint8_t *bytes;
        ssize_t len = nghttp2_session_mem_send(c->h2, &bytes);
        if (len <= 0) break;
        mp_str out = {(const char *)bytes, (size_t)len};
        if (c->tls != NULL) {
            mp_tls_write(c->tls, out);
            flush_tls(c);
        } else {
            to_socket(c, out);
        }
    }
    c->busy = false;
}

static void on_later(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    flush(idle->data);
}

static void wants_out(struct grpc_client *c)
{
    if (c->busy && !c->over) {
        uv_idle_start(&c->later, on_later);
    } else {
        flush(c);
    }
}

/* ---- in ---- */

static void take_messages(struct grpc_call *call)
{
    size_t at = 0;
    while (call->in_len - at >= 5 && !call->client->over) {
        const uint8_t *head = (const uint8_t *)call->in + at;
        size_t need =
            (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
        if (call->in_len - at - 5 < need) break;
        if (call->o.message != NULL)
            call->o.message(call->o.ctx, (mp_str){call->in + at + 5, need});
        at += 5 + need;
    }
    memmove(call->in, call->in + at, call->in_len - at);
    call->in_len -= at;
}

static void append(char **to, size_t *len, size_t *cap, const void *bytes, size_t count)
{
    if (*len + count > *cap) {
        *cap = 2 * (*len + count);
        *to = realloc(*to, *cap);
        if (*to == NULL) abort();
    }
    if (count > 0) memcpy(*to + *len, bytes, count);
    *len += count;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                   void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, id);
    if (call == NULL) return 0;
    append(&call->in, &call->in_len, &call->in_cap, bytes, len);
    take_messages(call);
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    mp_str n = {(const char *)name, name_len};
    if (call == NULL) return 0;
    if (mp_str_eq(n, MP_STR("grpc-status"))) {
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)value_len, value);
        call->status = (int)strtol(number, NULL, 10);
    }
    if (mp_str_eq(n, MP_STR("grpc-message")))
        snprintf(call->text, sizeof call->text, "%.*s", (int)value_len, value);
    if (mp_str_eq(n, MP_STR(":status")) && strncmp((const char *)value, "200", 3) != 0) {
        snprintf(call->text, sizeof call->text, "HTTP %.*s", (int)value_len, value);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, id);
    if (call == NULL) return 0;
    if (call->status < 0 && call->text[0] == '\0') {
        snprintf(call->text, sizeof call->text, "reset: %s", nghttp2_http2_strerror(code));
    }
    call_over(call, call->status, mp_str_of(call->text));
    return 0;
}

static void take_plain(struct grpc_client *c, mp_str bytes)
{
    c->busy = true;
    ssize_t taken = nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes.ptr, bytes.len);
    c->busy = false;
    if (taken < 0) broken(c, nghttp2_strerror((int)taken));
}

static void take_tls(struct grpc_client *c, mp_str wire)
{
    size_t got = 1;
    bool good = mp_tls_take(c->tls, wire) == MP_OK;
    while (good && got > 0 && !c->over) {
        good = mp_tls_read(c->tls, c->plain_room, ROOM_BYTES, &got) == MP_OK;
        if (good && got > 0) take_plain(c, (mp_str){c->plain_room, got});
    }
    if (!good) {
        flush_tls(c);
        broken(c, mp_tls_trouble(c->tls).ptr);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct grpc_client *c = handle->data;
    *buf = uv_buf_init(c->read_room, ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct grpc_client *c = stream->data;
    if (got < 0) broken(c, uv_strerror((int)got));
    if (got <= 0) return;
    if (c->tls != NULL) {
        take_tls(c, (mp_str){buf->base, (size_t)got});
    } else {
        take_plain(c, (mp_str){buf->base, (size_t)got});
    }
    flush(c);
}

/* ---- a client ---- */

static void on_connected(uv_connect_t *connect, int status)
{
    struct grpc_client *c = connect->data;
    if (c->over) return;
    if (status != 0) {
        broken(c, uv_strerror(status));
        return;
    }
    c->connected = true;
    uv_read_start(&c->socket.stream, on_alloc, on_read);
    flush(c);
}

static void make_h2(struct grpc_client *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0) abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_option_set_no_auto_ping_ack(option, c->o.deaf);
    if (nghttp2_session_client_new2(&c->h2, cb, c, option) != 0) abort();
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    int32_t window = c->o.window_bytes != 0 ? c->o.window_bytes : WINDOW_BYTES;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)window},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, window);
}

static bool make_tls(struct grpc_client *c)
{
    char why[256];
    const struct mp_tls_options tls = {.cert = c->o.cert,
                                       .key = c->o.key,
                                       .ca = c->o.ca,
                                       .alpn = c->o.alpn != NULL ? c->o.alpn : "h2"};
    if (!c->o.tls) return true;
    if (mp_tls_context_create(&tls, &c->tls_context, why, sizeof why) == MP_OK &&
        mp_tls_create(c->tls_context, &c->tls) == MP_OK) {
        return true;
    }
    fprintf(stderr, "grpc client: %s\n", why);
    return false;
}

static int connect_tcp(struct grpc_client *c)
{
    struct sockaddr_in to;
    char host[64];
    const char *colon = strrchr(c->o.target, ':');
    uv_tcp_init(c->loop, &c->socket.tcp);
    c->socket.handle.data = c;
    c->handles++;
    snprintf(host, sizeof host, "%.*s", (int)(colon - c->o.target), c->o.target);
    int code = uv_ip4_addr(host, (int)strtol(colon + 1, NULL, 10), &to);
    if (code == 0)
        code = uv_tcp_connect(&c->connect, &c->socket.tcp, (struct sockaddr *)&to, on_connected);
    uv_tcp_nodelay(&c->socket.tcp, 1);
    return code;
}

static int connect_unix(struct grpc_client *c)
{
    uv_pipe_init(c->loop, &c->socket.pipe, 0);
    c->socket.handle.data = c;
    c->handles++;
    uv_pipe_connect(&c->connect, &c->socket.pipe, c->o.target + strlen("unix:"), on_connected);
    return 0;
}

struct grpc_client *grpc_client_open(uv_loop_t *loop, const struct grpc_client_options *options)
{
    struct grpc_client *c = calloc(1, sizeof *c);
    if (c == NULL) abort();
    c->o = *options;
    c->loop = loop;
    if (!make_tls(c)) {
        mp_tls_context_destroy(c->tls_context);
        free(c);
        return NULL;
    }
    make_h2(c);
    uv_idle_init(loop, &c->later);
    c->later.data = c->connect.data = c;
    c->handles++;
    int code = strncmp(c->o.target, "unix:", 5) == 0 ? connect_unix(c) : connect_tcp(c);
    if (code == 0) return c;
    grpc_client_close(c);
    return NULL;
}

bool grpc_client_connected(const struct grpc_client *c)
{
    return c->connected && !c->over && (c->tls == NULL || mp_tls_ready(c->tls));
}

void grpc_client_pause(struct grpc_client *c, bool paused)
{
    if (c->over || !c->connected) return;
    if (paused) {
        uv_read_stop(&c->socket.stream);
    } else {
        uv_read_start(&c->socket.stream, on_alloc, on_read);
    }
}

/* ---- calls ---- */

static ssize_t read_out(nghttp2_session *h2, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
                        nghttp2_data_source *source, void *ctx)
{
    struct grpc_call *call = source->ptr;
    size_t most = call->client->o.data_bytes != 0 ? call->client->o.data_bytes : size;
    size_t part = call->out_len - call->out_from;
    if (part > size) part = size;
    if (part > most) part = most;
    if (part > 0) memcpy(to, call->out + call->out_from, part);
    call->out_from += part;
    bool empty = call->out_from == call->out_len;
    if (empty) call->out_from = call->out_len = 0;
    if (empty && call->half_closed) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (part > 0 || call->half_closed) return (ssize_t)part;
    call->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

#define NV(name, value)                                                                            \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value),     \
     NGHTTP2_NV_FLAG_NONE}

struct grpc_call *grpc_call_open(struct grpc_client *c, const struct grpc_call_options *options)
{
    struct grpc_call *call = calloc(1, sizeof *call);
    if (call == NULL) abort();
    call->client = c;
    call->o = *options;
    call->status = -1;
    call->next = c->calls;
    c->calls = call;
    const nghttp2_nv nv[] = {
        NV(":method", c->o.method != NULL ? c->o.method : "POST"),
        NV(":scheme", c->o.tls ? "https" : "http"),
        NV(":authority", "mpol"),
        NV(":path", options->path),
        NV("te", "trailers"),
        NV("content-type", c->o.content_type != NULL ? c->o.content_type : "application/grpc"),
        NV(c->o.more_name != NULL ? c->o.more_name : "x",
           c->o.more_value != NULL ? c->o.more_value : "")};
    nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = read_out};
    call->id =
        nghttp2_submit_request(c->h2, NULL, nv, c->o.more_name != NULL ? 7 : 6, &provider, call);
    wants_out(c);
    return call;
}

static void go_on(struct grpc_call *call)
{
    if (call->client->over) return;
    if (call->deferred) {
        call->deferred = false;
        nghttp2_session_resume_data(call->client->h2, call->id);
    }
    wants_out(call->client);
}

void grpc_call_send_raw(struct grpc_call *call, mp_str bytes)
{
    append(&call->out, &call->out_len, &call->out_cap, bytes.ptr, bytes.len);
    go_on(call);
}

void grpc_call_send(struct grpc_call *call, mp_str message)
{
    uint8_t head[5] = {0};
    for (int i = 0; i < 4; i++) head[1 + i] = (uint8_t)(message.len >> (24 - 8 * i));
    append(&call->out, &call->out_len, &call->out_cap, head, sizeof head);
    grpc_call_send_raw(call, message);
}

void grpc_call_half_close(struct grpc_call *call)
{
    call->half_closed = true;
    go_on(call);
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (call->client->over) return;
    nghttp2_submit_rst_stream(call->client->h2, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
    wants_out(call->client);
}
