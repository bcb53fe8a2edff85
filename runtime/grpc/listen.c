/* SPDX-License-Identifier: Apache-2.0
 * Where a server listens: ADDR:PORT or unix:PATH.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "grpc/server_priv.h"

#define BACKLOG 511

static bool is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)a;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool port_of(const char *text, int *out)
{
    char *end;
    long port = strtol(text, &end, 10);
    if (end == text || *end != '\0' || text[0] < '0' || text[0] > '9' || port > 65535) return false;
    *out = (int)port;
    return true;
}

/* ADDR:PORT, [ADDR]:PORT, or :PORT for loopback. */
static bool address_of(const char *where, struct sockaddr_storage *out)
{
    char host[64];
    int port;
    const char *colon = strrchr(where, ':');
    if (colon == NULL || !port_of(colon + 1, &port)) return false;
    size_t len = (size_t)(colon - where);
    if (len >= sizeof host) return false;
    memcpy(host, where, len);
    host[len] = '\0';
    if (len == 0) return uv_ip4_addr("127.0.0.1", port, (struct sockaddr_in *)out) == 0;
    if (host[0] != '[') return uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0;
    if (len < 3 || host[len - 1] != ']') return false;
    host[len - 1] = '\0';
    return uv_ip6_addr(host + 1, port, (struct sockaddr_in6 *)out) == 0;
}

static enum mp_err listen_tcp(struct mp_grpc_server *server, const char *where,
                              uv_connection_cb on_connection, char *why, size_t why_size)
{
    struct sockaddr_storage address;
    if (!address_of(where, &address)) {
        snprintf(why, why_size, "%s: write ADDR:PORT with a numeric address, or unix:PATH", where);
        return MP_EINVAL;
    }
    if (server->tls == NULL && !is_loopback(&address)) {
        snprintf(
            why, why_size,
            "%s: others could reach this port, so it needs a certificate, its key "
            "and the CA of clients; "
            "without them only loopback or unix:PATH",
            where);
        return MP_EINVAL;
    }
    uv_tcp_init(server->loop, &server->listener.tcp);
    server->listening = true;
    int code = uv_tcp_bind(&server->listener.tcp, (const struct sockaddr *)&address, 0);
    if (code == 0) code = uv_listen(&server->listener.stream, BACKLOG, on_connection);
    if (code == 0) return MP_OK;
    snprintf(why, why_size, "%s: %s", where, uv_strerror(code));
    return MP_EIO;
}

/* Does somebody listen there? What nobody serves is left over from an earlier life. */
static bool is_served(const char *path)
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

static enum mp_err listen_unix(struct mp_grpc_server *server, const char *path,
                               uv_connection_cb on_connection, char *why, size_t why_size)
{
    struct sockaddr_un fits;
    struct stat st;
    if (path[0] == '\0' || strlen(path) >= sizeof fits.sun_path) {
        snprintf(why, why_size, "unix:%s: the path is empty or too long for a socket", path);
        return MP_EINVAL;
    }
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_served(path)) unlink(path);
    server->local = true;
    uv_pipe_init(server->loop, &server->listener.pipe, 0);
    server->listening = true;
    int code = uv_pipe_bind(&server->listener.pipe, path);
    if (code == 0) code = uv_listen(&server->listener.stream, BACKLOG, on_connection);
    if (code == 0) return MP_OK;
    /* libuv says EACCES where the system says ENOENT. */
    snprintf(why, why_size, "unix:%s: %s", path,
             code == UV_EACCES ? "the folder is not there, or not ours" : uv_strerror(code));
    return MP_EIO;
}

enum mp_err grpc_listen(struct mp_grpc_server *server, const char *where,
                        uv_connection_cb on_connection, char *why, size_t why_size)
{
    if (strncmp(where, "unix:", 5) == 0) {
        return listen_unix(server, where + 5, on_connection, why, why_size);
    }
    return listen_tcp(server, where, on_connection, why, why_size);
}
