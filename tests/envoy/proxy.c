/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN_MAX 32
#define WORDS_MAX 48

static pid_t children[CHILDREN_MAX];
static const char *program;

int64_t test_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const char *proxy_program(void)
{
    static char room[1024];
    const char *named = getenv("MPOL_ENVOY"), *folder = getenv("MPOL_BINARY_DIR");
    snprintf(room, sizeof room, "%s/envoy/envoy", folder != NULL ? folder : ".");
    program = named != NULL && named[0] != '\0' ? named : room;
    if (access(program, X_OK) == 0) return program;
    printf("left out: there is no Envoy (%s)\n", program);
    program = NULL;
    return NULL;
}

/* ---- children ---- */

static void note(pid_t from, pid_t to)
{
    int i = 0;
    while (i < CHILDREN_MAX && children[i] != from) i++;
    assert_true(i < CHILDREN_MAX);
    children[i] = to;
}

/* 0: we are the child, which ends when the test does. */
static pid_t child(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) {
        note(0, pid);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    return 0;
}

static void end(pid_t *pid)
{
    if (*pid <= 0) return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    note(*pid, 0);
    *pid = 0;
}

int mesh_drop(void **state)
{
    for (int i = 0; i < CHILDREN_MAX; i++) {
        if (children[i] == 0) continue;
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
        children[i] = 0;
    }
    return folder_drop(state);
}

/* ---- sockets ---- */

static struct sockaddr_in loopback(const char *address, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    return at;
}

/* ---- a service ---- */

#define PEERS_MAX 128

struct peer {
    int fd;
    size_t len;
    char head[8192];
};

static void answer(int fd, const char *head)
{
    int status = strncmp(head, "GET /404", 8) == 0   ? 404
                 : strncmp(head, "GET /500", 8) == 0 ? 500
                                                     : 200;
    char text[128];
    int len = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: 3\r\n\r\nok\n", status);
    if (write(fd, text, (size_t)len) != len) shutdown(fd, SHUT_RDWR);
}

static void take(struct peer *p)
{
    ssize_t got = read(p->fd, p->head + p->len, sizeof p->head - 1 - p->len);
    if (got <= 0) {
        close(p->fd);
        *p = (struct peer){.fd = -1};
        return;
    }
    p->len += (size_t)got;
    p->head[p->len] = '\0';
    if (strstr(p->head, "\r\n\r\n") == NULL) return;
    answer(p->fd, p->head);
    p->len = 0;
}

_Noreturn static void serve(int listener)
{
    static struct peer peers[PEERS_MAX];
    struct pollfd fds[PEERS_MAX + 1];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < PEERS_MAX; i++) peers[i].fd = -1;
    for (;;) {
        for (int i = 0; i < PEERS_MAX; i++)
            fds[i] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
        fds[PEERS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
        if (poll(fds, PEERS_MAX + 1, -1) < 0) _exit(1);
        for (int i = 0; i < PEERS_MAX; i++) {
            if (fds[i].revents != 0) take(&peers[i]);
        }
        if (fds[PEERS_MAX].revents == 0) continue;
        int fd = accept(listener, NULL, NULL), free_at = 0;
        while (free_at < PEERS_MAX && peers[free_at].fd >= 0) free_at++;
        if (fd >= 0 && free_at < PEERS_MAX) peers[free_at].fd = fd;
        if (fd >= 0 && free_at == PEERS_MAX) close(fd);
    }
}

void upstream_start(struct upstream *u)
{
    int listener = port_listen(&u->port);
    u->pid = child();
    if (u->pid == 0) serve(listener);
    close(listener);
}

void upstream_stop(struct upstream *u) { end(&u->pid); }

/* ---- an Envoy ---- */

static void write_bootstrap(struct proxy *p, const struct proxy_is *is, va_list more)
{
    char listen[32], admin[32], upstream[32], xds[32];
    const char *words[WORDS_MAX] = {
        "envoy",      "bootstrap", "--layer", is->layer, "--service", is->service, "--instance",
        is->instance, "--listen",  listen,    "--admin", admin,       "--xds",     xds};
    size_t count = 14;
    const char *out;
    snprintf(listen, sizeof listen, "127.0.0.1:%d", p->port);
    snprintf(admin, sizeof admin, "127.0.0.1:%d", p->admin);
    snprintf(xds, sizeof xds, "127.0.0.1:%d", is->xds_port);
    snprintf(upstream, sizeof upstream, "127.0.0.1:%d", is->upstream_port);
    if (is->upstream_port != 0) {
        words[count++] = "--upstream";
        words[count++] = upstream;
    }
    while (count < WORDS_MAX - 1 && (words[count] = va_arg(more, const char *)) != NULL) count++;
    int code = ask_words(&out, words);
    if (code != 0) fail_msg("mpol envoy bootstrap: %s", out);
    put_file(p->file, out);
}

static void exec_envoy(const struct proxy *p)
{
    char log[80];
    snprintf(log, sizeof log, "%s.log", p->file);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nothing, 0);
    dup2(out, 1);
    dup2(out, 2);
    execl(program, program, "-c", p->file, "--concurrency", "1", "--disable-hot-restart",
          "--log-level", "warning", (char *)NULL);
    _exit(127);
}

static void tell_log(const struct proxy *p)
{
    char log[80];
    snprintf(log, sizeof log, "%s.log", p->file);
    fprintf(stderr, "%s", get_file(log));
}

