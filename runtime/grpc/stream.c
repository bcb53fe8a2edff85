/* SPDX-License-Identifier: Apache-2.0
 * One stream: DATA → messages, messages → DATA, and how it ends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "grpc/grpc_priv.h"

#define NV(name, value)                                                                            \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value),     \
     NGHTTP2_NV_FLAG_NONE}

static struct mp_grpc_counts *counts(struct mp_grpc_stream *stream)
{
    return &stream->session->shared->counts;
}

/* ---- memory ---- */

struct mp_grpc_stream *grpc_stream_open(struct mp_grpc_session *s, int32_t id)
{
    struct mp_grpc_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) return NULL;
    stream->session = s;
    stream->id = id;
    stream->next = s->streams;
    if (stream->next != NULL) stream->next->before = stream;
    s->streams = stream;
    s->shared->counts.streams_now++;
    s->shared->counts.streams++;
    return stream;
}

static void drop_incoming(struct mp_grpc_stream *stream)
{
    counts(stream)->incoming_bytes_now -= stream->in.cap;
    free(stream->in.bytes);
    stream->in = (struct grpc_incoming){0};
}

static void drop_outgoing(struct mp_grpc_stream *stream)
{
    counts(stream)->queued_bytes_now -= stream->out.len;
    counts(stream)->queue_memory_now -= stream->out.cap;
    free(stream->out.bytes);
    stream->out = (struct grpc_outgoing){0};
}

void grpc_stream_free(struct mp_grpc_stream *stream)
{
    struct mp_grpc_session *s = stream->session;
    drop_incoming(stream);
    drop_outgoing(stream);
    if (!stream->gone) nghttp2_session_set_stream_user_data(s->h2, stream->id, NULL);
    if (stream->before != NULL) stream->before->next = stream->next;
    if (stream->before == NULL) s->streams = stream->next;
    if (stream->next != NULL) stream->next->before = stream->before;
    s->shared->counts.streams_now--;
    free(stream);
}

/* Whether the server may hold so many bytes more. */
static bool room_in_all(const struct mp_grpc_stream *stream, size_t more)
{
    const struct mp_grpc_shared *shared = stream->session->shared;
    size_t used = shared->counts.incoming_bytes_now + shared->counts.queue_memory_now;
    return more <= shared->limits.total_bytes && used <= shared->limits.total_bytes - more;
}

/* ---- how it ends ---- */

/* Percent-encoding of gRPC: what is not printable ASCII, and '%'. */
static void encode_text(const struct mp_grpc_stream *stream, char *to, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;
    for (size_t i = 0; i < stream->text_len && at + 4 <= size; i++) {
        unsigned char c = (unsigned char)stream->text[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            to[at++] = (char)c;
            continue;
        }
        to[at++] = '%';
        to[at++] = digits[c >> 4];
        to[at++] = digits[c & 15];
    }
    to[at] = '\0';
}

static void keep_end(struct mp_grpc_stream *stream, enum mp_grpc_status status, mp_str text)
{
    stream->finished = true;
    stream->status = status;
    stream->text_len = text.len < sizeof stream->text - 1 ? text.len : sizeof stream->text - 1;
    if (stream->text_len > 0) memcpy(stream->text, text.ptr, stream->text_len);
}

/* Without memory for an orderly end, the stream is reset. */
static void or_reset(struct mp_grpc_stream *stream, int code)
{
    if (code == 0) return;
    nghttp2_submit_rst_stream(stream->session->h2, NGHTTP2_FLAG_NONE, stream->id,
                              NGHTTP2_INTERNAL_ERROR);
}

static void submit_trailers(struct mp_grpc_stream *stream)
{
    char number[16], text[3 * sizeof stream->text + 1];
    snprintf(number, sizeof number, "%d", (int)stream->status);
    encode_text(stream, text, sizeof text);
    const nghttp2_nv nv[] = {NV("grpc-status", number), NV("grpc-message", text)};
    or_reset(stream, nghttp2_submit_trailer(stream->session->h2, stream->id, nv,
                                            stream->text_len > 0 ? 2 : 1));
}

