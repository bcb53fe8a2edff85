/* SPDX-License-Identifier: Apache-2.0
 * The gRPC server on loopback, plain: what comes in, what goes out, and peers that do not behave.
 */
#include "fixture.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../loopback/folder.h"

/* A peer that is no gRPC client: sends `bytes`, and reads until the end. */
struct raw {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_buf_t bytes;
    char room[4096];
    bool over;
};

static void raw_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct raw *raw = handle->data;
    *buf = uv_buf_init(raw->room, sizeof raw->room);
}

static void raw_closed(uv_handle_t *handle) { ((struct raw *)handle->data)->over = true; }

static void raw_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    if (got < 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, raw_closed);
}

static void raw_written(uv_write_t *write, int status) {}

static void raw_connected(uv_connect_t *connect, int status)
{
    struct raw *raw = connect->data;
    assert_int_equal(status, 0);
    uv_read_start((uv_stream_t *)&raw->tcp, raw_alloc, raw_read);
    if (raw->bytes.len > 0)
        uv_write(&raw->write, (uv_stream_t *)&raw->tcp, &raw->bytes, 1, raw_written);
}

static void raw_open(struct rig *r, struct raw *raw, const void *bytes, size_t len)
{
    struct sockaddr_in to;
    *raw = (struct raw){.bytes = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len)};
    uv_tcp_init(&r->loop, &raw->tcp);
    raw->tcp.data = raw->connect.data = raw;
    uv_ip4_addr("127.0.0.1", mp_grpc_port(r->server), &to);
    assert_int_equal(
        uv_tcp_connect(&raw->connect, &raw->tcp, (struct sockaddr *)&to, raw_connected), 0);
}

/* ---- what it is for ---- */

static void messages_come_back_in_order(void **state)
{
    enum { COUNT = 5000 };
    struct rig r;
    struct line line;
    struct seen seen;
    char message[1000];
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    memset(message, 'm', sizeof message);
    for (unsigned i = 0; i < COUNT; i++) {
        memcpy(message, &i, sizeof i);
        grpc_call_send(call, (mp_str){message, sizeof message});
    }
    grpc_call_send(call, MP_STR("")); /* an empty message is a message */
    RIG_UNTIL(&r, seen.messages == COUNT + 1);
    assert_false(seen.wrong);
    assert_int_equal(seen.bytes, COUNT * sizeof message);
    assert_int_equal(rig_counts(&r).messages_in, COUNT + 1);
    assert_int_equal(rig_counts(&r).messages_out, COUNT + 1);
    assert_memory_equal(r.address, "127.0.0.1:", 10);
    assert_string_equal(r.identity, "");
    grpc_call_half_close(call);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_OK);
    RIG_UNTIL(&r, r.closed == 1);
    assert_int_equal(rig_counts(&r).streams_now, 0);
    assert_int_equal(rig_counts(&r).queued_bytes_now, 0);
    assert_int_equal(rig_counts(&r).incoming_bytes_now, 0);
    grpc_client_close(client);
    rig_close(&r);
}

/* As an Envoy's first request, whose node lists every extension. */
static void a_message_in_many_small_frames_is_whole(void **state)
{
    struct rig r;
    struct line line = {0};
    struct seen seen;
    static char message[58000];
    rig_open_plain(&r, NULL);
    const struct grpc_client_options o = {
        .target = r.target, .data_bytes = 100, .closed = line_closed, .ctx = &line};
    struct grpc_client *client = grpc_client_open(&r.loop, &o);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    memset(message, 0, sizeof message);
    grpc_call_send(call, (mp_str){message, sizeof message});
    grpc_call_send(call, MP_STR("after"));
    RIG_UNTIL(&r, seen.messages == 2);
    assert_int_equal(seen.bytes, sizeof message + 5);
    assert_string_equal(seen.last, "after");
    grpc_client_close(client);
    rig_close(&r);
}

