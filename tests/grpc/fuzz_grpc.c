/* SPDX-License-Identifier: Apache-2.0
 * Bytes of an HTTP/2 connection from outside, without a socket: whatever they are, streams are
 * opened and closed in pairs, and memory is given back.
 *
 * The first byte says in which pieces the rest comes. Is it odd, the preface of HTTP/2 is put
 * before, so that the fuzzer need not find it.
 */
#include <stdlib.h>

#include "grpc/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
static unsigned opened, closed;
static unsigned sum;

static void touch(mp_str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) sum += (unsigned char)bytes.ptr[i];
}

static void *on_open(void *ctx, struct mp_grpc_stream *stream)
{
    opened++;
    return stream;
}

static void *on_refused(void *ctx, struct mp_grpc_stream *stream)
{
    mp_grpc_send(stream, MP_STR("a word before it is refused"));
    return NULL;
}

static bool on_echo(void *state, mp_str message)
{
    touch(message);
    return mp_grpc_send(state, message) != MP_ENOMEM && (message.len == 0 || message.ptr[0] != '!');
}

static void on_drained(void *state) { mp_grpc_send(state, MP_STR("there is room again")); }

static void on_ended(void *state)
{

    mp_grpc_finish(state, MP_GRPC_OK, MP_STR("100 %"));
}

static void on_closed(void *state) { closed++; }

static const struct mp_grpc_method methods[] = {
    {"/e", 0, NULL, on_open, on_echo, on_drained, on_ended, on_closed},
    {"/r", 0, NULL, on_refused, on_echo, NULL, NULL, on_closed},
};

static void on_asked(void *ctx) {}

static void give(struct mp_grpc_session *s)
{
    char out[333];
    size_t got;
    while ((got = mp_grpc_session_give(s, out, sizeof out)) > 0) touch((mp_str){out, got});
}

static bool take(struct mp_grpc_session *s, mp_str bytes)
{
    bool good = mp_grpc_session_take(s, bytes);
    give(s);
    mp_grpc_session_tell(s);
    give(s);
    return good && !mp_grpc_session_over(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 100, 1 << 20};
    if (size == 0) return 0;
    struct mp_grpc_shared shared = {
        .methods = methods,
        .method_count = 2,
        .limits = {.message_bytes = 3000, .queued_bytes = 5000, .total_bytes = 20000}};
    mp_grpc_limits_fill(&shared.limits);
    const struct mp_grpc_peer peer = {.address = MP_STR("fuzz")};
    const struct mp_grpc_session_owner owner = {NULL, on_asked, on_asked};
    struct mp_grpc_session *s;
    opened = closed = 0;
    if (mp_grpc_session_open(&shared, &peer, &owner, &s) != MP_OK) return 0;
    size_t piece = pieces[data[0] >> 1 & 3];
    bool good = (data[0] & 1) == 0 || take(s, (mp_str){preface, sizeof preface - 1});
    for (size_t at = 1; good && at < size; at += piece) {
        size_t len = piece < size - at ? piece : size - at;
        char *copy = malloc(len); /* of its own, so that a byte read behind it is seen */
        if (copy == NULL) break;
        memcpy(copy, data + at, len);
        good = take(s, (mp_str){copy, len});
        free(copy);
    }
    if (shared.counts.incoming_bytes_now + shared.counts.queue_memory_now >
        shared.limits.total_bytes)
        abort();
    if (shared.counts.queued_bytes_now > shared.counts.queue_memory_now) abort();
    if (good && (data[0] & 8) != 0) mp_grpc_session_end(s, MP_STR("end"));
    give(s);
    mp_grpc_session_destroy(s);
    if (opened != closed || shared.counts.streams_now != 0) abort();
    if (shared.counts.incoming_bytes_now != 0 || shared.counts.queued_bytes_now != 0) abort();
    if (shared.counts.queue_memory_now != 0) abort();
    return 0;
}