void proxy_start_file(struct proxy *p, const char *file)
{
    int waited = 0;
    snprintf(p->file, sizeof p->file, "%s", file);
    p->pid = child();
    if (p->pid == 0) exec_envoy(p);
    /* The admin page knows when every listener takes requests, also one that speaks TLS. */
    while (get_once("127.0.0.1", p->admin, "/ready") != 200) {
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid || waited > WAIT_MS - 100) {
            tell_log(p);
            fail_msg("%s: this Envoy takes no requests", p->file);
        }
        pause_between(&waited, "an Envoy that listens");
    }
}

void proxy_start(struct proxy *p, const struct proxy_is *is, ...)
{
    char file[64];
    va_list more;
    *p = (struct proxy){.port = p->port != 0 ? p->port : port_hold(), .admin = port_hold()};
    snprintf(p->file, sizeof p->file, "%s.json", is->instance);
    va_start(more, is);
    write_bootstrap(p, is, more);
    va_end(more);
    snprintf(file, sizeof file, "%s", p->file);
    proxy_start_file(p, file);
}

void proxy_stop(struct proxy *p) { end(&p->pid); }

char *text_replaced(const char *text, const char *from, const char *to)
{
    size_t len = 0, size = strlen(text) * 8 + 1;
    char *out = calloc(1, size);
    assert_non_null(out);
    if (strstr(text, from) == NULL) fail_msg("no %s is there to be replaced", from);
    for (const char *at; (at = strstr(text, from)) != NULL; text = at + strlen(from)) {
        len += (size_t)snprintf(out + len, size - len, "%.*s%s", (int)(at - text), text, to);
    }
    snprintf(out + len, size - len, "%s", text);
    return out;
}

bool proxy_admin_says(const struct proxy *p, const char *path, const char *text)
{
    const char *body;
    return get(p->admin, path, &body) == 200 && strstr(body, text) != NULL;
}

long long proxy_counter(const struct proxy *p, const char *name)
{
    char path[160];
    const char *body;
    snprintf(path, sizeof path, "/stats?filter=^%s$", name);
    if (get(p->admin, path, &body) != 200) fail_msg("no statistics of %s", p->file);
    const char *at = strstr(body, name);
    return at != NULL ? strtoll(at + strlen(name) + 1, NULL, 10) : 0;
}

void wait_counter(const struct proxy *p, const char *name, long long value)
{
    int waited = 0;
    char what[160];
    snprintf(what, sizeof what, "%s of %lld", name, value);
    while (proxy_counter(p, name) != value) pause_between(&waited, what);
}

/* ---- who asks ---- */

void client_open(struct client *c, const char *from, int port)
{
    struct sockaddr_in source = loopback(from, 0), to = loopback("127.0.0.1", port);
    *c = (struct client){.from = from, .port = port};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(bind(c->fd, (struct sockaddr *)&source, sizeof source), 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0) return;
    close(c->fd);
    c->fd = -1;
}

/* How long the whole answer is, 0: not known yet. */
static size_t whole(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n"), *length = strcasestr(reply, "\r\ncontent-length:");
    if (end == NULL) return 0;
    size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return (size_t)(end - reply) + 4 + body;
}

int client_get_with(struct client *c, const char *path, const char *lines)
{
    char request[512];
    int status = -1;
    size_t len = 0;
    int asked =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: shop\r\n%s\r\n", path, lines);
    if (c->fd < 0 || write(c->fd, request, (size_t)asked) != asked) return -1;
    c->reply[0] = '\0';
    while (whole(c->reply) == 0 || len < whole(c->reply)) {
        struct pollfd wait = {.fd = c->fd, .events = POLLIN};
        if (len == sizeof c->reply - 1 || poll(&wait, 1, WAIT_MS) <= 0) return -1;
        ssize_t got = read(c->fd, c->reply + len, sizeof c->reply - 1 - len);
        if (got <= 0) return -1;
        len += (size_t)got;
        c->reply[len] = '\0';
    }
    return sscanf(c->reply, "HTTP/1.1 %d", &status) == 1 ? status : -1;
}

int client_get(struct client *c, const char *path) { return client_get_with(c, path, ""); }

void client_close(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

int get_once(const char *from, int port, const char *path)
{
    struct client c;
    client_open(&c, from, port);
    int status = client_get(&c, path);
    client_close(&c);
    return status;
}

int get_with(int port, const char *line)
{
    struct client c;
    client_open(&c, "127.0.0.1", port);
    int status = client_get_with(&c, "/", line);
    client_close(&c);
    return status;
}

int get_for(const char *client, int port)
{
    char header[128];
    snprintf(header, sizeof header, "X-Forwarded-For: %s\r\n", client);
    return get_with(port, header);
}

int64_t wait_get_once(const char *from, int port, const char *path, int status)
{
    int64_t began = test_now_us();
    char what[64];
    int got, waited = 0;
    while ((got = get_once(from, port, path)) != status) {
        snprintf(what, sizeof what, "%d for %s from %s (it is %d)", status, path, from, got);
        if (test_now_us() - began > 20000) pause_between(&waited, what);
    }
    return test_now_us() - began;
}

char *replaced(const char *text, const char *from, const char *to)
{
    size_t len = 0, size = strlen(text) * 8 + 1;
    char *out = calloc(1, size);
    assert_non_null(out);
    for (const char *at; (at = strstr(text, from)) != NULL; text = at + strlen(from)) {
        len += (size_t)snprintf(out + len, size - len, "%.*s%s", (int)(at - text), text, to);
    }
    snprintf(out + len, size - len, "%s", text);
    return out;
}
