/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <signal.h>

struct stream_state {
    struct rig *r;
    struct mp_grpc_stream *stream;
    unsigned next, count;
    size_t size;
};

/* ---- methods ---- */

static void *open_stream(void *ctx, struct mp_grpc_stream *stream)
{
    struct rig *r = *(struct rig **)ctx;
    struct stream_state *s = calloc(1, sizeof *s);
    assert_non_null(s);
    *s = (struct stream_state){.r = r, .stream = stream};
    const struct mp_grpc_peer *peer = mp_grpc_stream_peer(stream);
    snprintf(r->identity, sizeof r->identity, "%.*s", MP_STR_ARG(peer->identity));
    snprintf(r->address, sizeof r->address, "%.*s", MP_STR_ARG(peer->address));
    r->opened++;
    r->last = stream;
    return s;
}

static void on_closed(void *state)
{
    struct stream_state *s = state;
    s->r->closed++;
    if (s->r->last == s->stream) s->r->last = NULL;
    free(s);
}

static bool echo(void *state, mp_str message)
{
    struct stream_state *s = state;
    return mp_grpc_send(s->stream, message) != MP_ENOMEM;
}

static bool sink(void *state, mp_str message)
{
    struct stream_state *s = state;
    s->r->sunk++;
    s->r->sunk_bytes += message.len;
    return true;
}

static void sink_ended(void *state)
{
    struct stream_state *s = state;
    mp_grpc_send(s->stream, MP_STR("thanks"));
    mp_grpc_finish(s->stream, MP_GRPC_OK, MP_STR("all taken"));
}

static void flood_on(void *state)
{
    struct stream_state *s = state;
    char *message = malloc(s->size);
    assert_non_null(message);
    memset(message, 'x', s->size);
    enum mp_err err = MP_OK;
    while (s->next < s->count && err == MP_OK) {
        memcpy(message, &s->next, sizeof s->next);
        err = mp_grpc_send(s->stream, (mp_str){message, s->size});
        if (err == MP_OK) s->next++;
    }
    free(message);
    if (s->next == s->count) mp_grpc_finish(s->stream, MP_GRPC_OK, MP_STR(""));
}

static void flood_drained(void *state)
{
    struct stream_state *s = state;
    s->r->drained++;
    flood_on(state);
}

static bool flood(void *state, mp_str message)
{
    struct stream_state *s = state;
    char text[64], *end;
    snprintf(text, sizeof text, "%.*s", MP_STR_ARG(message));
    s->count = (unsigned)strtoul(text, &end, 10);
    s->size = strtoul(end, NULL, 10);
    flood_on(s);
    return true;
}

static void *refuse(void *ctx, struct mp_grpc_stream *stream)
{
    mp_grpc_finish(stream, MP_GRPC_PERMISSION_DENIED, MP_STR("100 % no\n"));
    return NULL;
}

static bool bad(void *state, mp_str message) { return false; }

static bool quit(void *state, mp_str message)
{
    struct stream_state *s = state;
    mp_grpc_send(s->stream, MP_STR("bye"));
    mp_grpc_finish(s->stream, MP_GRPC_ABORTED, MP_STR("as you wish"));
    return true;
}

static struct rig *the_rig;

const struct mp_grpc_method rig_methods[] = {
    {"/test/Echo", 0, &the_rig, open_stream, echo, NULL, NULL, on_closed},
    {"/test/Sink", 0, &the_rig, open_stream, sink, NULL, sink_ended, on_closed},
    {"/test/Flood", 0, &the_rig, open_stream, flood, flood_drained, NULL, on_closed},
    {"/test/Refuse", 0, &the_rig, refuse, echo, NULL, NULL, on_closed},
    {"/test/Bad", 0, &the_rig, open_stream, bad, NULL, NULL, on_closed},
    {"/test/Quit", 0, &the_rig, open_stream, quit, NULL, NULL, on_closed},
    {"/test/Small", 100, &the_rig, open_stream, echo, NULL, NULL, on_closed},
};
const size_t rig_method_count = sizeof rig_methods / sizeof rig_methods[0];

/* ---- the rig ---- */

static void on_guard(uv_timer_t *timer) { ((struct rig *)timer->data)->late = true; }

void rig_guard(struct rig *r) { uv_timer_start(&r->guard, on_guard, GUARD_MS, 0); }
void rig_unguard(struct rig *r) { uv_timer_stop(&r->guard); }

void rig_open(struct rig *r, const struct mp_grpc_options *options)
{
    char why[256];
    signal(SIGPIPE, SIG_IGN);
    *r = (struct rig){0};
    the_rig = r;
    assert_int_equal(uv_loop_init(&r->loop), 0);
    uv_timer_init(&r->loop, &r->guard);
    r->guard.data = r;
    if (mp_grpc_open(&r->loop, options, &r->server, why, sizeof why) != MP_OK) fail_msg("%s", why);
    snprintf(r->target, sizeof r->target, "127.0.0.1:%u", mp_grpc_port(r->server));
    if (strncmp(options->listen, "unix:", 5) == 0)
        snprintf(r->target, sizeof r->target, "%s", options->listen);
}

void rig_open_plain(struct rig *r, const struct mp_grpc_limits *limits)
{
    struct mp_grpc_options o = {
        .listen = "127.0.0.1:0", .methods = rig_methods, .method_count = rig_method_count};
    if (limits != NULL) o.limits = *limits;
    rig_open(r, &o);
}

void rig_close(struct rig *r)
{
    mp_grpc_close(r->server);
    uv_close((uv_handle_t *)&r->guard, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(r->opened, r->closed);
    assert_int_equal(uv_loop_close(&r->loop), 0);
}

struct mp_grpc_counts rig_counts(const struct rig *r)
{
    struct mp_grpc_counts c;
    mp_grpc_counts_get(r->server, &c);
    return c;
}

/* ---- clients ---- */

void line_closed(void *ctx, const char *why)
{
    struct line *l = ctx;
    l->closed = true;
    snprintf(l->why, sizeof l->why, "%s", why);
}

static void on_message(void *ctx, mp_str message)
{
    struct seen *s = ctx;
    unsigned number = s->messages;
    if (message.len >= 1000 && memcmp(message.ptr, &number, sizeof number) != 0) s->wrong = true;
    s->messages++;
    s->bytes += message.len;
    snprintf(s->last, sizeof s->last, "%.*s", MP_STR_ARG(message));
}

static void on_ended(void *ctx, int status, mp_str text)
{
    struct seen *s = ctx;
    s->ended = true;
    s->status = status;
    snprintf(s->text, sizeof s->text, "%.*s", MP_STR_ARG(text));
}

struct grpc_client *rig_client(struct rig *r, struct line *line)
{
    *line = (struct line){0};
    const struct grpc_client_options o = {.target = r->target, .closed = line_closed, .ctx = line};
    struct grpc_client *client = grpc_client_open(&r->loop, &o);
    assert_non_null(client);
    return client;
}

struct grpc_call *rig_call(struct grpc_client *client, const char *path, struct seen *seen)
{
    *seen = (struct seen){0};
    const struct grpc_call_options o = {
        .path = path, .message = on_message, .ended = on_ended, .ctx = seen};
    return grpc_call_open(client, &o);
}