void grpc_stream_refuse(struct mp_grpc_stream *stream, enum mp_grpc_status status, const char *why)
{
    char number[16], text[3 * sizeof stream->text + 1];
    MP_ASSERT(!stream->began);
    keep_end(stream, status, mp_str_of(why));
    stream->began = true;
    snprintf(number, sizeof number, "%d", (int)status);
    encode_text(stream, text, sizeof text);
    const nghttp2_nv nv[] = {NV(":status", "200"), NV("content-type", "application/grpc"),
                             NV("grpc-status", number), NV("grpc-message", text)};
    or_reset(stream, nghttp2_submit_response(stream->session->h2, stream->id, nv, 4, NULL));
}

/* It speaks HTTP/2, but not gRPC. */
static void refuse_plain(struct mp_grpc_stream *stream, const char *status)
{
    const nghttp2_nv nv[] = {NV(":status", status)};
    keep_end(stream, MP_GRPC_UNIMPLEMENTED, MP_STR(""));
    stream->began = true;
    or_reset(stream, nghttp2_submit_response(stream->session->h2, stream->id, nv, 1, NULL));
}

void mp_grpc_finish(struct mp_grpc_stream *stream, enum mp_grpc_status status, mp_str text)
{
    if (stream->finished || stream->gone) return;
    struct mp_grpc_session *s = stream->session;
    MP_ASSERT(stream->began);
    keep_end(stream, status, text);
    if (stream->deferred) {
        stream->deferred = false;
        or_reset(stream, nghttp2_session_resume_data(s->h2, stream->id));
    }
    if (!s->broken) s->owner.wants_out(s->owner.ctx);
}

/* ---- out ---- */

/* nghttp2 has room for `size` bytes of this stream. */
static ssize_t read_out(nghttp2_session *h2, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
                        nghttp2_data_source *source, void *ctx)
{
    struct mp_grpc_stream *stream = source->ptr;
    struct grpc_outgoing *out = &stream->out;
    size_t part = out->len < size ? out->len : size;
    if (part > 0) memcpy(to, out->bytes + out->from, part);
    out->from += part;
    out->len -= part;
    counts(stream)->queued_bytes_now -= part;
    if (out->len > 0) return (ssize_t)part;
    out->from = 0;
    if (out->cap > KEPT_BYTES) drop_outgoing(stream);
    if (stream->waits) stream->session->owner.wants_call(stream->session->owner.ctx);
    if (stream->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(stream);
        return (ssize_t)part;
    }
    if (part > 0) return (ssize_t)part;
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static bool answer(struct mp_grpc_stream *stream)
{
    static const nghttp2_nv nv[] = {
        {(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"200", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)(uintptr_t)"content-type", (uint8_t *)(uintptr_t)"application/grpc", 12, 16,
         NGHTTP2_NV_FLAG_NONE}};
    const nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_out};
    stream->began = true;
    int code = nghttp2_submit_response(stream->session->h2, stream->id, nv, 2, &provider);
    or_reset(stream, code);
    return code == 0;
}

/* Room for `more` bytes behind those that wait. */
static enum mp_err reserve_out(struct mp_grpc_stream *stream, size_t more)
{
    struct grpc_outgoing *out = &stream->out;
    if (out->from > 0 && out->from + out->len + more > out->cap) {
        memmove(out->bytes, out->bytes + out->from, out->len);
        out->from = 0;
    }
    if (out->len + more <= out->cap) return MP_OK;
    size_t cap = out->len + more > 2 * out->cap ? out->len + more : 2 * out->cap;
    if (!room_in_all(stream, cap - out->cap)) return MP_ELIMIT;
    char *grown = realloc(out->bytes, cap);
    if (grown == NULL) return MP_ENOMEM;
    counts(stream)->queue_memory_now += cap - out->cap;
    out->bytes = grown;
    out->cap = cap;
    return MP_OK;
}

