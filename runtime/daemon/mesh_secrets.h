/* SPDX-License-Identifier: Apache-2.0
 * mesh_secrets.h - the folder of `--sds`: certificates, keys and lists of what is revoked, as
 * PEM, for proxies that take them from here.
 *
 *     trust.pem      who may issue certificates
 *     revoked.pem    what they have taken back (CRL); may be missing
 *     SERVICE.crt    certificate of a service and those above it; a / of its name is a . here
 *     SERVICE.key    its private key
 *
 * Owns:    what was read; read again when something in the folder changes. What is no good then (no
 *          PEM, a key of another certificate, half of a pair) is not served: what was there before
 *          is, and what is wrong is told. What is out of date is served, and told.
 * Callers: mesh.c, mesh_world.c. Threads: the daemon's loop.
 * Memory:  malloc; texts hold until the folder is read again.
 */
#ifndef MP_DAEMON_MESH_SECRETS_H
#define MP_DAEMON_MESH_SECRETS_H

#include <uv.h>

#include "envoy_xds/world.h"

struct dm_secrets;

/* LIMIT */
#define DM_SECRET_BYTES_MAX (1u << 20) /* of one file */
#define DM_SECRET_FILES_MAX 4096u

struct dm_secrets_options {
    const char *folder;
    bool keys; /* may be told: what is sent is encrypted, or stays on this machine's file system */
    uv_loop_t *loop;
    void *ctx;
    void (*changed)(void *ctx);                /* other bytes than before */
    void (*log)(void *ctx, const char *line);  /* a warning: what is no good, or out of date */
};

/* Reads the folder. False with a reason in `why`: it cannot be read, has no trust.pem that is
 * good, or has keys that may not be told. What is wrong with a pair is for dm_secrets_tell. */
bool dm_secrets_open(const struct dm_secrets_options *options, struct dm_secrets **out, char *why,
                     size_t why_size);
/* Ends the watch; memory is freed when the loop has run once more. NULL is allowed. */
void dm_secrets_close(struct dm_secrets *s);
/* Tells the log what has become out of date since the last look. */
void dm_secrets_look(struct dm_secrets *s, int64_t now_s);
/* Everything that is wrong now, a line each. */
typedef void (*dm_secrets_line_fn)(void *ctx, const char *line);
void dm_secrets_tell(const struct dm_secrets *s, int64_t now_s, dm_secrets_line_fn each, void *ctx);
struct dm_secrets_counts {
    uint32_t pairs;       /* served */
    uint32_t refused;     /* what lies there now is not served */
    uint32_t out_of_date; /* served all the same */
    int64_t end_s;        /* when the first of all ends, seconds since 1970; INT64_MAX: never */
};
void dm_secrets_count(const struct dm_secrets *s, int64_t now_s, struct dm_secrets_counts *out);
/* As struct mp_envoy_world's `secret`. */
mp_str dm_secrets_get(const struct dm_secrets *s, enum mp_envoy_secret which, mp_str service);

#endif
