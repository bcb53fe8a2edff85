/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_client.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy.h"

struct tls_client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    SSL_SESSION *session; /* the newest ticket */
    bool has_session;
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    c->has_session = true;
    return 1; /* it is ours now */
}

static SSL_CTX *context_of(const char *name)
{
    char cert[64], key[64];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    assert_int_equal(SSL_CTX_load_verify_locations(context, "ca.pem", NULL), 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    if (name == NULL) return context;
    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
    return context;
}

struct tls_client *tls_open(int port, const char *name, struct tls_client *earlier)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval bound = {.tv_sec = WAIT_MS / 1000};
    struct tls_client *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->context = context_of(name);
    c->ssl = SSL_new(c->context);
    assert_true(c->fd >= 0 && c->ssl != NULL);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    SSL_set_app_data(c->ssl, c);
    SSL_set_fd(c->ssl, c->fd);
    if (earlier != NULL && earlier->session != NULL) SSL_set_session(c->ssl, earlier->session);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0 && SSL_connect(c->ssl) == 1)
        return c;
    tls_close(c);
    return NULL;
}

bool tls_resumed(const struct tls_client *c) { return SSL_session_reused(c->ssl); }

static size_t whole(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n"), *length = strcasestr(reply, "\r\ncontent-length:");
    if (end == NULL) return 0;
    size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return (size_t)(end - reply) + 4 + body;
}

int tls_get(struct tls_client *c, const char *path)
{
    char request[512], reply[8192] = "";
    int status = -1, len = 0;
    int asked = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: shop\r\n\r\n", path);
    if (SSL_write(c->ssl, request, asked) != asked) return -1;
    while (whole(reply) == 0 || (size_t)len < whole(reply)) {
        int got = SSL_read(c->ssl, reply + len, (int)sizeof reply - 1 - len);
        if (got <= 0) return -1;
        len += got;
        reply[len] = '\0';
    }
    return sscanf(reply, "HTTP/1.1 %d", &status) == 1 ? status : -1;
}

void tls_close(struct tls_client *c)
{
    if (c == NULL) return;
    SSL_free(c->ssl);
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->context);
    close(c->fd);
    free(c);
}

int tls_get_once(int port, const char *name, const char *path)
{
    struct tls_client *c = tls_open(port, name, NULL);
    int status = c != NULL ? tls_get(c, path) : -1;
    tls_close(c);
    return status;
}

void wait_tls_get_once(int port, const char *name, const char *path, int status)
{
    char what[64];
    int got;
    for (int waited = 0; (got = tls_get_once(port, name, path)) != status;) {
        snprintf(what, sizeof what, "%d for %s (it is %d)", status, path, got);
        pause_between(&waited, what);
    }
}