static void append(struct mp_grpc_stream *stream, mp_str message)
{
    struct grpc_outgoing *out = &stream->out;
    uint8_t *to = (uint8_t *)out->bytes + out->from + out->len;
    to[0] = 0;
    for (int i = 0; i < 4; i++) to[1 + i] = (uint8_t)(message.len >> (24 - 8 * i));
    if (message.len > 0) memcpy(to + GRPC_HEAD_BYTES, message.ptr, message.len);
    out->len += GRPC_HEAD_BYTES + message.len;
    counts(stream)->queued_bytes_now += GRPC_HEAD_BYTES + message.len;
}

enum mp_err mp_grpc_send(struct mp_grpc_stream *stream, mp_str message)
{
    struct mp_grpc_session *s = stream->session;
    if (stream->gone || stream->finished || s->broken) return MP_ESTALE;
    size_t more = GRPC_HEAD_BYTES + message.len;
    bool fits = message.len <= UINT32_MAX &&
                (stream->out.len == 0 || stream->out.len + more <= s->shared->limits.queued_bytes);
    enum mp_err err = fits ? reserve_out(stream, more) : MP_ELIMIT;
    if (err != MP_OK) {
        if (err == MP_ELIMIT) counts(stream)->queue_full++;
        stream->waits = err == MP_ELIMIT;
        /* Nothing of its own will go out and tell; in `drained` the timer is on already. */
        if (grpc_stream_starves(stream) && !s->telling) s->owner.wants_call(s->owner.ctx);
        return err;
    }
    append(stream, message);
    counts(stream)->messages_out++;
    counts(stream)->bytes_out += message.len;
    if (stream->deferred) {
        stream->deferred = false;
        or_reset(stream, nghttp2_session_resume_data(s->h2, stream->id));
    }
    s->owner.wants_out(s->owner.ctx);
    return MP_OK;
}

bool grpc_stream_starves(const struct mp_grpc_stream *stream)
{
    return stream->waits && stream->out.len == 0 && !stream->finished && !stream->gone;
}

size_t mp_grpc_queued(const struct mp_grpc_stream *stream) { return stream->out.len; }

const struct mp_grpc_peer *mp_grpc_stream_peer(const struct mp_grpc_stream *stream)
{
    return stream->session->peer;
}

/* ---- in ---- */

static const struct mp_grpc_method *method_of(const struct mp_grpc_stream *stream)
{
    const struct mp_grpc_shared *shared = stream->session->shared;
    for (size_t i = 0; i < shared->method_count; i++) {
        if (mp_str_eq((mp_str){stream->path, stream->path_len},
                      mp_str_of(shared->methods[i].path))) {
            return &shared->methods[i];
        }
    }
    return NULL;
}

/* What is wrong with the request; false: it is answered. */
static bool acceptable(struct mp_grpc_stream *stream)
{
    if (stream->header_bytes > stream->session->shared->limits.header_bytes) {
        counts(stream)->headers_too_large++;
        grpc_stream_refuse(stream, MP_GRPC_RESOURCE_EXHAUSTED, "the headers are too large");
        return false;
    }
    if (!stream->post || !stream->grpc) {
        counts(stream)->streams_refused++;
        refuse_plain(stream, stream->post ? "415" : "405");
        return false;
    }
    stream->method = method_of(stream);
    if (stream->method != NULL) return true;
    counts(stream)->streams_refused++;
    grpc_stream_refuse(stream, MP_GRPC_UNIMPLEMENTED, "there is no such method here");
    return false;
}

void grpc_stream_begin(struct mp_grpc_stream *stream)
{
    if (!acceptable(stream) || !answer(stream)) return;
    stream->state = stream->method->open(stream->method->ctx, stream);
    if (stream->state == NULL) {
        counts(stream)->streams_refused++;
        mp_grpc_finish(stream, MP_GRPC_RESOURCE_EXHAUSTED, MP_STR("not now"));
    }
}

/* The head is whole; false: the message is refused. */
static bool judge_head(struct mp_grpc_stream *stream)
{
    const struct mp_grpc_limits *l = &stream->session->shared->limits;
    const uint8_t *head = stream->in.head;
    size_t most = stream->method->message_bytes_max != 0 ? stream->method->message_bytes_max
                                                         : l->message_bytes;
    stream->in.need =
        (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4];
    if (head[0] != 0) {
        counts(stream)->messages_compressed++;
        mp_grpc_finish(stream, MP_GRPC_UNIMPLEMENTED, MP_STR("messages must not be compressed"));
        return false;
    }
    if (stream->in.need <= most) return true;
    counts(stream)->messages_too_large++;
    mp_grpc_finish(stream, MP_GRPC_RESOURCE_EXHAUSTED, MP_STR("the message is too large"));
    return false;
}