static void a_peer_that_has_ended_gets_the_last_answer(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Sink", &seen);
    for (int i = 0; i < 10; i++) grpc_call_send(call, MP_STR("entry"));
    grpc_call_half_close(call);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_OK);
    assert_string_equal(seen.text, "all taken");
    assert_string_equal(seen.last, "thanks");
    assert_int_equal(r.sunk, 10);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_stream_may_be_finished_from_within(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Quit", &seen);
    grpc_call_send(call, MP_STR("one"));
    grpc_call_send(call, MP_STR("two")); /* nobody reads it */
    RIG_UNTIL(&r, seen.ended && r.closed == 1);
    assert_int_equal(seen.status, MP_GRPC_ABORTED);
    assert_string_equal(seen.text, "as you wish");
    assert_int_equal(seen.messages, 1);
    assert_int_equal(rig_counts(&r).messages_in, 1);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_server_pushes_without_being_asked(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    rig_call(client, "/test/Echo", &seen);
    RIG_UNTIL(&r, r.last != NULL);
    assert_int_equal(mp_grpc_send(r.last, MP_STR("news")), MP_OK);
    RIG_UNTIL(&r, seen.messages == 1);
    assert_string_equal(seen.last, "news");
    mp_grpc_finish(r.last, MP_GRPC_UNAVAILABLE, MP_STR("enough"));
    assert_int_equal(mp_grpc_send(r.last, MP_STR("more")), MP_ESTALE);
    RIG_UNTIL(&r, seen.ended && r.closed == 1);
    assert_int_equal(seen.status, MP_GRPC_UNAVAILABLE);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_unix_socket_is_served_and_a_stale_one_taken_over(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    char listen[120], why[256];
    snprintf(listen, sizeof listen, "unix:%s/mpol-grpc-%d.sock", tmp_folder(), (int)getpid());
    struct sockaddr_un stale = {.sun_family = AF_UNIX};
    snprintf(stale.sun_path, sizeof stale.sun_path, "%s", listen + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&stale, sizeof stale), 0);
    close(fd); /* as a process that was killed leaves it */
    struct mp_grpc_options o = {
        .listen = listen, .methods = rig_methods, .method_count = rig_method_count};
    rig_open(&r, &o);
    struct grpc_client *client = rig_client(&r, &line);
    grpc_call_send(rig_call(client, "/test/Echo", &seen), MP_STR("here"));
    RIG_UNTIL(&r, seen.messages == 1);
    assert_string_equal(r.address, "unix");
    struct mp_grpc_server *second;
    /* this one is served */
    assert_int_equal(mp_grpc_open(&r.loop, &o, &second, why, sizeof why), MP_EIO);
    grpc_client_close(client);
    rig_close(&r);
    unlink(listen + 5);
}

/* ---- what is refused ---- */

static void refused(struct rig *r, const char *path, mp_str raw, int status, const char *text)
{
    struct line line;
    struct seen seen;
    struct grpc_client *client = rig_client(r, &line);
    struct grpc_call *call = rig_call(client, path, &seen);
    if (raw.len > 0) grpc_call_send_raw(call, raw);
    RIG_UNTIL(r, seen.ended);
    assert_int_equal(seen.status, status);
    assert_string_equal(seen.text, text);
    RIG_UNTIL(r, r->closed == r->opened);
    grpc_client_close(client);
}

static void what_is_not_understood_is_refused_by_status(void **state)
{
    struct rig r;
    rig_open_plain(&r, NULL);
    refused(&r, "/test/Other", MP_STR(""), MP_GRPC_UNIMPLEMENTED, "there is no such method here");
    refused(&r, "/test/Refuse", MP_STR(""), MP_GRPC_PERMISSION_DENIED, "100 %25 no%0A");
    refused(&r, "/test/Bad", MP_STR("\0\0\0\0\1x"), MP_GRPC_INVALID_ARGUMENT,
            "the message is not valid");
    refused(&r, "/test/Echo", MP_STR("\1\0\0\0\1x"), MP_GRPC_UNIMPLEMENTED,
            "messages must not be compressed");
    refused(&r, "/test/Echo", MP_STR("\0\xff\0\0\0x"), MP_GRPC_RESOURCE_EXHAUSTED,
            "the message is too large");
    refused(&r, "/test/Small", MP_STR("\0\0\0\0\x65x"), MP_GRPC_RESOURCE_EXHAUSTED,
            "the message is too large");
    struct mp_grpc_counts c = rig_counts(&r);
    assert_int_equal(c.streams_refused, 2);
    assert_int_equal(c.messages_invalid, 1);
    assert_int_equal(c.messages_compressed, 1);
    assert_int_equal(c.messages_too_large, 2);
    rig_close(&r);
}

static void plain(struct rig *r, const struct grpc_client_options *change, int status,
                  const char *text)
{
    struct line line = {0};
    struct seen seen;
    struct grpc_client_options o = *change;
    o.target = r->target;
    o.closed = line_closed;
    o.ctx = &line;
    struct grpc_client *client = grpc_client_open(&r->loop, &o);
    rig_call(client, "/test/Echo", &seen);
    RIG_UNTIL(r, seen.ended);
    assert_int_equal(seen.status, status);
    assert_string_equal(seen.text, text);
    grpc_client_close(client);
}

static void a_browser_and_a_large_cookie_are_refused(void **state)
{
    struct rig r;
    static char cookie[20000];
    memset(cookie, 'c', sizeof cookie - 1);
    rig_open_plain(&r, NULL);
    plain(&r, &(struct grpc_client_options){.content_type = "text/html"}, -1, "HTTP 415");
    plain(&r, &(struct grpc_client_options){.method = "GET"}, -1, "HTTP 405");
    plain(&r, &(struct grpc_client_options){.more_name = "cookie", .more_value = cookie},
          MP_GRPC_RESOURCE_EXHAUSTED, "the headers are too large");
    assert_int_equal(rig_counts(&r).headers_too_large, 1);
    assert_int_equal(rig_counts(&r).streams_refused, 2);
    assert_int_equal(r.opened, 0);
    rig_close(&r);
}

static void a_message_that_is_cut_is_no_message(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Sink", &seen);
    grpc_call_send_raw(call, MP_STR("\0\0\0\0\x0ahalf"));
    grpc_call_half_close(call);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_INTERNAL);
    assert_int_equal(rig_counts(&r).messages_cut, 1);
    assert_int_equal(r.sunk, 0);
    grpc_client_close(client);
    rig_close(&r);
}

