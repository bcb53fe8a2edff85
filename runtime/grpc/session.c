/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/session.h"

#include <stdlib.h>

#include "base/assert.h"
#include "grpc/grpc_priv.h"

/* ---- limits ---- */

void mp_grpc_limits_fill(struct mp_grpc_limits *l)
{
    if (l->connections == 0) l->connections = 1024;
    if (l->streams == 0) l->streams = 16;
    if (l->message_bytes == 0) l->message_bytes = 4u << 20;
    if (l->header_bytes == 0) l->header_bytes = 16u << 10;
    if (l->queued_bytes == 0) l->queued_bytes = 16u << 20;
    if (l->total_bytes == 0) l->total_bytes = (size_t)512 << 20;
    if (l->window_bytes == 0) l->window_bytes = 1u << 20;
    if (l->quiet_ms == 0) l->quiet_ms = 5000;
    if (l->dead_ms == 0) l->dead_ms = 5000;
    if (l->handshake_ms == 0) l->handshake_ms = 5000;
}

/* ---- what nghttp2 tells ---- */

static struct mp_grpc_stream *stream_of(struct mp_grpc_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->h2, id);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct mp_grpc_session *s = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct mp_grpc_stream *stream = grpc_stream_open(s, frame->hd.stream_id);
    if (stream == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* that stream is reset */
    nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, stream);
    return 0;
}

static bool name_is(const uint8_t *name, size_t len, const char *text)
{
    return mp_str_eq((mp_str){(const char *)name, len}, mp_str_of(text));
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct mp_grpc_stream *stream = stream_of(ctx, frame->hd.stream_id);
    if (stream == NULL) return 0;
    stream->header_bytes += name_len + value_len + 32; /* as RFC 9113 section 6.5.2 counts */
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    mp_str text = {(const char *)value, value_len};
    if (name_is(name, name_len, ":method")) stream->post = mp_str_eq(text, MP_STR("POST"));
    if (name_is(name, name_len, "content-type"))
        stream->grpc = mp_str_starts(text, MP_STR("application/grpc"));
    if (name_is(name, name_len, "grpc-encoding"))
        stream->encoded = !mp_str_eq(text, MP_STR("identity"));
    if (name_is(name, name_len, ":path") && value_len <= sizeof stream->path) {
        memcpy(stream->path, value, value_len);
        stream->path_len = value_len;
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct mp_grpc_session *s = ctx;
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
        s->ready = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct mp_grpc_stream *stream = stream_of(s, frame->hd.stream_id);
    if (stream == NULL) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        grpc_stream_begin(stream);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) grpc_stream_ended(stream);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                   void *ctx)
{
    struct mp_grpc_stream *stream = stream_of(ctx, id);
    if (stream != NULL) grpc_stream_take(stream, (mp_str){(const char *)bytes, len});
    return 0;
}

/* `closed` is not called here: this may be inside mp_grpc_send(). */
static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *ctx)
{
    struct mp_grpc_session *s = ctx;
    struct mp_grpc_stream *stream = stream_of(s, id);
    if (stream == NULL) return 0;
    stream->gone = true;
    s->owner.wants_call(s->owner.ctx);
    return 0;
}

/* We have said all, the peer has not: it need not go on (RFC 9113 section 8.1). */
static int on_frame_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct mp_grpc_session *s = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
        !s->counted) {
        s->counted = true;
        s->shared->counts.protocol_errors++;
    }
    if (frame->hd.type != NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct mp_grpc_stream *stream = stream_of(s, frame->hd.stream_id);
    if (stream == NULL || stream->peer_ended) return 0;
    return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_NO_ERROR) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- a session ---- */

static enum mp_err make_h2(struct mp_grpc_session *s)
{
    nghttp2_session_callbacks *c = NULL;
    nghttp2_option *option = NULL;
    int code = nghttp2_session_callbacks_new(&c);
    if (code == 0) code = nghttp2_option_new(&option);
    if (code == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(c, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_sent);
        /* priorities are not kept, nor memory for them */
        nghttp2_option_set_no_closed_streams(option, 1);
        code = nghttp2_session_server_new2(&s->h2, c, s, option);
    }
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(option);
    return code == 0 ? MP_OK : MP_ENOMEM;
}

static enum mp_err greet(struct mp_grpc_session *s)
{
    const struct mp_grpc_limits *l = &s->shared->limits;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->header_bytes},
    };
    if (nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, 3) != 0) return MP_ENOMEM;
    int32_t whole = l->window_bytes < INT32_MAX / 4 ? (int32_t)l->window_bytes * 4 : INT32_MAX;
    return nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, 0, whole) == 0
               ? MP_OK
               : MP_ENOMEM;
}

