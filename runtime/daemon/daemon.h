/* SPDX-License-Identifier: Apache-2.0
 * daemon.h - what `mpol run` adds to the engine: inputs that grow, a store, a control socket, HTTP,
 * channels, reload and signals, all on one libuv loop.
 *
 * Owns:    the loop, the state folder, and everything that comes and goes while it runs.
 * Callers: the command, which opens libmpol-daemon and hands in how policies are compiled: the
 *          daemon itself knows images only.
 * Threads: the loop's, the store's writer, and libuv's pool for messages over the network.
 */
#ifndef MP_DAEMON_DAEMON_H
#define MP_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct mp_program;

#define MP_DAEMON_API __attribute__((visibility("default")))

/* LIMIT: bytes of the line that says why a reload was refused. */
#define DM_PROBLEM_MAX 512

struct mp_daemon_host {
    void *ctx;
    /* Reads and compiles all policies anew. The image lives until the next call. False: there were
     * errors; they have been printed, and *problem says it in a line. */
    bool (*compile)(void *ctx, mp_str *image, mp_str *problem);
    /* Has anything that compile reads changed since the last compile? Asked twice a second. */
    bool (*changed)(void *ctx);
    /* Puts native code in force when it is ready; may be NULL. `drop` before the program is
     * freed. */
    void (*native)(void *ctx, struct mp_program *p);
    void (*native_drop)(void *ctx, struct mp_program *p);
};

struct mp_daemon_options {
    const char *state_dir;
    const char *const *telemetry; /* FILE, FIFO, unix:PATH, or - */
    size_t telemetry_count;
    const char *const *inventory;
    size_t inventory_count;
    const char *const *channels; /* NAME=log | file:PATH | exec:PROGRAM | http(s)://URL */
    size_t channel_count;
    const char *const *params;   /* NAME=VALUE */
    size_t param_count;
    const char *listen;          /* ADDR:PORT, or NULL */
    const char *xds;             /* ADDR:PORT or unix:PATH where proxies are served, or NULL */
    const char *sds;             /* folder of certificates for proxies (mesh_secrets.h), or NULL */
    const char *xds_cert, *xds_key, *xds_ca; /* mutual TLS there: files in PEM, or all NULL */
    const char *module_socket;   /* path where modules inside proxies connect, or NULL */
    bool log_json;               /* the log as JSON lines */
};

/* Runs until a signal ends it. The answer is an exit code (0, 2, 3). */
MP_DAEMON_API int mpol_daemon_run(const struct mp_daemon_options *options,
                                  const struct mp_daemon_host *host);

/* What `mpol ledger WORD` is asked; NULL for an option that was not given. */
struct mp_daemon_ledger {
    const char *word; /* verify, show, export, prune */
    const char *state_dir;
    const char *before;
    const char *rule;
    const char *key; /* a public key; else that of the folder */
};
MP_DAEMON_API int mpol_daemon_ledger(const struct mp_daemon_ledger *question);

#endif
