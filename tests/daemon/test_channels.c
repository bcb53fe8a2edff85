/* SPDX-License-Identifier: Apache-2.0
 * Messages out: each arrives at least once, always under one key, whatever the channel does.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"

#define STATE "--state=state"
#define SECRET "correct horse"

static void start(struct run *r, const char *channel)
{
    put_file("p.mpol", flood_policy);
    if (get_file("t")[0] == '\0') put_file("t", "");
    run_start(r, "p.mpol", STATE, "--telemetry=t", channel, NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static void put_program(const char *text)
{
    put_file("program", text);
    assert_int_equal(chmod("program", 0700), 0);
}

/* The member of a message as a text that the caller frees. */
static char *member(const char *message, size_t len, const char *name)
{
    json_error_t error;
    json_t *m = json_loadb(message, len, 0, &error);
    if (m == NULL) fail_msg("%s: %.*s", error.text, (int)len, message);
    const char *text = json_string_value(json_object_get(m, name));
    assert_non_null(text);
    char *copy = strdup(text);
    json_decref(m);
    return copy;
}

/* ---- files and programs ---- */

static void a_file_gets_one_whole_line_a_message(void **state)
{
    struct run r;
    start(&r, "--channel=chat=file:chat");
    add_failures("t", "10.0.0.1", 3);
    add_failures("t", "2001:db8::1", 3);
    wait_file("chat", "flood 2001:db8::1");
    stop(&r);
    const char *text = get_file("chat");
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    char *first = member(text, (size_t)(end - text), "idempotency_key");
    char *second = member(end + 1, strlen(end + 1), "idempotency_key");
    assert_string_not_equal(first, second);
    char *channel = member(text, (size_t)(end - text), "channel");
    assert_string_equal(channel, "chat");
    free(first);
    free(second);
    free(channel);
}

static void a_fifo_without_a_reader_holds_nothing_up(void **state)
{
    struct run r;
    assert_int_equal(mkfifo("chat", 0600), 0);
    start(&r, "--channel=chat=file:chat");
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "channel chat: message 1 was not taken");
    assert_true(status_says("generation 1"));
    int fd = open("chat", O_RDONLY | O_NONBLOCK);
    run_wait(&r, "notify chat: stuck -> accepted");
    char line[1024];
    ssize_t len = read(fd, line, sizeof line);
    assert_true(len > 0);
    free(member(line, (size_t)len, "idempotency_key"));
    close(fd);
    stop(&r);
}

static void a_program_that_fails_gets_it_again_under_the_same_key(void **state)
{
    struct run r;
    put_program("#!/bin/sh\ncat >>got\n[ -e again ] || { : >again; exit 1; }\n");
    start(&r, "--channel=chat=exec:./program");
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "notify chat: stuck -> accepted");
    stop(&r);
    const char *text = get_file("got"), *end = strchr(text, '\n');
    assert_non_null(end);
    char *first = member(text, (size_t)(end - text), "idempotency_key");
    char *second = member(end + 1, strlen(end + 1), "idempotency_key");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void a_program_that_is_not_there_is_a_channel_that_is_away(void **state)
{
    struct run r;
    start(&r, "--channel=chat=exec:./program");
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "was not taken: not found");
    put_program("#!/bin/sh\ncat >got\n");
    run_wait(&r, "notify chat: stuck -> accepted");
    stop(&r);
}

static void a_program_that_reads_nothing_and_prints_much_holds_nothing_up(void **state)
{
    struct run r;
    put_program(
        "#!/bin/sh\nexec <&-\nhead -c 1000000 /dev/zero\nhead -c 1000000 /dev/zero >&2\n: >done\n");
    start(&r, "--channel=chat=exec:./program");
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "notify chat: admitted -> accepted");
    assert_int_equal(access("done", F_OK), 0);
    stop(&r);
}

/* Ten seconds, the time that one try has. */
static void a_program_that_hangs_is_ended_with_what_it_started(void **state)
{
    struct run r;
    put_program(
        "#!/bin/sh\ncat >>got\n[ -e again ] && exit 0\n: >again\nsleep 1000 &\n"
        "echo $! >child\nsleep 1000\n");
    start(&r, "--channel=chat=exec:./program");
    add_failures("t", "10.0.0.1", 3);
    add_failures("t", "10.0.0.2", 3);
    run_wait(&r, "was not taken: timed out");
    run_wait(&r, "notify chat: stuck -> accepted");
    pid_t child = (pid_t)number_at(get_file("child"), INT32_MAX);
    int waited = 0;
    while (child > 0 && kill(child, 0) == 0)
        pause_between(&waited, "the end of what a program started");
    stop(&r);
}

/* ---- a server ---- */

struct server {
    int fd, port;
};

static int bind_to(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* A port that nobody listens on until server_listen. */
static struct server server_reserve(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    struct server s = {.fd = bind_to(0)};
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&at, &len), 0);
    s.port = ntohs(at.sin_port);
    return s;
}

static void server_listen(const struct server *s) { assert_int_equal(listen(s->fd, 8), 0); }

struct request {
    char text[8192];
    const char *body;
    size_t body_len;
};

static void header(const struct request *q, const char *name, char *out, size_t room)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strstr(q->text, wanted);
    if (at == NULL || at > q->body) fail_msg("no header %s in %s", name, q->text);
    at += strlen(wanted);
    snprintf(out, room, "%.*s", (int)strcspn(at, "\r\n"), at);
}

