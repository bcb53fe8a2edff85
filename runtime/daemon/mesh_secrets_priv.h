/* SPDX-License-Identifier: Apache-2.0
 * mesh_secrets_priv.h - what mesh_secrets.c and mesh_secrets_read.c share.
 */
#ifndef MP_DAEMON_MESH_SECRETS_PRIV_H
#define MP_DAEMON_MESH_SECRETS_PRIV_H

#include "base/arena.h"
#include "daemon/mesh_secrets.h"
#include "tls/pem.h"

enum secret_kind { SECRET_TRUST, SECRET_REVOKED, SECRET_PAIR };

/* What belongs together in the folder, and is served together or not at all. */
struct secret_item {
    enum secret_kind kind;
    mp_str name;      /* "trust.pem", "revoked.pem", "SERVICE.crt" also where that is missing */
    mp_str text, key; /* what is served; empty: nothing is */
    struct mp_pem_dates dates;
    mp_str why;       /* what is wrong with what lies there now; empty: it is what is served */
    bool told;        /* that it is out of date */
};

struct secret_reading {
    struct mp_arena arena;
    struct secret_item *items; /* in order of name */
    size_t count;
    char why[4400]; /* empty: it went well; else a path and a reason */
};

/* Reads the folder. What is no good there is taken from `before` (may be NULL), with the reason.
 * False: the folder itself cannot be taken, `why` says it. The arena is the caller's to free in
 * both cases. */
bool secrets_read(const char *folder, bool keys, const struct secret_reading *before,
                  struct secret_reading *out);
/* NULL: there is none. */
struct secret_item *secrets_find(const struct secret_reading *r, mp_str name);

#endif
