/* SPDX-License-Identifier: Apache-2.0
 * unix:PATH: a socket that many may connect to and write lines. One that closes is silent at once
 * (R6).
 */
#include "daemon/input_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256 /* LIMIT: writers at a time, over all sockets */

struct dm_connection {
    uv_pipe_t pipe;
    struct stream stream;
    struct dm_connection *next, **at; /* in dm.connections */
};

static uint32_t connections;

static void on_closed(uv_handle_t *handle)
{
    connections--;
    free(handle->data);
}

static void close_connection(struct dm_connection *c)
{
    *c->at = c->next;
    if (c->next != NULL) c->next->at = c->at;
    dm_stream_end(&c->stream);
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    *buf = uv_buf_init(dm_read_room, sizeof dm_read_room);
}

static void on_read(uv_stream_t *pipe, ssize_t got, const uv_buf_t *buf)
{
    struct dm_connection *c = pipe->data;
    struct dm *d = c->stream.d;
    dm_clock(d);
    if (got > 0) dm_stream_take(&c->stream, (mp_str){buf->base, (size_t)got});
    if (got < 0) close_connection(c);
    if (got != 0) dm_turn(d);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dm_input *in = listener->data;
    struct dm_connection *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    uv_pipe_init(&in->d->loop, &c->pipe, 0);
    connections++;
    c->pipe.data = c;
    dm_stream_open(&c->stream, in);
    c->next = in->d->connections;
    c->at = &in->d->connections;
    if (c->next != NULL) c->next->at = &c->next;
    in->d->connections = c;
    bool taken = uv_accept(listener, (uv_stream_t *)&c->pipe) == 0;
    if (connections > CONNECTIONS_MAX) {
        dm_log(in->d, "warn", "%s: too many writers, one is refused", in->name);
    }
    if (!taken || connections > CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0) {
        close_connection(c);
    }
}

bool dm_socket_path_fits(const char *path)
{
    struct sockaddr_un address;
    return strlen(path) < sizeof address.sun_path;
}

bool dm_socket_is_served(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return true;
    memcpy(to.sun_path, path, strlen(path));
    bool served =
        connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno != ECONNREFUSED;
    close(fd);
    return served;
}

/* libuv says EACCES where the system says ENOENT. */
const char *dm_socket_trouble(int code)
{
    return code == UV_EACCES ? "the folder is not there, or not ours" : uv_strerror(code);
}

bool dm_socket_open(struct dm_input *in)
{
    const char *path = in->name + strlen("unix:");
    struct stat st;
    if (!dm_socket_path_fits(path)) {
        fprintf(stderr, "mpol run: %s: the path is too long for a socket\n", in->name);
        return false;
    }
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !dm_socket_is_served(path)) unlink(path);
    uv_pipe_init(&in->d->loop, &in->listener, 0);
    in->listener.data = in;
    in->has_listener = true;
    int code = uv_pipe_bind(&in->listener, path);
    if (code == 0) code = uv_listen((uv_stream_t *)&in->listener, 64, on_connection);
    if (code != 0) fprintf(stderr, "mpol run: %s: %s\n", in->name, dm_socket_trouble(code));
    return code == 0;
}

void dm_socket_close_all(struct dm *d)
{
    while (d->connections != NULL) close_connection(d->connections);
}
