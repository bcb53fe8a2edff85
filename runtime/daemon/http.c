/* SPDX-License-Identifier: Apache-2.0
 * /metrics, /healthz, /readyz on libmicrohttpd, which runs inside our loop: no thread, no lock.
 */
#include "daemon/daemon_priv.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 64
#define TIMEOUT_S 10u

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct dm_bytes *body)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(body->len, body->ptr, MHD_RESPMEM_MUST_COPY);
    dm_bytes_free(body);
    if (r == NULL) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    enum MHD_Result queued = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return queued;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct dm *d = ctx;
    struct dm_bytes body = {0};
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        dm_bytes_printf(&body, "GET only\n");
        return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
    }
    if (strcmp(url, "/metrics") == 0) {
        dm_metrics(d, &body);
        return reply(connection, MHD_HTTP_OK, OPENMETRICS, &body);
    }
    if (strcmp(url, "/healthz") == 0) {
        dm_bytes_printf(&body, "ok\n");
        return reply(connection, MHD_HTTP_OK, "text/plain", &body);
    }
    if (strcmp(url, "/readyz") == 0) {
        bool ready = dm_ready(d, &body);
        return reply(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain",
                     &body);
    }
    dm_bytes_printf(&body, "/metrics, /healthz, /readyz\n");
    return reply(connection, MHD_HTTP_NOT_FOUND, "text/plain", &body);
}

/* ---- in the loop ---- */

static void run_http(struct dm *d);

static void on_timer(uv_timer_t *timer) { run_http(timer->data); }
static void on_poll(uv_poll_t *poll, int status, int events) { run_http(poll->data); }

static void run_http(struct dm *d)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    MHD_run(d->http);
    if (MHD_get_timeout(d->http, &wait_ms) == MHD_YES) {
        uv_timer_start(&d->http_timer, on_timer, wait_ms, 0);
    } else {
        uv_timer_stop(&d->http_timer);
    }
}

/* ADDR:PORT, [ADDR]:PORT, or :PORT for loopback. */
static bool address_of(const char *listen, struct addrinfo **out)
{
    char host[256];
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon[1] == '\0' || (size_t)(colon - listen) >= sizeof host) return false;
    size_t len = (size_t)(colon - listen);
    bool brackets = len >= 2 && listen[0] == '[' && listen[len - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(brackets ? len - 2 : len),
             listen + (brackets ? 1 : 0));
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    return getaddrinfo(host[0] != '\0' ? host : "127.0.0.1", colon + 1, &hints, out) == 0;
}

bool dm_http_open(struct dm *d)
{
    struct addrinfo *address = NULL;
    if (d->options->listen == NULL) return true;
    if (!address_of(d->options->listen, &address)) {
        fprintf(stderr, "mpol run: --listen=%s: write ADDR:PORT with a numeric address\n",
                d->options->listen);
        return false;
    }
    unsigned flags = MHD_USE_EPOLL | (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    d->http =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, d, MHD_OPTION_SOCK_ADDR,
                         address->ai_addr, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
    freeaddrinfo(address);
    if (d->http == NULL) {
        fprintf(stderr, "mpol run: --listen=%s: the address is in use or not ours\n",
                d->options->listen);
        return false;
    }
    const union MHD_DaemonInfo *epoll = MHD_get_daemon_info(d->http, MHD_DAEMON_INFO_EPOLL_FD);
    const union MHD_DaemonInfo *port = MHD_get_daemon_info(d->http, MHD_DAEMON_INFO_BIND_PORT);
    uv_timer_init(&d->loop, &d->http_timer);
    uv_poll_init(&d->loop, &d->http_poll, epoll->epoll_fd);
    d->http_timer.data = d->http_poll.data = d;
    uv_poll_start(&d->http_poll, UV_READABLE, on_poll);
    dm_log(d, "info", "listening on port %u: /metrics /healthz /readyz",
           port != NULL ? port->port : 0u);
    return true;
}

void dm_http_close(struct dm *d)
{
    if (d->http == NULL) return;
    uv_close((uv_handle_t *)&d->http_poll, NULL);
    uv_close((uv_handle_t *)&d->http_timer, NULL);
    MHD_stop_daemon(d->http);
    d->http = NULL;
}
