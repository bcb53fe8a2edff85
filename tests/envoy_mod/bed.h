/* SPDX-License-Identifier: Apache-2.0
 * bed.h - an Envoy with the module on loopback, a service behind it, and clients that ask it. All
 * waits are for conditions and have a bound; nothing sleeps for a while and hopes.
 */
#ifndef TEST_ENVOY_MOD_BED_H
#define TEST_ENVOY_MOD_BED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BED_WAIT_NS (INT64_C(60) * 1000000000) /* LIMIT: of one wait, on a busy machine */

int64_t bed_now_ns(void);

/* ---- a service ---- */

/* Answers `ok` to everything; `/stream` is answered with a piece each 5 ms for ever. */
struct bed_service;
struct bed_service *bed_service_start(void);
int bed_service_port(const struct bed_service *s);
void bed_service_stop(struct bed_service *s);

/* ---- an Envoy ---- */

enum bed_filter { BED_NO_FILTER, BED_MODULE, BED_EMPTY_MODULE, BED_RBAC };

struct bed_options {
    const char *envoy;       /* program */
    const char *modules;     /* folder of libmpol_envoy.so */
    const char *empty;       /* folder of the module that does nothing, for BED_EMPTY_MODULE */
    enum bed_filter filter;
    bool logger;             /* the module's access logger too */
    bool quiet;              /* no access log at all, for figures */
    const char *layer, *socket, *state; /* of the module; state may be NULL */
    /* behind /up and /stream; everything else is answered by Envoy itself */
    int service_port;
    int concurrency;
};

struct bed {
    pid_t pid;
    int port;
    char folder[96]; /* configuration, log, access log */
};

/* Modules are loaded by Envoy 1.38 and newer. False after one line that says what is left out. */
bool bed_loads_modules(const char *envoy);
/* Starts it and waits until it answers. False: it did not; its log has been shown. */
bool bed_start(struct bed *b, const struct bed_options *options);
/* Only looks at the configuration: its exit code. */
int bed_validate(const struct bed_options *options);
void bed_stop(struct bed *b);
/* Is there a line in the access log (status details path) that contains this? Waits for it. */
bool bed_logged(const struct bed *b, const char *text);

/* ---- clients ---- */

struct bed_client {
    int fd;
    int port;
    const char *from; /* address of loopback */
    char reply[4096]; /* head of the last answer */
};

bool bed_connect(struct bed_client *c, const char *from, int port);
void bed_disconnect(struct bed_client *c);
/* One request on the connection, which is made anew if it has been closed in between: the status,
 * or 0 where there was no whole answer. `headers`: lines with their ends, or "". */
int bed_get(struct bed_client *c, const char *path, const char *headers);
/* Asks for an endless answer and reads its head: the status. */
int bed_stream(struct bed_client *c, const char *path);
/* Waits for more of it: true, or false when it has been cut. */
bool bed_stream_goes_on(struct bed_client *c);

#endif