enum mp_err mp_grpc_session_open(struct mp_grpc_shared *shared, const struct mp_grpc_peer *peer,
                                 const struct mp_grpc_session_owner *owner,
                                 struct mp_grpc_session **out)
{
    MP_ASSERT(shared->limits.streams > 0 && shared->limits.window_bytes <= INT32_MAX);
    struct mp_grpc_session *s = calloc(1, sizeof *s);
    if (s == NULL) return MP_ENOMEM;
    *s = (struct mp_grpc_session){.shared = shared, .peer = peer, .owner = *owner};
    enum mp_err err = make_h2(s);
    if (err == MP_OK) err = greet(s);
    if (err != MP_OK) {
        mp_grpc_session_destroy(s);
        return err;
    }
    *out = s;
    return MP_OK;
}

static void close_stream(struct mp_grpc_stream *stream)
{
    const struct mp_grpc_method *method = stream->method;
    void *state = stream->state;
    grpc_stream_free(stream);
    if (state != NULL) method->closed(state);
}

void mp_grpc_session_destroy(struct mp_grpc_session *s)
{
    if (s == NULL) return;
    MP_ASSERT(!s->busy && !s->telling);
    s->broken = true; /* who sends from within `closed` is told that it is over */
    while (s->streams != NULL) close_stream(s->streams);
    nghttp2_session_del(s->h2);
    free(s);
}

bool mp_grpc_session_take(struct mp_grpc_session *s, mp_str bytes)
{
    MP_ASSERT(!s->busy);
    if (s->broken) return false;
    s->busy = true;
    ssize_t taken = nghttp2_session_mem_recv(s->h2, (const uint8_t *)bytes.ptr, bytes.len);
    s->busy = false;
    if (taken < 0) {
        s->broken = true;
        if (!s->counted) s->shared->counts.protocol_errors++;
        s->counted = true;
    }
    mp_grpc_session_tell(s);
    return taken >= 0;
}

size_t mp_grpc_session_give(struct mp_grpc_session *s, char *to, size_t size)
{
    MP_ASSERT(!s->busy);
    size_t given = 0;
    s->busy = true;
    while (given < size) { /* LIMIT: size; nghttp2 answers 0 when there is no more */
        if (s->rest_len == 0) {
            ssize_t got = nghttp2_session_mem_send(s->h2, &s->rest);
            if (got < 0) s->broken = true;
            if (got <= 0) break;
            s->rest_len = (size_t)got;
        }
        size_t part = s->rest_len < size - given ? s->rest_len : size - given;
        memcpy(to + given, s->rest, part);
        s->rest += part;
        s->rest_len -= part;
        given += part;
    }
    s->busy = false;
    return given;
}

/* Calls one that is due; false: none is. The list is searched anew each time, since whoever is
 * called may change it. */
static bool tell_one(struct mp_grpc_session *s)
{
    for (struct mp_grpc_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (stream->gone) {
            close_stream(stream);
            return true;
        }
        if (stream->due) {
            stream->due = stream->waits = false;
            if (stream->method->drained != NULL) stream->method->drained(stream->state);
            return true;
        }
    }
    return false;
}

void mp_grpc_session_tell(struct mp_grpc_session *s)
{
    MP_ASSERT(!s->busy && !s->telling);
    s->telling = true;
    /* LIMIT: one that is refused again from within `drained` waits for its next turn. */
    for (struct mp_grpc_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        stream->due = grpc_stream_starves(stream);
    }
    for (uint32_t i = 0; i <= s->shared->limits.streams && tell_one(s); i++) continue;
    bool more = false;
    for (struct mp_grpc_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        more |= stream->gone;
    }
    s->telling = false;
    if (more) s->owner.wants_call(s->owner.ctx);
}

bool mp_grpc_session_starves(const struct mp_grpc_session *s)
{
    for (const struct mp_grpc_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (grpc_stream_starves(stream)) return true;
    }
    return false;
}

bool mp_grpc_session_busy(const struct mp_grpc_session *s) { return s->busy; }

bool mp_grpc_session_ready(const struct mp_grpc_session *s) { return s->ready; }

bool mp_grpc_session_over(const struct mp_grpc_session *s)
{
    return s->rest_len == 0 && (s->broken || (nghttp2_session_want_read(s->h2) == 0 &&
                                              nghttp2_session_want_write(s->h2) == 0));
}

void mp_grpc_session_ping(struct mp_grpc_session *s)
{
    /* no memory: the peer stays quiet, and is closed */
    nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, NULL);
}

void mp_grpc_session_end(struct mp_grpc_session *s, mp_str text)
{
    for (struct mp_grpc_stream *stream = s->streams; stream != NULL; stream = stream->next) {
        if (stream->began) mp_grpc_finish(stream, MP_GRPC_UNAVAILABLE, text);
    }
    nghttp2_session_terminate_session(s->h2, NGHTTP2_NO_ERROR);
}