/* Takes one POST and answers with a status. */
static void serve(const struct server *s, struct request *q, int status)
{
    struct pollfd wait = {.fd = s->fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    int fd = accept(s->fd, NULL, NULL);
    size_t len = 0, needed = 0;
    ssize_t got;
    q->body = NULL;
    while ((q->body == NULL || len < needed) &&
           (got = read(fd, q->text + len, sizeof q->text - 1 - len)) > 0) {
        len += (size_t)got;
        q->text[len] = '\0';
        char *end = strstr(q->text, "\r\n\r\n");
        if (end == NULL) continue;
        char length[32];
        q->body = end + 4;
        header(q, "Content-Length", length, sizeof length);
        q->body_len = number_at(length, sizeof q->text);
        needed = (size_t)(q->body - q->text) + q->body_len;
    }
    assert_non_null(q->body);
    dprintf(fd, "HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    close(fd);
}

static void the_signature_is_right(const struct request *q)
{
    char stamp[64], given[128], wanted[128] = "sha256=", text[8192];
    uint8_t mac[MP_SHA256_BYTES];
    header(q, "X-Mpol-Timestamp", stamp, sizeof stamp);
    header(q, "X-Mpol-Signature", given, sizeof given);
    int len = snprintf(text, sizeof text, "%s.%.*s", stamp, (int)q->body_len, q->body);
    assert_int_equal(mp_crypto_hmac_sha256(mp_str_of(SECRET), (mp_str){text, (size_t)len}, mac),
                     MP_OK);
    for (int i = 0; i < MP_SHA256_BYTES; i++) snprintf(wanted + 7 + 2 * i, 3, "%02x", mac[i]);
    assert_string_equal(given, wanted);
}

static void channel_to(const struct server *s, char out[128])
{
    snprintf(out, 128, "--channel=chat=http://127.0.0.1:%d/hook", s->port);
}

static void a_dead_url_gets_it_signed_and_under_the_same_key_when_it_lives(void **state)
{
    struct run r;
    static struct request q;
    char channel[128], first[128], again[128];
    struct server s = server_reserve();
    channel_to(&s, channel);
    assert_int_equal(setenv("MPOL_SECRET_CHAT", SECRET, 1), 0);
    start(&r, channel);
    unsetenv("MPOL_SECRET_CHAT");
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "channel chat: message 1 was not taken");
    run_wait(&r, "notify chat: admitted -> stuck");
    server_listen(&s);
    serve(&s, &q, 503); /* it lives, but will not have it */
    run_wait(&r, "was not taken: HTTP status 503");
    header(&q, "Idempotency-Key", first, sizeof first);
    the_signature_is_right(&q);
    serve(&s, &q, 204);
    header(&q, "Idempotency-Key", again, sizeof again);
    the_signature_is_right(&q);
    assert_string_equal(first, again);
    char *key = member(q.body, q.body_len, "idempotency_key");
    assert_string_equal(key, first);
    free(key);
    run_wait(&r, "notify chat: stuck -> accepted");
    close(s.fd);
    stop(&r);
}

static void a_message_keeps_its_key_over_a_kill(void **state)
{
    struct run r;
    static struct request q;
    char channel[128], first[128], again[128];
    struct server s = server_reserve();
    channel_to(&s, channel);
    server_listen(&s);
    start(&r, channel);
    add_failures("t", "10.0.0.1", 3);
    serve(&s, &q, 500);
    header(&q, "Idempotency-Key", first, sizeof first);
    run_kill(&r);
    run_free(&r);
    start(&r, channel);
    serve(&s, &q, 200);
    header(&q, "Idempotency-Key", again, sizeof again);
    assert_string_equal(first, again);
    run_wait(&r, "-> accepted because done");
    close(s.fd);
    stop(&r);
}

static void a_url_over_tls_that_is_closed_holds_nothing_up(void **state)
{
    struct run r;
    struct server s = server_reserve();
    char channel[128];
    snprintf(channel, sizeof channel, "--channel=chat=https://127.0.0.1:%d/", s.port);
    start(&r, channel);
    add_failures("t", "10.0.0.1", 3);
    run_wait(&r, "channel chat: message 1 was not taken");
    wait_status("deny 10.0.0.1  effective, in force");
    close(s.fd);
    stop(&r); /* what was not delivered is in the store */
    start(&r, "--channel=chat=log");
    assert_true(run_said(&r, "notify: flood 10.0.0.1"));
    stop(&r);
}

static void a_channel_that_cannot_be_is_named(void **state)
{
    struct run r;
    static const char *const wrong[] = {"--channel=chat", "--channel=chat=ftp://x",
                                        "--channel=chat=file:", "--channel==log"};
    put_file("p.mpol", flood_policy);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const args[] = {"p.mpol", STATE, wrong[i], NULL};
        run_spawn(&r, -1, args);
        assert_int_equal(run_end(&r), 2);
        assert_non_null(strstr(r.log, "write NAME=log, NAME=file:PATH"));
        run_free(&r);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_gets_one_whole_line_a_message),
        TEST(a_fifo_without_a_reader_holds_nothing_up),
        TEST(a_program_that_fails_gets_it_again_under_the_same_key),
        TEST(a_program_that_is_not_there_is_a_channel_that_is_away),
        TEST(a_program_that_reads_nothing_and_prints_much_holds_nothing_up),
        TEST(a_program_that_hangs_is_ended_with_what_it_started),
        TEST(a_dead_url_gets_it_signed_and_under_the_same_key_when_it_lives),
        TEST(a_message_keeps_its_key_over_a_kill),
        TEST(a_url_over_tls_that_is_closed_holds_nothing_up),
        TEST(a_channel_that_cannot_be_is_named),
    };
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
