/* SPDX-License-Identifier: Apache-2.0
 * The control socket: DIR/control. A request is one line of words separated by tabs; the answer
 * is one line with an exit code, then text, then the end. Only root and the user the daemon runs
 * as are heard.
 */
#include "daemon/daemon_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_MAX 4096 /* LIMIT: bytes of a request */
#define WORDS_MAX 16
#define CLIENTS_MAX 64
#define IDLE_MS 5000 /* LIMIT: how long a client may take to ask */

struct client {
    struct dm *d;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    char request[REQUEST_MAX];
    size_t len;
    struct dm_bytes answer;
    char who[32];
    int handles;
    bool asked;
};

static uint32_t clients;
static char control_path[4096];

static void on_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;
    if (--c->handles > 0) return;
    dm_bytes_free(&c->answer);
    free(c);
    clients--;
}

static void close_client(struct client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->pipe)) uv_close((uv_handle_t *)&c->pipe, on_closed);
    if (!uv_is_closing((uv_handle_t *)&c->timer)) uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_written(uv_write_t *write, int status) { close_client(write->data); }

static void on_idle(uv_timer_t *timer) { close_client(timer->data); }

static void answer(struct client *c)
{
    char *words[WORDS_MAX];
    size_t count = 0;
    char *rest = c->request;
    while (rest != NULL && count < WORDS_MAX) words[count++] = strsep(&rest, "\t");
    c->asked = true;
    dm_answer(c->d, words, count, c->who, &c->answer);
    uv_buf_t buf = uv_buf_init(c->answer.ptr, (unsigned)c->answer.len);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) != 0) close_client(c);
    dm_turn(c->d);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *c = handle->data;
    *buf = uv_buf_init(c->request + c->len, (unsigned)(REQUEST_MAX - c->len));
}

static void on_read(uv_stream_t *pipe, ssize_t got, const uv_buf_t *buf)
{
    struct client *c = pipe->data;
    if (got < 0) {
        close_client(c);
        return;
    }
    char *end = memchr(c->request + c->len, '\n', (size_t)got);
    c->len += (size_t)got;
    if (c->asked) return;
    if (end != NULL) {
        *end = '\0';
        answer(c);
    } else if (c->len == REQUEST_MAX) {
        close_client(c);
    }
}

/* Peer credentials: the kernel says who is at the other end. */
static bool may_ask(struct client *c)
{
    struct ucred who;
    socklen_t len = sizeof who;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&c->pipe, &fd) != 0) return false;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) return false;
    snprintf(c->who, sizeof c->who, "uid %lu", (unsigned long)who.uid);
    if (who.uid == 0 || who.uid == geteuid()) return true;
    dm_log(c->d, "warn", "%s was refused at the control socket", c->who);
    return false;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dm *d = listener->data;
    struct client *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    c->d = d;
    uv_pipe_init(&d->loop, &c->pipe, 0);
    uv_timer_init(&d->loop, &c->timer);
    c->pipe.data = c->timer.data = c;
    c->handles = 2;
    clients++;
    bool ok =
        uv_accept(listener, (uv_stream_t *)&c->pipe) == 0 && clients <= CLIENTS_MAX && may_ask(c);
    if (ok) ok = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) == 0;
    if (ok) uv_timer_start(&c->timer, on_idle, IDLE_MS, 0);
    if (!ok) close_client(c);
}

bool dm_control_open(struct dm *d)
{
    snprintf(control_path, sizeof control_path, "%s/control", d->options->state_dir);
    if (!dm_socket_path_fits(control_path)) {
        fprintf(stderr, "mpol run: %s: the path is too long for a socket; give a shorter --state\n",
                control_path);
        return false;
    }
    unlink(control_path); /* of an earlier life: the lock says that nobody else is here */
    uv_pipe_init(&d->loop, &d->control, 0);
    d->control.data = d;
    d->control_open = true;
    mode_t before = umask(0177);
    int code = uv_pipe_bind(&d->control, control_path);
    umask(before);
    if (code == 0) code = uv_listen((uv_stream_t *)&d->control, 16, on_connection);
    if (code != 0) fprintf(stderr, "mpol run: %s: %s\n", control_path, uv_strerror(code));
    return code == 0;
}

void dm_control_close(struct dm *d)
{
    if (!d->control_open) return;
    d->control_open = false;
    unlink(control_path);
    uv_close((uv_handle_t *)&d->control, NULL);
}