/* A claim costs nothing: memory comes with bytes. */
static void a_claimed_length_takes_no_memory(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    grpc_call_send_raw(call, MP_STR("\0\0\x3f\xff\xff!"));
    RIG_UNTIL(&r, rig_counts(&r).incoming_bytes_now > 0);
    assert_in_range(rig_counts(&r).incoming_bytes_now, 1, 4096);
    grpc_call_cancel(call);
    RIG_UNTIL(&r, r.closed == 1);
    assert_int_equal(rig_counts(&r).incoming_bytes_now, 0);
    grpc_client_close(client);
    rig_close(&r);
}

static void all_messages_together_are_bounded(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    static char part[300000];
    const struct mp_grpc_limits limits = {.total_bytes = 100000};
    rig_open_plain(&r, &limits);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    grpc_call_send(call, (mp_str){part, sizeof part});
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_RESOURCE_EXHAUSTED);
    grpc_client_close(client);
    rig_close(&r);
}

static void what_listens_where_it_must_not_is_refused(void **state)
{
    uv_loop_t loop;
    struct mp_grpc_server *server;
    char why[256];
    assert_int_equal(uv_loop_init(&loop), 0);
    static const struct {
        const char *listen, *cert;
        enum mp_err err;
        const char *word;
    } rows[] = {
        {"0.0.0.0:0", NULL, MP_EINVAL, "only loopback"},
        {"[::]:0", NULL, MP_EINVAL, "only loopback"},
        {"localhost:1", NULL, MP_EINVAL, "ADDR:PORT"},
        {"127.0.0.1", NULL, MP_EINVAL, "ADDR:PORT"},
        {"127.0.0.1:70000", NULL, MP_EINVAL, "ADDR:PORT"},
        {"127.0.0.1:-1", NULL, MP_EINVAL, "ADDR:PORT"},
        {"unix:", NULL, MP_EINVAL, "empty"},
        {"127.0.0.1:0", "x.pem", MP_EINVAL, "all three"},
        {"unix:/nowhere/at/all", NULL, MP_EIO, "the folder is not there"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct mp_grpc_options o = {.listen = rows[i].listen, .cert = rows[i].cert};
        assert_int_equal(mp_grpc_open(&loop, &o, &server, why, sizeof why), rows[i].err);
        if (strstr(why, rows[i].word) == NULL) fail_msg("%s: %s", rows[i].listen, why);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- peers that do not behave ---- */

static void garbage_loses_only_its_own_connection(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    struct raw raw[3];
    static const char *const bytes[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, but it is long enough",
        "\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 a client of TLS on a plain port"};
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    grpc_call_send(call, MP_STR("before"));
    for (int i = 0; i < 3; i++) raw_open(&r, &raw[i], bytes[i], strlen(bytes[i]));
    RIG_UNTIL(&r, raw[0].over && raw[1].over && raw[2].over && seen.messages == 1);
    grpc_call_send(call, MP_STR("after"));
    RIG_UNTIL(&r, seen.messages == 2);
    assert_int_equal(rig_counts(&r).protocol_errors, 3);
    assert_int_equal(rig_counts(&r).connections_now, 1);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_peer_that_answers_no_ping_is_dead(void **state)
{
    struct rig r;
    struct line line, deaf_line = {0};
    struct seen seen, deaf_seen;
    const struct mp_grpc_limits limits = {.quiet_ms = 20, .dead_ms = 2000};
    rig_open_plain(&r, &limits);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    const struct grpc_client_options o = {
        .target = r.target, .deaf = true, .closed = line_closed, .ctx = &deaf_line};
    struct grpc_client *deaf = grpc_client_open(&r.loop, &o);
    rig_call(deaf, "/test/Echo", &deaf_seen);
    RIG_UNTIL(&r, deaf_line.closed && r.closed == 1);
    assert_int_equal(rig_counts(&r).dead_peers, 1);
    assert_false(line.closed); /* quiet as well, but it answers */
    grpc_call_send(call, MP_STR("still here"));
    RIG_UNTIL(&r, seen.messages == 1);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_peer_that_never_begins_is_closed(void **state)
{
    struct rig r;
    struct raw raw;
    const struct mp_grpc_limits limits = {.handshake_ms = 10};
    rig_open_plain(&r, &limits);
    raw_open(&r, &raw, "PRI", 3);
    RIG_UNTIL(&r, raw.over);
    assert_int_equal(rig_counts(&r).dead_peers, 1);
    rig_close(&r);
}

static void one_connection_too_many_is_refused(void **state)
{
    struct rig r;
    struct line line[3];
    struct seen seen[3];
    struct grpc_client *client[3];
    const struct mp_grpc_limits limits = {.connections = 2};
    rig_open_plain(&r, &limits);
    for (int i = 0; i < 2; i++) {
        client[i] = rig_client(&r, &line[i]);
        rig_call(client[i], "/test/Echo", &seen[i]);
        RIG_UNTIL(&r, r.opened == (unsigned)i + 1);
    }
    client[2] = rig_client(&r, &line[2]);
    rig_call(client[2], "/test/Echo", &seen[2]);
    RIG_UNTIL(&r, line[2].closed);
    assert_int_equal(rig_counts(&r).connections_refused, 1);
    grpc_client_close(client[0]);
    RIG_UNTIL(&r, rig_counts(&r).connections_now == 1);
    client[2] = rig_client(&r, &line[2]); /* there is room again */
    rig_call(client[2], "/test/Echo", &seen[2]);
    RIG_UNTIL(&r, r.opened == 3);
    grpc_client_close(client[1]);
    grpc_client_close(client[2]);
    rig_close(&r);
}

/* A client that knows the limit waits by itself; the fourth begins when one of three has ended. */
static void streams_of_a_connection_are_bounded(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen[4];
    struct grpc_call *call[4];
    const struct mp_grpc_limits limits = {.streams = 3};
    rig_open_plain(&r, &limits);
    struct grpc_client *client = rig_client(&r, &line);
    call[0] = rig_call(client, "/test/Sink", &seen[0]);
    RIG_UNTIL(&r, r.opened == 1);
    for (int i = 1; i < 4; i++) call[i] = rig_call(client, "/test/Sink", &seen[i]);
    RIG_UNTIL(&r, r.opened == 3);
    grpc_call_half_close(call[1]);
    RIG_UNTIL(&r, seen[1].ended && r.opened == 4);
    assert_int_equal(rig_counts(&r).streams_now, 3);
    grpc_client_close(client);
    rig_close(&r);
}

static void a_full_queue_waits_for_the_peer(void **state)
{
    enum { COUNT = 400, SIZE = 5000 };
    struct rig r;
    struct line line = {0};
    struct seen seen;
    char ask[64];
    const struct mp_grpc_limits limits = {.queued_bytes = 64000};
    rig_open_plain(&r, &limits);
    const struct grpc_client_options o = {
        .target = r.target, .window_bytes = 70000, .closed = line_closed, .ctx = &line};
    struct grpc_client *client = grpc_client_open(&r.loop, &o);
    struct grpc_call *call = rig_call(client, "/test/Flood", &seen);
    snprintf(ask, sizeof ask, "%d %d", COUNT, SIZE);
    grpc_call_send(call, mp_str_of(ask));
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_OK);
    assert_int_equal(seen.messages, COUNT);
    assert_int_equal(seen.bytes, (size_t)COUNT * SIZE);
    assert_false(seen.wrong);
    assert_true(r.drained > 1);
    assert_true(rig_counts(&r).queue_full > 1);
    grpc_client_close(client);
    rig_close(&r);
}

/* Its queue fills, others are served, and it gets everything when it reads again. */
static void a_peer_that_does_not_read_harms_nobody(void **state)
{
    enum { COUNT = 300, SIZE = 100000 };
    struct rig r;
    struct line line, other_line;
    struct seen seen, other_seen;
    char ask[64];
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    struct grpc_client *other = rig_client(&r, &other_line);
    struct grpc_call *call = rig_call(client, "/test/Flood", &seen);
    struct grpc_call *echo = rig_call(other, "/test/Echo", &other_seen);
    RIG_UNTIL(&r, r.opened == 2);
    grpc_client_pause(client, true);
    snprintf(ask, sizeof ask, "%d %d", COUNT, SIZE);
    grpc_call_send(call, mp_str_of(ask));
    RIG_UNTIL(&r, rig_counts(&r).queue_full > 0);
    assert_in_range(rig_counts(&r).queued_bytes_now, 1, 16 << 20);
    assert_in_range(rig_counts(&r).queue_memory_now, rig_counts(&r).queued_bytes_now,
                    (16 << 20) * 2);
    grpc_call_send(echo, MP_STR("me?"));
    RIG_UNTIL(&r, other_seen.messages == 1);
    assert_false(seen.ended);
    grpc_client_pause(client, false);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.messages, COUNT);
    assert_false(seen.wrong);
    grpc_client_close(client);
    grpc_client_close(other);
    rig_close(&r);
}

/* Its own queue is empty, but what all may hold is taken: it is told when that is over, though it
 * hears nothing from its peer meanwhile. */
static void who_finds_the_memory_of_all_taken_gets_its_turn(void **state)
{
    struct rig r;
    struct line line, other_line;
    struct seen seen, other_seen;
    const struct mp_grpc_limits limits = {.total_bytes = 10 << 20, .queued_bytes = 9 << 20};
    rig_open_plain(&r, &limits);
    struct grpc_client *greedy = rig_client(&r, &line);
    struct grpc_client *other = rig_client(&r, &other_line);
    struct grpc_call *call = rig_call(greedy, "/test/Flood", &seen);
    struct grpc_call *flood = rig_call(other, "/test/Flood", &other_seen);
    RIG_UNTIL(&r, r.opened == 2);
    grpc_client_pause(greedy, true);
    grpc_call_send(call, MP_STR("1000 1000000"));
    RIG_UNTIL(&r, rig_counts(&r).queue_full > 0);
    grpc_call_send(flood, MP_STR("2 3000000"));
    RIG_UNTIL(&r, rig_counts(&r).queue_full > 3); /* tries in vain */
    assert_int_equal(other_seen.messages, 0);
    struct seen idle_seen; /* one that is sent to from outside of its own callbacks */
    rig_call(other, "/test/Echo", &idle_seen);
    RIG_UNTIL(&r, r.opened == 3);
    static char large[3000000];
    assert_int_equal(mp_grpc_send(r.last, (mp_str){large, sizeof large}), MP_ELIMIT);
    grpc_client_close(greedy);
    RIG_UNTIL(&r, other_seen.ended);
    assert_int_equal(other_seen.messages, 2);
    assert_int_equal(other_seen.status, MP_GRPC_OK);
    grpc_client_close(other);
    rig_close(&r);
}

static void a_stream_that_is_reset_is_closed_once(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen[50];
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    for (unsigned i = 0; i < 50; i++) {
        struct grpc_call *call = rig_call(client, "/test/Echo", &seen[i]);
        grpc_call_send(call, MP_STR("x"));
        RIG_UNTIL(&r, seen[i].messages == 1);
        grpc_call_cancel(call);
        RIG_UNTIL(&r, r.closed == i + 1);
    }
    assert_int_equal(rig_counts(&r).streams_now, 0);
    grpc_client_close(client);
    RIG_UNTIL(&r, rig_counts(&r).connections_now == 0);
    rig_close(&r);
}

static void peers_are_told_that_the_server_ends(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    rig_open_plain(&r, NULL);
    struct grpc_client *client = rig_client(&r, &line);
    grpc_call_send(rig_call(client, "/test/Echo", &seen), MP_STR("x"));
    RIG_UNTIL(&r, seen.messages == 1);
    mp_grpc_close(r.server);
    r.server = NULL;
    assert_int_equal(r.closed, 1); /* at once */
    RIG_UNTIL(&r, seen.ended && line.closed);
    assert_int_equal(seen.status, MP_GRPC_UNAVAILABLE);
    assert_string_equal(seen.text, "the server ends");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back_in_order),
        cmocka_unit_test(a_message_in_many_small_frames_is_whole),
        cmocka_unit_test(a_peer_that_has_ended_gets_the_last_answer),
        cmocka_unit_test(a_stream_may_be_finished_from_within),
        cmocka_unit_test(a_server_pushes_without_being_asked),
        cmocka_unit_test(a_unix_socket_is_served_and_a_stale_one_taken_over),
        cmocka_unit_test(what_is_not_understood_is_refused_by_status),
        cmocka_unit_test(a_browser_and_a_large_cookie_are_refused),
        cmocka_unit_test(a_message_that_is_cut_is_no_message),
        cmocka_unit_test(a_claimed_length_takes_no_memory),
        cmocka_unit_test(all_messages_together_are_bounded),
        cmocka_unit_test(what_listens_where_it_must_not_is_refused),
        cmocka_unit_test(garbage_loses_only_its_own_connection),
        cmocka_unit_test(a_peer_that_answers_no_ping_is_dead),
        cmocka_unit_test(a_peer_that_never_begins_is_closed),
        cmocka_unit_test(one_connection_too_many_is_refused),
        cmocka_unit_test(streams_of_a_connection_are_bounded),
        cmocka_unit_test(a_full_queue_waits_for_the_peer),
        cmocka_unit_test(a_peer_that_does_not_read_harms_nobody),
        cmocka_unit_test(who_finds_the_memory_of_all_taken_gets_its_turn),
        cmocka_unit_test(a_stream_that_is_reset_is_closed_once),
        cmocka_unit_test(peers_are_told_that_the_server_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