static void deliver(struct mp_grpc_stream *stream, mp_str message)
{
    counts(stream)->messages_in++;
    counts(stream)->bytes_in += message.len;
    if (stream->method->message(stream->state, message)) return;
    counts(stream)->messages_invalid++;
    mp_grpc_finish(stream, MP_GRPC_INVALID_ARGUMENT, MP_STR("the message is not valid"));
}

/* Grows with the bytes that have come, whatever length was claimed. */
static bool reserve_in(struct mp_grpc_stream *stream, size_t more)
{
    struct grpc_incoming *in = &stream->in;
    if (in->len + more <= in->cap) return true;
    size_t cap = in->len + more > 2 * in->cap ? in->len + more : 2 * in->cap;
    if (cap < 1024) cap = 1024;
    char *grown = room_in_all(stream, cap - in->cap) ? realloc(in->bytes, cap) : NULL;
    if (grown == NULL) {
        counts(stream)->messages_too_large++;
        mp_grpc_finish(stream, MP_GRPC_RESOURCE_EXHAUSTED,
                       MP_STR("no memory is left for the message"));
        return false;
    }
    counts(stream)->incoming_bytes_now += cap - in->cap;
    in->bytes = grown;
    in->cap = cap;
    return true;
}

static size_t take_head(struct grpc_incoming *in, mp_str bytes)
{
    size_t part = GRPC_HEAD_BYTES - in->head_len;
    if (part > bytes.len) part = bytes.len;
    memcpy(in->head + in->head_len, bytes.ptr, part);
    in->head_len += (unsigned)part;
    return part;
}

/* A part of the body, or all of it; how many bytes were used. A message that lies whole in the
 * bytes that have come is not copied. */
static size_t take_body(struct mp_grpc_stream *stream, mp_str bytes)
{
    struct grpc_incoming *in = &stream->in;
    size_t part = in->need - in->len;
    if (part > bytes.len) part = bytes.len;
    mp_str whole = {bytes.ptr, part};
    if (in->len > 0 || part < in->need) {
        if (!reserve_in(stream, part)) return bytes.len;
        if (part > 0) memcpy(in->bytes + in->len, bytes.ptr, part);
        in->len += part;
        if (in->len < in->need) return part;
        whole = (mp_str){in->bytes, in->len};
    }
    in->head_len = 0;
    in->len = 0;
    deliver(stream, whole);
    if (in->cap > KEPT_BYTES) drop_incoming(stream);
    return part;
}

void grpc_stream_take(struct mp_grpc_stream *stream, mp_str bytes)
{
    struct grpc_incoming *in = &stream->in;
    while (!stream->finished && (bytes.len > 0 || in->head_len == GRPC_HEAD_BYTES)) {
        size_t used = 0;
        if (in->head_len < GRPC_HEAD_BYTES) {
            used = take_head(in, bytes);
            if (in->head_len == GRPC_HEAD_BYTES && !judge_head(stream)) return;
        } else if (bytes.len > 0 || in->need == in->len) {
            used = take_body(stream, bytes);
        } else {
            return; /* the body has not come yet */
        }
        bytes = mp_str_sub(bytes, used, bytes.len - used);
    }
}

void grpc_stream_ended(struct mp_grpc_stream *stream)
{
    stream->peer_ended = true;
    if (stream->finished || stream->state == NULL) return;
    if (stream->in.head_len > 0) {
        counts(stream)->messages_cut++;
        mp_grpc_finish(stream, MP_GRPC_INTERNAL, MP_STR("the stream ended inside a message"));
        return;
    }
    if (stream->method->ended != NULL) {
        stream->method->ended(stream->state);
    } else {
        mp_grpc_finish(stream, MP_GRPC_OK, MP_STR(""));
    }
}
