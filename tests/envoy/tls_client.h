/* SPDX-License-Identifier: Apache-2.0
 * tls_client.h - who asks over TLS, with a certificate or without, on a session of its own or a
 * resumed one.
 */
#ifndef TEST_ENVOY_TLS_CLIENT_H
#define TEST_ENVOY_TLS_CLIENT_H

#include <stdbool.h>

struct tls_client; /* one connection that is kept alive */

/* Connects to 127.0.0.1:port and shakes hands. `name`: NAME.pem and NAME.key in the folder are
 * shown, NULL: none. `earlier`: its session is offered for resumption, may be NULL. NULL: no
 * connection, or the handshake failed. The server is checked against ca.pem, its name is not. */
struct tls_client *tls_open(int port, const char *name, struct tls_client *earlier);
bool tls_resumed(const struct tls_client *c);
/* GET; the status, or -1: no answer. */
int tls_get(struct tls_client *c, const char *path);
void tls_close(struct tls_client *c);
/* The same on a connection of its own. */
int tls_get_once(int port, const char *name, const char *path);
/* Until the status comes, on new connections. */
void wait_tls_get_once(int port, const char *name, const char *path, int status);

#endif
