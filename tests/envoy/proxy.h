/* SPDX-License-Identifier: Apache-2.0
 * proxy.h - real Envoys on loopback, what stands behind them, and who asks them. Every wait is for
 * something to happen and has a bound.
 */
#ifndef TEST_ENVOY_PROXY_H
#define TEST_ENVOY_PROXY_H

#include "../daemon/harness.h"
#include "../loopback/port.h"

#define PROXY_SKIPPED 77

/* The Envoy that is named by $MPOL_ENVOY or lies in the build folder; NULL after one line that
 * says why the test is left out. */
const char *proxy_program(void);

/* ---- a service: answers 200 to everything, and 404, 500 to /404, /500 ---- */

struct upstream {
    pid_t pid;
    int port;
};
void upstream_start(struct upstream *u);
void upstream_stop(struct upstream *u);

/* ---- an Envoy ---- */

struct proxy {
    pid_t pid;
    int port, admin;
    char file[64]; /* its configuration, and its log beside it */
};

/* `mpol envoy bootstrap` with these, --listen, --admin, and further words (ends with NULL);
 * starts it and waits until it takes requests. *p is zero, or has the port. */
struct proxy_is {
    const char *layer, *service, *instance;
    int upstream_port; /* 0: none */
    int xds_port;
};
void proxy_start(struct proxy *p, const struct proxy_is *is, ...);
/* The same of a file that is there; p->port and p->admin say where it listens. */
void proxy_start_file(struct proxy *p, const char *file);
/* A bootstrap with every `from` as `to`, at most eight times as long; to be freed. */
char *replaced(const char *text, const char *from, const char *to);
void proxy_stop(struct proxy *p);
/* `text` with every `from` replaced, of which there must be one; the caller frees it. */
char *text_replaced(const char *text, const char *from, const char *to);
/* A part of the admin's answer to GET `path`. */
bool proxy_admin_says(const struct proxy *p, const char *path, const char *text);
/* A counter of its `/stats`; 0 where it has not been counted yet. */
long long proxy_counter(const struct proxy *p, const char *name);
/* Until it is so. */
void wait_counter(const struct proxy *p, const char *name, long long value);

/* ---- who asks ---- */

/* A connection from this address of loopback that is kept alive. */
struct client {
    int fd;
    const char *from;
    int port;
    char reply[8192]; /* the last answer: head and body */
};
void client_open(struct client *c, const char *from, int port);
/* GET; the status, or -1: no answer (refused, reset, closed,
 * or none within the bound of a wait). */
int client_get(struct client *c, const char *path);
/* The same with these lines among the headers. */
int client_get_with(struct client *c, const char *path, const char *lines);
void client_close(struct client *c);
/* The same on a connection of its own. */
int get_once(const char *from, int port, const char *path);
/* The same for a client that a trusted x-forwarded-for names. */
int get_for(const char *client, int port);
/* The same with this line among the headers ("X-Canary: yes\r\n"). */
int get_with(int port, const char *line);
/* Asks again and again, on new connections, until the status comes. The microseconds that it
 * took. */
int64_t wait_get_once(const char *from, int port, const char *path, int status);
int64_t test_now_us(void);

/* Every test's folder: ends what is left over, as the harness does for `mpol run`. */
int mesh_drop(void **state);

#endif
